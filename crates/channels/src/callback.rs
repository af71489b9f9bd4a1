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

/// Why a callback is not taken. No variant holds a key or the body.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Not from the channel, as far as can be told: a signature fits none of the keys.
    #[error("bad signature: {detail}")]
    BadSignature {
        /// What is wrong with it.
        detail: String,
    },
    /// A header without which no signature can be checked is absent.
    #[error("the header {name} is missing")]
    MissingHeader {
        /// Its name.
        name: &'static str,
    },
    /// A header that the signature needs is present, but is not what the channel's format says.
    #[error("the header {name} is malformed")]
    MalformedHeader {
        /// Its name.
        name: &'static str,
    },
    /// The parameter of the body that holds the signature is absent or empty.
    #[error("the parameter sign is missing")]
    MissingSign,
    /// There are signatures, but of versions that the keys at hand cannot check.
    #[error("no signature of a version that the configured keys can check")]
    NoUsableSignature,
    /// Signed in a way that is not taken.
    #[error("the signature type {kind:?} is not taken")]
    UnsupportedSignature {
        /// How the channel names it, shortened.
        kind: String,
    },
    /// Signed by a key that the account does not have: perhaps the channel has rotated it.
    #[error("signed by the key {serial:?}, which the account does not have")]
    UnknownSerial {
        /// How the channel names the key, shortened.
        serial: String,
    },
    /// A probe of the channel, whose signature is wrong on purpose: whoever takes it does not check signatures.
    #[error("a probe whose signature is wrong on purpose")]
    Probe,
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
    /// Sent too long ago or in the future, by a channel that does not tell the two apart.
    #[error("sent {distance_seconds} s before or after our clock")]
    Expired {
        /// How far from our clock.
        distance_seconds: u64,
    },
    /// Authentic, but encrypted with a key that the account does not have.
    #[error("cannot be decrypted with any key of the account")]
    DecryptFailed,
    /// Authentic, but encrypted by an algorithm that is not taken.
    #[error("the algorithm {algorithm:?} is not taken")]
    UnsupportedAlgorithm {
        /// Its name, shortened.
        algorithm: String,
    },
    /// Authentic, but of another merchant or application than the account's.
    #[error("{field} is {got:?}, which is not the account's")]
    OtherAccount {
        /// The refusal's code, as `app_id_mismatch`.
        code: &'static str,
        /// The field that says so, as `app_id`.
        field: &'static str,
        /// What it holds, shortened.
        got: String,
    },
    /// Authentic, but an amount is not written as the channel's format says.
    #[error("bad amount: {detail}")]
    BadAmount {
        /// What is wrong with it.
        detail: String,
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
            Self::MissingHeader { .. } => "missing_header",
            Self::MalformedHeader { .. } => "malformed_header",
            Self::MissingSign => "missing_sign",
            Self::NoUsableSignature => "no_v1_signature",
            Self::UnsupportedSignature { .. } => "unsupported_signature_type",
            Self::UnknownSerial { .. } => "unknown_serial",
            Self::Probe => "probe",
            Self::TooOld { .. } => "too_old",
            Self::TooNew { .. } => "too_new",
            Self::Expired { .. } => "expired",
            Self::DecryptFailed => "decrypt_failed",
            Self::UnsupportedAlgorithm { .. } => "unsupported_algorithm",
            Self::OtherAccount { code, .. } => code,
            Self::BadAmount { .. } => "bad_amount_format",
            Self::Unreadable { .. } => "unreadable",
        }
    }

    /// Whether the callback is authentic all the same: what refuses it then is its content or our configuration.
    pub const fn is_authentic(&self) -> bool {
        match self {
            Self::BadSignature { .. }
            | Self::MissingHeader { .. }
            | Self::MalformedHeader { .. }
            | Self::MissingSign
            | Self::NoUsableSignature
            | Self::UnsupportedSignature { .. }
            | Self::UnknownSerial { .. }
            | Self::Probe
            | Self::TooOld { .. }
            | Self::TooNew { .. }
            | Self::Expired { .. } => false,
            Self::DecryptFailed
            | Self::UnsupportedAlgorithm { .. }
            | Self::OtherAccount { .. }
            | Self::BadAmount { .. }
            | Self::Unreadable { .. } => true,
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
    /// Of no concern to payrelay, or nothing that it can book.
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

impl Answer {
    /// For channels that look at the status alone: `success` for what need not be repeated, everything else explained as RFC 9457 tells.
    pub(crate) fn by_status(outcome: &Outcome<'_>, success: impl FnOnce() -> Self) -> Self {
        match outcome {
            Outcome::Accepted | Outcome::Duplicate | Outcome::Ignored => success(),
            Outcome::Refused(refusal) => {
                let status = if refusal.is_authentic() { 422 } else { 401 };
                problem(status, refusal.code(), &refusal.to_string())
            }
            Outcome::Contradiction(reason) => problem(409, "contradiction", reason.as_str()),
            Outcome::UnknownPayOrder => {
                problem(404, "unknown_pay_order", "there is no pay order of this number")
            }
            Outcome::NotPersisted => problem(503, "not_persisted", "nothing was stored, try again"),
        }
    }
}

fn problem(status: u16, code: &str, detail: &str) -> Answer {
    let body = serde_json::json!({ "type": "about:blank", "status": status, "code": code, "detail": detail });
    Answer { status, content_type: Some("application/problem+json"), body: body.to_string() }
}
