//! How a request fails.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use service::Problem;

use crate::order::InvalidOrder;

/// The problem that a request is answered with. `?` makes it from whatever went wrong.
#[derive(Debug)]
pub(crate) struct Failure(Problem);

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

impl From<InvalidOrder> for Failure {
    fn from(invalid: InvalidOrder) -> Self {
        Self(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, invalid.code(), invalid.to_string()))
    }
}

impl From<storage::Error> for Failure {
    /// Logs why the database failed, and tells the client whether to come again.
    fn from(error: storage::Error) -> Self {
        tracing::error!(%error, "request failed");
        Self(if error.is_outage() {
            Problem::unavailable("the database is away; repeat the request")
        } else {
            Problem::internal()
        })
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        self.0.into_response()
    }
}
