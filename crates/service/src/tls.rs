//! The one provider of cryptography for TLS.

/// Installs ring as rustls's provider for the process. Safe to call again.
pub fn install() {
    // Refused when one is installed already, which is what we want.
    let _already_installed = rustls::crypto::ring::default_provider().install_default();
}
