//! The file with the callback.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use channels::Headers;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use service::extract::without_values;
use transport::shown_path;

/// A callback as it came in.
#[derive(Debug)]
pub(super) struct CallbackFile {
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

impl CallbackFile {
    pub(super) fn read(file: &Path) -> Result<Self> {
        let text = fs::read(file).with_context(|| format!("cannot read {}", shown_path(file)))?;
        Self::parse(&text).with_context(|| format!("{} holds no request", shown_path(file)))
    }

    fn parse(text: &[u8]) -> Result<Self> {
        // Told apart by a look, not by trying: so an error is about the form that was meant.
        let Form { request } = read(text)?;
        let (Request { headers, body_base64 }, now) = if request.is_some() {
            let Case { request, now } = read(text)?;
            (request, now)
        } else {
            (read(text)?, None)
        };
        // RFC 9110, section 5.5: a server would refuse the whole request.
        if let Some((name, _)) = headers.iter().find(|(_, value)| value.contains(['\r', '\n', '\0'])) {
            bail!("headers: expected no line break in {name}, for HTTP cannot carry one");
        }
        let body = STANDARD.decode(body_base64).context("body_base64: expected base64")?;
        Ok(Self { headers, body, now })
    }

    /// As the ingress sees them.
    pub(super) fn headers(&self) -> Headers {
        Headers::of(self.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())))
    }
}

/// Without what the parser quotes: headers may hold what somebody keeps secret.
fn read<T: DeserializeOwned>(text: &[u8]) -> Result<T> {
    serde_json::from_slice(text).map_err(|error| anyhow!("{}", without_values(&error.to_string())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_may_stand_alone_or_in_a_case() {
        let alone = r#"{"method": "POST", "path": "/", "headers": {"a": "b"}, "body_base64": "e30="}"#;
        let case = format!(r#"{{"name": "x", "now": 7, "request": {alone}, "expect": {{}}}}"#);
        for (text, now) in [(alone, None), (&case, Some(7))] {
            let posted = CallbackFile::parse(text.as_bytes()).unwrap();
            assert_eq!(
                (posted.headers().pairs(), posted.body.as_slice(), posted.now),
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
            (r#"{"headers": {"x": "a\nb"}, "body_base64": ""}"#, "no line break in x"),
            (r#"{"request": {"headers": {}}}"#, "body_base64"),
        ] {
            let error = format!("{:#}", CallbackFile::parse(text.as_bytes()).unwrap_err());
            assert!(error.contains(named), "{text}: {error}");
        }
    }
}
