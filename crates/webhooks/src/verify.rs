use crate::{
    ID_HEADER, SIGNATURE_HEADER, TIMESTAMP_HEADER, TOLERANCE_SECONDS, VerifyingKey, is_valid_id,
    signed_content,
};

/// Signatures looked at in one header. A rotation needs two; more are a way to make us compute.
const MAX_SIGNATURES: usize = 16;

/// The three headers of a webhook, as received.
#[derive(Debug, Clone, Copy, Default)]
pub struct Headers<'a> {
    /// [`ID_HEADER`].
    pub id: Option<&'a str>,
    /// [`TIMESTAMP_HEADER`].
    pub timestamp: Option<&'a str>,
    /// [`SIGNATURE_HEADER`].
    pub signature: Option<&'a str>,
}

impl<'a> Headers<'a> {
    /// Takes the three headers from `lookup`, which is given their lower-case names.
    pub fn from_lookup(lookup: impl Fn(&'static str) -> Option<&'a str>) -> Self {
        Self {
            id: lookup(ID_HEADER),
            timestamp: lookup(TIMESTAMP_HEADER),
            signature: lookup(SIGNATURE_HEADER),
        }
    }
}

/// What the signature vouches for, besides the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verified<'a> {
    /// The id of the message: the same for every attempt, so the key to drop repetitions by.
    pub id: &'a str,
    /// When this attempt was made, in seconds since 1970.
    pub timestamp: i64,
}

/// Why a webhook is not to be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// A header is absent.
    #[error("the header {0} is missing")]
    MissingHeader(&'static str),
    /// A header is present, but is not what the specification asks for.
    #[error("the header {name} is malformed: expected {expected}")]
    MalformedHeader {
        /// Its name.
        name: &'static str,
        /// What stands in it by the specification.
        expected: &'static str,
    },
    /// Sent too long ago: perhaps a recording.
    #[error("the timestamp is {age_seconds} s old, at most {TOLERANCE_SECONDS} s are accepted")]
    TooOld {
        /// How long ago, by the receiver's clock.
        age_seconds: u64,
    },
    /// From the future: one of the clocks is wrong.
    #[error("the timestamp is {ahead_seconds} s ahead, at most {TOLERANCE_SECONDS} s are accepted")]
    TooNew {
        /// How far ahead of the receiver's clock.
        ahead_seconds: u64,
    },
    /// No signature is of a version that the keys at hand can check (`v1` for `whsec_`, `v1a` for `whpk_`).
    #[error("no signature of a version that the configured keys can check")]
    NoUsableSignature,
    /// Not signed with any of the keys, or changed on the way.
    #[error("no signature matches")]
    BadSignature,
}

/// Checks that the `body` was sent under these `headers` by a holder of one of the `keys`, and lately.
///
/// `body` must be the raw bytes as received, `now` is in seconds since 1970. Several keys, as several signatures, are
/// for rotations: any pair that matches is enough.
pub fn verify<'a>(
    keys: &[VerifyingKey],
    headers: &Headers<'a>,
    body: &[u8],
    now: i64,
) -> Result<Verified<'a>, VerifyError> {
    let id = headers.id.ok_or(VerifyError::MissingHeader(ID_HEADER))?;
    let timestamp_text = headers.timestamp.ok_or(VerifyError::MissingHeader(TIMESTAMP_HEADER))?;
    let signature = headers.signature.ok_or(VerifyError::MissingHeader(SIGNATURE_HEADER))?;
    if !is_valid_id(id) {
        let expected = "1 to 255 visible ASCII characters, none of them a dot";
        return Err(VerifyError::MalformedHeader { name: ID_HEADER, expected });
    }
    let timestamp = parse_timestamp(timestamp_text)?;
    check_age(timestamp, now)?;

    let signatures = parse_signatures(signature)?;
    let content = signed_content(id, timestamp_text, body);
    let mut usable = false;
    for key in keys {
        let candidates = || signatures.iter().filter(|(version, _)| *version == key.version().as_str());
        usable |= candidates().next().is_some();
        if key.accepts_any(&content, candidates().map(|(_, encoded)| *encoded)) {
            return Ok(Verified { id, timestamp });
        }
    }
    Err(if usable { VerifyError::BadSignature } else { VerifyError::NoUsableSignature })
}

/// Digits only: `i64::from_str` would also take a sign.
fn parse_timestamp(text: &str) -> Result<i64, VerifyError> {
    let expected = "digits alone, seconds since 1970";
    let malformed = VerifyError::MalformedHeader { name: TIMESTAMP_HEADER, expected };
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(malformed);
    }
    text.parse().map_err(|_| malformed)
}

fn check_age(timestamp: i64, now: i64) -> Result<(), VerifyError> {
    let distance = now.abs_diff(timestamp);
    match distance {
        0..=TOLERANCE_SECONDS => Ok(()),
        _ if timestamp < now => Err(VerifyError::TooOld { age_seconds: distance }),
        _ => Err(VerifyError::TooNew { ahead_seconds: distance }),
    }
}

/// The pairs of version and base64. Entries without a comma are of no version that we know, and skipped.
fn parse_signatures(header: &str) -> Result<Vec<(&str, &str)>, VerifyError> {
    let entries: Vec<&str> = header.split_ascii_whitespace().take(MAX_SIGNATURES + 1).collect();
    if entries.len() > MAX_SIGNATURES {
        let expected = "at most 16 signatures, divided by spaces";
        return Err(VerifyError::MalformedHeader { name: SIGNATURE_HEADER, expected });
    }
    // Lines of a header that came in several are joined by commas (RFC 9110, section 5.2).
    let joined = |entry: &'_ str| entry.matches(',').count() > 1;
    let entries =
        entries.into_iter().map(|entry| if joined(entry) { entry.trim_end_matches(',') } else { entry });
    Ok(entries.filter_map(|entry| entry.split_once(',')).collect())
}
