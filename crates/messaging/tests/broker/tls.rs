//! A broker with TLS, as those of others are set up.

use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::path::PathBuf;

use devstack::testing::free_port;
use devstack::{RabbitMq, Stack, StackOptions};
use messaging::management::Management;
use messaging::{Broker, Error, RetryDelays, Topology};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tempfile::TempDir;
use transport::{ClientFiles, TlsFiles};

use crate::support::until;

type Authority = CertifiedIssuer<'static, KeyPair>;

fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

fn authority(name: &str) -> Authority {
    let mut params = params(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

struct Secured {
    stack: Stack,
    folder: TempDir,
    amqps: u16,
    https: u16,
}

impl Secured {
    /// A broker that presents the certificate of `server` and demands one of `clients`.
    fn start(server: &Authority, clients: &Authority) -> Self {
        let stack = Stack::start(&StackOptions { postgres: false, rabbitmq: true, durable: false }).unwrap();
        let secured = Self { stack, folder: TempDir::new().unwrap(), amqps: free_port(), https: free_port() };
        let [cert, key, ca] = [
            ("server.pem", server.pem()),
            ("server.key", server.key().serialize_pem()),
            ("clients.pem", clients.pem()),
        ]
        .map(|(name, text)| secured.keep(name, &text).display().to_string());
        let rabbitmq = secured.rabbitmq();
        rabbitmq.stop().unwrap();
        let tls = ["ssl_options", "management.ssl"].map(|prefix| {
            format!(
                "{prefix}.certfile = {cert}\n{prefix}.keyfile = {key}\n{prefix}.cacertfile = {ca}\n\
                 {prefix}.verify = verify_peer\n{prefix}.fail_if_no_peer_cert = true\n"
            )
        });
        let lines = format!(
            "listeners.ssl.1 = 127.0.0.1:{}\nmanagement.ssl.ip = 127.0.0.1\nmanagement.ssl.port = {}\n{}",
            secured.amqps,
            secured.https,
            tls.concat()
        );
        rabbitmq.configure(&lines).unwrap();
        rabbitmq.start().unwrap();
        secured
    }

    fn listens(&self) -> bool {
        [self.amqps, self.https].iter().all(|&port| TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok())
    }

    fn rabbitmq(&self) -> &RabbitMq {
        self.stack.rabbitmq()
    }

    fn keep(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }

    fn url(&self, host: &str, parameters: &str) -> String {
        format!("amqps://guest:guest@{host}:{}/%2f{parameters}", self.amqps)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_is_verified_and_shown_a_certificate() {
    let (own, clients) = (authority("broker"), authority("clients"));
    let secured = tokio::task::block_in_place(|| Secured::start(&own, &clients));
    // The broker counts as started when it listens without TLS.
    until("the broker listens with TLS", || secured.listens()).await;
    let key = KeyPair::generate().unwrap();
    let cert = params("payrelay").signed_by(&key, &clients).unwrap().pem();
    let ca = secured.keep("own.pem", &own.pem());
    let client = ClientFiles {
        cert: secured.keep("cert.pem", &cert),
        key: secured.keep("key.pem", &key.serialize_pem()),
    };
    let files = TlsFiles { ca: Some(ca.clone()), client: Some(client.clone()) };

    let broker = Broker::with_tls(&secured.url("localhost", ""), files, "test").unwrap();
    broker.declare(&Topology::payrelay(&RetryDelays::default())).await.unwrap();
    let named = format!(
        "?cacertfile={}&certfile={}&keyfile={}",
        ca.display(),
        client.cert.display(),
        client.key.display()
    );
    Broker::new(&secured.url("localhost", &named), "test").unwrap().ping().await.unwrap();
    let held =
        Management::new(&format!("https://localhost:{}", secured.https), &broker).unwrap().read().await;
    assert!(held.unwrap().queues.len() > 4);

    let none = TlsFiles { ca: Some(ca.clone()), client: None };
    let refused = Broker::with_tls(&secured.url("localhost", ""), none.clone(), "test").unwrap().ping().await;
    let text = refused.unwrap_err().to_string();
    assert!(text.contains("client certificate"), "{text}");

    let other = secured.keep("other.pem", &authority("broker").pem());
    let wrong = TlsFiles { ca: Some(other), ..none.clone() };
    for refused in [
        Broker::new(&secured.url("localhost", ""), "test").unwrap(),
        Broker::with_tls(&secured.url("localhost", ""), wrong, "test").unwrap(),
    ] {
        let error = refused.ping().await.unwrap_err();
        assert!(matches!(error, Error::Broker(_)));
        let text = error.to_string();
        for word in [
            "PAYRELAY_AMQP_CA_FILE",
            "cacertfile",
            "SSL_CERT_FILE",
            "and refused; it is signed by itself",
            "CN=broker",
        ] {
            assert!(text.contains(word) && !text.contains("OtherError"), "{word}: {text}");
        }
        let management = Management::new(&format!("https://localhost:{}", secured.https), &refused).unwrap();
        let text = management.read().await.unwrap_err().to_string();
        assert!(text.contains("PAYRELAY_AMQP_CA_FILE"), "{text}");
    }
    let misnamed = Broker::with_tls(&secured.url("127.0.0.1", ""), none, "test").unwrap().ping().await;
    let text = misnamed.unwrap_err().to_string();
    assert!(text.contains("not for the host 127.0.0.1") && text.contains("for localhost"), "{text}");

    let plain =
        secured.rabbitmq().amqp_url().replace("amqp://", "amqps://").replace("127.0.0.1", "localhost");
    let files = TlsFiles { ca: Some(ca), client: None };
    let text = Broker::with_tls(&plain, files, "test").unwrap().ping().await.unwrap_err().to_string();
    assert!(text.contains("does not speak TLS"), "{text}");
}

#[test]
fn files_that_cannot_be_used_are_told_at_once() {
    for (url, files) in [
        ("amqps://mq?cacertfile=/usr/share/missing.pem", TlsFiles::default()),
        ("amqp://mq", TlsFiles { ca: Some("/usr/share/missing.pem".into()), client: None }),
    ] {
        let error = Broker::with_tls(url, files, "test").unwrap_err();
        assert!(
            matches!(error, Error::Tls(_)) && error.to_string().contains("/usr/share/missing.pem"),
            "{error}"
        );
    }
}
