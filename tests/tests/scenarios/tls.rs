//! A database whose certificate a private authority has issued.

use std::fs;
use std::io::Read as _;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use scenarios::{Options, Pipeline, Servers, run_program, until};
use tokio_postgres::{Client, NoTls};

type Authority = CertifiedIssuer<'static, KeyPair>;

const AMOUNT_MINOR: i64 = 1_000;

fn authority() -> Authority {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a certificate")
}

/// The certificate and the key of a server on this machine.
fn issued(authority: &Authority) -> (rcgen::Certificate, KeyPair) {
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(["localhost".to_owned()]).expect("a name");
    (params.signed_by(&key, authority).expect("a certificate"), key)
}

async fn session(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.expect("a connection");
    tokio::spawn(connection);
    client
}

/// Gives the server a certificate, and takes connections over TCP by TLS alone, but for those of superusers.
async fn secure(url: &str, authority: &Authority) {
    let client = session(url).await;
    let data: String = client.query_one("SHOW data_directory", &[]).await.expect("a folder").get(0);
    let (data, owner) = (Path::new(&data), fs::metadata(&data).expect("a folder"));
    let (cert, key) = issued(authority);
    let hba = "host all postgres all trust\nhostssl all pay all scram-sha-256\n";
    for (name, text) in
        [("c.pem", cert.pem()), ("k.pem", key.serialize_pem()), ("pg_hba.conf", hba.to_owned())]
    {
        fs::write(data.join(name), text).expect("a file");
        fs::set_permissions(data.join(name), fs::Permissions::from_mode(0o600)).expect("a file");
        chown(data.join(name), Some(owner.uid()), Some(owner.gid())).expect("a file");
    }
    for statement in [
        "CREATE ROLE pay LOGIN PASSWORD 'first hunter2'",
        "GRANT ALL ON DATABASE postgres TO pay",
        "ALTER SYSTEM SET ssl_cert_file = 'c.pem'",
        "ALTER SYSTEM SET ssl_key_file = 'k.pem'",
        "ALTER SYSTEM SET ssl = on",
        "SELECT pg_reload_conf()",
    ] {
        client.batch_execute(statement).await.expect("valid SQL");
    }
    until("TLS", async || {
        let ssl: String = client.query_one("SHOW ssl", &[]).await.expect("a setting").get(0);
        if ssl == "on" { Ok(()) } else { Err(ssl) }
    })
    .await;
}

/// A merchant's endpoint whose certificate the same authority has issued; counts the requests that get through.
fn endpoint(authority: &Authority) -> (String, Arc<AtomicUsize>) {
    let (cert, key) = issued(authority);
    let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .map(Arc::new)
        .expect("a certificate");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("https://localhost:{}/hook", listener.local_addr().expect("an address").port());
    let requests = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&requests);
    thread::spawn(move || {
        for connection in listener.incoming() {
            let (Ok(stream), Ok(server)) = (connection, ServerConnection::new(Arc::clone(&config))) else {
                break;
            };
            if StreamOwned::new(server, stream).read(&mut [0; 64]).is_ok_and(|read| read > 0) {
                counted.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    (url, requests)
}

/// All services and `payrelay migrate` reach the database; webhooks are verified by the system's certificates as before; a new password
/// needs no restart, and a file that is away no service.
#[tokio::test(flavor = "multi_thread")]
async fn a_private_authority_is_trusted_for_the_database_and_for_no_webhook() {
    let (authority, folder) = (authority(), tempfile::tempdir().expect("a folder"));
    let (ca, password) = (folder.path().join("ca.pem"), folder.path().join("password"));
    fs::write(&ca, authority.pem()).expect("a file");
    fs::write(&password, "first hunter2\n").expect("a file");
    let servers = tokio::task::block_in_place(Servers::own);
    let plain = servers.database_url();
    secure(&plain, &authority).await;
    let url = plain.replace("postgres@127.0.0.1", "pay@localhost");
    let leak = |path: &Path| &*path.display().to_string().leak();
    let environment = vec![
        ("PAYRELAY_DATABASE_URL", &*url.leak()),
        ("PAYRELAY_DATABASE_CA_FILE", leak(&ca)),
        ("PAYRELAY_DATABASE_PASSWORD_FILE", leak(&password)),
        ("PAYRELAY_LOG", "info,lapin=off"),
    ];
    let migrated = run_program("payrelay", &["migrate"], &environment).await;
    assert_eq!(migrated.code, Some(0), "{migrated:?}");
    let unknown = [
        ("PAYRELAY_DATABASE_CA_FILE", ""),
        ("PAYRELAY_DATABASE_URL", &*format!("{}?sslmode=require", environment[0].1).leak()),
    ];
    let refused = run_program("payrelay", &["migrate"], &[&environment[..], &unknown].concat()).await;
    assert_eq!(refused.code, Some(78), "{refused:?}");
    assert!(refused.stderr.contains("SSL_CERT_FILE") && !refused.stderr.contains("hunter2"), "{refused:?}");

    let pipeline = Pipeline::start(servers, Options { environment, ..Options::default() }).await;
    let (endpoint, requests) = endpoint(&authority);
    let merchant = pipeline.add_merchant("m1", &endpoint).await;
    let shop = pipeline.shop(&merchant);
    let pay = async |order_no: &str| {
        shop.pay(order_no, AMOUNT_MINOR).await;
        until(&format!("payment of {order_no}"), async || {
            let order = shop.order(order_no).await;
            if order["status"] == "PAID" { Ok(()) } else { Err(order.to_string()) }
        })
        .await;
    };
    pay("S-1").await;
    until("attempt that is refused", async || {
        let trace = pipeline.payrelay(&["trace", "S-1", "--json"]).await.stdout;
        if trace.contains("UnknownIssuer") { Ok(()) } else { Err(trace) }
    })
    .await;
    assert_eq!(
        requests.load(Ordering::Relaxed),
        0,
        "no webhook goes to whom a private authority vouches for"
    );

    // The old connections end, so that each service must make new ones.
    let admin = session(&plain).await;
    fs::remove_file(&password).expect("a file");
    admin.batch_execute("ALTER ROLE pay PASSWORD 'second hunter2'").await.expect("valid SQL");
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'pay'";
    admin.batch_execute(end).await.expect("valid SQL");
    until("log of the file that is away", async || {
        let log = pipeline.ingress[0].log();
        if log.contains("PAYRELAY_DATABASE_PASSWORD_FILE names") { Ok(()) } else { Err(log) }
    })
    .await;
    fs::write(&password, "second hunter2\n").expect("a file");
    for service in [&pipeline.ingress[0], &pipeline.order_service[0], &pipeline.notifier[0]] {
        service.ready().await;
        assert!(!service.log().contains("hunter2"), "{}", service.log());
    }
    pay("S-2").await;
}
