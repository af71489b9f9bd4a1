//! W3C Trace Context of a fact: it travels with the event, so that one trace spans callback and webhook.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue};
use service::TraceParent;
use service::trace::TRACEPARENT;

/// The header, and the AMQP header, of the vendors' part.
const TRACESTATE: &str = "tracestate";
/// The longest `tracestate` that has to be passed on, in bytes (W3C Trace Context, 3.3.1.5).
const MAX_TRACESTATE_BYTES: usize = 512;

/// Where in a trace a fact came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TraceContext {
    pub(crate) parent: TraceParent,
    pub(crate) state: Option<String>,
}

impl TraceContext {
    /// The context of a request whose trace is `parent`. The vendors' part counts only within the trace that it came with.
    pub(crate) fn of_request(parent: TraceParent, headers: &HeaderMap) -> Self {
        // A list that came in several lines is one, in their order (W3C Trace Context, 3.3.1).
        let lines = headers.get_all(TRACESTATE).into_iter().map(HeaderValue::to_str);
        let state = lines.collect::<Result<Vec<_>, _>>().map(|lines| lines.join(",")).unwrap_or_default();
        let same_trace = headers
            .get(TRACEPARENT)
            .and_then(|value| value.to_str().ok())
            .and_then(|given| TraceParent::parse(given).ok())
            .is_some_and(|given| given.trace_id() == parent.trace_id());
        let kept = same_trace && (1..=MAX_TRACESTATE_BYTES).contains(&state.len());
        Self { parent, state: kept.then_some(state) }
    }

    /// A new trace, for what nobody asked for.
    pub(crate) fn generate() -> Self {
        Self { parent: TraceParent::generate(), state: None }
    }
}

impl<S: Sync> FromRequestParts<S> for TraceContext {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        let parent = TraceParent::from_request_parts(parts, state).await?;
        Ok(Self::of_request(parent, &parts.headers))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIVEN: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn state_of(parent: TraceParent) -> Option<String> {
        let mut headers = HeaderMap::new();
        headers.insert(TRACEPARENT, GIVEN.parse().unwrap());
        headers.append(TRACESTATE, "vendor=1".parse().unwrap());
        headers.append(TRACESTATE, "other=2".parse().unwrap());
        TraceContext::of_request(parent, &headers).state
    }

    #[test]
    fn the_state_stays_with_its_own_trace() {
        let given = TraceParent::parse(GIVEN).unwrap();
        assert_eq!(state_of(given.child()).as_deref(), Some("vendor=1,other=2"));
        assert_eq!(state_of(TraceParent::generate()), None);
    }
}
