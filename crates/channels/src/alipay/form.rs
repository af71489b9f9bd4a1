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
    #[error("expected name=value between each two &")]
    NoPair,
    #[error("expected two hexadecimal digits after each %")]
    BadEscape,
    #[error("a parameter comes twice")]
    Twice,
}

impl Form {
    /// Reads `application/x-www-form-urlencoded`; an empty body has no parameters.
    pub(super) fn parse(body: &[u8]) -> Result<Self, FormError> {
        let mut parameters = BTreeMap::new();
        for pair in body.split(|byte| *byte == b'&').filter(|_| !body.is_empty()) {
            let equals = pair.iter().position(|byte| *byte == b'=').ok_or(FormError::NoPair)?;
            let (name, value) = (decode(&pair[..equals])?, decode(&pair[equals + 1..])?);
            if name.is_empty() {
                return Err(FormError::NoPair);
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

/// A charset of Alipay's. All of them contain ASCII, in which everything is that payrelay reads.
#[derive(Debug, Clone, Copy)]
pub(super) struct Charset(&'static Encoding);

impl Charset {
    /// The values of `charset`, in any case.
    pub(super) const EXPECTED: &str = "utf-8, gbk, gb2312 or gb18030";

    /// The charset of this name, by default UTF-8.
    pub(super) fn named(name: &[u8]) -> Option<Self> {
        match name.to_ascii_lowercase().as_slice() {
            b"" | b"utf-8" | b"utf8" => Some(Self(UTF_8)),
            b"gbk" | b"gb2312" => Some(Self(GBK)),
            b"gb18030" => Some(Self(GB18030)),
            _ => None,
        }
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
