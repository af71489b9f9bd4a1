//! webpki's verification, and one addition: a server may present a certificate that is itself among the trusted ones.
//!
//! That is what `openssl req -x509` makes and PostgreSQL's manual shows. webpki refuses it, for it is marked as that of an
//! authority. A certificate that is byte for byte one of the trusted ones is taken if its dates and names fit; the handshake's
//! signature is verified as always.

use std::fmt;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme};

use super::TlsError;
use super::certificate::Presented;

/// The certificates that servers are verified by, and where they come from.
#[derive(Debug)]
pub(super) struct Trusted {
    pub(super) certificates: Arc<[CertificateDer<'static>]>,
    pub(super) from: String,
}

#[derive(Debug)]
pub(super) struct Verifier {
    webpki: Arc<WebPkiServerVerifier>,
    trusted: Trusted,
    settings: &'static str,
}

/// Why a server's certificate is refused, in one sentence.
#[derive(Debug)]
pub(super) struct CertificateRefusal(pub(super) String);

impl fmt::Display for CertificateRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for CertificateRefusal {}

impl Verifier {
    pub(super) fn new(trusted: Trusted, settings: &'static str) -> Result<Self, TlsError> {
        let mut roots = RootCertStore::empty();
        let (added, _ignored) = roots.add_parsable_certificates(trusted.certificates.iter().cloned());
        let unusable =
            || TlsError(format!("no certificate of {} can be used to verify a server", trusted.from));
        if added == 0 {
            return Err(unusable());
        }
        let webpki = WebPkiServerVerifier::builder(Arc::new(roots)).build().map_err(|_| unusable())?;
        Ok(Self { webpki, trusted, settings })
    }

    fn is_pinned(&self, presented: &CertificateDer<'_>) -> bool {
        self.trusted.certificates.iter().any(|trusted| trusted.as_ref() == presented.as_ref())
    }

    /// What is wrong with the certificate, what it was verified by, and what to do.
    fn explain(
        &self,
        presented: Option<&Presented<'_>>,
        host: &ServerName<'_>,
        now: UnixTime,
        error: &Error,
    ) -> String {
        let Some(certificate) = presented else {
            return "the server's certificate cannot be read; give the server another one".to_owned();
        };
        let (settings, host) = (self.settings, (host, host.to_str()));
        let mut wrong = Vec::new();
        if !certificate.is_valid_at(now) {
            wrong.push("it is out of its dates: give the server a valid one".to_owned());
        }
        if is_about_the_name(error) || !certificate.is_for(host.0) {
            wrong.push(format!(
                "it is not for the host {0}: connect by a name that it is for, or give the server one with subjectAltName {0}",
                host.1
            ));
        }
        if certificate.is_signed_by_itself() && !self.is_pinned(certificate.der()) {
            let advice = "to trust it, name a file that holds it by";
            wrong.push(format!("it is signed by itself and is none of them: {advice} {settings}"));
        } else if matches!(error, Error::InvalidCertificate(CertificateError::UnknownIssuer)) {
            let advice = "name a file with the certificate of its issuer by";
            wrong.push(format!("none of them has issued it: {advice} {settings}"));
        }
        if wrong.is_empty() {
            wrong.push(format!(
                "{error}: give the server another one, or name other certificates by {settings}"
            ));
        }
        format!(
            "the server's certificate ({}) was verified against {} and refused; {}",
            certificate.describe(),
            self.trusted.from,
            wrong.join("; ")
        )
    }
}

fn is_about_the_name(error: &Error) -> bool {
    use CertificateError::{NotValidForName, NotValidForNameContext};
    matches!(error, Error::InvalidCertificate(NotValidForName | NotValidForNameContext { .. }))
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified =
            self.webpki.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        let Err(error) = verified else { return verified };
        let presented = Presented::read(end_entity);
        let fits = |presented: &Presented<'_>| presented.is_valid_at(now) && presented.is_for(server_name);
        if self.is_pinned(end_entity) && presented.as_ref().is_some_and(fits) {
            return Ok(ServerCertVerified::assertion());
        }
        let refusal = CertificateRefusal(self.explain(presented.as_ref(), server_name, now, &error));
        Err(Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(refusal)))))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.webpki.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.webpki.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.webpki.supported_verify_schemes()
    }
}
