//! What connections to other servers stand on.
//!
//! * [`tls::Tls`] verifies servers by the certificates that the operator names, and says why one is refused.
//! * [`shown_url`] and its kin say what an error may show of a setting.
//! * `http_client`, with the feature `http-client`, is the one place where HTTP clients begin: none of them reads the proxy variables of the environment.

#[cfg(feature = "http-client")]
mod http;
mod shown;
pub mod tls;

#[cfg(feature = "http-client")]
pub use http::http_client;
pub use shown::{shown_path, shown_url, without};
pub use tls::{ClientFiles, Tls, TlsError, TlsFiles};
