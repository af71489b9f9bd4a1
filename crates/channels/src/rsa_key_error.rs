//! Why a text or a certificate holds no usable RSA key.

/// The sizes of keys that are taken, in bits; a shorter one could be broken.
pub(crate) const KEY_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// Why a text or a certificate holds no usable RSA key. Never tells anything of the key itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RsaKeyError {
    /// Nothing, or white space.
    #[error("expected a {expected}, got nothing")]
    Empty {
        /// What fits.
        expected: &'static str,
    },
    /// Neither PEM nor base64.
    #[error("expected a {expected} in PEM, or its base64 without the lines around it; got neither")]
    NotText {
        /// What fits.
        expected: &'static str,
    },
    /// PEM that was cut off.
    #[error(
        "the PEM is cut off: its -----END …----- line is missing, or has another label than the -----BEGIN …----- line"
    )]
    NoEnd,
    /// PEM with other characters.
    #[error("what stands between the lines -----BEGIN …----- and -----END …----- is no base64")]
    NotBase64,
    /// PEM whose lines were escaped for JSON, an environment or the like.
    #[error("the PEM holds \\n as two characters where a line should end; write line breaks, or nothing")]
    EscapedLines,
    /// PEM under a pass phrase.
    #[error("the PEM is encrypted; give it without a pass phrase")]
    Encrypted,
    /// A private key, where none may be.
    #[error(
        "expected a {expected}, got a private key; give the channel's public one, and keep this one away from here"
    )]
    Private {
        /// What fits.
        expected: &'static str,
    },
    /// PEM of something else.
    #[error("expected a {expected}, got PEM of a {actual:?}")]
    WrongLabel {
        /// What fits.
        expected: &'static str,
        /// The label that was found.
        actual: String,
    },
    /// The bytes are no key or certificate of this structure.
    #[error("expected {expected}, got other bytes")]
    NotRsa {
        /// The structures that fit.
        expected: &'static str,
    },
    /// A key of another algorithm, as of an elliptic curve.
    #[error("expected an RSA key, got one of the algorithm {oid}")]
    OtherAlgorithm {
        /// The algorithm's object identifier.
        oid: String,
    },
    /// Too short to be safe, or too long to be checked.
    #[error("expected an RSA key of {} to {} bits, this one has {bits}", KEY_BITS.start(), KEY_BITS.end())]
    WrongLength {
        /// The length of the modulus.
        bits: usize,
    },
}
