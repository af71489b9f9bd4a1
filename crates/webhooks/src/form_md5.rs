//! The signature of forms that payment gateways of the Jeepay kind send: for merchants who have that code already.
//!
//! Fields with a value, without `sign`, as `name=value&`, sorted case-insensitively; behind them `key=` and the key; of
//! that the MD5 in upper-case hexadecimal. MD5 keeps a forger out only because he does not know the key that ends the
//! text, and nothing tells how old a form is: whoever is free to choose takes the signatures of Standard Webhooks.
//!
//! ```
//! use webhooks::form_md5::{Key, sign, verify};
//!
//! # fn main() -> Result<(), webhooks::KeyError> {
//! let key: Key = "test_app_secret_0001".parse()?;
//! let signature = sign(&[("state", "2"), ("amount", "1999"), ("subject", "")], &key);
//! assert!(verify(&[("amount", "1999"), ("state", "2"), ("sign", &signature)], &key));
//! assert!(!verify(&[("amount", "1"), ("state", "2"), ("sign", &signature)], &key));
//! # Ok(())
//! # }
//! ```

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use md5::{Digest as _, Md5};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::KeyError;

/// The field that holds the signature.
pub const SIGN: &str = "sign";
/// What generated keys begin with. It is a part of the key.
pub const KEY_PREFIX: &str = "whmd5_";
const KEY_BYTES: std::ops::RangeInclusive<usize> = 8..=256;

/// The key of both sides: a text that is taken as it is. Zeroized on drop, redacted in `Debug`.
#[derive(Clone)]
pub struct Key(Zeroizing<String>);

impl Key {
    /// A new key, `whmd5_` and 43 letters, digits, `-` or `_`, of 32 random bytes that the caller takes from a
    /// cryptographic generator.
    pub fn generate(random: [u8; 32]) -> Self {
        let encoded = Zeroizing::new(URL_SAFE_NO_PAD.encode(*Zeroizing::new(random)));
        Self(Zeroizing::new([KEY_PREFIX, &encoded].concat()))
    }

    /// The text, to be shown once to its owner or stored encrypted.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// Takes any text of 8 to 256 bytes, for other gateways give out keys of other shapes.
impl FromStr for Key {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        if !KEY_BYTES.contains(&text.len()) {
            return Err(KeyError::WrongLength { expected: "8 to 256", actual: text.len() });
        }
        Ok(Self(Zeroizing::new(text.to_owned())))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(…)")
    }
}

/// The signature of a form: 32 upper-case hexadecimal digits. Fields without a value count as absent, and so does
/// [`SIGN`].
pub fn sign<N: AsRef<str>, V: AsRef<str>>(fields: &[(N, V)], key: &Key) -> String {
    let mut parts: Vec<(String, String)> = fields
        .iter()
        .map(|(name, value)| (name.as_ref(), value.as_ref()))
        .filter(|(name, value)| *name != SIGN && !value.is_empty())
        .map(|(name, value)| format!("{name}={value}&"))
        .map(|part| (part.to_lowercase(), part))
        .collect();
    parts.sort_by(|(one, _), (other, _)| one.cmp(other));
    let mut digest = Md5::new();
    for (_, part) in &parts {
        digest.update(part);
    }
    digest.update("key=");
    digest.update(key.expose());
    hex::encode_upper(digest.finalize())
}

/// Whether the form was signed with this key. The comparison takes the same time wherever the first difference lies.
///
/// `fields` are those of the form as they were received, decoded. A form with no signature, or with two, is not believed.
pub fn verify<N: AsRef<str>, V: AsRef<str>>(fields: &[(N, V)], key: &Key) -> bool {
    let mut signatures = fields.iter().filter(|(name, _)| name.as_ref() == SIGN);
    let (Some((_, signature)), None) = (signatures.next(), signatures.next()) else { return false };
    sign(fields, key).as_bytes().ct_eq(signature.as_ref().as_bytes()).into()
}
