//! Keys and certificates as texts: PEM (RFC 7468), or the base64 of their DER alone, as Alipay hands them out.
//!
//! Read as widely as RFC 7468, section 2, lets parsers read: any text may stand around the blocks, lines have any length and end,
//! white space and a byte-order mark do not count. Of several blocks the first with a label that fits counts, so that a
//! certificate may be followed by those of its issuers.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::RsaKeyError;

const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----END ";
const DASHES: &str = "-----";
/// Of the headers that RFC 1421 lets stand in an encrypted key.
const ENCRYPTED: &str = "Proc-Type:";

/// What a text holds.
#[derive(Debug)]
pub(crate) struct Der<'a> {
    /// The label of its PEM; `None` for base64 alone.
    pub(crate) label: Option<&'a str>,
    pub(crate) bytes: Zeroizing<Vec<u8>>,
}

/// The DER of the first PEM block with one of these `labels`, or of base64 alone. `expected` is what errors ask for.
pub(crate) fn read<'a>(
    text: &'a str,
    labels: &[&str],
    expected: &'static str,
) -> Result<Der<'a>, RsaKeyError> {
    let text = text.trim_matches(|c: char| c.is_whitespace() || c == BYTE_ORDER_MARK);
    if text.is_empty() {
        return Err(RsaKeyError::Empty { expected });
    }
    if !text.contains(BEGIN) {
        let bytes = decode(text).ok_or(RsaKeyError::NotText { expected })?;
        return Ok(Der { label: None, bytes });
    }
    let mut strange = None;
    let mut rest = text;
    while let Some((_, from_label)) = rest.split_once(BEGIN) {
        let (label, body) = from_label.split_once(DASHES).ok_or(RsaKeyError::NoEnd)?;
        if !labels.contains(&label) {
            strange.get_or_insert(label);
            rest = body;
            continue;
        }
        let end = [END, label, DASHES].concat();
        let (body, _) = body.split_once(end.as_str()).ok_or(RsaKeyError::NoEnd)?;
        let bytes = decode(body).ok_or(if body.contains(ENCRYPTED) {
            RsaKeyError::Encrypted
        } else if body.contains("\\n") {
            RsaKeyError::EscapedLines
        } else {
            RsaKeyError::NotBase64
        })?;
        return Ok(Der { label: Some(label), bytes });
    }
    Err(match strange {
        Some(label) if label.ends_with("PRIVATE KEY") => RsaKeyError::Private { expected },
        Some(label) => RsaKeyError::WrongLabel { expected, actual: crate::values::shorten(label) },
        None => RsaKeyError::NotText { expected },
    })
}

/// What editors of Windows put before a text.
pub(crate) const BYTE_ORDER_MARK: char = '\u{feff}';

/// Base64 in lines of any length.
fn decode(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let compact: Zeroizing<String> = Zeroizing::new(text.split_whitespace().collect());
    let bytes = STANDARD.decode(compact.as_bytes()).ok()?;
    (!bytes.is_empty()).then(|| Zeroizing::new(bytes))
}
