//! Failures as they are answered.

use axum::http::StatusCode;
use service::Problem;

/// A problem of the content, with a code of its own.
pub(crate) fn unprocessable(code: &'static str, detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, code, detail)
}
