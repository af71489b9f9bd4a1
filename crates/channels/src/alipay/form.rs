//! The form, as bytes: what is signed is bytes, in whatever charset.

use std::collections::BTreeMap;

use encoding_rs::{Encoding, GB18030, GBK, UTF_8};
use thiserror::Error;

/// The parameters, percent-decoded once, sorted by name.
#[derive(Debug)]
pub(super) struct Form(BTreeMap<Vec<u8>, Vec<u8>>);

/// Why a body is no form. One that could be read in two ways is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(super) enum FormError {
    #[error("expected two hexadecimal digits after each %")]
    BadEscape,
    #[error("a parameter comes twice")]
    Twice,
    #[error(
        "a parameter's name holds & or =, which the signature does not tell from the ends of names and values"
    )]
    AmbiguousName,
}

impl Form {
    /// Reads `application/x-www-form-urlencoded` as the URL Standard does (section 5.1): nothing between two `&` is no parameter, and one without
    /// `=` is empty. Otherwise than there a `%` without two digits is an error.
    pub(super) fn parse(body: &[u8]) -> Result<Self, FormError> {
        let mut parameters = BTreeMap::new();
        for pair in body.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()) {
            let equals = pair.iter().position(|byte| *byte == b'=');
            let (name, value) = equals.map_or((pair, &[][..]), |at| (&pair[..at], &pair[at + 1..]));
            let (name, value) = (decode(name)?, decode(value)?);
            // Several parameters of an authentic notice could be hidden in one name, and others be cut out of its values.
            if name.iter().any(|byte| matches!(byte, b'&' | b'=')) {
                return Err(FormError::AmbiguousName);
            }
            if parameters.insert(name, value).is_some() {
                return Err(FormError::Twice);
            }
        }
        Ok(Self(parameters))
    }

    /// The value of this name; it may be empty.
    pub(super) fn get(&self, name: &str) -> Option<&[u8]> {
        self.0.get(name.as_bytes()).map(Vec::as_slice)
    }

    /// What the signature covers, in the bytes that were sent.
    pub(super) fn signed_content(&self) -> Vec<u8> {
        let signed = |(name, _): &(&Vec<u8>, _)| *name != b"sign" && *name != b"sign_type";
        let pairs = self.0.iter().filter(signed).map(|(name, value)| [name.as_slice(), b"=", value].concat());
        pairs.collect::<Vec<_>>().join(&b'&')
    }

    /// Whether `&name=` stands inside of a value. The signature does not tell it from a parameter: whoever has seen an authentic
    /// notice could hide one of its parameters so.
    pub(super) fn conceals(&self, name: &str) -> bool {
        let sought = format!("&{name}=");
        self.0.values().any(|value| value.windows(sought.len()).any(|part| part == sought.as_bytes()))
    }

    /// What `charset` names, UTF-8 if it does not; `None` if it is none of those that Alipay has.
    pub(super) fn charset(&self) -> Option<Charset> {
        Charset::named(self.get("charset").unwrap_or_default())
    }
}

/// Names of GBK in Java and Windows.
const JAVA_GBK: [&str; 3] = ["cp936", "ms936", "windows-936"];

/// A charset of Alipay's. All of them contain ASCII, in which everything is that payrelay reads.
#[derive(Debug, Clone, Copy)]
pub(super) struct Charset(&'static Encoding);

impl Charset {
    /// The values of `charset`, in any case.
    pub(super) const EXPECTED: &str = "utf-8, gbk, gb2312 or gb18030";

    /// The charset of this name or of one of its aliases (the Encoding Standard's and Java's), by default UTF-8.
    pub(super) fn named(name: &[u8]) -> Option<Self> {
        if name.is_empty() {
            return Some(Self(UTF_8));
        }
        if JAVA_GBK.iter().any(|alias| name.eq_ignore_ascii_case(alias.as_bytes())) {
            return Some(Self(GBK));
        }
        let known = Encoding::for_label(name).filter(|encoding| [UTF_8, GBK, GB18030].contains(encoding));
        known.map(Self)
    }

    /// Turns UTF-8 into this charset, for a body that was sent in UTF-8 although another charset was signed; `None` if there is
    /// nothing to turn, or no way.
    pub(super) fn encode(self, content: &[u8]) -> Option<Vec<u8>> {
        let text = std::str::from_utf8(content).ok().filter(|_| self.0 != UTF_8)?;
        let (encoded, _, unmappable) = self.0.encode(text);
        (!unmappable).then(|| encoded.into_owned())
    }

    /// The bytes of a text in this charset, for simulators.
    pub(super) fn bytes(self, text: &str) -> Vec<u8> {
        self.0.encode(text).0.into_owned()
    }
}

fn decode(text: &[u8]) -> Result<Vec<u8>, FormError> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.iter();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => 16 * hex_digit(bytes.next())? + hex_digit(bytes.next())?,
            other => *other,
        });
    }
    Ok(decoded)
}

fn hex_digit(byte: Option<&u8>) -> Result<u8, FormError> {
    let digit = byte.and_then(|byte| char::from(*byte).to_digit(16)).ok_or(FormError::BadEscape)?;
    u8::try_from(digit).map_err(|_| FormError::BadEscape)
}
