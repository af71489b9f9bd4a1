//! Endpoints' keys at rest: AES-256-GCM under the master key.

use std::fmt;

use aes_gcm::aead::{Aead as _, KeyInit as _, Payload};
use aes_gcm::{Aes256Gcm, Key, Nonce};
use events::MerchantId;
use service::MasterKey;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::keyring::Keyring;

const NONCE_BYTES: usize = 12;

/// Encrypts and decrypts keyrings. The merchant id is authenticated with each, so that a row copied to another
/// merchant does not open.
#[derive(Clone)]
pub struct Vault(Aes256Gcm);

/// Keys that cannot be sealed or opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SecretError {
    /// Another master key, another merchant, or damaged bytes.
    #[error("the keys do not open under PAYRELAY_MASTER_KEY")]
    Sealed,
    /// They opened, and are no keyring.
    #[error("the keys are malformed")]
    Malformed,
}

impl Vault {
    /// A vault of keys under the master key.
    pub fn new(key: &MasterKey) -> Self {
        Self(Aes256Gcm::new(&Key::<Aes256Gcm>::from(*key.expose())))
    }

    /// Encrypts keys: a random nonce of 12 bytes, then ciphertext and tag.
    pub fn seal(&self, merchant_id: &MerchantId, keyring: &Keyring) -> Result<Vec<u8>, SecretError> {
        let nonce: [u8; NONCE_BYTES] = rand::random();
        let text = keyring.to_text();
        let payload = Payload { msg: text.as_bytes(), aad: merchant_id.as_str().as_bytes() };
        let sealed = self.0.encrypt(&Nonce::from(nonce), payload).map_err(|_| SecretError::Sealed)?;
        Ok([nonce.as_slice(), &sealed].concat())
    }

    /// The inverse of [`Vault::seal`]. Takes as well what releases without keyrings have sealed, a secret alone.
    pub fn open(&self, merchant_id: &MerchantId, sealed: &[u8]) -> Result<Keyring, SecretError> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE_BYTES>().ok_or(SecretError::Sealed)?;
        let payload = Payload { msg: sealed, aad: merchant_id.as_str().as_bytes() };
        let text =
            Zeroizing::new(self.0.decrypt(&Nonce::from(*nonce), payload).map_err(|_| SecretError::Sealed)?);
        let text = std::str::from_utf8(&text).map_err(|_| SecretError::Malformed)?;
        Keyring::from_text(text).map_err(|_| SecretError::Malformed)
    }
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Vault(…)")
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    fn vault(byte: u8) -> Vault {
        Vault::new(&MasterKey::from_base64(&STANDARD.encode([byte; 32])).unwrap())
    }

    fn merchant(id: &str) -> MerchantId {
        MerchantId::parse(id).unwrap()
    }

    fn keyring() -> Keyring {
        webhooks::Secret::generate([7; 32]).into()
    }

    #[test]
    fn keys_open_for_their_merchant_under_their_master_key_only() {
        let sealed = vault(1).seal(&merchant("m1"), &keyring()).unwrap();
        let opened = vault(1).open(&merchant("m1"), &sealed).unwrap();
        assert_eq!(opened.to_text(), keyring().to_text());
        assert!(vault(2).open(&merchant("m1"), &sealed).is_err());
        assert!(vault(1).open(&merchant("m2"), &sealed).is_err());
        assert!(vault(1).open(&merchant("m1"), &sealed[..20]).is_err());
        assert!(vault(1).open(&merchant("m1"), &[]).is_err());
    }

    #[test]
    fn the_same_keys_are_never_sealed_alike() {
        let seal = || vault(1).seal(&merchant("m1"), &keyring()).unwrap();
        assert_ne!(seal(), seal());
    }
}
