//! How a request fails.

use admin_api::audit::InvalidSpan;
use axum::response::{IntoResponse, Response};
use service::Problem;

/// The problem that a request is answered with. `?` makes it from whatever went wrong.
#[derive(Debug)]
pub struct ApiError(Problem);

impl ApiError {
    /// The stable code of the problem, such as `order_conflict`.
    pub const fn code(&self) -> &'static str {
        self.0.code
    }
}

impl From<Problem> for ApiError {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

impl From<storage::Error> for ApiError {
    fn from(error: storage::Error) -> Self {
        Self(database_problem(&error))
    }
}

impl From<InvalidSpan> for ApiError {
    fn from(error: InvalidSpan) -> Self {
        Self(Problem::bad_request("invalid_query", error.to_string()))
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        self.0.into_response()
    }
}

/// What a client is told of a failure of the database, which is logged here: 503 for an outage, which is a warning, for readiness
/// tells of it as well; 500 for anything else.
fn database_problem(error: &storage::Error) -> Problem {
    if error.is_outage() {
        tracing::warn!(%error, "a request failed because the database is away");
        Problem::unavailable("the database is away; send the request again")
    } else {
        tracing::error!(%error, "a request failed because of the database");
        Problem::internal()
    }
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;

    use super::*;

    #[test]
    fn an_outage_is_503_and_a_fault_is_500() {
        for (error, expected) in [
            (storage::Error::unavailable("away"), StatusCode::SERVICE_UNAVAILABLE),
            (storage::Error::Unfit("a pooler".to_owned()), StatusCode::SERVICE_UNAVAILABLE),
            (storage::Error::rejected("no such column"), StatusCode::INTERNAL_SERVER_ERROR),
        ] {
            assert_eq!(ApiError::from(error).into_response().status(), expected);
        }
    }
}
