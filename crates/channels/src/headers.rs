//! The header fields of a request.

use std::collections::BTreeMap;

/// Says how a body was encoded for its way (RFC 9110, section 8.4).
pub(crate) const ENCODING: &str = "content-encoding";

/// Header fields as all that read them should see them: names in lower case, values without white space around them, and a field that
/// came in several lines as one value, divided by commas (RFC 9110, sections 5.1 to 5.5).
#[derive(Debug, Clone, Default)]
pub struct Headers(BTreeMap<String, String>);

impl Headers {
    /// Reads the lines of a request, in their order. What is no UTF-8 in a value is replaced by U+FFFD, which no channel's format allows: so
    /// the header is there, and malformed.
    pub fn of<'a>(lines: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Self {
        let mut fields = BTreeMap::<String, String>::new();
        for (name, value) in lines {
            let text = String::from_utf8_lossy(value);
            let text = text.trim_matches([' ', '\t']);
            fields
                .entry(name.to_ascii_lowercase())
                .and_modify(|before| {
                    before.push_str(", ");
                    before.push_str(text);
                })
                .or_insert_with(|| text.to_owned());
        }
        Self(fields)
    }

    /// Names and values, for a [`CallbackRequest`](crate::CallbackRequest).
    pub fn pairs(&self) -> Vec<(&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_one_value_however_it_came() {
        let lines: [(&str, &[u8]); 5] = [
            ("Webhook-Id", b" a\t"),
            ("stripe-signature", b"t=1"),
            ("Stripe-Signature", b" v1=2"),
            ("x-empty", b""),
            ("x-latin", b"caf\xe9"),
        ];
        let headers = Headers::of(lines);
        let expected = [
            ("stripe-signature", "t=1, v1=2"),
            ("webhook-id", "a"),
            ("x-empty", ""),
            ("x-latin", "caf\u{fffd}"),
        ];
        assert_eq!(headers.pairs(), expected);
    }
}
