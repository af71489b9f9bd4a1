//! Why a callback is not taken.

/// The largest body that is taken, in bytes. Events of channels may hold the metadata of several charges.
pub const MAX_BODY_BYTES: usize = 1024 * 1024;

/// Why a callback is not taken. No variant holds a key or the body.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallbackRefusal {
    /// Longer than anything that is read. Nothing else was looked at.
    #[error("the body has more than {MAX_BODY_BYTES} bytes")]
    BodyTooLarge,
    /// Encoded for its way, while the signature covers what was sent. Nothing else was looked at.
    #[error("the body is encoded as {coding:?}; send it as it was signed, without a content-encoding")]
    ContentEncoding {
        /// The coding, shortened.
        coding: String,
    },
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
    #[error("the header {name} is malformed: expected {expected}")]
    MalformedHeader {
        /// Its name.
        name: &'static str,
        /// What stands in it by the channel's format.
        expected: &'static str,
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

impl CallbackRefusal {
    /// Every code there is.
    pub const CODES: [&str; 21] = [
        "body_too_large",
        "unsupported_content_encoding",
        "bad_signature",
        "missing_header",
        "malformed_header",
        "missing_sign",
        "no_v1_signature",
        "unsupported_signature_type",
        "unknown_serial",
        "probe",
        "too_old",
        "too_new",
        "expired",
        "decrypt_failed",
        "unsupported_algorithm",
        "app_id_mismatch",
        "appid_mismatch",
        "mchid_mismatch",
        "seller_id_mismatch",
        "bad_amount_format",
        "unreadable",
    ];

    /// The name used in answers and metrics.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::BodyTooLarge => "body_too_large",
            Self::ContentEncoding { .. } => "unsupported_content_encoding",
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
            Self::BodyTooLarge
            | Self::ContentEncoding { .. }
            | Self::BadSignature { .. }
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

    /// Whether nothing but the request itself was looked at: the answer is HTTP's then, whatever the channel.
    pub(crate) const fn is_of_http(&self) -> bool {
        matches!(self, Self::BodyTooLarge | Self::ContentEncoding { .. })
    }

    /// The HTTP status for channels that look at it.
    pub(crate) const fn status(&self) -> u16 {
        match self {
            Self::BodyTooLarge => 413,
            Self::ContentEncoding { .. } => 415,
            _ if self.is_authentic() => 422,
            _ => 401,
        }
    }
}
