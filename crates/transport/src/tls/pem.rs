//! Reading certificates and keys. The parser's own errors quote lines of the file, so they are not shown.

use std::env;
use std::path::Path;

use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::TlsError;
use crate::shown_path;

/// All certificates of a PEM file, at least one.
pub(super) fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let expected = "expected one or more certificates in PEM (-----BEGIN CERTIFICATE-----)";
    let read = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match read {
        Ok(certificates) if certificates.is_empty() => {
            Err(TlsError(format!("{}: {expected}, got none", shown_path(file))))
        }
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(unusable(file, expected, &error)),
    }
}

/// The first private key of a PEM file.
pub(super) fn private_key(file: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_file(file)
        .map_err(|error| unusable(file, "expected a private key in PEM without a passphrase", &error))
}

fn unusable(file: &Path, expected: &str, error: &pem::Error) -> TlsError {
    let file = shown_path(file);
    TlsError(match error {
        pem::Error::Io(error) => format!("cannot read {file}: {error}"),
        pem::Error::NoItemsFound => format!("{file}: {expected}, got none"),
        _ => format!("{file}: {expected}, got a damaged one"),
    })
}

/// The certificates of the system, at least one.
pub(super) fn system_certificates(settings: &str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found = rustls_native_certs::load_native_certs().certs;
    if found.is_empty() {
        return Err(TlsError(format!(
            "there are no certificates to verify servers by: {} holds none; name them by {settings}",
            system_source()
        )));
    }
    Ok(found)
}

/// Where the certificates of the system come from.
pub(super) fn system_source() -> String {
    let named = ["SSL_CERT_FILE", "SSL_CERT_DIR"].map(|name| {
        let value = env::var_os(name).filter(|value| !value.is_empty())?;
        Some(format!("{name}={}", shown_path(Path::new(&value))))
    });
    let named: Vec<_> = named.into_iter().flatten().collect();
    if named.is_empty() { "the system's store".to_owned() } else { named.join(" and ") }
}
