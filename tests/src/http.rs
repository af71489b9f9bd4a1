//! HTTP on loopback.

use std::time::Duration;

use reqwest::Client;

/// How long callers wait for an answer.
const TIMEOUT: Duration = Duration::from_secs(15);

/// An HTTP client for loopback.
pub fn http_client() -> Client {
    transport::http_client().timeout(TIMEOUT).build().expect("an HTTP client")
}
