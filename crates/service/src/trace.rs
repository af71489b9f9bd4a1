//! W3C trace context: one trace from the callback to the merchant's webhook.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

/// The header, and the AMQP header, that carries it.
pub const TRACEPARENT: &str = "traceparent";

const SAMPLED: u8 = 1;

/// A `traceparent` (W3C Trace Context, 3.2): `00-{32 hex trace id}-{16 hex parent id}-{2 hex flags}`.
///
/// As an extractor it gives what [`crate::http::with_standard_layers`] put into the request: a child of the client's, or a new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceParent {
    trace_id: u128,
    parent_id: u64,
    flags: u8,
}

/// The text is no `traceparent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a traceparent such as 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")]
pub struct InvalidTraceParent;

impl TraceParent {
    /// Reads a header. Versions above 00 may carry more fields, which are ignored; ids of zeros are invalid.
    pub fn parse(text: &str) -> Result<Self, InvalidTraceParent> {
        let mut fields = text.split('-');
        let mut next = |length| fields.next().filter(|field| is_hex(field, length)).ok_or(InvalidTraceParent);
        let (version, trace_id, parent_id, flags) = (next(2)?, next(32)?, next(16)?, next(2)?);
        let parsed = Self {
            trace_id: u128::from_str_radix(trace_id, 16).map_err(|_| InvalidTraceParent)?,
            parent_id: u64::from_str_radix(parent_id, 16).map_err(|_| InvalidTraceParent)?,
            flags: u8::from_str_radix(flags, 16).map_err(|_| InvalidTraceParent)?,
        };
        let too_long = version == "00" && fields.next().is_some();
        if version == "ff" || too_long || parsed.trace_id == 0 || parsed.parent_id == 0 {
            return Err(InvalidTraceParent);
        }
        Ok(parsed)
    }

    /// The root of a new trace, sampled.
    pub fn generate() -> Self {
        let trace_id = rand::random_range(1..=u128::MAX);
        Self { trace_id, parent_id: rand::random_range(1..=u64::MAX), flags: SAMPLED }
    }

    /// The next hop of the same trace.
    #[must_use]
    pub fn child(self) -> Self {
        Self { parent_id: rand::random_range(1..=u64::MAX), ..self }
    }

    /// The trace's id, 32 lower-case hex digits: the field `trace_id` of logs.
    pub fn trace_id(self) -> String {
        format!("{:032x}", self.trace_id)
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace_id, self.parent_id, self.flags)
    }
}

impl FromStr for TraceParent {
    type Err = InvalidTraceParent;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl<S: Sync> FromRequestParts<S> for TraceParent {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get().copied().unwrap_or_else(Self::generate))
    }
}

fn is_hex(field: &str, length: usize) -> bool {
    field.len() == length && field.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn it_round_trips_and_children_stay_in_the_trace() {
        let parent = TraceParent::parse(TEXT).expect("valid");
        assert_eq!(parent.to_string(), TEXT);
        let child = parent.child();
        assert_eq!(child.trace_id(), "0af7651916cd43dd8448eb211c80319c");
        assert_ne!(child, parent);
        let made = TraceParent::generate();
        assert_eq!(made.to_string().parse(), Ok(made));
    }

    #[test]
    fn a_later_version_may_be_longer() {
        assert!(TraceParent::parse(&format!("cc{}-more", &TEXT[2..])).is_ok());
        assert!(TraceParent::parse(&format!("{TEXT}-more")).is_err());
    }

    #[test]
    fn what_the_specification_forbids_is_refused() {
        for text in [
            "",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-+af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ] {
            assert_eq!(TraceParent::parse(text), Err(InvalidTraceParent), "{text}");
        }
    }
}
