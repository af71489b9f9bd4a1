use std::fmt;
use std::str::FromStr;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

const PREFIX: &str = "whsec_";
/// What an endpoint's secret has at least behind its prefix, in bytes; Stripe gives 32.
const MIN_BYTES: usize = 8;

/// The secret of an endpoint. Zeroized on drop, redacted in `Debug`.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

/// A text that is no secret of an endpoint. Never tells the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected an endpoint's signing secret: {PREFIX} and at least {MIN_BYTES} visible ASCII characters")]
pub struct BadSecret;

impl Secret {
    /// The signature over `{timestamp}.{body}` in lower-case hexadecimal digits.
    pub(super) fn sign(&self, timestamp: &str, body: &[u8]) -> String {
        // HMAC takes keys of every length.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(self.0.as_bytes()) else { return String::new() };
        for part in [timestamp.as_bytes(), b".", body] {
            mac.update(part);
        }
        hex::encode(mac.finalize().into_bytes())
    }

    /// Whether one of `signatures` is of this secret. Compared in constant time.
    pub(super) fn made_any(&self, signatures: &[&str], timestamp: &str, body: &[u8]) -> bool {
        let expected = self.sign(timestamp, body);
        let matches = |signature: &&&str| bool::from(signature.as_bytes().ct_eq(expected.as_bytes()));
        !expected.is_empty() && signatures.iter().filter(matches).count() > 0
    }
}

impl FromStr for Secret {
    type Err = BadSecret;

    fn from_str(text: &str) -> Result<Self, BadSecret> {
        let valid = |rest: &str| rest.len() >= MIN_BYTES && rest.bytes().all(|byte| byte.is_ascii_graphic());
        match text.strip_prefix(PREFIX) {
            Some(rest) if valid(rest) => Ok(Self(Zeroizing::new(text.to_owned()))),
            _ => Err(BadSecret),
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({PREFIX}***)")
    }
}
