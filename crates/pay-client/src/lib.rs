#![doc = include_str!("../README.md")]

mod name;
mod publisher;
mod subscriber;

pub use events::{
    ChannelAccount, Currency, EventId, EventType, InvalidIdentifier, MerchantId, Money, OrderNo, PayEvent,
    PayOrder, PayOrderNo, Purpose, Status, UnknownCurrency,
};
pub use messaging::{HandlerError, InvalidRetryDelays, RetryDelays, Verdict};
pub use tokio_util::sync::CancellationToken;

pub use name::ConfigError;
pub use publisher::{PublishError, Publisher};
pub use subscriber::{Handler, Received, Subscriber, Subscriptions};

/// An id for a new event. Ids sort by the time of their making (UUID, version 7).
pub fn new_event_id() -> EventId {
    EventId(uuid::Uuid::now_v7())
}
