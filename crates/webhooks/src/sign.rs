use crate::{MAX_ID_BYTES, Secret, is_valid_id, signed_content};

/// Why nothing was signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// The id is empty, too long, or holds something else than visible ASCII, or a dot.
    #[error("a webhook id is 1 to {MAX_ID_BYTES} visible ASCII characters without a dot")]
    InvalidId,
    /// Without a secret the header would be empty, and the receiver would refuse every attempt.
    #[error("at least one secret is needed to sign")]
    NoSecret,
}

/// The value of the signature header for one attempt: one signature per secret, divided by spaces.
///
/// `timestamp` is the time of this attempt in whole seconds since 1970 and goes into the timestamp header as it is.
pub fn sign<'a>(
    secrets: impl IntoIterator<Item = &'a Secret>,
    id: &str,
    timestamp: i64,
    body: &[u8],
) -> Result<String, SignError> {
    if !is_valid_id(id) {
        return Err(SignError::InvalidId);
    }
    let content = signed_content(id, &timestamp.to_string(), body);
    let signatures: Vec<String> = secrets.into_iter().map(|secret| secret.sign(&content)).collect();
    if signatures.is_empty() { Err(SignError::NoSecret) } else { Ok(signatures.join(" ")) }
}
