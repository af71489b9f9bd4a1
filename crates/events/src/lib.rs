//! The domain of payrelay: money, numbers, statuses, transitions, events and their codecs.
//!
//! Nothing here does I/O and nothing reads a clock: time, keys and bytes are passed in, decisions come out.
//!
//! * [`PayOrder`] and [`Fact`] meet in [`transition`], the only place where a status may change.
//! * [`PayEvent`] is the snapshot that is told to the world; [`EventKey`] says when two of them are the same fact.
//! * [`codec`] turns events into bytes and any message of `pay.direct` back into an [`codec::Incoming`].

pub mod audit;
pub mod codec;
pub mod contradiction;
pub mod digest;
mod event;
mod fact;
mod identifiers;
mod money;
mod pay_order;
mod status;
pub mod trace;
mod transition;
pub mod trial_balance;

pub use event::{EventKey, EventType, InvalidEvent, PayEvent, Purpose};
pub use fact::{Fact, FactKind};
pub use identifiers::{
    ChannelAccount, EventId, InvalidIdentifier, MerchantId, OrderNo, PayOrderNo, RechargeNo, UserId,
};
pub use money::{AmountError, Currency, Money, UnknownCurrency};
pub use pay_order::PayOrder;
pub use status::{Status, UnknownStatus};
pub use transition::{ContradictionReason, Step, UnknownReason, Verdict, transition};

use time::OffsetDateTime;

/// The `CloudEvents` source of the events that the ingress makes; other publishers have sources of their own, or none.
pub const SOURCE: &str = "/payrelay/ingress";

/// Cuts a time to microseconds, the precision that PostgreSQL keeps, so that what is read back equals what was written.
///
/// ```
/// let time = time::macros::datetime!(2026-01-01 00:00:00.123_456_789 UTC);
/// assert_eq!(events::to_micros(time).nanosecond(), 123_456_000);
/// ```
pub fn to_micros(time: OffsetDateTime) -> OffsetDateTime {
    let nanos = time.nanosecond();
    time.replace_nanosecond(nanos - nanos % 1_000).unwrap_or(time)
}
