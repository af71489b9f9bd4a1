//! Signing secrets at rest: AES-256-GCM under the master key.

use std::fmt;

use aes_gcm::aead::{Aead as _, KeyInit as _, Payload};
use aes_gcm::{Aes256Gcm, Key, Nonce};
use events::MerchantId;
use service::MasterKey;
use thiserror::Error;
use zeroize::Zeroizing;

const NONCE_BYTES: usize = 12;

/// Encrypts and decrypts signing secrets. The merchant id is authenticated with each, so that a row copied to another
/// merchant does not open.
#[derive(Clone)]
pub struct Vault(Aes256Gcm);

/// A secret that cannot be sealed or opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SecretError {
    /// Another master key, another merchant, or damaged bytes.
    #[error("a signing secret does not open under PAYRELAY_MASTER_KEY")]
    Sealed,
    /// It opened, and is no signing secret.
    #[error("a signing secret is malformed")]
    Malformed,
}

impl Vault {
    /// A vault of secrets under the master key.
    pub fn new(key: &MasterKey) -> Self {
        Self(Aes256Gcm::new(&Key::<Aes256Gcm>::from(*key.expose())))
    }

    /// Encrypts a secret: a random nonce of 12 bytes, then ciphertext and tag.
    pub fn seal(&self, merchant_id: &MerchantId, secret: &webhooks::Secret) -> Result<Vec<u8>, SecretError> {
        let nonce: [u8; NONCE_BYTES] = rand::random();
        let text = secret.expose();
        let payload = Payload { msg: text.as_bytes(), aad: merchant_id.as_str().as_bytes() };
        let sealed = self.0.encrypt(&Nonce::from(nonce), payload).map_err(|_| SecretError::Sealed)?;
        Ok([nonce.as_slice(), &sealed].concat())
    }

    /// The inverse of [`Vault::seal`].
    pub fn open(&self, merchant_id: &MerchantId, sealed: &[u8]) -> Result<webhooks::Secret, SecretError> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE_BYTES>().ok_or(SecretError::Sealed)?;
        let payload = Payload { msg: sealed, aad: merchant_id.as_str().as_bytes() };
        let text =
            Zeroizing::new(self.0.decrypt(&Nonce::from(*nonce), payload).map_err(|_| SecretError::Sealed)?);
        let text = std::str::from_utf8(&text).map_err(|_| SecretError::Malformed)?;
        text.parse().map_err(|_| SecretError::Malformed)
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

    #[test]
    fn a_secret_opens_for_its_merchant_under_its_key_only() {
        let secret = webhooks::Secret::generate([7; 32]);
        let sealed = vault(1).seal(&merchant("m1"), &secret).unwrap();
        let opened = vault(1).open(&merchant("m1"), &sealed).unwrap();
        assert_eq!(*opened.expose(), *secret.expose());
        assert!(vault(2).open(&merchant("m1"), &sealed).is_err());
        assert!(vault(1).open(&merchant("m2"), &sealed).is_err());
        assert!(vault(1).open(&merchant("m1"), &sealed[..20]).is_err());
        assert!(vault(1).open(&merchant("m1"), &[]).is_err());
    }

    #[test]
    fn the_same_secret_is_never_sealed_alike() {
        let secret = webhooks::Secret::generate([7; 32]);
        let seal = || vault(1).seal(&merchant("m1"), &secret).unwrap();
        assert_ne!(seal(), seal());
    }
}
