//! TLS as servers of others are set up, and passwords that change.

#![expect(clippy::unwrap_used, reason = "the helpers of tests fail as tests do")]

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use devstack::{Stack, StackOptions};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use storage::{Database, Error, Server};
use tempfile::TempDir;
use tokio_postgres::error::SqlState;
use transport::{ClientFiles, TlsFiles};

use crate::eventually;

/// A PostgreSQL with TLS, which takes some users in one way only.
const HBA: &str = "hostssl all by_tls all trust\nhostnossl all by_tls all reject\n\
    hostssl all by_certificate all cert\n\
    host all by_password all scram-sha-256\n\
    host all all all trust\n";

struct Secured {
    stack: Stack,
    /// Of the server; the settings are relative to it.
    data: PathBuf,
    files: TempDir,
    admin: Database,
}

type Authority = CertifiedIssuer<'static, KeyPair>;

fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

fn authority(name: &str) -> Authority {
    let mut params = params(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

impl Secured {
    /// With the certificate of `server`, which as `openssl req -x509` makes it is signed by itself.
    async fn start(server: &Authority) -> Self {
        let options = StackOptions { postgres: true, rabbitmq: false, durable: false };
        let stack = tokio::task::spawn_blocking(move || Stack::start(&options).unwrap()).await.unwrap();
        let admin = Database::connect(&stack.postgres().database_url(), "tls-test", 1).unwrap();
        let client = admin.client().await.unwrap();
        let data: String = client.query_one("SHOW data_directory", &[]).await.unwrap().get(0);
        let secured = Self { stack, data: data.into(), files: TempDir::new().unwrap(), admin };
        secured.give("server.pem", &server.pem());
        secured.give("server.key", &server.key().serialize_pem());
        secured.give("pg_hba.conf", HBA);
        for statement in [
            "ALTER SYSTEM SET ssl_cert_file = 'server.pem'",
            "ALTER SYSTEM SET ssl_key_file = 'server.key'",
            "ALTER SYSTEM SET ssl = on",
            "CREATE ROLE by_tls LOGIN",
            "CREATE ROLE by_certificate LOGIN",
            "CREATE ROLE by_password LOGIN PASSWORD 'first'",
        ] {
            client.batch_execute(statement).await.unwrap();
        }
        secured.reload(&client).await;
        secured
    }

    /// A file of the server's.
    fn give(&self, name: &str, text: &str) {
        let (path, owner) = (self.data.join(name), fs::metadata(&self.data).unwrap());
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        chown(&path, Some(owner.uid()), Some(owner.gid())).unwrap();
    }

    /// A file of ours.
    fn keep(&self, name: &str, text: &str) -> PathBuf {
        let path = self.files.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }

    /// New sessions see what the server has been given; the server reads it soon after it is told.
    async fn reload(&self, client: &storage::Client) {
        client.batch_execute("SELECT pg_reload_conf()").await.unwrap();
        eventually("the server reads its settings", async || {
            let ssl: String = client.query_one("SHOW ssl", &[]).await.unwrap().get(0);
            ssl == "on" && self.as_user("by_tls", "?sslmode=disable").ping().await.is_err()
        })
        .await;
    }

    fn url(&self, user: &str, parameters: &str) -> String {
        let url = self.stack.postgres().database_url();
        format!("{}{parameters}", url.replace("//postgres@127.0.0.1", &format!("//{user}@localhost")))
    }

    fn as_user(&self, user: &str, parameters: &str) -> Database {
        Database::connect(&self.url(user, parameters), "tls-test", 2).unwrap()
    }

    fn with(&self, user: &str, parameters: &str, ca: &Path, client: Option<ClientFiles>) -> Database {
        let files = TlsFiles { ca: Some(ca.to_owned()), client };
        Database::connect(Server::new(self.url(user, parameters)).with_tls(files), "tls-test", 2).unwrap()
    }
}

async fn is_encrypted(database: &Database) -> Result<bool, Error> {
    let ssl = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    Ok(database.client().await?.query_one(ssl, &[]).await?.get(0))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_signed_by_itself_is_verified_and_nothing_else_is_taken() {
    let own = authority("localhost");
    let secured = Secured::start(&own).await;
    let ca = secured.keep("own.pem", &own.pem());
    let named = |mode: &str| format!("?sslmode={mode}&sslrootcert={}", ca.display());
    for database in [
        secured.with("by_tls", "?sslmode=require", &ca, None),
        secured.with("by_tls", "", &ca, None),
        secured.as_user("by_tls", &named("require")),
        secured.as_user("by_tls", &named("verify-ca")),
        secured.as_user("by_tls", &named("verify-full")),
        secured.as_user("by_tls", &named("require").replace("sslmode=require&", "")),
    ] {
        assert!(is_encrypted(&database).await.unwrap());
    }

    let other = secured.keep("other.pem", &authority("localhost").pem());
    for refused in [secured.as_user("by_tls", "?sslmode=require"), secured.with("by_tls", "", &other, None)] {
        let error = refused.ping().await.unwrap_err();
        assert!(error.is_outage() && error.is_misconfigured(), "{error}");
        let text = error.to_string();
        for word in [
            "PAYRELAY_DATABASE_CA_FILE",
            "sslrootcert",
            "SSL_CERT_FILE",
            "and refused; it is signed by itself",
            "CN=localhost",
        ] {
            assert!(text.contains(word) && !text.contains("OtherError"), "{word}: {text}");
        }
    }
    let wrong_mode = Database::connect(&secured.url("by_tls", "?sslmode=prefer"), "tls-test", 1).unwrap_err();
    assert!(matches!(wrong_mode, Error::Config(_)), "{wrong_mode}");
    assert!(!is_encrypted(&secured.as_user("postgres", "?sslmode=disable")).await.unwrap());
    assert!(secured.as_user("by_tls", "").ping().await.is_err(), "without a word about TLS there is none");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_certificate_is_shown_and_may_be_renewed() {
    let (own, clients) = (authority("localhost"), authority("Clients"));
    let secured = Secured::start(&own).await;
    secured.give("clients.pem", &clients.pem());
    let client = secured.admin.client().await.unwrap();
    client.batch_execute("ALTER SYSTEM SET ssl_ca_file = 'clients.pem'").await.unwrap();
    secured.reload(&client).await;

    let issue = |issuer: &Authority| {
        let key = KeyPair::generate().unwrap();
        let cert = params("by_certificate").signed_by(&key, issuer).unwrap();
        (cert.pem(), key.serialize_pem())
    };
    let ca = secured.keep("own.pem", &own.pem());
    let (pem, key) = issue(&clients);
    let files = ClientFiles { cert: secured.keep("cert.pem", &pem), key: secured.keep("key.pem", &key) };
    let by_settings = secured.with("by_certificate", "", &ca, Some(files.clone()));
    let named = format!("&sslcert={}&sslkey={}", files.cert.display(), files.key.display());
    let by_url = secured.as_user("by_certificate", &format!("?sslrootcert={}{named}", ca.display()));
    for database in [&by_settings, &by_url] {
        eventually("the server knows the authority of clients", async || {
            is_encrypted(database).await.is_ok()
        })
        .await;
    }
    assert!(secured.with("by_certificate", "", &ca, None).ping().await.unwrap_err().is_misconfigured());

    // The file changes, and with it the connections that are made from then on.
    let held = by_settings.client().await.unwrap();
    let (pem, key) = issue(&authority("Strangers"));
    fs::write(&files.cert, pem).unwrap();
    fs::write(&files.key, key).unwrap();
    assert!(by_settings.ping().await.is_err(), "the second connection shows a certificate of strangers");
    drop(held);
    assert!(by_settings.ping().await.is_ok(), "the first goes on");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_file_is_read_for_each_connection() {
    let own = authority("localhost");
    let secured = Secured::start(&own).await;
    let file = secured.keep("password", "first\n");
    let server = Server::new(secured.url("by_password", "")).with_password_file(Some(file.clone()));
    let database = Database::connect(server.clone(), "tls-test", 4).unwrap();
    let first = database.client().await.unwrap();

    let admin = secured.admin.client().await.unwrap();
    admin.batch_execute("ALTER ROLE by_password PASSWORD 'second hunter2'").await.unwrap();
    let refused = database.ping().await.unwrap_err();
    assert_eq!(refused.code().map(SqlState::code), Some("28P01"), "{refused}");
    fs::write(&file, "second hunter2\r\n").unwrap();
    let second = database.client().await.unwrap();
    assert!(first.simple_query("SELECT 1").await.is_ok() && second.simple_query("SELECT 1").await.is_ok());

    for (break_it, expected) in [
        (&(|| fs::write(&file, "\n").unwrap()) as &dyn Fn(), "is empty"),
        (&|| fs::write(&file, "x".repeat(70_000)).unwrap(), "more than"),
        (&|| fs::remove_file(&file).unwrap(), "cannot be read"),
    ] {
        break_it();
        let error = database.ping().await.unwrap_err();
        let text = error.to_string();
        assert!(error.is_outage() && !error.is_misconfigured(), "{text}");
        assert!(text.contains("PAYRELAY_DATABASE_PASSWORD_FILE") && text.contains(expected), "{text}");
        assert!(text.contains(&file.display().to_string()) && !text.contains("hunter2"), "{text}");
    }
    fs::write(&file, "second hunter2").unwrap();
    assert!(database.ping().await.is_ok());

    let twice = Server::new(secured.url("by_password:hunter2", "")).with_password_file(Some(file));
    let error = Database::connect(twice, "tls-test", 1).unwrap_err().to_string();
    assert!(error.contains("remove one") && !error.contains("hunter2"), "{error}");
}
