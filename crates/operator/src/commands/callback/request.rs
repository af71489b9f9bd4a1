//! The file with the callback.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

/// A callback as it came in.
#[derive(Debug)]
pub(super) struct Posted {
    headers: BTreeMap<String, String>,
    /// The raw body.
    pub(super) body: Vec<u8>,
    /// The clock that stands beside the request, in seconds since 1970.
    pub(super) now: Option<i64>,
}

/// Method and path may be there, and decide nothing.
#[derive(Debug, Deserialize)]
struct Request {
    headers: BTreeMap<String, String>,
    body_base64: String,
}

/// A request with what stands around it in collections of them.
#[derive(Debug, Deserialize)]
struct Case {
    request: Request,
    now: Option<i64>,
}

/// Which of both forms it is.
#[derive(Debug, Deserialize)]
struct Form {
    request: Option<serde::de::IgnoredAny>,
}

impl Posted {
    pub(super) fn read(file: &Path) -> Result<Self> {
        let text = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
        Self::parse(&text).with_context(|| format!("{} holds no request", file.display()))
    }

    fn parse(text: &[u8]) -> Result<Self> {
        // Told apart by a look, not by trying: so an error is about the form that was meant.
        let Form { request } = serde_json::from_slice(text)?;
        let (Request { headers, body_base64 }, now) = if request.is_some() {
            let Case { request, now } = serde_json::from_slice(text)?;
            (request, now)
        } else {
            (serde_json::from_slice(text)?, None)
        };
        let body = STANDARD.decode(body_base64).context("body_base64: expected base64")?;
        Ok(Self { headers, body, now })
    }

    pub(super) fn headers(&self) -> Vec<(&str, &str)> {
        self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_may_stand_alone_or_in_a_case() {
        let alone = r#"{"method": "POST", "path": "/", "headers": {"a": "b"}, "body_base64": "e30="}"#;
        let case = format!(r#"{{"name": "x", "now": 7, "request": {alone}, "expect": {{}}}}"#);
        for (text, now) in [(alone, None), (&case, Some(7))] {
            let posted = Posted::parse(text.as_bytes()).unwrap();
            assert_eq!(
                (posted.headers(), posted.body.as_slice(), posted.now),
                (vec![("a", "b")], &b"{}"[..], now)
            );
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        for (text, named) in [
            ("", "EOF"),
            ("{}", "headers"),
            (r#"{"headers": {}}"#, "body_base64"),
            (r#"{"headers": {}, "body_base64": "?"}"#, "body_base64"),
            (r#"{"request": {"headers": {}}}"#, "body_base64"),
        ] {
            let error = format!("{:#}", Posted::parse(text.as_bytes()).unwrap_err());
            assert!(error.contains(named), "{text}: {error}");
        }
    }
}
