use std::fs;
use std::path::Path;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    date_time_ymd,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{ServerName, UnixTime};
use tempfile::TempDir;

use super::*;

const SETTINGS: &str = "PAYRELAY_X_CA_FILE or SSL_CERT_FILE";

/// As `openssl req -x509` makes it: signed by itself, and marked as that of an authority.
fn self_signed(names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> (String, String) {
    let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    change(&mut params);
    let key = KeyPair::generate().unwrap();
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

fn authority(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn issued(
    issuer: &CertifiedIssuer<'_, KeyPair>,
    names: &[&str],
    change: impl FnOnce(&mut CertificateParams),
) -> (String, String) {
    let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    change(&mut params);
    let key = KeyPair::generate().unwrap();
    (params.signed_by(&key, issuer).unwrap().pem(), key.serialize_pem())
}

fn file(folder: &TempDir, name: &str, text: &str) -> PathBuf {
    let path = folder.path().join(name);
    fs::write(&path, text).unwrap();
    path
}

/// What the verifier with this CA file says of a server that presents `pem` under `host`.
fn verify(ca: &Path, pem: &str, host: &str) -> Result<(), String> {
    let files = TlsFiles { ca: Some(ca.to_owned()), client: None };
    let verifier = Tls::new(files, SETTINGS).unwrap().verifier().unwrap();
    let presented = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
    let host = ServerName::try_from(host.to_owned()).unwrap();
    let now = UnixTime::since_unix_epoch(Duration::from_secs(1_800_000_000));
    verifier.verify_server_cert(&presented, &[], &host, &[], now).map(drop).map_err(|error| error.to_string())
}

fn common_name(params: &mut CertificateParams, name: &str) {
    params.distinguished_name.push(DnType::CommonName, name);
}

#[test]
fn a_certificate_signed_by_itself_is_taken_if_it_is_the_one_in_the_file() {
    let folder = TempDir::new().unwrap();
    let (pem, _) = self_signed(&["db.internal", "10.0.0.5"], |_| {});
    let ca = file(&folder, "c.pem", &format!("as openssl -text writes\n{pem}"));
    for host in ["db.internal", "10.0.0.5", "DB.internal"] {
        assert_eq!(verify(&ca, &pem, host), Ok(()), "{host}");
    }
    let wrong = verify(&ca, &pem, "other.internal").unwrap_err();
    assert!(
        wrong.contains("not for the host other.internal") && wrong.contains("db.internal, 10.0.0.5"),
        "{wrong}"
    );

    let (twin, _) = self_signed(&["db.internal", "10.0.0.5"], |_| {});
    let wrong = verify(&ca, &twin, "db.internal").unwrap_err();
    assert!(wrong.contains("signed by itself") && wrong.contains(SETTINGS), "{wrong}");
    assert!(wrong.contains("c.pem"), "{wrong}");
}

#[test]
fn dates_hold_for_a_certificate_in_the_file_too() {
    let folder = TempDir::new().unwrap();
    for (from, to) in [((2020, 1, 1), (2021, 1, 1)), ((2090, 1, 1), (2091, 1, 1))] {
        let (pem, _) = self_signed(&["db"], |params| {
            params.not_before = date_time_ymd(from.0, from.1, from.2);
            params.not_after = date_time_ymd(to.0, to.1, to.2);
        });
        let wrong = verify(&file(&folder, "c.pem", &pem), &pem, "db").unwrap_err();
        assert!(wrong.contains("out of its dates") && wrong.contains(&to.0.to_string()), "{wrong}");
        assert!(!wrong.contains("signed by itself and"), "{wrong}");
    }
}

#[test]
fn the_common_name_counts_only_without_alternative_names_and_in_the_file() {
    let folder = TempDir::new().unwrap();
    let (pem, _) = self_signed(&[], |params| common_name(params, "dbhost.example.com"));
    let ca = file(&folder, "c.pem", &pem);
    assert_eq!(verify(&ca, &pem, "dbhost.example.com"), Ok(()));
    assert!(verify(&ca, &pem, "example.com").is_err());
    let (pem, _) = self_signed(&["db"], |params| common_name(params, "dbhost.example.com"));
    assert!(verify(&file(&folder, "d.pem", &pem), &pem, "dbhost.example.com").is_err());

    let authority = authority("Common");
    let (pem, _) = issued(&authority, &[], |params| common_name(params, "dbhost.example.com"));
    let wrong = verify(&file(&folder, "e.pem", &authority.pem()), &pem, "dbhost.example.com").unwrap_err();
    assert!(wrong.contains("with subjectAltName dbhost.example.com"), "{wrong}");
}

#[test]
fn an_authority_is_trusted_for_what_it_issued_and_no_other() {
    let folder = TempDir::new().unwrap();
    let (ours, foreign) = (authority("Ours"), authority("Foreign"));
    let ca = file(&folder, "ca.pem", &format!("{}{}", self_signed(&["x"], |_| {}).0, ours.pem()));
    let (good, _) = issued(&ours, &["db"], |_| {});
    assert_eq!(verify(&ca, &good, "db"), Ok(()));
    assert!(verify(&ca, &good, "db2").unwrap_err().contains("not for the host db2"));
    let (bad, _) = issued(&foreign, &["db"], |_| {});
    let wrong = verify(&ca, &bad, "db").unwrap_err();
    assert!(
        wrong.contains("none of them has issued it") && wrong.contains("issued by CN=Foreign"),
        "{wrong}"
    );
    // An authority that pretends to be one in the file has another key.
    let pretender = authority("Ours");
    assert!(verify(&ca, &pretender.pem(), "db").is_err());
    let (late, _) = issued(&ours, &["db"], |params| params.not_after = date_time_ymd(2020, 1, 1));
    assert!(verify(&ca, &late, "db").unwrap_err().contains("out of its dates"));
}

#[test]
fn a_server_chose_the_text_of_its_certificate() {
    let folder = TempDir::new().unwrap();
    let (pem, _) =
        self_signed(&["db"], |params| common_name(params, &format!("a\nlevel=ERROR {}", "x".repeat(500))));
    let other = file(&folder, "c.pem", &self_signed(&["db"], |_| {}).0);
    let wrong = verify(&other, &pem, "db").unwrap_err();
    assert!(!wrong.contains('\n') && wrong.len() < 900, "{wrong}");
}

#[test]
fn files_that_cannot_be_used_are_named_and_not_quoted() {
    let folder = TempDir::new().unwrap();
    let issuer = authority("Ours");
    let (cert, key) = issued(&issuer, &["client"], |_| {});
    let (cert, key) = (file(&folder, "cert.pem", &cert), file(&folder, "key.pem", &key));
    let ca = file(&folder, "ca.pem", &issuer.pem());
    let empty = file(&folder, "empty.pem", "");
    let hunter = file(&folder, "hunter.pem", "-----BEGIN hunter2\nhunter2\n");
    let damaged =
        file(&folder, "damaged.pem", "-----BEGIN CERTIFICATE-----\nhunter2!\n-----END CERTIFICATE-----\n");
    let unended = file(&folder, "unended.pem", "-----BEGIN PRIVATE KEY-----\nhunter2\n");
    let missing = folder.path().join("missing.pem");
    let client = |cert: &PathBuf, key: &PathBuf| Some(ClientFiles { cert: cert.clone(), key: key.clone() });
    let good = TlsFiles { ca: Some(ca.clone()), client: client(&cert, &key) };
    assert!(Tls::new(good, SETTINGS).is_ok());
    for ca in [&empty, &hunter, &damaged, &missing, &key] {
        let wrong =
            Tls::new(TlsFiles { ca: Some(ca.clone()), client: None }, SETTINGS).unwrap_err().to_string();
        assert!(wrong.contains(&ca.display().to_string()) && !wrong.contains("hunter2"), "{wrong}");
    }
    let foreign = file(&folder, "foreign.pem", &issued(&issuer, &["x"], |_| {}).1);
    for (cert, key) in [
        (&cert, &empty),
        (&cert, &hunter),
        (&cert, &unended),
        (&cert, &missing),
        (&hunter, &key),
        (&cert, &foreign),
    ] {
        let files = TlsFiles { ca: Some(ca.clone()), client: client(cert, key) };
        let wrong = Tls::new(files, SETTINGS).unwrap_err().to_string();
        assert!(!wrong.contains("hunter2") && wrong.contains(".pem"), "{wrong}");
    }
}

#[test]
fn files_are_read_again_for_each_connection() {
    let folder = TempDir::new().unwrap();
    let (ours, renewed) = (authority("Ours"), authority("Renewed"));
    let ca = file(&folder, "ca.pem", &ours.pem());
    let tls = Tls::new(TlsFiles { ca: Some(ca.clone()), client: None }, SETTINGS).unwrap();
    let (pem, _) = issued(&renewed, &["db"], |_| {});
    let presented = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
    let host = ServerName::try_from("db").unwrap();
    let verify = || tls.verifier().unwrap().verify_server_cert(&presented, &[], &host, &[], UnixTime::now());
    assert!(verify().is_err());
    fs::write(&ca, renewed.pem()).unwrap();
    assert!(verify().is_ok());
    fs::write(&ca, "").unwrap();
    assert!(tls.client_config().is_err());
}
