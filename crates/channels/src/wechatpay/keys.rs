//! The keys of an account: those that WeChat Pay signs with, and the `APIv3` key that notices are encrypted with.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use thiserror::Error;

use super::notice::Sealed;
use crate::rsa::{RsaCertificate, RsaPublicKey};

/// The length of an `APIv3` key in bytes.
const API_V3_KEY_BYTES: usize = 32;

/// A key of WeChat Pay's and the name by which callbacks refer to it.
#[derive(Debug)]
pub(super) struct PlatformKey {
    name: String,
    key: RsaPublicKey,
}

impl PlatformKey {
    /// A public key under its id.
    pub(super) fn new(id: &str, key: RsaPublicKey) -> Self {
        Self { name: canonical(id), key }
    }

    /// Whether `Wechatpay-Serial` means this key.
    pub(super) fn is_named(&self, serial: &str) -> bool {
        self.name == canonical(serial)
    }

    /// Whether this signature is of this key over `content`.
    pub(super) fn verifies(&self, content: &[u8], signature: &[u8]) -> bool {
        self.key.verifies(content, signature)
    }
}

/// The channel names its certificate in every callback, for as long as it signs with it.
impl From<RsaCertificate> for PlatformKey {
    fn from(certificate: RsaCertificate) -> Self {
        Self::new(&certificate.serial, certificate.key)
    }
}

/// Serial numbers are numbers: tools write them in either case, with or without leading zeros.
fn canonical(name: &str) -> String {
    name.trim_start_matches('0').to_ascii_uppercase()
}

/// An `APIv3` key: 32 characters, taken as bytes.
pub struct ApiV3Key(LessSafeKey);

/// A text that is no `APIv3` key. Never tells the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("expected an APIv3 key of {API_V3_KEY_BYTES} bytes, this one has {0}")]
pub struct BadApiV3Key(usize);

impl ApiV3Key {
    /// The plaintext; `None` if it was not encrypted with this key.
    pub(super) fn open(&self, sealed: &Sealed<'_>) -> Option<Vec<u8>> {
        let mut buffer = sealed.ciphertext.clone();
        let nonce = Nonce::assume_unique_for_key(sealed.nonce);
        let aad = Aad::from(sealed.associated_data.as_bytes());
        let length = self.0.open_in_place(nonce, aad, &mut buffer).ok()?.len();
        buffer.truncate(length);
        Some(buffer)
    }

    /// Ciphertext and tag in base64, as the channel makes them; `None` for a text that is too long to be encrypted.
    pub(super) fn seal(&self, plaintext: &str, nonce: [u8; 12], associated_data: &str) -> Option<String> {
        let mut buffer = plaintext.as_bytes().to_vec();
        let aad = Aad::from(associated_data.as_bytes());
        self.0.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad, &mut buffer).ok()?;
        Some(STANDARD.encode(buffer))
    }
}

impl FromStr for ApiV3Key {
    type Err = BadApiV3Key;

    fn from_str(text: &str) -> Result<Self, BadApiV3Key> {
        let key = UnboundKey::new(&AES_256_GCM, text.as_bytes()).map_err(|_| BadApiV3Key(text.len()))?;
        Ok(Self(LessSafeKey::new(key)))
    }
}

impl fmt::Debug for ApiV3Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiV3Key(***)")
    }
}
