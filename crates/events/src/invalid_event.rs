//! Why something is no event.

use std::fmt;

use thiserror::Error;

/// An event that contradicts itself, or comes from the future.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{field}: expected {expected}, got {got}")]
pub struct InvalidEvent {
    field: &'static str,
    expected: String,
    got: String,
}

impl InvalidEvent {
    pub(crate) fn new(field: &'static str, expected: impl fmt::Display, got: impl fmt::Display) -> Self {
        Self { field, expected: expected.to_string(), got: got.to_string() }
    }
}
