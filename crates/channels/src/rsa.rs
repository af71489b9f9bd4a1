//! RSA keys of channels: `SHA256withRSA`, PKCS#1 v1.5, which Alipay calls RSA2 and WeChat Pay RSA-SHA256.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RsaKeyPair, RsaPublicKeyComponents};
use x509_cert::Certificate as X509;
use x509_cert::der::asn1::{ObjectIdentifier, UintRef};
use x509_cert::der::{Decode as _, Encode as _, Reader as _, SliceReader};
use x509_cert::spki::SubjectPublicKeyInfoRef;

use crate::pem;
use crate::rsa_key_error::{KEY_BITS, RsaKeyError};

/// RFC 8017, appendix C: `rsaEncryption`.
const RSA_ENCRYPTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const PUBLIC_LABEL: &str = "PUBLIC KEY";
const PUBLIC_PKCS1_LABEL: &str = "RSA PUBLIC KEY";
const PRIVATE_LABEL: &str = "PRIVATE KEY";
const PRIVATE_PKCS1_LABEL: &str = "RSA PRIVATE KEY";
/// The label of RFC 7468, and the earlier one that OpenSSL reads as well.
const CERTIFICATE_LABELS: [&str; 2] = ["CERTIFICATE", "X509 CERTIFICATE"];
const PUBLIC: &str = "public key (-----BEGIN PUBLIC KEY-----)";
const PRIVATE: &str = "private key (-----BEGIN PRIVATE KEY-----)";
const CERTIFICATE: &str = "certificate (-----BEGIN CERTIFICATE-----)";

const NOT_PUBLIC: RsaKeyError = RsaKeyError::NotRsa {
    expected: "an RSA public key (SubjectPublicKeyInfo or PKCS#1), or a certificate with one",
};
const NOT_CERTIFICATE: RsaKeyError = RsaKeyError::NotRsa { expected: "an X.509 certificate with an RSA key" };
const NOT_PRIVATE: RsaKeyError = RsaKeyError::NotRsa { expected: "an RSA private key (PKCS#8 or PKCS#1)" };

/// A channel's public key. Parsed from PEM or from the base64 of its DER: the key itself, as Alipay hands it out, or a
/// certificate that holds it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct RsaPublicKey {
    modulus: Vec<u8>,
    exponent: Vec<u8>,
}

impl RsaPublicKey {
    /// Takes the DER of a `SubjectPublicKeyInfo` (RFC 5280, section 4.1), as certificates hold it, too.
    fn from_spki_der(der: &[u8]) -> Result<Self, RsaKeyError> {
        let info = SubjectPublicKeyInfoRef::from_der(der).map_err(|_| NOT_PUBLIC)?;
        let algorithm = info.algorithm.oid;
        if algorithm != RSA_ENCRYPTION {
            return Err(RsaKeyError::OtherAlgorithm { oid: algorithm.to_string() });
        }
        Self::from_pkcs1_der(info.subject_public_key.as_bytes().ok_or(NOT_PUBLIC)?)
    }

    /// Takes the DER of an `RSAPublicKey` (RFC 8017, appendix A.1.1).
    fn from_pkcs1_der(der: &[u8]) -> Result<Self, RsaKeyError> {
        let (modulus, exponent) = components(der).ok_or(NOT_PUBLIC)?;
        let bits = bits(modulus.as_bytes());
        if !KEY_BITS.contains(&bits) {
            return Err(RsaKeyError::WrongLength { bits });
        }
        Ok(Self { modulus: modulus.as_bytes().to_vec(), exponent: exponent.as_bytes().to_vec() })
    }

    /// Takes whatever of these the bytes are, for base64 alone does not say.
    fn from_any_der(der: &[u8]) -> Result<Self, RsaKeyError> {
        let certified = || RsaCertificate::from_der(der).map(|certificate| certificate.key);
        match Self::from_spki_der(der).or_else(|error| Self::from_pkcs1_der(der).map_err(|_| error)) {
            Err(NOT_PUBLIC) if is_private(der) => Err(RsaKeyError::Private { expected: PUBLIC }),
            Err(NOT_PUBLIC) => {
                certified().map_err(|error| if error == NOT_CERTIFICATE { NOT_PUBLIC } else { error })
            }
            key => key,
        }
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
        let labels = [&[PUBLIC_LABEL, PUBLIC_PKCS1_LABEL][..], &CERTIFICATE_LABELS[..]].concat();
        let der = pem::read(text, &labels, PUBLIC)?;
        match der.label {
            Some(PUBLIC_LABEL) => Self::from_spki_der(&der.bytes),
            Some(PUBLIC_PKCS1_LABEL) => Self::from_pkcs1_der(&der.bytes),
            Some(_) => RsaCertificate::from_der(&der.bytes).map(|certificate| certificate.key),
            None => Self::from_any_der(&der.bytes),
        }
    }
}

/// How long it is; the key itself would only fill a log.
impl fmt::Debug for RsaPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RsaPublicKey({} bits)", bits(&self.modulus))
    }
}

/// A certificate with a channel's key. Its dates and its issuer are not looked at: it is trusted for standing in the channels file.
/// Parsed from PEM, of which the first certificate counts, or from the base64 of its DER.
#[derive(Debug)]
pub(crate) struct RsaCertificate {
    /// In upper-case hexadecimal digits.
    pub(crate) serial: String,
    pub(crate) key: RsaPublicKey,
}

impl RsaCertificate {
    fn from_der(der: &[u8]) -> Result<Self, RsaKeyError> {
        let certificate = X509::from_der(der).map_err(|_| NOT_CERTIFICATE)?.tbs_certificate;
        let spki = certificate.subject_public_key_info.to_der().map_err(|_| NOT_CERTIFICATE)?;
        let key = RsaPublicKey::from_spki_der(&spki)
            .map_err(|error| if error == NOT_PUBLIC { NOT_CERTIFICATE } else { error })?;
        Ok(Self { serial: hex::encode_upper(certificate.serial_number.as_bytes()), key })
    }
}

impl FromStr for RsaCertificate {
    type Err = RsaKeyError;

    fn from_str(text: &str) -> Result<Self, RsaKeyError> {
        let der = pem::read(text, &CERTIFICATE_LABELS, CERTIFICATE)?;
        Self::from_der(&der.bytes).map_err(|error| match error {
            NOT_CERTIFICATE if is_private(&der.bytes) => RsaKeyError::Private { expected: CERTIFICATE },
            error => error,
        })
    }
}

/// A channel's own key, which simulators and tests sign with. Parsed from PEM or from the base64 of its DER (PKCS#8 or PKCS#1).
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
        let der = pem::read(text, &[PRIVATE_LABEL, PRIVATE_PKCS1_LABEL], PRIVATE)?;
        let pair = RsaKeyPair::from_pkcs8(&der.bytes).or_else(|_| RsaKeyPair::from_der(&der.bytes));
        pair.map(Self).map_err(|_| NOT_PRIVATE)
    }
}

impl fmt::Debug for RsaSigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RsaSigningKey(***)")
    }
}

/// Whether these are the bytes of a private key, of whatever length.
fn is_private(der: &[u8]) -> bool {
    // PKCS#8 and PKCS#1 alike are a sequence that begins with a small version, where a public key has a sequence or a long number.
    let version = SliceReader::new(der).and_then(|mut reader| {
        reader.sequence(|inner| {
            let version = UintRef::decode(inner)?;
            inner.read_slice(inner.remaining_len())?;
            Ok(version.as_bytes().len())
        })
    });
    version.is_ok_and(|length| length <= 1)
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
