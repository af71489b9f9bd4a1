//! `payrelay callback check` says what the ingress says: the same answer, and the same outcome in the metrics, to whatever comes in.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use channels::{MAX_BODY_BYTES, alipay, standard, stripe, wechatpay};
use events::{Currency, Money, PayOrderNo};
use ingress::{Config, Service};
use reqwest::{Client, Method};
use serde_json::{Value, json};
use service::{Loader, Shutdown};
use tempfile::TempDir;
use time::OffsetDateTime;

const ADMIN_TOKEN: &str = "admin-token";
const STANDARD_SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const STRIPE_SECRET: &str = "whsec_test_secret";
const AMOUNT_MINOR: i64 = 1999;

/// What is sent to one account.
#[derive(Clone)]
struct Posted {
    account: &'static str,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

/// What came of it: the answer, and the outcome that was counted.
#[derive(Debug, PartialEq, Eq)]
struct Came {
    status: u64,
    body: String,
    outcome: String,
}

fn posted(account: &'static str, headers: &[(&str, &str)], body: &str) -> Posted {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Posted { account, headers, body: body.as_bytes().to_vec() }
}

fn vectors(text: &str) -> Value {
    serde_json::from_str::<Value>(text).expect("the vectors are JSON")["config"].take()
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

fn channels_file(folder: &Path) -> String {
    let alipay = vectors(include_str!("../../channels/tests/vectors/alipay.json"));
    let wechatpay = vectors(include_str!("../../channels/tests/vectors/wechatpay_v3.json"));
    let certificate =
        wechatpay["platform_certificates"].as_object().and_then(|all| all.values().next()).expect("one");
    let accounts = format!(
        "[standard]\nkind = 'standard'\nsecret = '{STANDARD_SECRET}'\n[stripe]\nkind = 'stripe'\nsecret = '{STRIPE_SECRET}'\n\
         [alipay]\nkind = 'alipay'\napp_id = {}\nseller_id = {}\nalipay_public_key = {}\n\
         [wechatpay]\nkind = 'wechatpay'\nmchid = {}\nappid = {}\napi_v3_key = {}\ncertificate = {certificate}\n",
        alipay["app_id"],
        alipay["seller_id"],
        alipay["alipay_public_key_spki_base64"],
        wechatpay["mchid"],
        wechatpay["appid"],
        wechatpay["apiv3_key"],
    );
    let file = folder.join("channels.toml");
    fs::write(&file, accounts).expect("a file");
    file.to_str().expect("a path").to_owned()
}

/// A running ingress with a merchant.
struct Ingress {
    url: String,
    admin_url: String,
    api_key: String,
    http: Client,
}

impl Ingress {
    async fn start(database_url: &str, channels_file: &str) -> Self {
        let variables = [
            ("PAYRELAY_DATABASE_URL", database_url),
            ("PAYRELAY_AMQP_URL", "amqp://127.0.0.1:1"),
            ("PAYRELAY_HTTP_ADDR", "127.0.0.1:0"),
            ("PAYRELAY_ADMIN_ADDR", "127.0.0.1:0"),
            ("PAYRELAY_ADMIN_TOKEN", ADMIN_TOKEN),
            ("PAYRELAY_CHANNELS_FILE", channels_file),
        ];
        let variables = variables.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
        let mut loader = Loader::from_map(variables.collect());
        let config = Config::load(&mut loader);
        loader.finish().expect("a good configuration");
        let service = Service::start(config).await.expect("the ingress starts");
        let (url, admin_url) =
            (format!("http://{}", service.http_addr), format!("http://{}", service.admin_addr));
        tokio::spawn(service.run(Shutdown::new()));
        let http = transport::http_client().build().expect("a client");
        let request =
            http.request(Method::PUT, format!("{admin_url}/admin/merchants/m1")).bearer_auth(ADMIN_TOKEN);
        let added: Value =
            request.json(&json!({})).send().await.expect("an answer").json().await.expect("JSON");
        Self { url, admin_url, api_key: text(&added["api_key"]), http }
    }

    async fn pay_order(&self, account: &str) -> PayOrderNo {
        let order_no = uuid::Uuid::now_v7().simple().to_string();
        let new = json!({"order_no": order_no, "amount_minor": AMOUNT_MINOR, "currency": "CNY", "channel": account});
        let request =
            self.http.post(format!("{}/v1/pay-orders", self.url)).bearer_auth(&self.api_key).json(&new);
        let made: Value = request.send().await.expect("an answer").json().await.expect("JSON");
        PayOrderNo::parse(text(&made["pay_order_no"])).expect("a number")
    }

    /// The counters of outcomes.
    async fn counted(&self) -> BTreeMap<String, f64> {
        let metrics = self.http.get(format!("{}/metrics", self.admin_url)).send().await.expect("an answer");
        let metrics = metrics.text().await.expect("text");
        let lines = metrics.lines().filter(|line| line.starts_with("payrelay_callbacks_total{"));
        lines
            .filter_map(|line| line.rsplit_once(' '))
            .map(|(name, count)| (name.to_owned(), count.parse().expect("a number")))
            .collect()
    }

    async fn says(&self, posted: &Posted) -> Came {
        let before = self.counted().await;
        let mut request =
            self.http.post(format!("{}/v1/callbacks/{}", self.url, posted.account)).body(posted.body.clone());
        for (name, value) in &posted.headers {
            request = request.header(name, value.as_bytes());
        }
        let answer = request.send().await.expect("an answer");
        let (status, body) = (answer.status().as_u16().into(), answer.text().await.expect("text"));
        let after = self.counted().await;
        let mut grown = after.iter().filter(|(name, count)| before.get(*name) != Some(*count));
        let (name, _) = grown.next().expect("it is counted");
        assert_eq!(grown.next(), None, "it is counted once");
        let outcome =
            name.split("outcome=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("an outcome");
        Came { status, body, outcome: outcome.to_owned() }
    }
}

/// What the command says to it.
fn check(folder: &Path, posted: &Posted) -> Came {
    let headers: BTreeMap<_, _> = posted.headers.iter().cloned().collect();
    let request = json!({"headers": headers, "body_base64": STANDARD.encode(&posted.body)});
    let file = folder.join("request.json");
    fs::write(&file, request.to_string()).expect("a file");
    let output = Command::new(env!("CARGO_BIN_EXE_payrelay"))
        .args(["callback", "check", "--account", posted.account, "--order-currency", "CNY", "--order-amount"])
        .arg(AMOUNT_MINOR.to_string())
        .arg("--channels")
        .args([folder.join("channels.toml"), file])
        .env_clear()
        .output()
        .expect("the program runs");
    let told: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let answer = &told["answer"];
    let status = answer["status"].as_u64().expect("a status");
    Came { status, body: text(&answer["body"]), outcome: text(&told["outcome"]) }
}

/// What each channel says of a success of this amount and of this pay order.
fn success(account: &'static str, number: &PayOrderNo, amount: Money) -> Posted {
    let at = OffsetDateTime::now_utc();
    let (number, id) = (number.clone(), format!("evt_{}", uuid::Uuid::now_v7().simple()));
    match account {
        "standard" => {
            let kind = standard::Kind::PaymentSucceeded;
            let notice = standard::Notice {
                kind,
                channel_trade_no: format!("T{number}"),
                pay_order_no: number,
                amount,
                at,
                refunded_minor: None,
            };
            let sent = standard::simulate(&notice, &id, &STANDARD_SECRET.parse().expect("a secret"), at)
                .expect("it is signed");
            posted(account, &sent.headers(), &sent.body)
        }
        "stripe" => {
            let (kind, payment_status) = (stripe::Kind::PaymentIntentSucceeded, "paid".to_owned());
            let payment_intent = format!("pi_{number}");
            let notice = stripe::Notice {
                kind,
                pay_order_no: number,
                payment_intent,
                amount,
                at,
                payment_status,
                refunded_minor: None,
            };
            let sent = stripe::simulate(&notice, &id, &STRIPE_SECRET.parse().expect("a secret"), at)
                .expect("it is signed");
            posted(account, &sent.headers(), &sent.body)
        }
        "alipay" => {
            let config = vectors(include_str!("../../channels/tests/vectors/alipay.json"));
            let key = text(&config["TEST_ONLY_signing_private_key_pkcs8_pem"]).parse().expect("a key");
            let [app_id, seller_id] = ["app_id", "seller_id"].map(|field| text(&config[field]));
            let signer = alipay::Signer { app_id, seller_id, key, charset: "GBK".to_owned() };
            let (trade_status, subject) = ("TRADE_SUCCESS".to_owned(), "茶".to_owned());
            let notice = alipay::Notice {
                trade_status,
                trade_no: format!("T{number}"),
                pay_order_no: number,
                subject,
                total: amount,
                at,
                refunded_minor: None,
            };
            let sent = alipay::simulate(&notice, &id, &signer, at).expect("it is signed");
            posted(account, &sent.headers(), &sent.body)
        }
        _ => {
            let kind = wechatpay::Kind::Transaction { trade_state: "SUCCESS".to_owned() };
            let notice = wechatpay::Notice {
                kind,
                transaction_id: format!("T{number}"),
                pay_order_no: number,
                total: amount,
                at,
            };
            let sent = wechatpay::simulate(&notice, &id, &wechatpay_signer(), at).expect("it is signed");
            posted(account, &sent.headers(), &sent.body)
        }
    }
}

fn wechatpay_signer() -> wechatpay::Signer {
    let config = vectors(include_str!("../../channels/tests/vectors/wechatpay_v3.json"));
    let serial =
        config["platform_certificates"].as_object().and_then(|all| all.keys().next()).expect("one").clone();
    let [mchid, appid, api_v3_key] = ["mchid", "appid", "apiv3_key"].map(|field| text(&config[field]));
    let key = text(&config["TEST_ONLY_platform_private_key_pem"]).parse().expect("a key");
    wechatpay::Signer { serial, key, api_v3_key: api_v3_key.parse().expect("a key"), mchid, appid }
}

/// The request as it may be changed on its way, or by somebody.
fn changed(sound: &Posted) -> Vec<Posted> {
    let with_headers = |headers: Vec<(String, String)>| Posted { headers, ..sound.clone() };
    let with_body = |body: Vec<u8>| Posted { body, ..sound.clone() };
    let mut all = vec![
        with_body(Vec::new()),
        with_body(sound.body[..sound.body.len() / 2].to_vec()),
        with_body([&sound.body[..], b"&"].concat()),
        with_body([b"\xEF\xBB\xBF", &sound.body[..]].concat()),
        with_body(vec![b' '; MAX_BODY_BYTES]),
        with_body(vec![b' '; MAX_BODY_BYTES + 1]),
    ];
    all.extend((0..6).map(|part| {
        let mut body = sound.body.clone();
        body[part * sound.body.len() / 6] ^= 1;
        with_body(body)
    }));
    for coding in ["gzip", "identity", "br, gzip"] {
        let more = [("content-encoding".to_owned(), coding.to_owned())];
        all.push(with_headers(sound.headers.iter().cloned().chain(more).collect()));
    }
    for (at, (name, value)) in sound.headers.iter().enumerate() {
        let others = || {
            sound
                .headers
                .iter()
                .enumerate()
                .filter(|(other, _)| *other != at)
                .map(|(_, header)| header.clone())
        };
        all.push(with_headers(others().collect()));
        for (name, value) in [
            (name.to_ascii_uppercase(), value.clone()),
            (name.clone(), String::new()),
            (name.clone(), format!("{value}, {value}")),
            (name.clone(), format!("{value}é")),
            (name.clone(), "0".to_owned()),
            (name.clone(), value.to_ascii_uppercase()),
        ] {
            all.push(with_headers(others().chain([(name, value)]).collect()));
        }
    }
    all
}

/// Events of each sort that is no success.
fn events(number: &PayOrderNo, of_standard: &PayOrderNo) -> Vec<Posted> {
    let now = OffsetDateTime::now_utc();
    let metadata = json!({"pay_order_no": number});
    let mut all = Vec::new();
    for (kind, object) in [
        ("customer.created", json!({})),
        ("payment_intent.created", json!({"metadata": metadata})),
        ("charge.dispute.created", json!({"id": "dp_1"})),
        ("invoice.paid", json!({"metadata": metadata})),
        (
            "checkout.session.completed",
            json!({"metadata": metadata, "payment_status": "no_payment_required"}),
        ),
        ("checkout.session.completed", json!({"metadata": metadata, "payment_status": "unpaid"})),
        ("payment_intent.succeeded", json!({"metadata": metadata})),
        ("refund.failed", json!({"id": "re_1"})),
    ] {
        let body =
            json!({"id": "evt_1", "type": kind, "created": now.unix_timestamp(), "data": {"object": object}});
        let sent = stripe::sign(body.to_string(), &STRIPE_SECRET.parse().expect("a secret"), now);
        all.push(posted("stripe", &sent.headers(), &sent.body));
    }
    for body in [
        json!({"type": "dispute.opened", "data": {"pay_order_no": number}}),
        json!({"type": "dispute.opened"}),
        json!({"type": "payment.succeeded"}),
        json!({"type": "payment.failed", "timestamp": "2026-01-01t00:00:00z", "data": {"pay_order_no": of_standard,
            "amount_minor": 1999.0, "currency": "CNY", "status": "FAILED"}}),
    ] {
        let secret = STANDARD_SECRET.parse().expect("a secret");
        let sent = standard::sign(body.to_string(), "evt_1", &secret, now).expect("it is signed");
        all.push(posted("standard", &sent.headers(), &sent.body));
    }
    for (event_type, plaintext) in [
        ("REFUND.ABNORMAL", json!({"out_trade_no": number})),
        ("COMPLAINT.CREATE", json!({})),
        ("COUPON.USE", json!({})),
        ("TRANSACTION.SUCCESS", json!({})),
    ] {
        let sent = wechatpay::seal((event_type, &plaintext.to_string()), "EV-1", &wechatpay_signer(), now)
            .expect("it is signed");
        all.push(posted("wechatpay", &sent.headers(), &sent.body));
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_gives_the_verdict_of_the_ingress() {
    let database = devstack::testing::Database::create();
    let folder = TempDir::new().expect("a folder");
    let ingress = Ingress::start(database.url(), &channels_file(folder.path())).await;
    // Counting begins when somebody first looks.
    ingress.counted().await;
    let (cny, usd) = (Currency::parse("CNY").expect("it"), Currency::parse("USD").expect("it"));
    let mut outcomes = BTreeMap::new();
    let mut requests = events(&ingress.pay_order("stripe").await, &ingress.pay_order("standard").await);
    for account in ["standard", "stripe", "alipay", "wechatpay"] {
        for amount in [
            Money::new(AMOUNT_MINOR, cny),
            Money::new(AMOUNT_MINOR - 1, cny),
            Money::new(0, cny),
            Money::new(AMOUNT_MINOR, usd),
        ] {
            // Alipay has no other currency.
            if account != "alipay" || amount.currency == cny {
                requests.push(success(account, &ingress.pay_order(account).await, amount));
            }
        }
        let sound = success(account, &ingress.pay_order(account).await, Money::new(AMOUNT_MINOR, cny));
        requests.extend(changed(&sound));
    }
    for request in &requests {
        let (said, mut checked) = (ingress.says(request).await, check(folder.path(), request));
        // Only the ingress knows that it was told before.
        if said.outcome == "duplicate" {
            checked.outcome = "duplicate".to_owned();
        }
        let headers = &request.headers;
        assert_eq!(
            checked,
            said,
            "{} {headers:?} {:?}",
            request.account,
            String::from_utf8_lossy(&request.body[..request.body.len().min(300)])
        );
        *outcomes.entry(said.outcome).or_insert(0) += 1;
    }
    for outcome in [
        "applied",
        "ignored",
        "amount_mismatch",
        "currency_mismatch",
        "body_too_large",
        "unsupported_content_encoding",
        "bad_signature",
        "missing_header",
        "malformed_header",
        "unreadable",
        "dispute",
        "unknown_event",
        "no_payment_required",
        "refund_failed",
        "refund_abnormal",
        "complaint",
        "too_old",
        "expired",
        "unknown_serial",
    ] {
        assert!(outcomes.contains_key(outcome), "{outcome} is in none of the requests: {outcomes:?}");
    }
    assert!(requests.len() > 150, "{}", requests.len());
}
