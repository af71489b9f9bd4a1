//! Where every HTTP client begins.

use reqwest::ClientBuilder;

use crate::tls;

/// A builder of HTTP clients. What they send holds tokens and passwords, so no proxy of the environment (`http_proxy` and its
/// kin) is asked: each request goes to its server alone.
#[expect(clippy::disallowed_methods, reason = "the one place where clients are made")]
pub fn http_client() -> ClientBuilder {
    tls::install();
    ClientBuilder::new().no_proxy()
}
