//! Encrypted data in a webhook, as WeChat Pay's resources are: AES-256-GCM under a key that merchant and sender share.
//!
//! What is encrypted is still signed: verify the webhook first, then open what is in it.
//!
//! ```
//! use webhooks::encryption::{EncryptedResource, Key};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let key = Key::generate([7; 32]); // 32 bytes of the caller's random generator
//! let resource = key.seal(br#"{"order_no":"10001"}"#, "msg_1", 0x0123_4567_89ab_cdef_0123_4567_89ab_cdef)?;
//!
//! let key: Key = key.expose().parse()?;
//! assert_eq!(*key.open(&resource)?, br#"{"order_no":"10001"}"#);
//! # Ok(())
//! # }
//! ```

use std::fmt;
use std::str::FromStr;

use aes_gcm::aead::{Aead as _, KeyInit as _, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::KeyError;

/// The only algorithm there is, under the name that WeChat Pay has for it.
pub const ALGORITHM: &str = "AEAD_AES_256_GCM";
/// What keys begin with. It is no part of the key.
pub const KEY_PREFIX: &str = "whenc_";
/// How much may be encrypted under one key before it is replaced. Nonces are random, and one that comes again tells what both
/// texts differ in and lets others forge: by then the odds of that are below 2⁻³², the bound of NIST SP 800-38D.
pub const MAX_SEALS: u64 = 10_000_000;
const NONCE_BYTES: usize = 12;
/// Of which a nonce is made: visible ASCII that JSON leaves as it is.
const NONCE_CHARACTERS: &[u8; 91] =
    b"!#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[]^_`abcdefghijklmnopqrstuvwxyz{|}";

/// A key of both sides: `whenc_` and base64 of 32 bytes. Zeroized on drop, redacted in `Debug`.
#[derive(Clone)]
pub struct Key(Zeroizing<[u8; 32]>);

/// Data that only holders of the key can read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EncryptedResource {
    /// [`ALGORITHM`].
    pub algorithm: String,
    /// 12 characters of ASCII: their bytes are the nonce.
    pub nonce: String,
    /// Ciphertext and, behind it, the tag of 16 bytes; base64.
    pub ciphertext: String,
    /// A text that is authenticated with the data.
    pub associated_data: String,
}

/// Why data is not encrypted or does not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EncryptionError {
    /// Another algorithm, a nonce of another length, or no base64.
    #[error("not an encrypted resource of {ALGORITHM}")]
    Malformed,
    /// Another key, or something was changed on the way.
    #[error("the resource does not open with this key")]
    WrongKey,
    /// Longer than AES-GCM can encrypt at once (64 GiB).
    #[error("the data is too long to be encrypted")]
    TooLong,
}

impl Key {
    /// A new key of 32 random bytes, which the caller takes from a cryptographic generator.
    pub fn generate(random: [u8; 32]) -> Self {
        Self(Zeroizing::new(random))
    }

    /// The text form, to be shown once to its owner or stored encrypted.
    pub fn expose(&self) -> Zeroizing<String> {
        let encoded = Zeroizing::new(STANDARD.encode(*self.0));
        Zeroizing::new([KEY_PREFIX, &encoded].concat())
    }

    /// Encrypts `data`. `random` must never be the same again under this key: take it from a cryptographic generator each
    /// time, and replace the key after [`MAX_SEALS`].
    pub fn seal(
        &self,
        data: &[u8],
        associated_data: &str,
        random: u128,
    ) -> Result<EncryptedResource, EncryptionError> {
        let nonce = nonce(random);
        let payload = Payload { msg: data, aad: associated_data.as_bytes() };
        let sealed = self.cipher().encrypt(&Nonce::from(nonce), payload);
        Ok(EncryptedResource {
            algorithm: ALGORITHM.to_owned(),
            nonce: nonce.iter().map(|byte| char::from(*byte)).collect(),
            ciphertext: STANDARD.encode(sealed.map_err(|_| EncryptionError::TooLong)?),
            associated_data: associated_data.to_owned(),
        })
    }

    /// The data, if it was encrypted under this key and is unchanged.
    pub fn open(&self, resource: &EncryptedResource) -> Result<Zeroizing<Vec<u8>>, EncryptionError> {
        let nonce = <[u8; NONCE_BYTES]>::try_from(resource.nonce.as_bytes());
        let ciphertext = STANDARD.decode(&resource.ciphertext);
        let (Ok(nonce), Ok(ciphertext), ALGORITHM) = (nonce, ciphertext, resource.algorithm.as_str()) else {
            return Err(EncryptionError::Malformed);
        };
        let payload = Payload { msg: &ciphertext, aad: resource.associated_data.as_bytes() };
        let opened = self.cipher().decrypt(&Nonce::from(nonce), payload);
        opened.map(Zeroizing::new).map_err(|_| EncryptionError::WrongKey)
    }

    fn cipher(&self) -> Aes256Gcm {
        Aes256Gcm::new(&aes_gcm::Key::<Aes256Gcm>::from(*self.0))
    }
}

/// Twelve of [`NONCE_CHARACTERS`]: more than 78 bits of the random number. All 96 bits are no text that a nonce of WeChat Pay's
/// form could be.
fn nonce(mut random: u128) -> [u8; NONCE_BYTES] {
    let base = NONCE_CHARACTERS.len() as u128;
    [(); NONCE_BYTES].map(|()| {
        let digit = usize::try_from(random % base).unwrap_or_default();
        random /= base;
        NONCE_CHARACTERS[digit]
    })
}

impl FromStr for Key {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let encoded =
            text.strip_prefix(KEY_PREFIX).ok_or(KeyError::UnknownPrefix { expected: KEY_PREFIX })?;
        let bytes = STANDARD.decode(encoded).map(Zeroizing::new).map_err(|_| KeyError::NotBase64)?;
        let key = <[u8; 32]>::try_from(bytes.as_slice())
            .map_err(|_| KeyError::WrongLength { expected: "32", actual: bytes.len() })?;
        Ok(Self(Zeroizing::new(key)))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(whenc_…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of n random nonces among N two are the same with a probability below n²/2N.
    #[test]
    fn as_many_seals_as_are_allowed_keep_the_bound_for_random_nonces() {
        let nonces = (NONCE_CHARACTERS.len() as u128).pow(12);
        let pairs = u128::from(MAX_SEALS).pow(2) / 2;
        assert!(pairs << 32 <= nonces);
        assert!((4 * pairs) << 32 > nonces, "twice as many would be too many");
        let mut distinct = NONCE_CHARACTERS.to_vec();
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(distinct.len(), NONCE_CHARACTERS.len());
    }
}
