//! The commands that ask running services and the broker.

pub(crate) mod audit;
pub(crate) mod broker;
pub(crate) mod callback;
pub(crate) mod completions;
pub(crate) mod contradictions;
pub(crate) mod dlq;
pub(crate) mod doctor;
pub(crate) mod events;
pub(crate) mod merchant;
pub(crate) mod migrate;
pub(crate) mod notifications;
pub(crate) mod topology;
pub(crate) mod trace;
pub(crate) mod webhook;
