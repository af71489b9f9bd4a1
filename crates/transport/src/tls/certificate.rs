//! What a presented certificate says of itself.

use std::time::Duration;

use rustls::client::verify_server_name;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use x509_cert::Certificate;
use x509_cert::der::oid::db::rfc4519::COMMON_NAME;
use x509_cert::der::oid::db::rfc5280::ID_CE_SUBJECT_ALT_NAME;
use x509_cert::der::{Decode as _, asn1};
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

/// Longest text of a certificate that is shown: the server chose it.
const MAX_SHOWN_CHARS: usize = 160;

/// A certificate that was read for its names and dates.
pub(super) struct Presented<'a> {
    der: &'a CertificateDer<'a>,
    certificate: Certificate,
}

impl<'a> Presented<'a> {
    /// `None` for what is no certificate.
    pub(super) fn read(der: &'a CertificateDer<'a>) -> Option<Self> {
        Some(Self { der, certificate: Certificate::from_der(der).ok()? })
    }

    pub(super) fn der(&self) -> &CertificateDer<'a> {
        self.der
    }

    pub(super) fn is_signed_by_itself(&self) -> bool {
        self.certificate.tbs_certificate.subject == self.certificate.tbs_certificate.issuer
    }

    /// Whether `now` is within its validity.
    pub(super) fn is_valid_at(&self, now: UnixTime) -> bool {
        let validity = &self.certificate.tbs_certificate.validity;
        let now = Duration::from_secs(now.as_secs());
        validity.not_before.to_unix_duration() <= now && now <= validity.not_after.to_unix_duration()
    }

    /// Whether it is for this host: by its alternative names, or without any by its common name, as libpq reads it.
    pub(super) fn is_for(&self, host: &ServerName<'_>) -> bool {
        if self.has_alternative_names() {
            let parsed = ParsedCertificate::try_from(self.der);
            return parsed.is_ok_and(|parsed| verify_server_name(&parsed, host).is_ok());
        }
        let host = host.to_str();
        self.common_names().iter().any(|name| name.eq_ignore_ascii_case(&host))
    }

    /// One line about it, safe to log.
    pub(super) fn describe(&self) -> String {
        let tbs = &self.certificate.tbs_certificate;
        let names = self.names();
        let names = if names.is_empty() { "no host".to_owned() } else { names.join(", ") };
        let issuer =
            if self.is_signed_by_itself() { "itself".to_owned() } else { shown(&tbs.issuer.to_string()) };
        format!(
            "subject {}, issued by {issuer}, for {}, valid from {} to {}",
            shown(&tbs.subject.to_string()),
            shown(&names),
            tbs.validity.not_before,
            tbs.validity.not_after
        )
    }

    fn has_alternative_names(&self) -> bool {
        let extensions = self.certificate.tbs_certificate.extensions.as_ref();
        extensions.is_some_and(|all| all.iter().any(|extension| extension.extn_id == ID_CE_SUBJECT_ALT_NAME))
    }

    fn names(&self) -> Vec<String> {
        match self.certificate.tbs_certificate.get::<SubjectAltName>() {
            Ok(Some((_, SubjectAltName(names)))) => names.iter().filter_map(alternative).collect(),
            _ => self.common_names(),
        }
    }

    fn common_names(&self) -> Vec<String> {
        let names = self.certificate.tbs_certificate.subject.0.iter().flat_map(|name| name.0.iter());
        names.filter(|name| name.oid == COMMON_NAME).filter_map(|name| text(&name.value)).collect()
    }
}

fn alternative(name: &GeneralName) -> Option<String> {
    match name {
        GeneralName::DnsName(name) => Some(name.to_string()),
        GeneralName::IpAddress(bytes) => match *bytes.as_bytes() {
            [a, b, c, d] => Some(std::net::Ipv4Addr::new(a, b, c, d).to_string()),
            ref bytes => {
                <[u8; 16]>::try_from(bytes).ok().map(|bytes| std::net::Ipv6Addr::from(bytes).to_string())
            }
        },
        _ => None,
    }
}

fn text(value: &x509_cert::der::Any) -> Option<String> {
    let utf8 = value.decode_as::<asn1::Utf8StringRef<'_>>().map(|text| text.to_string());
    utf8.or_else(|_| value.decode_as::<asn1::PrintableStringRef<'_>>().map(|text| text.to_string())).ok()
}

fn shown(text: &str) -> String {
    text.chars().take(MAX_SHOWN_CHARS).flat_map(char::escape_debug).collect()
}
