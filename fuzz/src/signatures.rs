//! Standard Webhooks: what their receiver gets, and keys as people write them.

use webhooks::{Headers, Secret, VerifyError, VerifyingKey, verify};

/// In seconds since 1970.
const NOW: i64 = 1_767_225_600;

/// Three lines of headers and a body.
pub fn webhook(data: &[u8]) -> Result<(), VerifyError> {
    let keys = [Secret::generate([1; 32]).verifying_key(), Secret::generate_ed25519([1; 32]).verifying_key()];
    let mut lines = data.splitn(4, |byte| *byte == b'\n');
    let mut header = || lines.next().and_then(|line| std::str::from_utf8(line).ok());
    let headers = Headers { id: header(), timestamp: header(), signature: header() };
    let verified = verify(&keys, &headers, lines.next().unwrap_or_default(), NOW)?;
    assert!(
        headers.id == Some(verified.id) && NOW.abs_diff(verified.timestamp) <= 300,
        "another than was sent"
    );
    Ok(())
}

/// A key; one that is taken is written as it was read, or as what is read the same.
pub fn key(data: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(data) else { return false };
    let secret = text.parse::<Secret>();
    if let Ok(secret) = &secret {
        let again = secret.expose().parse::<Secret>().expect("what was exposed can be read");
        assert_eq!(again.expose(), secret.expose());
    }
    let key = text.parse::<VerifyingKey>();
    if let Ok(key) = &key {
        assert_eq!(&*key.expose(), text);
    }
    secret.is_ok() || key.is_ok()
}
