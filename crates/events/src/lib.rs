//! The domain of payrelay: money, numbers, statuses, transitions, events and their codecs.
//!
//! Nothing here does I/O and nothing reads a clock: time, keys and bytes are passed in, decisions come out.
//!
//! * [`PayOrder`] and [`Fact`] meet in [`transition`], the only place where a status may change.
//! * [`PayEvent`] is the snapshot that is told to the world; [`EventKey`] says when two of them are the same fact.
//! * [`codec`] turns events into bytes and any message of `pay.direct` back into an [`codec::Incoming`].

pub mod codec;
mod event;
mod fact;
#[cfg(test)]
mod fixtures;
mod identifiers;
mod invalid_event;
mod money;
mod pay_order;
mod purpose;
mod status;
mod transition;
mod whole;

pub use event::{EventKey, EventType, PayEvent};
pub use fact::{Fact, FactKind};
pub use identifiers::{
    ChannelAccount, EventId, InvalidIdentifier, MerchantId, OrderNo, PayOrderNo, RechargeNo, UserId,
};
pub use invalid_event::InvalidEvent;
pub use money::{AmountError, Currency, Money, UnknownCurrency};
pub use pay_order::PayOrder;
pub use purpose::Purpose;
pub use status::{Status, UnknownStatus};
pub use transition::{ContradictionReason, Step, Transition, UnknownReason, transition};
pub use whole::Whole;

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

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::to_micros;

    #[test]
    fn a_time_is_cut_and_not_rounded_to_microseconds() {
        for (nanosecond, cut) in [(0, 0), (999, 0), (1_000, 1_000), (123_456_789, 123_456_000)] {
            let time = datetime!(2026-01-01 00:00 UTC).replace_nanosecond(nanosecond).unwrap();
            assert_eq!(to_micros(time).nanosecond(), cut);
        }
    }
}
