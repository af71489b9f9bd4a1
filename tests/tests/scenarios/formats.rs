//! Merchants with webhooks of every format, who check what they get with code of their own.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use aes_gcm::aead::{Aead as _, KeyInit as _, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use channels::standard::Kind;
use ed25519_dalek::{Signature, VerifyingKey};
use md5::{Digest as _, Md5};
use reqwest::Url;
use scenarios::{Merchant, Options, Pipeline, Servers, Shop, check, until};
use serde_json::Value;
use standardwebhooks::Webhook;
use tokio::net::TcpListener;

const AMOUNT_MINOR: i64 = 1999;

/// What a webhook was about, and how often it came.
type Inbox = BTreeMap<(String, String), usize>;

/// The merchants' endpoints: each path checks by the keys that were told for it.
#[derive(Debug, Clone, Default)]
struct Endpoints {
    url: String,
    keys: Arc<Mutex<HashMap<String, Vec<String>>>>,
    inbox: Arc<Mutex<Inbox>>,
    /// What was refused, and why.
    refused: Arc<Mutex<Vec<String>>>,
    /// Whether every key that was told must have signed, and not only one of them.
    all_keys: Arc<AtomicBool>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("nobody panics holding it")
}

impl Endpoints {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let endpoints = Self { url, ..Self::default() };
        let router = Router::new().route("/{merchant_id}", post(receive)).with_state(endpoints.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        endpoints
    }

    /// Adds a merchant with these options; it holds every key that is printed.
    async fn merchant(&self, pipeline: &Pipeline, id: &str, options: &[&str]) -> Shop {
        let url = format!("{}/{id}", self.url);
        let add = [&["merchant", "add", id, "--webhook-url", &url], options].concat();
        let added = pipeline.payrelay_json(&add).await;
        self.trust(id, &added);
        let key = webhooks::Secret::generate([0; 32]).verifying_key();
        let api_key = added["api_key"].as_str().expect("an API key").to_owned();
        pipeline.shop(&Merchant { id: id.to_owned(), api_key, key })
    }

    fn trust(&self, id: &str, printed: &Value) {
        let keys = ["webhook_secret", "webhook_public_key", "encryption_key"];
        let keys = keys.into_iter().filter_map(|name| printed[name].as_str()).map(str::to_owned);
        locked(&self.keys).entry(id.to_owned()).or_default().extend(keys);
    }

    /// Waits until this many webhooks came to the merchant. None may have been refused.
    async fn wait_for(&self, id: &str, count: usize) {
        until(&format!("{count} webhooks of {id}"), async || {
            let refused = locked(&self.refused).clone();
            assert!(refused.is_empty(), "{refused:?}");
            let inbox = locked(&self.inbox).clone();
            let of: Vec<_> = inbox.iter().filter(|((merchant, _), _)| merchant == id).collect();
            if of.len() >= count { Ok(()) } else { Err(format!("{of:?}")) }
        })
        .await;
    }
}

async fn receive(
    State(endpoints): State<Endpoints>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, &'static str) {
    let keys = locked(&endpoints.keys).get(&id).cloned().unwrap_or_default();
    let all_keys = endpoints.all_keys.load(Ordering::SeqCst);
    match read(&id, (&keys, all_keys), &headers, &body) {
        Ok(about) => *locked(&endpoints.inbox).entry((id, about)).or_default() += 1,
        Err(why) => {
            locked(&endpoints.refused).push(format!("{id}: {why}"));
            return (StatusCode::UNAUTHORIZED, "");
        }
    }
    (StatusCode::OK, "success")
}

/// The order and the state that a webhook tells of, if it is what it should be.
fn read(
    id: &str,
    (keys, all_keys): (&[String], bool),
    headers: &HeaderMap,
    body: &[u8],
) -> Result<String, String> {
    let key = |prefix: &str| keys.iter().rev().find_map(|key| key.strip_prefix(prefix));
    if id == "forms" {
        let key = keys.iter().rev().find(|key| key.starts_with("whmd5_")).ok_or("no key")?;
        return form(key, body);
    }
    match id {
        "asymmetric" => ed25519((keys, all_keys), headers, body)?,
        _ => Webhook::new(key("whsec_").ok_or("no secret")?)
            .and_then(|webhook| webhook.verify(body, headers))
            .map_err(|error| error.to_string())?,
    }
    let mut told: Value = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    if id == "encrypted" {
        told["data"] = opened(key("whenc_").ok_or("no encryption key")?, &told["data"])?;
    }
    let [order_no, status] =
        ["order_no", "status"].map(|field| told["data"][field].as_str().map(str::to_owned));
    order_no
        .zip(status)
        .map(|(order_no, status)| format!("{order_no} {status}"))
        .ok_or_else(|| told.to_string())
}

/// As the code of Jeepay's merchants does it.
fn form(key: &str, body: &[u8]) -> Result<String, String> {
    let body = String::from_utf8_lossy(body);
    let url = Url::parse(&format!("http://form/?{body}")).map_err(|error| error.to_string())?;
    let mut form: BTreeMap<String, String> = url.query_pairs().into_owned().collect();
    let signature = form.remove("sign").ok_or("no signature")?;
    let mut parts: Vec<String> = form.iter().map(|(name, value)| format!("{name}={value}&")).collect();
    parts.sort_by_key(|part| part.to_lowercase());
    let expected =
        format!("{:X}", u128::from_be_bytes(Md5::digest(format!("{}key={key}", parts.concat())).into()));
    if format!("{expected:0>32}") != signature {
        return Err(format!("{form:?} is signed {signature}"));
    }
    Ok(format!("{} {}", form["mchOrderNo"], form["state"]))
}

/// During an overlap each key must do, so that the merchant may change at any time.
fn ed25519((keys, all_keys): (&[String], bool), headers: &HeaderMap, body: &[u8]) -> Result<(), String> {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let content = [header("webhook-id"), header("webhook-timestamp"), ""].join(".");
    let content = [content.as_bytes(), body].concat();
    let signatures: Vec<Signature> = header("webhook-signature")
        .split(' ')
        .filter_map(|entry| STANDARD.decode(entry.strip_prefix("v1a,")?).ok())
        .filter_map(|bytes| Signature::from_slice(&bytes).ok())
        .collect();
    let mut signers = 0;
    for key in keys {
        let bytes = STANDARD.decode(key.strip_prefix("whpk_").ok_or("no public key")?);
        let bytes = bytes.ok().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok()).ok_or("no 32 bytes")?;
        let key = VerifyingKey::from_bytes(&bytes).map_err(|error| error.to_string())?;
        signers +=
            usize::from(signatures.iter().any(|signature| key.verify_strict(&content, signature).is_ok()));
    }
    let enough = if all_keys { keys.len() } else { 1 };
    if signers >= enough { Ok(()) } else { Err(format!("{signers} of {} keys have signed", keys.len())) }
}

fn opened(key: &str, resource: &Value) -> Result<Value, String> {
    let text = |field: &str| resource[field].as_str().ok_or_else(|| format!("no {field} in {resource}"));
    let [key, ciphertext] = [key, text("ciphertext")?].map(|text| STANDARD.decode(text).unwrap_or_default());
    let cipher = Aes256Gcm::new_from_slice(&key).map_err(|error| error.to_string())?;
    let nonce = Nonce::try_from(text("nonce")?.as_bytes()).map_err(|error| error.to_string())?;
    let payload = Payload { msg: &ciphertext, aad: text("associated_data")?.as_bytes() };
    let opened = cipher.decrypt(&nonce, payload).map_err(|error| error.to_string())?;
    serde_json::from_slice(&opened).map_err(|error| error.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_format_is_delivered_once_and_verifies_with_code_that_is_not_ours() {
    let endpoints = Endpoints::start().await;
    let options =
        Options { replicas: 2, environment: vec![("PAYRELAY_LOG", "info,merchant_notifier=trace")] };
    let pipeline = Pipeline::start(Servers::shared(), options).await;
    let shops = [
        endpoints.merchant(&pipeline, "forms", &["--format", "form-md5", "--ack", "success"]).await,
        endpoints.merchant(&pipeline, "asymmetric", &["--signature", "v1a"]).await,
        endpoints.merchant(&pipeline, "encrypted", &["--encryption", "aes-256-gcm"]).await,
        endpoints.merchant(&pipeline, "plain", &[]).await,
    ];
    for order in 0..5 {
        for shop in &shops {
            let pay_order_no = shop.pay(&format!("O-{order}"), AMOUNT_MINOR).await;
            if order == 0 {
                let refund = shop.notice(Kind::RefundSucceeded, &pay_order_no, AMOUNT_MINOR);
                let refund = channels::standard::Notice { refunded_minor: Some(AMOUNT_MINOR), ..refund };
                shop.tell_until_taken(&refund).await;
            }
        }
    }
    let rotate = async |id: &str, options: &[&str]| {
        let rotated = pipeline.payrelay_json(&[&["merchant", "rotate-secret", id], options].concat()).await;
        endpoints.trust(id, &rotated);
    };
    // A signature is rotated while payments go on. Who has one key at a time changes it when nothing is under way.
    let pays = async || {
        for order in 5..15 {
            shops[1].pay(&format!("O-{order}"), AMOUNT_MINOR).await;
        }
    };
    tokio::join!(pays(), rotate("asymmetric", &["--overlap", "1h"]));
    for (shop, count) in shops.iter().zip([6, 16, 6, 6]) {
        endpoints.wait_for(&shop.merchant.id, count).await;
    }
    // As if the merchant had never heard of the last one: another signs in its place, beside the first.
    locked(&endpoints.keys).get_mut("asymmetric").and_then(Vec::pop).expect("the last key");
    rotate("asymmetric", &["--replace-last"]).await;
    rotate("forms", &[]).await;
    rotate("encrypted", &["--encryption"]).await;
    endpoints.all_keys.store(true, Ordering::SeqCst);
    for order in 15..20 {
        for shop in &shops {
            shop.pay(&format!("O-{order}"), AMOUNT_MINOR).await;
        }
    }
    for (shop, count) in shops.iter().zip([11, 21, 11, 11]) {
        endpoints.wait_for(&shop.merchant.id, count).await;
    }
    check::audited(&pipeline).await;
    let inbox = locked(&endpoints.inbox).clone();
    assert_eq!(inbox.len(), 54, "{inbox:?}");
    assert!(inbox.values().all(|count| *count == 1), "{inbox:?}");
    let told = |id: &str, about: &str| inbox.contains_key(&(id.to_owned(), about.to_owned()));
    assert!(told("forms", "O-0 2") && told("forms", "O-0 5"), "{inbox:?}");
    assert!(told("encrypted", "O-0 TRADE_SUCCESS") && told("encrypted", "O-0 TRADE_REFUNDED"), "{inbox:?}");
    nothing_is_told_twice(&endpoints, &pipeline).await;
}

/// Neither the listings nor the logs hold a key; the public one is shown, for it is no secret.
async fn nothing_is_told_twice(endpoints: &Endpoints, pipeline: &Pipeline) {
    let mut told = Vec::new();
    for arguments in
        [&["merchant", "list"][..], &["merchant", "show", "forms"], &["merchant", "show", "asymmetric"]]
    {
        told.push(pipeline.payrelay_json(arguments).await.to_string());
    }
    let shown = told.last().expect("the last").clone();
    told.extend(pipeline.notifier.iter().map(scenarios::Service::log));
    for key in locked(&endpoints.keys).values().flatten().filter(|key| !key.starts_with("whpk_")) {
        assert!(!told.iter().any(|told| told.contains(key.as_str())), "{key} is told");
    }
    let public = locked(&endpoints.keys)["asymmetric"].last().cloned().expect("a public key");
    assert!(shown.contains(&public), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn options_of_a_merchant_are_put_again_without_a_change_and_refused_where_they_do_not_fit() {
    let pipeline = Pipeline::start(Servers::shared(), Options::default()).await;
    let add = |options: &'static [&'static str]| [&["merchant", "add", "m1"][..], options].concat();
    let made = pipeline.payrelay_json(&add(&["--signature", "both", "--encryption", "aes-256-gcm"])).await;
    for name in ["webhook_secret", "webhook_public_key", "encryption_key"] {
        assert!(made[name].is_string(), "{name} in {made}");
    }
    let again = pipeline.payrelay_json(&add(&["--signature", "both", "--encryption", "aes-256-gcm"])).await;
    for name in ["webhook_secret", "encryption_key"] {
        assert!(again[name].is_null(), "{name} in {again}");
    }
    let shown = pipeline.payrelay_json(&["merchant", "show", "m1"]).await;
    for (name, value) in [("format", "standard"), ("signature", "both"), ("encryption", "aes-256-gcm")] {
        assert_eq!(shown[name], value, "{shown}");
    }
    let refused = pipeline.payrelay(&add(&["--format", "form-md5"])).await;
    assert_eq!((refused.code, refused.stderr.contains("encryption")), (Some(1), true), "{refused:?}");
    let form = pipeline.payrelay_json(&add(&["--format", "form-md5", "--encryption", "none"])).await;
    assert_eq!((&form["format"], &form["ack"]), (&"form-md5".into(), &"success".into()), "{form}");
    let listed = pipeline.payrelay(&["merchant", "list"]).await.stdout;
    assert!(listed.contains("form-md5"), "{listed}");
    for _ in 0..2 {
        let rotated = pipeline.payrelay(&["merchant", "rotate-secret", "m1"]).await;
        assert!(rotated.stdout.contains("whmd5_"), "{rotated:?}");
    }
    let overlap = pipeline.payrelay(&["merchant", "rotate-secret", "m1", "--overlap", "1h"]).await;
    assert_eq!((overlap.code, overlap.stderr.contains("one signature")), (Some(1), true), "{overlap:?}");
    let last = pipeline.payrelay(&["merchant", "rotate-secret", "m1", "--replace-last"]).await;
    assert_eq!((last.code, last.stderr.contains("replace_last")), (Some(1), true), "{last:?}");
    let unknown = pipeline.payrelay(&["merchant", "rotate-secret", "m2"]).await;
    assert_eq!(unknown.code, Some(1), "{unknown:?}");
}
