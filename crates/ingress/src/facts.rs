//! Facts about pay orders on their way into the database.
//!
//! Callbacks, closes and expiries all become [`Job`]s of one [`FactWriter`]. It takes whatever is queued, and in ONE
//! transaction locks the pay orders, [folds](fold::fold) the facts through [`events::transition`], and writes raw
//! callbacks, pay orders, events, pending publishes and contradictions. Only then is anybody answered or told.

#[cfg(test)]
pub(crate) mod arrivals;
mod fold;
mod model;
mod resolve;
mod writer;

pub(crate) use fold::Folded;
pub(crate) use model::{Contradiction, Counted, FactOutcome, Job, NewEvent, NewRefund, RawCallback};
pub(crate) use resolve::{DecisionRefusal, resolve};
pub(crate) use writer::{FactWriter, announce, write_in};
