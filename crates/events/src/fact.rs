//! What somebody with authority says of a pay order: a channel, an active query, a user's balance, the clock.

use time::OffsetDateTime;

use crate::{ChannelAccount, Money};

/// A verified statement about one pay order. It becomes a status only through [`transition`](crate::transition).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    /// What is stated.
    pub kind: FactKind,
    /// The channel account that states it; `None` when payrelay itself does (a submission, a close, an expiry).
    pub account: Option<ChannelAccount>,
    /// The whole amount of the payment, as the channel knows it; `None` if it did not say.
    pub amount: Option<Money>,
    /// The channel's own number of the trade; `None` if it did not say.
    pub channel_trade_no: Option<String>,
    /// Whether an operator has accepted it although the pay order was closed. No channel can state that.
    pub accepted: bool,
}

/// The kinds of facts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FactKind {
    /// The pay order was handed to the channel.
    Submitted,
    /// The buyer has paid.
    Succeeded {
        /// When the buyer paid, by the channel's clock.
        paid_at: OffsetDateTime,
    },
    /// The payment failed for good.
    Failed,
    /// The pay order was closed unpaid, by the channel, by the merchant, or by its expiry.
    Closed,
    /// Money went back to the buyer, by a channel that states all that went back.
    Refunded {
        /// All that was refunded so far, in minor units, this refund included.
        refunded_minor: i64,
        /// When, by the channel's clock.
        refunded_at: OffsetDateTime,
    },
    /// Money went back to the buyer, by a channel that states each refund by itself. Whoever takes it to [`transition`](crate::transition)
    /// does so once for each number.
    PartRefunded {
        /// The number of this refund, unique within its pay order.
        refund_no: String,
        /// What this refund alone gave back, in minor units.
        amount_minor: i64,
        /// When, by the channel's clock.
        refunded_at: OffsetDateTime,
    },
}

impl FactKind {
    /// Whether the buyer's money moved, and with it the amount of the payment must be stated.
    pub const fn moves_money(&self) -> bool {
        matches!(self, Self::Succeeded { .. } | Self::Refunded { .. } | Self::PartRefunded { .. })
    }
}

impl Fact {
    /// A fact of payrelay's own, without a channel.
    pub const fn own(kind: FactKind) -> Self {
        Self { kind, account: None, amount: None, channel_trade_no: None, accepted: false }
    }
}
