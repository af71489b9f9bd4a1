//! What every channel has in common: what it sends, what it states, what it is answered.

use events::{ContradictionReason, Fact, PayOrderNo};

/// A callback as it came in.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Names and values. A header whose value is not text may be left out: no channel sends any.
    pub headers: &'a [(&'a str, &'a str)],
    /// The raw body: the signature covers every byte of it.
    pub body: &'a [u8],
}

impl<'a> Request<'a> {
    /// The first header of this name, in whatever case.
    pub(crate) fn header(&self, name: &str) -> Option<&'a str> {
        let found = self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| *value)
    }
}

/// What an authentic, readable callback says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Callback {
    /// Something about a pay order.
    Fact(ChannelFact),
    /// Nothing that payrelay acts upon; to be acknowledged, so that the channel does not repeat it.
    Ignored {
        /// The channel's identity of the callback.
        dedupe_id: String,
        /// Why it is ignored.
        reason: String,
    },
}

/// A verified statement of a channel about one pay order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelFact {
    /// The channel's identity of the callback, the same when it repeats itself: at most 255 visible ASCII characters.
    pub dedupe_id: String,
    /// The pay order meant; whether it exists is for the caller to find out.
    pub pay_order_no: PayOrderNo,
    /// What is stated, times in UTC and cut to microseconds; its account is always given.
    pub fact: Fact,
}

/// Why a callback is not taken. Neither variant holds a key or the body.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Not from the channel, as far as can be told: a signature is missing, malformed, or fits none of the keys.
    #[error("bad signature: {detail}")]
    BadSignature {
        /// What is wrong with it.
        detail: String,
    },
    /// Sent too long ago: perhaps a recording.
    #[error("sent {age_seconds} s ago")]
    TooOld {
        /// How long ago, by our clock.
        age_seconds: u64,
    },
    /// Sent in the future: one of the clocks is wrong.
    #[error("sent {ahead_seconds} s in the future")]
    TooNew {
        /// How far ahead of our clock.
        ahead_seconds: u64,
    },
    /// Authentic, but not what the channel's format says.
    #[error("unreadable: {detail}")]
    Unreadable {
        /// What is wrong with it, in at most a few hundred characters.
        detail: String,
    },
}

impl Refusal {
    /// The name used in answers and metrics.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::BadSignature { .. } => "bad_signature",
            Self::TooOld { .. } => "too_old",
            Self::TooNew { .. } => "too_new",
            Self::Unreadable { .. } => "unreadable",
        }
    }
}

/// What became of a callback.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome<'a> {
    /// Committed.
    Accepted,
    /// Committed before; the channel repeats itself.
    Duplicate,
    /// Of no concern to payrelay.
    Ignored,
    /// Not taken by [`Account::verify`](crate::Account::verify).
    Refused(&'a Refusal),
    /// Recorded, but contradicts what is known.
    Contradiction(ContradictionReason),
    /// Recorded, but names a pay order that does not exist.
    UnknownPayOrder,
    /// Not committed: the channel must try again.
    NotPersisted,
}

/// An HTTP answer in the channel's own format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Value of the `content-type` header; `None` where the body is empty.
    pub content_type: Option<&'static str>,
    /// The body.
    pub body: String,
}
