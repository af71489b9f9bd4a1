//! TLS to a server, verified by the certificates that the operator names.

mod certificate;
mod pem;
mod verifier;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::CertificateDer;
use rustls::{AlertDescription, CertificateError, ClientConfig, OtherError};

use verifier::{CertificateRefusal, Trusted, Verifier};

use crate::shown_path;

/// Installs ring as rustls's provider of cryptography for the process. Safe to call again.
pub fn install() {
    // Refused when one is installed already, which is what we want.
    let _already_installed = rustls::crypto::ring::default_provider().install_default();
}

/// The PEM files for one server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificates that the server's is verified by, in place of the system's.
    pub ca: Option<PathBuf>,
    /// What we show the server.
    pub client: Option<ClientFiles>,
}

impl TlsFiles {
    /// Whether no file is named.
    pub fn is_empty(&self) -> bool {
        self.ca.is_none() && self.client.is_none()
    }

    /// These files, and where one is not named that of `others`.
    #[must_use]
    pub fn or(self, others: Self) -> Self {
        Self { ca: self.ca.or(others.ca), client: self.client.or(others.client) }
    }
}

/// A client certificate and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientFiles {
    /// The certificate, with those of its issuers behind it.
    pub cert: PathBuf,
    /// The private key, without a passphrase.
    pub key: PathBuf,
}

/// Why the configured certificates cannot be used. Nothing of a file's content is quoted.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct TlsError(pub(crate) String);

/// How connections to one kind of server are verified. The files are read again for each connection, so that certificates that
/// were renewed are used without a restart.
#[derive(Clone)]
pub struct Tls {
    files: TlsFiles,
    /// The certificates of the system; read once.
    system: Option<Arc<[CertificateDer<'static>]>>,
    /// Where an operator names certificates.
    settings: &'static str,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("files", &self.files).finish_non_exhaustive()
    }
}

impl Tls {
    /// TLS by `files`; without a CA file by the system's certificates, which `SSL_CERT_FILE` replaces. `settings` tells the reader of
    /// an error where certificates can be named.
    ///
    /// # Errors
    /// When a file cannot be used, or the system has no certificates.
    pub fn new(files: TlsFiles, settings: &'static str) -> Result<Self, TlsError> {
        install();
        let system = match files.ca {
            Some(_) => None,
            None => Some(pem::system_certificates(settings)?.into()),
        };
        let tls = Self { files, system, settings };
        tls.client_config()?;
        Ok(tls)
    }

    /// The configuration for one connection, of what the files hold now.
    ///
    /// # Errors
    /// When a file cannot be used any more.
    pub fn client_config(&self) -> Result<ClientConfig, TlsError> {
        let builder = ClientConfig::builder()
            // The verifier is webpki's, which also takes a certificate that is itself in the file.
            .dangerous()
            .with_custom_certificate_verifier(self.verifier()?);
        let Some(ClientFiles { cert, key }) = &self.files.client else {
            return Ok(builder.with_no_client_auth());
        };
        let chain = pem::certificates(cert)?;
        builder.with_client_auth_cert(chain, pem::private_key(key)?).map_err(|_| {
            TlsError(format!(
                "the key in {} cannot be used with the certificate in {}; give the key that the certificate was made for",
                shown_path(key),
                shown_path(cert)
            ))
        })
    }

    /// Whether there is something to show to a server that demands it.
    pub fn has_client_certificate(&self) -> bool {
        self.files.client.is_some()
    }

    fn verifier(&self) -> Result<Arc<dyn ServerCertVerifier>, TlsError> {
        let trusted = match (&self.files.ca, &self.system) {
            (Some(file), _) => {
                Trusted { certificates: pem::certificates(file)?.into(), from: shown_path(file) }
            }
            (None, system) => {
                Trusted { certificates: system.clone().unwrap_or_default(), from: pem::system_source() }
            }
        };
        Ok(Arc::new(Verifier::new(trusted, self.settings)?))
    }
}

/// What a server means that ends a connection after its certificate was taken.
pub const DEMANDED: &str =
    "the server may demand a client certificate (…_CLIENT_CERT_FILE) of an authority that it knows";

/// Whether `error`, or one behind it, says that one side refused the other's certificate or would not speak TLS with it: an operator must
/// mend it, time alone does not.
pub fn is_refusal(error: &(dyn std::error::Error + 'static)) -> bool {
    of_rustls(error).is_some_and(|error| {
        let demanded = matches!(error, rustls::Error::AlertReceived(alert) if is_about_us(*alert));
        demanded
            || matches!(
                error,
                rustls::Error::InvalidCertificate(_)
                    | rustls::Error::PeerIncompatible(_)
                    | rustls::Error::InvalidMessage(_)
            )
    })
}

/// Whether the server refuses our certificate, or what we speak. Other alerts may come of a server that just restarts.
fn is_about_us(alert: AlertDescription) -> bool {
    matches!(
        alert,
        AlertDescription::CertificateRequired
            | AlertDescription::BadCertificate
            | AlertDescription::UnknownCA
            | AlertDescription::CertificateUnknown
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateRevoked
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::HandshakeFailure
            | AlertDescription::ProtocolVersion
            | AlertDescription::AccessDenied
    )
}

/// `error` in words for an operator, where TLS is at fault: rustls's own show what the verifier says as the innards of a program.
pub fn told(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    let error = of_rustls(error)?;
    match error {
        rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(cause))) => {
            cause.downcast_ref().map(|CertificateRefusal(sentence)| sentence.clone())
        }
        rustls::Error::AlertReceived(alert) if is_about_us(*alert) => Some(format!("{error}; {DEMANDED}")),
        rustls::Error::InvalidMessage(_) => Some(format!("{error}; what listens there does not speak TLS")),
        _ => None,
    }
}

/// rustls's error, which stands inside an error of the system that does not name it as its source.
fn of_rustls<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a rustls::Error> {
    std::iter::successors(Some(error), |error| error.source()).find_map(|error| {
        let inner = error.downcast_ref::<std::io::Error>().and_then(|io| io.get_ref());
        let inner = inner.and_then(|inner| match inner.downcast_ref::<std::io::Error>() {
            Some(nested) => nested.get_ref()?.downcast_ref(),
            None => inner.downcast_ref(),
        });
        inner.or_else(|| error.downcast_ref())
    })
}

#[cfg(test)]
mod tests;
