//! What goes out in each format, opened and verified as a merchant does it, with nothing of ours.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use aes_gcm::aead::{Aead as _, KeyInit as _, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest as _, Md5};
use merchant_notifier::keyring::Keyring;
use merchant_notifier::store::endpoints;
use merchant_notifier::{Ack, Change, EndpointChange, Format, Signature};
use serde::Deserialize;
use serde_json::Value;
use tokio::net::TcpListener;
use webhooks::{Headers, VerifyingKey, verify};

use crate::support::{TestDatabase, event, eventually, merchant, refund_of};
use crate::webhooks::{LADDER, Replica, statuses, vault};

/// A request as it came in.
#[derive(Debug, Clone)]
struct Caught {
    headers: HeaderMap,
    body: Vec<u8>,
}

type Answers = BTreeMap<String, (u16, String)>;

/// An HTTP server that believes everything, and answers each path as it is told.
#[derive(Clone, Default)]
struct Catcher {
    url: String,
    answers: Arc<Answers>,
    caught: Arc<Mutex<Vec<Caught>>>,
}

impl Catcher {
    async fn start(answers: Answers) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let catcher = Self { url, answers: Arc::new(answers), ..Self::default() };
        let router = Router::new().fallback(catch).with_state(catcher.clone());
        tokio::spawn(axum::serve(listener, router).into_future());
        catcher
    }

    async fn wait_for(&self, count: usize) -> Vec<Caught> {
        let caught = || self.caught.lock().unwrap().clone();
        eventually("requests", async || Some(caught()).filter(|caught| caught.len() >= count)).await
    }
}

async fn catch(
    State(catcher): State<Catcher>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, String) {
    catcher.caught.lock().unwrap().push(Caught { headers, body: body.into() });
    let (status, body) = catcher.answers.get(uri.path()).cloned().unwrap_or((200, "success".to_owned()));
    (StatusCode::from_u16(status).unwrap(), body)
}

/// An endpoint of this format with these keys.
async fn connect(db: &TestDatabase, id: &str, url: &str, format: Format, keyring: &Keyring) {
    let change = EndpointChange {
        url: Change::Set(url.to_owned()),
        format: Some(format),
        ack: Some(Ack::Success),
        ..EndpointChange::default()
    };
    let sealed = vault().seal(&merchant(id), keyring).unwrap();
    endpoints::put(&db.database.client().await.unwrap(), &merchant(id), &change, &sealed).await.unwrap();
}

/// The fields of a form whose signature is right, by a merchant's own code.
fn verified_form(caught: &Caught, key: &str) -> BTreeMap<String, String> {
    assert_eq!(caught.headers["content-type"], "application/x-www-form-urlencoded");
    let mut form: BTreeMap<String, String> = url::form_urlencoded::parse(&caught.body).into_owned().collect();
    let signature = form.remove("sign").unwrap();
    let mut parts: Vec<String> = form.iter().map(|(name, value)| format!("{name}={value}&")).collect();
    parts.sort_by_key(|part| part.to_lowercase());
    let digest = Md5::digest(format!("{}key={key}", parts.concat()));
    assert_eq!(signature, hex::encode_upper(digest));
    form
}

fn accepts(caught: &Caught, key: &str) -> bool {
    let keys: [VerifyingKey; 1] = [key.parse().unwrap()];
    let headers = Headers::from_lookup(|name| caught.headers.get(name)?.to_str().ok());
    verify(&keys, &headers, &caught.body, time::OffsetDateTime::now_utc().unix_timestamp()).is_ok()
}

fn header<'a>(caught: &'a Caught, name: &str) -> &'a str {
    caught.headers[name].to_str().unwrap()
}

#[tokio::test]
async fn a_form_is_signed_afresh_for_every_attempt_and_tells_what_happened() {
    let db = TestDatabase::create().await;
    let failing = Answers::from([("/first".to_owned(), (200, "fail".to_owned()))]);
    let (first, catcher) = (Catcher::start(failing).await, Catcher::start(Answers::new()).await);
    let mut keyring = Keyring::default();
    let key = keyring.fit(Format::FormMd5, None, None).secret.unwrap();
    connect(&db, "m1", &format!("{}/first", first.url), Format::FormMd5, &keyring).await;
    let success = event("m1", "10001");
    db.notify(std::slice::from_ref(&success)).await;
    let replica = Replica::start(&db, LADDER);
    let failed = first.wait_for(2).await;
    connect(&db, "m1", &catcher.url, Format::FormMd5, &keyring).await;
    db.notify(&[refund_of(&success)]).await;
    statuses(&db, "DELIVERED", 2).await;
    replica.stop().await;

    let caught = catcher.wait_for(2).await;
    let forms: Vec<_> = failed[..2].iter().chain(&caught).map(|caught| verified_form(caught, &key)).collect();
    let told: Vec<_> =
        forms.iter().map(|form| (form["mchOrderNo"].as_str(), form["state"].as_str())).collect();
    assert_eq!(told, [("10001", "2"), ("10001", "2"), ("10001", "2"), ("10001", "5")]);
    let at = |form: &BTreeMap<String, String>| form["reqTime"].parse::<i64>().unwrap();
    assert!(at(&forms[1]) >= at(&forms[0]) + 90, "after the first delay of the ladder: {forms:?}");
    assert_eq!(header(&failed[0], "webhook-id"), header(&failed[1], "webhook-id"));
    assert!(!failed[0].headers.contains_key("webhook-signature"));
}

#[tokio::test]
async fn during_an_overlap_either_secret_verifies_and_afterwards_only_the_new_one() {
    let db = TestDatabase::create().await;
    let catcher = Catcher::start(Answers::new()).await;
    let now = time::OffsetDateTime::now_utc().unix_timestamp();
    let mut keyring = Keyring::default();
    let old = keyring.fit(Format::Standard, Some(Signature::Both), None).secret.unwrap();
    let old_public = keyring.public_key().unwrap();
    let new = keyring.rotate(Format::Standard, now, 3600).unwrap().secret.unwrap();
    connect(&db, "m1", &catcher.url, Format::Standard, &keyring).await;
    // The overlap of this one was over a second ago.
    let mut ended = keyring.clone();
    ended.rotate(Format::Standard, now - 61, 60).unwrap();
    let newest = ended.secrets(now).next().unwrap().expose();
    connect(&db, "m2", &catcher.url, Format::Standard, &ended).await;
    db.notify(&[event("m1", "10001"), event("m2", "10001")]).await;
    let replica = Replica::start(&db, LADDER);
    statuses(&db, "DELIVERED", 2).await;
    replica.stop().await;
    let caught = catcher.wait_for(2).await;
    let of = |id: &str| {
        let of = |caught: &&Caught| String::from_utf8_lossy(&caught.body).contains(id);
        caught.iter().find(of).unwrap()
    };
    let signatures: Vec<_> = header(of("m1"), "webhook-signature")
        .split(' ')
        .map(|entry| entry.split_once(',').unwrap().0)
        .collect();
    assert_eq!(signatures, ["v1", "v1a", "v1", "v1a"]);
    for key in [&*new, &*old, &keyring.public_key().unwrap(), &old_public] {
        assert!(accepts(of("m1"), key), "{key}");
    }
    assert!(accepts(of("m2"), &newest) && !accepts(of("m2"), &new) && !accepts(of("m2"), &old));
}

#[tokio::test]
async fn encrypted_data_opens_with_the_merchants_key_and_never_under_the_same_nonce() {
    let db = TestDatabase::create().await;
    let failing = Answers::from([("/".to_owned(), (500, String::new()))]);
    let catcher = Catcher::start(failing).await;
    let mut keyring = Keyring::default();
    let fresh = keyring.fit(Format::Standard, None, Some(true));
    connect(&db, "m1", &format!("{}/", catcher.url), Format::Standard, &keyring).await;
    db.notify(&[event("m1", "10001")]).await;
    let replica = Replica::start(&db, LADDER);
    let caught = catcher.wait_for(2).await;
    replica.stop().await;

    let key = fresh.encryption_key.unwrap();
    let key = STANDARD.decode(key.strip_prefix("whenc_").unwrap()).unwrap();
    let cipher = Aes256Gcm::new_from_slice(&key).unwrap();
    let mut nonces = Vec::new();
    for caught in &caught[..2] {
        assert!(accepts(caught, &fresh.secret.clone().unwrap()));
        assert!(!String::from_utf8_lossy(&caught.body).contains("10001"));
        let body: Value = serde_json::from_slice(&caught.body).unwrap();
        let resource = |field: &str| body["data"][field].as_str().unwrap();
        assert_eq!(resource("algorithm"), "AEAD_AES_256_GCM");
        assert_eq!(resource("associated_data"), header(caught, "webhook-id"));
        let ciphertext = STANDARD.decode(resource("ciphertext")).unwrap();
        let payload = Payload { msg: &ciphertext, aad: resource("associated_data").as_bytes() };
        let nonce = Nonce::try_from(resource("nonce").as_bytes()).unwrap();
        let data: Value = serde_json::from_slice(&cipher.decrypt(&nonce, payload).unwrap()).unwrap();
        assert_eq!((&data["order_no"], &data["amount_minor"]), (&"10001".into(), &1999.into()));
        nonces.push(resource("nonce").to_owned());
    }
    assert_ne!(nonces[0], nonces[1]);
}

#[derive(Deserialize)]
struct Vectors {
    ack_matrix: Vec<Told>,
}

#[derive(Deserialize)]
struct Told {
    status: u16,
    body: String,
    recommended_success: bool,
}

#[tokio::test]
async fn the_word_success_acknowledges_as_the_vectors_recommend_in_every_format() {
    let vectors = include_str!("../../../webhooks/tests/vectors/jeepay_notify.json");
    let told = serde_json::from_str::<Vectors>(vectors).unwrap().ack_matrix;
    let answers = told.iter().enumerate();
    let answers = answers.map(|(index, told)| (format!("/{index}"), (told.status, told.body.clone())));
    let (db, catcher) = (TestDatabase::create().await, Catcher::start(answers.collect()).await);
    let mut events = Vec::new();
    for format in [Format::Standard, Format::FormMd5] {
        let mut keyring = Keyring::default();
        keyring.fit(format, None, None);
        for index in 0..told.len() {
            let id = format!("{}-{index}", format.as_str());
            connect(&db, &id, &format!("{}/{index}", catcher.url), format, &keyring).await;
            events.push(event(&id, "10001"));
        }
    }
    db.notify(&events).await;
    let replica = Replica::start(&db, "1h");
    let attempts = "SELECT count(*) FROM notify.attempts";
    eventually("attempts", async || (db.value::<i64>(attempts).await == 28).then_some(())).await;
    replica.stop().await;
    for format in [Format::Standard, Format::FormMd5] {
        for (index, told) in told.iter().enumerate() {
            let id = format!("{}-{index}", format.as_str());
            let status: String = db
                .value(&format!("SELECT status FROM notify.notifications WHERE merchant_id = '{id}'"))
                .await;
            let expected = if told.recommended_success { "DELIVERED" } else { "PENDING" };
            assert_eq!(status, expected, "{id}: {} {:?}", told.status, told.body);
        }
    }
}

#[tokio::test]
async fn what_cannot_be_signed_or_written_counts_against_nobody() {
    let db = TestDatabase::create().await;
    let catcher = Catcher::start(Answers::new()).await;
    let mut keyring = Keyring::default();
    keyring.fit(Format::Standard, None, None);
    // Another format than it has keys for, and a body that no format can be made of.
    connect(&db, "keyless", &catcher.url, Format::FormMd5, &keyring).await;
    keyring.fit(Format::FormMd5, None, None);
    connect(&db, "broken", &catcher.url, Format::FormMd5, &keyring).await;
    db.notify(&[event("keyless", "10001"), event("broken", "10001")]).await;
    db.execute("UPDATE notify.notifications SET body = '{}' WHERE merchant_id = 'broken'").await;
    let replica = Replica::start(&db, "1h");
    let attempts = "SELECT count(*) FROM notify.attempts";
    eventually("attempts", async || (db.value::<i64>(attempts).await == 2).then_some(())).await;
    replica.stop().await;
    let kinds: Vec<String> =
        db.value("SELECT array_agg(error_kind ORDER BY error_kind) FROM notify.attempts").await;
    assert_eq!(kinds, ["secret", "unsendable"]);
    assert_eq!(db.value::<i64>("SELECT count(*) FROM notify.breakers").await, 0);
    assert!(catcher.caught.lock().unwrap().is_empty());
}
