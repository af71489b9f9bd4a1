//! RSA keys of channels: `SHA256withRSA`, PKCS#1 v1.5, which Alipay calls RSA2 and WeChat Pay RSA-SHA256.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RsaKeyPair, RsaPublicKeyComponents};
use x509_cert::der::asn1::{ObjectIdentifier, UintRef};
use x509_cert::der::pem::decode_vec;
use x509_cert::der::{Decode as _, Reader as _, SliceReader};
use x509_cert::spki::SubjectPublicKeyInfoRef;
use zeroize::Zeroizing;

/// RFC 8017, appendix C: `rsaEncryption`.
const RSA_ENCRYPTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
/// The sizes of keys that are taken, in bits; a shorter one could be broken.
const KEY_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;
const PUBLIC_LABEL: &str = "PUBLIC KEY";
const PRIVATE_LABEL: &str = "PRIVATE KEY";

/// Why a text or a certificate holds no usable RSA key. Never tells anything of the key itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RsaKeyError {
    /// Neither PEM nor base64.
    #[error("expected PEM (-----BEGIN {expected}-----) or its base64 without the lines around it")]
    NotText {
        /// The label of the PEM that fits.
        expected: &'static str,
    },
    /// PEM of something else.
    #[error("expected PEM of a {expected}, got one of a {actual:?}")]
    WrongLabel {
        /// The label that fits.
        expected: &'static str,
        /// The label that was found.
        actual: String,
    },
    /// The bytes are no key of this structure.
    #[error("expected an RSA key as {expected}, got other bytes")]
    NotRsa {
        /// The structure that fits.
        expected: &'static str,
    },
    /// Too short to be safe, or too long to be checked.
    #[error("expected an RSA key of {} to {} bits, this one has {bits}", KEY_BITS.start(), KEY_BITS.end())]
    WrongLength {
        /// The length of the modulus.
        bits: usize,
    },
}

const NOT_PUBLIC: RsaKeyError = RsaKeyError::NotRsa { expected: "SubjectPublicKeyInfo" };
const NOT_PRIVATE: RsaKeyError = RsaKeyError::NotRsa { expected: "PKCS#8" };

/// A channel's public key. Parsed from PEM (`PUBLIC KEY`) or from the base64 of its DER, as Alipay hands it out.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct RsaPublicKey {
    modulus: Vec<u8>,
    exponent: Vec<u8>,
}

impl RsaPublicKey {
    /// Takes the DER of a `SubjectPublicKeyInfo` (RFC 5280, section 4.1), as certificates hold it, too.
    pub(crate) fn from_spki_der(der: &[u8]) -> Result<Self, RsaKeyError> {
        let info = SubjectPublicKeyInfoRef::from_der(der).map_err(|_| NOT_PUBLIC)?;
        let bytes = info.subject_public_key.as_bytes().filter(|_| info.algorithm.oid == RSA_ENCRYPTION);
        let (modulus, exponent) = bytes.and_then(components).ok_or(NOT_PUBLIC)?;
        let bits = bits(modulus.as_bytes());
        if !KEY_BITS.contains(&bits) {
            return Err(RsaKeyError::WrongLength { bits });
        }
        Ok(Self { modulus: modulus.as_bytes().to_vec(), exponent: exponent.as_bytes().to_vec() })
    }

    /// Whether `signature` (raw bytes) was made over `message` by the holder of the private key.
    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        let key = RsaPublicKeyComponents { n: &self.modulus, e: &self.exponent };
        key.verify(&RSA_PKCS1_2048_8192_SHA256, message, signature).is_ok()
    }
}

impl FromStr for RsaPublicKey {
    type Err = RsaKeyError;

    fn from_str(text: &str) -> Result<Self, RsaKeyError> {
        Self::from_spki_der(&read_der(text, PUBLIC_LABEL)?)
    }
}

/// How long it is; the key itself would only fill a log.
impl fmt::Debug for RsaPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RsaPublicKey({} bits)", bits(&self.modulus))
    }
}

/// A channel's own key, which simulators and tests sign with. Parsed from PEM (`PRIVATE KEY`) or from the base64 of its PKCS#8 DER.
pub struct RsaSigningKey(RsaKeyPair);

impl RsaSigningKey {
    /// The signature over `message` in base64; `None` if the system has no random bytes to blind it with.
    pub fn sign(&self, message: &[u8]) -> Option<String> {
        let mut signature = vec![0; self.0.public().modulus_len()];
        self.0.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature).ok()?;
        Some(STANDARD.encode(signature))
    }
}

impl FromStr for RsaSigningKey {
    type Err = RsaKeyError;

    fn from_str(text: &str) -> Result<Self, RsaKeyError> {
        let der = Zeroizing::new(read_der(text, PRIVATE_LABEL)?);
        RsaKeyPair::from_pkcs8(&der).map(Self).map_err(|_| NOT_PRIVATE)
    }
}

impl fmt::Debug for RsaSigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RsaSigningKey(***)")
    }
}

/// The DER of PEM with this label, or of base64 alone, in one line or in several.
fn read_der(text: &str, expected: &'static str) -> Result<Vec<u8>, RsaKeyError> {
    let text = text.trim();
    if text.starts_with("-----BEGIN ") {
        let (label, der) = decode_vec(text.as_bytes()).map_err(|_| RsaKeyError::NotText { expected })?;
        if label != expected {
            return Err(RsaKeyError::WrongLabel { expected, actual: label.to_owned() });
        }
        return Ok(der);
    }
    let compact: Zeroizing<String> = Zeroizing::new(text.split_ascii_whitespace().collect());
    STANDARD.decode(compact.as_bytes()).map_err(|_| RsaKeyError::NotText { expected })
}

/// Modulus and exponent of an `RSAPublicKey` (RFC 8017, appendix A.1.1) that can have been made by an honest channel: odd
/// both, the exponent from 3 to what fits 33 bits, which is all that is verified with.
fn components(der: &[u8]) -> Option<(UintRef<'_>, UintRef<'_>)> {
    let mut reader = SliceReader::new(der).ok()?;
    let (modulus, exponent) =
        reader.sequence(|inner| Ok((UintRef::decode(inner)?, UintRef::decode(inner)?))).ok()?;
    let odd = |number: &UintRef<'_>| number.as_bytes().last().is_some_and(|byte| byte % 2 == 1);
    let usable = odd(&modulus) && odd(&exponent) && (2..=33).contains(&bits(exponent.as_bytes()));
    (reader.is_finished() && usable).then_some((modulus, exponent))
}

/// How many bits a number without leading zero bytes has.
fn bits(number: &[u8]) -> usize {
    let zeros = number.first().map_or(0, |byte| byte.leading_zeros() as usize);
    number.len() * 8 - zeros
}

#[cfg(test)]
mod tests;
