//! Channels of several formats, and the channels file that is read again at SIGHUP.

use std::fs;
use std::path::Path;

use channels::standard::Kind;
use channels::wechatpay::{self, Sent, Signer};
use events::{Currency, Money, PayOrderNo};
use reqwest::StatusCode;
use scenarios::{CHANNEL, Options, Pipeline, Sandbox, Servers, Service, Shop, signal, until};
use serde_json::{Value, json};
use tempfile::TempDir;
use time::OffsetDateTime;
use webhooks::Secret;

const VECTORS: &str = include_str!("../../../crates/channels/tests/vectors/wechatpay_v3.json");
const WECHAT: &str = "wechat_main";
const AMOUNT_MINOR: i64 = 1_999;

/// The keys of a WeChat Pay account, for tests only.
fn wechat() -> Value {
    let vectors: Value = serde_json::from_str(VECTORS).expect("the vectors are right");
    vectors["config"].clone()
}

fn text(config: &Value, pointer: &str) -> String {
    config.pointer(pointer).and_then(Value::as_str).unwrap_or_else(|| panic!("{pointer}")).to_owned()
}

const CERTIFICATE: &str = "5157F09EFDC096DE15EBE81A47057A7232F1B8E1";
const PUBLIC_KEY: &str = "PUB_KEY_ID_0000000000000000000000000001";

/// WeChat Pay, signing by its certificate or by its public key.
fn signer(by: &str) -> Signer {
    let config = wechat();
    let key = match by {
        CERTIFICATE => "/TEST_ONLY_platform_private_key_pem",
        _ => "/TEST_ONLY_public_key_mode_private_key_pem",
    };
    Signer {
        serial: by.to_owned(),
        key: text(&config, key).parse().expect("a private key"),
        api_v3_key: text(&config, "/apiv3_key").parse().expect("a key"),
        mchid: text(&config, "/mchid"),
        appid: text(&config, "/appid"),
    }
}

/// Writes the account's keys beside the channels file; returns its table with these fields for WeChat Pay's keys.
fn wechat_table(folder: &Path, keys: &str) -> String {
    let config = wechat();
    let write =
        |name: &str, pointer: &str| fs::write(folder.join(name), text(&config, pointer)).expect("a file");
    write("wechat.crt", &format!("/platform_certificates/{CERTIFICATE}"));
    write("wechat.pem", &format!("/platform_public_keys/{PUBLIC_KEY}"));
    write("wechat.key", "/apiv3_key");
    format!(
        "[{WECHAT}]\nkind = \"wechatpay\"\nmchid = \"{}\"\nappid = \"{}\"\napi_v3_key_file = \"wechat.key\"\n{keys}\n",
        text(&config, "/mchid"),
        text(&config, "/appid")
    )
}

const BY_CERTIFICATE: &str = "certificate_file = \"wechat.crt\"";
const BY_PUBLIC_KEY: &str =
    "[wechat_main.public_key_files]\nPUB_KEY_ID_0000000000000000000000000001 = \"wechat.pem\"";

fn standard_table(secrets: &[&Secret]) -> String {
    let secrets: Vec<_> = secrets.iter().map(|secret| secret.expose().to_string()).collect();
    format!("[{CHANNEL}]\nkind = \"standard\"\nsecrets = {secrets:?}\n")
}

/// A merchant at a pipeline whose channels file is at hand.
struct World {
    folder: TempDir,
    pipeline: Pipeline,
    shop: Shop,
    _sandbox: Sandbox,
}

impl World {
    async fn start() -> Self {
        let sandbox = Sandbox::start().await;
        let folder = tempfile::tempdir().expect("a folder");
        let direct = |_: &str, _: usize| Vec::new();
        let pipeline = Pipeline::start_in(folder.path(), Servers::shared(), Options::default(), direct).await;
        let merchant = pipeline.add_merchant("m1", &sandbox.url("m1")).await;
        sandbox.register(&merchant);
        let shop = pipeline.shop(&merchant);
        Self { folder, pipeline, shop, _sandbox: sandbox }
    }

    fn ingress(&self) -> &Service {
        &self.pipeline.ingress[0]
    }

    /// Writes another channels file and sends SIGHUP.
    fn write(&self, tables: &[&str]) {
        fs::write(self.folder.path().join("channels.toml"), tables.concat()).expect("a channels file");
        signal(self.ingress().process().pid(), "HUP");
    }

    async fn metrics(&self) -> String {
        let answer = self.shop.http.get(format!("{}/metrics", self.ingress().admin_url)).send().await;
        answer.expect("an answer").text().await.expect("text")
    }

    /// Until the last reading of the file was refused, or taken.
    async fn until_refused(&self, refused: bool) {
        let line = format!("payrelay_channels_file_refused {}", u8::from(refused));
        until(&line, async || {
            let metrics = self.metrics().await;
            if metrics.lines().any(|found| found == line) { Ok(()) } else { Err(metrics) }
        })
        .await;
    }

    /// What is answered to a success of a new pay order, signed by this secret.
    async fn pay(&self, order_no: &str, secret: &Secret) -> StatusCode {
        let number = self.shop.create_pay_order(order_no, AMOUNT_MINOR).await;
        let notice = self.shop.notice(Kind::PaymentSucceeded, &number, AMOUNT_MINOR);
        let sent = channels::standard::simulate(
            &notice,
            &format!("evt_{number}"),
            secret,
            OffsetDateTime::now_utc(),
        );
        let sent = sent.expect("a valid id");
        let request = self.shop.http.post(self.shop.ingress(&format!("/v1/callbacks/{CHANNEL}")));
        let request =
            sent.headers().into_iter().fold(request, |request, (name, value)| request.header(name, value));
        request.body(sent.body.clone()).send().await.expect("an answer").status()
    }
}

/// What WeChat Pay says of a pay order.
fn notice(number: &str, kind: wechatpay::Kind) -> wechatpay::Notice {
    wechatpay::Notice {
        kind,
        pay_order_no: PayOrderNo::parse(number).expect("a pay order number"),
        transaction_id: format!("T-{number}"),
        total: Money::new(AMOUNT_MINOR, Currency::parse("CNY").expect("a currency")),
        at: OffsetDateTime::now_utc(),
    }
}

fn paid(number: &str) -> wechatpay::Notice {
    notice(number, wechatpay::Kind::Transaction { trade_state: "SUCCESS".to_owned() })
}

fn simulate(notice: &wechatpay::Notice, id: &str, signer: &Signer) -> Sent {
    wechatpay::simulate(notice, id, signer, OffsetDateTime::now_utc()).expect("a signature")
}

/// Status and body of what is answered to WeChat Pay.
async fn post(shop: &Shop, sent: &Sent) -> (u16, Value) {
    let request = shop.http.post(shop.ingress(&format!("/v1/callbacks/{WECHAT}"))).body(sent.body.clone());
    let request =
        sent.headers().into_iter().fold(request, |request, (name, value)| request.header(name, value));
    let answer = request.send().await.expect("an answer");
    (answer.status().as_u16(), answer.json().await.expect("JSON"))
}

fn success() -> (u16, Value) {
    (200, json!({"code": "SUCCESS", "message": "成功"}))
}

fn failure(status: u16, message: &str) -> (u16, Value) {
    (status, json!({"code": "FAIL", "message": message}))
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_rotate_without_a_restart_and_a_wrong_file_changes_nothing() {
    let world = World::start().await;
    let pid = world.ingress().process().pid();
    let (old, new) = (&world.pipeline.channel_secret, &Secret::generate([8; 32]));

    assert_eq!(world.pay("old-1", old).await, StatusCode::NO_CONTENT);
    assert_eq!(world.pay("new-1", new).await, StatusCode::UNAUTHORIZED);
    world.until_refused(false).await;

    world.write(&[&standard_table(&[old, new])]);
    until("reload", async || {
        let log = world.ingress().log();
        if log.contains("the channels file was read again") { Ok(()) } else { Err(log) }
    })
    .await;
    assert_eq!(world.pay("new-2", new).await, StatusCode::NO_CONTENT);
    assert_eq!(world.pay("old-2", old).await, StatusCode::NO_CONTENT);

    let wrong = "[one]\nkind = \"pigeon\"\n[two]\nkind = \"standard\"\nsecret_file = \"missing.key\"\n";
    world.write(&[&standard_table(&[new]), wrong]);
    world.until_refused(true).await;
    let log = world.ingress().log();
    for named in ["pigeon", "secret_file", "all accounts stay as they were"] {
        assert!(log.contains(named), "{named} in {log}");
    }
    assert!(!log.contains(&*new.expose()), "a secret is told");
    assert_eq!(world.pay("new-3", new).await, StatusCode::NO_CONTENT);
    assert_eq!(world.pay("old-3", old).await, StatusCode::NO_CONTENT);

    world.write(&[&standard_table(&[new])]);
    world.until_refused(false).await;
    assert_eq!(world.pay("new-4", new).await, StatusCode::NO_CONTENT);
    assert_eq!(world.pay("old-4", old).await, StatusCode::UNAUTHORIZED);

    assert_eq!(world.ingress().process().pid(), pid);
    assert!(world.ingress().log().matches("\"starting\"").count() == 1, "it was not restarted");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_is_gone_takes_no_callbacks_and_its_pay_orders_stay_readable() {
    let world = World::start().await;
    let shop = &world.shop;
    let number = shop.create_pay_order("10001", AMOUNT_MINOR).await;
    let notice = shop.notice(Kind::PaymentSucceeded, &number, AMOUNT_MINOR);

    world.write(&[&wechat_table(world.folder.path(), BY_CERTIFICATE)]);
    until("account that is gone", async || match shop.tell(&notice).await {
        404 => Ok(()),
        status => Err(status.to_string()),
    })
    .await;
    // The callbacks until then were taken, or not; the pay order is there all the same.
    assert_eq!(shop.pay_order(&number).await["pay_order_no"], number.as_str());
    let new = json!({"order_no": "10002", "amount_minor": 1, "currency": "CNY", "channel": CHANNEL});
    let request =
        shop.http.post(shop.ingress("/v1/pay-orders")).bearer_auth(&shop.merchant.api_key).json(&new);
    assert_eq!(request.send().await.expect("an answer").status(), StatusCode::UNPROCESSABLE_ENTITY);

    world.write(&[&standard_table(&[&world.pipeline.channel_secret])]);
    shop_takes(shop, &notice).await;
    assert_eq!(shop.pay_order(&number).await["status"], "TRADE_SUCCESS");
}

/// Until the channel's callback is taken: while its account is missing it hears 404, and repeats itself.
async fn shop_takes(shop: &Shop, notice: &channels::standard::Notice) {
    until("callback that is taken", async || match shop.tell(notice).await {
        204 => Ok(()),
        status => Err(status.to_string()),
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wechatpay_is_answered_as_it_demands_and_each_of_its_refunds_counts_once() {
    let world = World::start().await;
    let shop = &world.shop;
    // From the certificate to the public key, as WeChat Pay asks its merchants to do.
    world.write(&[&wechat_table(world.folder.path(), &[BY_CERTIFICATE, BY_PUBLIC_KEY].join("\n"))]);
    until("account of WeChat Pay", async || {
        let seen = post(shop, &simulate(&paid("P1"), "EV-0", &signer(CERTIFICATE))).await;
        if seen == failure(404, "unknown_pay_order") { Ok(()) } else { Err(format!("{seen:?}")) }
    })
    .await;

    shop.create_order("10001", AMOUNT_MINOR).await;
    let number = shop.create_pay_order_with("10001", AMOUNT_MINOR, &json!({"channel": WECHAT})).await;
    assert!(number.len() <= 32, "{number} is no out_trade_no of WeChat Pay");
    let mut other = paid(&number);
    other.total.amount_minor = 1;
    let wrong = simulate(&other, "EV-1", &signer(CERTIFICATE));
    assert_eq!(post(shop, &wrong).await, failure(500, "amount_mismatch"));
    let mut forged = simulate(&paid(&number), "EV-2", &signer(CERTIFICATE));
    forged.body.push(' ');
    assert_eq!(post(shop, &forged).await, failure(401, "bad_signature"));
    let mut probe = simulate(&paid(&number), "EV-2", &signer(CERTIFICATE));
    probe.signature = format!("WECHATPAY/SIGNTEST/{}", probe.signature);
    assert_eq!(post(shop, &probe).await, failure(401, "probe"));

    let callback = simulate(&paid(&number), "EV-2", &signer(PUBLIC_KEY));
    for _ in 0..2 {
        assert_eq!(post(shop, &callback).await, success());
    }
    for (refund_id, amount_minor) in [("R1", 500), ("R2", 499), ("R1", 500), ("R3", 1_000)] {
        let refund =
            notice(&number, wechatpay::Kind::Refund { refund_id: refund_id.to_owned(), amount_minor });
        // The same refund under another identity of the notice, too.
        for id in [format!("EV-{refund_id}"), format!("EV-{refund_id}-again")] {
            assert_eq!(post(shop, &simulate(&refund, &id, &signer(PUBLIC_KEY))).await, success());
        }
    }
    let found = shop.pay_order(&number).await;
    assert_eq!(
        (&found["status"], &found["refunded_minor"]),
        (&json!("TRADE_REFUNDED"), &json!(AMOUNT_MINOR))
    );
    until("refunded order", async || {
        let order = shop.order("10001").await;
        if order["status"] == "REFUNDED" { Ok(()) } else { Err(order.to_string()) }
    })
    .await;
    // A probe is counted, and alarms nobody.
    let metrics = world.metrics().await;
    let counted = |outcome: &str| {
        let mut lines = metrics.lines().filter(|line| line.starts_with("payrelay_callbacks_total"));
        lines.any(|line| line.contains(WECHAT) && line.contains(&format!("outcome=\"{outcome}\"")))
    };
    assert!(counted("probe") && counted("bad_signature") && counted("amount_mismatch"), "{metrics}");
    let log = world.ingress().log();
    assert!(!log.contains("probe") && log.contains("bad signature"), "{log}");
}
