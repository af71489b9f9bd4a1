//! What every channel has in common: what it sends, what it states, what it is answered.

use events::{ContradictionReason, Fact, PayOrderNo};

use crate::headers::ENCODING;
use crate::refusal::{CallbackRefusal, MAX_BODY_BYTES};

/// What [`Callback::Ignored`] is called in metrics.
pub const IGNORED: &str = "ignored";

/// A callback as it came in.
#[derive(Debug, Clone, Copy)]
pub struct CallbackRequest<'a> {
    /// Names and values, one value for each name, as [`Headers`](crate::Headers) has them.
    pub headers: &'a [(&'a str, &'a str)],
    /// The raw body: the signature covers every byte of it.
    pub body: &'a [u8],
}

impl<'a> CallbackRequest<'a> {
    /// The first header of this name, in whatever case.
    pub(crate) fn header(&self, name: &str) -> Option<&'a str> {
        let found = self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| *value)
    }

    /// What holds for every channel, before anything else is looked at.
    pub(crate) fn check(&self) -> Result<(), CallbackRefusal> {
        if self.body.len() > MAX_BODY_BYTES {
            return Err(CallbackRefusal::BodyTooLarge);
        }
        match self.header(ENCODING).filter(|coding| !coding.is_empty()) {
            Some(coding) if !coding.eq_ignore_ascii_case("identity") => {
                Err(CallbackRefusal::ContentEncoding { coding: crate::values::shorten(coding) })
            }
            _ => Ok(()),
        }
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
    /// Something that payrelay cannot book and the channel cannot mend; to be kept and acknowledged, and somebody must look.
    Unbooked {
        /// The channel's identity of the callback.
        dedupe_id: String,
        /// The pay order meant, if one is named.
        pay_order_no: Option<PayOrderNo>,
        /// What it is, as `refund_failed`: the name used in metrics.
        code: &'static str,
        /// The same in words.
        reason: String,
    },
}

impl Callback {
    /// What came of a callback that states no fact, under the name used in metrics.
    pub const fn outcome(&self) -> Option<&'static str> {
        match self {
            Self::Fact(_) => None,
            Self::Ignored { .. } => Some(IGNORED),
            Self::Unbooked { code, .. } => Some(code),
        }
    }
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

/// What became of a callback.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallbackOutcome<'a> {
    /// Committed.
    Accepted,
    /// Committed before; the channel repeats itself.
    Duplicate,
    /// Of no concern to payrelay, or nothing that it can book.
    Ignored,
    /// Not taken by [`Account::verify`](crate::Account::verify).
    Refused(&'a CallbackRefusal),
    /// Recorded, but contradicts what is known.
    Contradiction(ContradictionReason),
    /// Recorded, but names a pay order that does not exist.
    UnknownPayOrder,
    /// Not committed: the channel must try again.
    NotPersisted,
}

/// An HTTP answer in the channel's own format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelAnswer {
    /// HTTP status.
    pub status: u16,
    /// Value of the `content-type` header; `None` where the body is empty.
    pub content_type: Option<&'static str>,
    /// The body.
    pub body: String,
}

impl ChannelAnswer {
    /// For channels that look at the status alone: `success` for what need not be repeated, everything else explained as RFC 9457 tells.
    pub(crate) fn by_status(outcome: &CallbackOutcome<'_>, success: impl FnOnce() -> Self) -> Self {
        match outcome {
            CallbackOutcome::Accepted | CallbackOutcome::Duplicate | CallbackOutcome::Ignored => success(),
            CallbackOutcome::Refused(refusal) => Self::refusing(refusal),
            CallbackOutcome::Contradiction(reason) => problem(409, "contradiction", reason.as_str()),
            CallbackOutcome::UnknownPayOrder => {
                problem(404, "unknown_pay_order", "there is no pay order of this number")
            }
            CallbackOutcome::NotPersisted => problem(503, "not_persisted", "nothing was stored, try again"),
        }
    }

    /// What is wrong, as RFC 9457 tells it.
    pub(crate) fn refusing(refusal: &CallbackRefusal) -> Self {
        problem(refusal.status(), refusal.code(), &refusal.to_string())
    }
}

fn problem(status: u16, code: &str, detail: &str) -> ChannelAnswer {
    let title = match status {
        401 => "Unauthorized",
        404 => "Not Found",
        409 => "Conflict",
        413 => "Payload Too Large",
        415 => "Unsupported Media Type",
        422 => "Unprocessable Entity",
        _ => "Service Unavailable",
    };
    let body = serde_json::json!({ "type": "about:blank", "title": title, "status": status, "code": code, "detail": detail });
    ChannelAnswer { status, content_type: Some("application/problem+json"), body: body.to_string() }
}

#[cfg(test)]
mod tests;
