//! The JSON between the services' admin listeners and `payrelay`: bodies, queries, and the bounds of both.
//!
//! Every service answers in the same shapes, so that `payrelay` can put them together:
//!
//! * [`audit`] and [`digest`]: what a service holds, in sums and one by one; [`trial_balance`]: whether its books are sound.
//! * [`trace`]: what it knows of one order.
//! * [`contradiction`] and [`republish`]: what operators look at and decide.
//! * [`limit`]: how much of a listing is wanted.

pub mod audit;
pub mod contradiction;
pub mod digest;
pub mod limit;
pub mod republish;
pub mod trace;
pub mod trial_balance;
