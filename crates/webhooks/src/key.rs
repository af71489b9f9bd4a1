use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::Signer as _;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

const SYMMETRIC_PREFIX: &str = "whsec_";
const PRIVATE_PREFIX: &str = "whsk_";
const PUBLIC_PREFIX: &str = "whpk_";
const SYMMETRIC_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// Why a text is no key. Never tells anything of the text itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The text begins with none of the prefixes that fit here.
    #[error("a key must begin with {expected}")]
    UnknownPrefix {
        /// The prefixes that fit.
        expected: &'static str,
    },
    /// What follows the prefix is not padded standard base64.
    #[error("what follows the prefix must be base64 with padding")]
    NotBase64,
    /// The key is too short or too long.
    #[error("a key of {expected} bytes is needed, this one has {actual}")]
    WrongLength {
        /// The lengths that fit.
        expected: &'static str,
        /// The length after decoding.
        actual: usize,
    },
    /// The bytes are no Ed25519 key: not a point of the curve, a weak one, or halves that do not belong together.
    #[error("the bytes are not an Ed25519 key")]
    NotEd25519,
}

/// The two sorts of signatures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Version {
    /// HMAC-SHA256 under a secret that both sides hold.
    V1,
    /// Ed25519, of which the receiver holds the public key only.
    V1a,
}

impl Version {
    /// The name in the signature header.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V1 => "v1",
            Self::V1a => "v1a",
        }
    }
}

/// What a sender signs with: `whsec_…` (symmetric) or `whsk_…` (Ed25519). Zeroized on drop, redacted in `Debug`.
#[derive(Clone)]
pub struct Secret(SecretKind);

#[derive(Clone)]
enum SecretKind {
    Symmetric(SymmetricKey),
    Ed25519(Box<ed25519_dalek::SigningKey>),
}

impl Secret {
    /// A new symmetric secret of 32 random bytes, which the caller takes from a cryptographic generator.
    pub fn generate(random: [u8; 32]) -> Self {
        Self(SecretKind::Symmetric(SymmetricKey(Zeroizing::new(random.to_vec()))))
    }

    /// A new Ed25519 secret of 32 random bytes, which the caller takes from a cryptographic generator.
    pub fn generate_ed25519(random: [u8; 32]) -> Self {
        Self(SecretKind::Ed25519(Box::new(ed25519_dalek::SigningKey::from_bytes(&random))))
    }

    /// The text form (`whsec_…`, `whsk_…`), to be shown once to its owner or stored encrypted.
    pub fn expose(&self) -> Zeroizing<String> {
        match &self.0 {
            SecretKind::Symmetric(key) => key.expose(),
            SecretKind::Ed25519(key) => encode(PRIVATE_PREFIX, &*Zeroizing::new(key.to_keypair_bytes())),
        }
    }

    /// The sort of signature that it makes.
    pub fn version(&self) -> Version {
        match self.0 {
            SecretKind::Symmetric(_) => Version::V1,
            SecretKind::Ed25519(_) => Version::V1a,
        }
    }

    /// What a receiver needs to check this secret's signatures.
    pub fn verifying_key(&self) -> VerifyingKey {
        VerifyingKey(match &self.0 {
            SecretKind::Symmetric(key) => VerifyingKind::Symmetric(key.clone()),
            SecretKind::Ed25519(key) => VerifyingKind::Ed25519(Box::new(key.verifying_key())),
        })
    }

    /// One entry of the signature header: version, comma, base64.
    pub(crate) fn sign(&self, content: &[u8]) -> String {
        let encoded = match &self.0 {
            SecretKind::Symmetric(key) => STANDARD.encode(key.mac(content)),
            SecretKind::Ed25519(key) => STANDARD.encode(key.sign(content).to_bytes()),
        };
        format!("{},{encoded}", self.version().as_str())
    }
}

impl FromStr for Secret {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        if let Some(encoded) = text.strip_prefix(SYMMETRIC_PREFIX) {
            return SymmetricKey::decode(encoded).map(|key| Self(SecretKind::Symmetric(key)));
        }
        let encoded = text
            .strip_prefix(PRIVATE_PREFIX)
            .ok_or(KeyError::UnknownPrefix { expected: "whsec_ or whsk_" })?;
        let bytes = decode(encoded)?;
        // The seed, and behind it the public half or nothing.
        let (seed, public) = bytes
            .split_first_chunk::<32>()
            .filter(|(_, public)| matches!(public.len(), 0 | 32))
            .ok_or(KeyError::WrongLength { expected: "32 or 64", actual: bytes.len() })?;
        let key = ed25519_dalek::SigningKey::from_bytes(seed);
        if !public.is_empty() && public != key.verifying_key().as_bytes() {
            return Err(KeyError::NotEd25519);
        }
        Ok(Self(SecretKind::Ed25519(Box::new(key))))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            SecretKind::Symmetric(_) => "Secret(whsec_…)",
            SecretKind::Ed25519(_) => "Secret(whsk_…)",
        })
    }
}

/// What a receiver checks with: `whsec_…` (symmetric) or `whpk_…` (Ed25519). Redacted in `Debug`.
#[derive(Clone)]
pub struct VerifyingKey(VerifyingKind);

#[derive(Clone)]
enum VerifyingKind {
    Symmetric(SymmetricKey),
    Ed25519(Box<ed25519_dalek::VerifyingKey>),
}

impl VerifyingKey {
    /// The text form: `whsec_…` (a secret!) or `whpk_…`.
    pub fn expose(&self) -> Zeroizing<String> {
        match &self.0 {
            VerifyingKind::Symmetric(key) => key.expose(),
            VerifyingKind::Ed25519(key) => encode(PUBLIC_PREFIX, key.as_bytes()),
        }
    }

    /// The sort of signature that this key can check.
    pub fn version(&self) -> Version {
        match self.0 {
            VerifyingKind::Symmetric(_) => Version::V1,
            VerifyingKind::Ed25519(_) => Version::V1a,
        }
    }

    /// Whether one of the base64 `signatures` fits the content. The comparison takes the same time wherever the
    /// first difference lies, so that a forger learns nothing from it.
    pub(crate) fn accepts_any<'a>(&self, content: &[u8], signatures: impl Iterator<Item = &'a str>) -> bool {
        let mut decoded = signatures.filter_map(|encoded| STANDARD.decode(encoded).ok());
        match &self.0 {
            VerifyingKind::Symmetric(key) => {
                let expected = key.mac(content);
                decoded.any(|signature| signature.ct_eq(&expected).into())
            }
            VerifyingKind::Ed25519(key) => decoded.any(|signature| {
                ed25519_dalek::Signature::from_slice(&signature)
                    .is_ok_and(|signature| key.verify_strict(content, &signature).is_ok())
            }),
        }
    }
}

impl FromStr for VerifyingKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        if let Some(encoded) = text.strip_prefix(SYMMETRIC_PREFIX) {
            return SymmetricKey::decode(encoded).map(|key| Self(VerifyingKind::Symmetric(key)));
        }
        let encoded = text
            .strip_prefix(PUBLIC_PREFIX)
            .ok_or(KeyError::UnknownPrefix { expected: "whsec_ or whpk_" })?;
        let bytes = decode(encoded)?;
        let point = bytes
            .as_slice()
            .try_into()
            .map_err(|_| KeyError::WrongLength { expected: "32", actual: bytes.len() })?;
        let key = ed25519_dalek::VerifyingKey::from_bytes(point).map_err(|_| KeyError::NotEd25519)?;
        // A weak key accepts signatures that its owner never made.
        if key.is_weak() {
            return Err(KeyError::NotEd25519);
        }
        Ok(Self(VerifyingKind::Ed25519(Box::new(key))))
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            VerifyingKind::Symmetric(_) => "VerifyingKey(whsec_…)",
            VerifyingKind::Ed25519(_) => "VerifyingKey(whpk_…)",
        })
    }
}

#[derive(Clone)]
struct SymmetricKey(Zeroizing<Vec<u8>>);

impl SymmetricKey {
    fn decode(encoded: &str) -> Result<Self, KeyError> {
        let bytes = decode(encoded)?;
        if !SYMMETRIC_BYTES.contains(&bytes.len()) {
            return Err(KeyError::WrongLength { expected: "24 to 64", actual: bytes.len() });
        }
        Ok(Self(bytes))
    }

    fn expose(&self) -> Zeroizing<String> {
        encode(SYMMETRIC_PREFIX, &self.0)
    }

    fn mac(&self, content: &[u8]) -> [u8; 32] {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes a key of any length");
        mac.update(content);
        mac.finalize().into_bytes().into()
    }
}

fn decode(encoded: &str) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    STANDARD.decode(encoded).map(Zeroizing::new).map_err(|_| KeyError::NotBase64)
}

fn encode(prefix: &str, bytes: &[u8]) -> Zeroizing<String> {
    let encoded = Zeroizing::new(STANDARD.encode(bytes));
    Zeroizing::new([prefix, &encoded].concat())
}
