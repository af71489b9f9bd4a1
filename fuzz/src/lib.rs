//! What the targets call. Each function takes any bytes, panics on nothing, and checks of what it gets what its readers rely on.

pub mod callbacks;
pub mod messages;
pub mod signatures;
