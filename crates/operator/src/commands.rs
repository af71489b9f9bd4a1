//! The commands that ask running services.

pub(crate) mod audit;
pub(crate) mod contradictions;
pub(crate) mod merchant;
pub(crate) mod migrate;
pub(crate) mod notifications;
pub(crate) mod trace;
