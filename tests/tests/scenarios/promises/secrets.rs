//! What may never be told.

use std::fmt::Write as _;
use std::io::ErrorKind;
use std::net::TcpListener;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use channels::standard::Kind;
use devstack::testing;
use reqwest::{Client, RequestBuilder, Url};
use scenarios::{
    ADMIN_TOKEN, ORDER_API_TOKEN, Options, Pipeline, Reply, Sandbox, Servers, Shop, http_client, run_program,
    until,
};
use serde_json::{Value, json};

use super::{AMOUNT_MINOR, answered, attempts, channel, publish, until_depth, until_paid};

const DATABASE_PASSWORD: &str = "database-password-of-the-scenarios";
const BROKER_USER: &str = "scenario-of-secrets";
const BROKER_PASSWORD: &str = "broker-password-of-the-scenarios";
const PROXY_VARIABLES: [&str; 6] =
    ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"];
const WRONG_KEY: &str = "pk_a-key-that-somebody-mistyped";

/// Logs at their most talkative, metrics, and every kind of refusal: none holds a secret, in no usual encoding. And the proxy that the
/// environment names gets none, for nobody asks it.
#[tokio::test(flavor = "multi_thread")]
async fn no_log_no_metric_and_no_answer_tells_a_secret() {
    let proxy = TcpListener::bind("127.0.0.1:0").expect("a port");
    proxy.set_nonblocking(true).expect("a listener that does not wait");
    let proxy_url = format!("http://{}", proxy.local_addr().expect("an address"));
    let proxied = PROXY_VARIABLES.map(|name| (name, proxy_url.as_str()));
    let sandbox = Sandbox::start().await;
    let mut pipeline = start(&proxy_url).await;
    let added = pipeline.payrelay_json(&["merchant", "add", "m1", "--webhook-url", &sandbox.url("m1")]).await;
    let text = |field: &str| added[field].as_str().expect("text").to_owned();
    let merchant = scenarios::Merchant {
        id: "m1".to_owned(),
        api_key: text("api_key"),
        key: text("webhook_secret").parse().expect("a webhook secret"),
    };
    sandbox.register(&merchant);
    let shop = pipeline.shop(&merchant);

    let mut told = much_happens(&pipeline, &sandbox, &shop).await;
    let rotated = pipeline.payrelay_json(&["merchant", "rotate-key", "m1"]).await;
    let urls: Vec<_> = pipeline.services().map(|service| service.admin_url.clone()).collect();
    for url in &urls {
        told.push(answer(shop.http.get(format!("{url}/metrics"))).await);
    }
    let shown = ["merchant", "show", "m1", "--json"];
    for arguments in [&shown[..], &["trace", "S-1", "--json"], &["notifications", "list", "--json"]] {
        let environment = [
            ("PAYRELAY_LOG", "trace"),
            ("PAYRELAY_ADMIN_TOKEN", ADMIN_TOKEN),
            ("PAYRELAY_INGRESS_ADMIN_URL", urls[0].as_str()),
            ("PAYRELAY_ORDER_SERVICE_ADMIN_URL", urls[1].as_str()),
            ("PAYRELAY_NOTIFIER_ADMIN_URL", urls[2].as_str()),
        ];
        let environment = [&environment[..], &proxied].concat();
        let answer = run_program("payrelay", arguments, &environment).await;
        assert_eq!(answer.code, Some(0), "{answer:?}");
        told.extend([answer.stdout, answer.stderr]);
    }
    for service in pipeline.services() {
        assert_eq!(service.terminate().await, Some(0));
        let log = service.log();
        assert!(log.contains(r#""level":"TRACE""#), "it is told to tell everything: {log}");
        told.push(log);
    }
    let asked = proxy.accept().map(|(_, from)| from);
    assert_eq!(asked.map_err(|error| error.kind()), Err(ErrorKind::WouldBlock), "the proxy was asked");

    let rotated_key = rotated["api_key"].as_str().expect("a key").to_owned();
    let secrets = [
        ("the webhook secret", text("webhook_secret")),
        ("the API key", merchant.api_key),
        ("the replaced API key", rotated_key),
        ("a mistyped API key", WRONG_KEY.to_owned()),
        ("the channel's secret", pipeline.channel_secret.expose().to_string()),
        ("the admin token", ADMIN_TOKEN.to_owned()),
        ("the order token", ORDER_API_TOKEN.to_owned()),
        ("the master key", STANDARD.encode([7; 32])),
        ("the database's password", DATABASE_PASSWORD.to_owned()),
        ("the broker's password", BROKER_PASSWORD.to_owned()),
    ];
    for (name, secret) in &secrets {
        for told in &told {
            if let Some(form) = find(told, secret) {
                let line = told.lines().find(|line| line.contains(&form)).unwrap_or_default();
                panic!("{name} is told: {line}");
            }
        }
    }
}

/// Passwords in both URLs, and every level of every library's log.
async fn start(proxy_url: &str) -> Pipeline {
    let servers = tokio::task::block_in_place(Servers::shared);
    let mut database_url: Url = servers.database_url().parse().expect("a URL");
    database_url.set_password(Some(DATABASE_PASSWORD)).expect("a password");
    let mut amqp_url: Url = servers.amqp_url().parse().expect("a URL");
    let api = testing::servers().management_url;
    let http = http_client();
    let put = async |path: String, body: Value| {
        let request = http.put(format!("{api}/api/{path}")).basic_auth("guest", Some("guest")).json(&body);
        request.send().await.expect("an answer").error_for_status().expect("success");
    };
    put(format!("users/{BROKER_USER}"), json!({ "password": BROKER_PASSWORD, "tags": "" })).await;
    let all = json!({ "configure": ".*", "write": ".*", "read": ".*" });
    put(format!("permissions/{}/{BROKER_USER}", servers.vhost().name()), all).await;
    amqp_url.set_username(BROKER_USER).expect("a user");
    amqp_url.set_password(Some(BROKER_PASSWORD)).expect("a password");
    let proxied = PROXY_VARIABLES.map(|name| (name, &*proxy_url.to_owned().leak()));
    // As one who may look: the user of this scenario may not.
    let management_url = &*servers.management_url().replace("://", "://guest:guest@").leak();
    let mut environment = vec![
        ("PAYRELAY_MANAGEMENT_URL", management_url),
        // The broker client is silent unless it is named.
        ("PAYRELAY_LOG", "trace,lapin=trace"),
        ("PAYRELAY_DATABASE_URL", &*String::from(database_url).leak()),
        ("PAYRELAY_AMQP_URL", &*String::from(amqp_url).leak()),
    ];
    environment.extend(proxied);
    Pipeline::start(servers, Options { environment, ..Options::default() }).await
}

/// A payment, a webhook that fails at first, a dead letter, a poison, and refusals; returns what the refused were told.
async fn much_happens(pipeline: &Pipeline, sandbox: &Sandbox, shop: &Shop) -> Vec<String> {
    sandbox.reply("m1", Reply::Status(503));
    let payment = answered(shop, "S-1").await;
    let refused = refusals(pipeline, shop, &payment.pay_order_no).await;
    shop.create_order("S-1", AMOUNT_MINOR).await;
    until_paid(shop, "S-1").await;
    until("second attempt", async || match attempts(sandbox, "S-1") {
        0 | 1 => Err("none".to_owned()),
        _ => Ok(()),
    })
    .await;
    sandbox.reply("m1", Reply::Status(204));
    answered(shop, "S-2").await;
    let (_connection, channel) = channel(pipeline).await;
    publish(&channel, "application/json", b"{\"poison\":").await;
    until_depth(pipeline, "trade.pay.success.queue.dlq", 2).await;
    until("webhook", async || {
        let last = sandbox.received_of("S-2").pop();
        last.filter(scenarios::Received::is_acknowledged).ok_or("none".to_owned())
    })
    .await;
    refused
}

async fn refusals(pipeline: &Pipeline, shop: &Shop, pay_order_no: &str) -> Vec<String> {
    let admin = |url: &str| shop.http.get(format!("{url}/admin/audit"));
    let get = |url: String| shop.http.get(url);
    let unsigned = || {
        let success = shop.notice(Kind::PaymentSucceeded, pay_order_no, AMOUNT_MINOR);
        shop.callback(&success)
    };
    let urls = [&pipeline.ingress[0], &pipeline.order_service[0], &pipeline.notifier[0]]
        .map(|service| service.admin_url.as_str());
    let foreign_body = unsigned().body("{\"forged\":true}");
    let requests = vec![
        get(shop.ingress("/v1/pay-orders/P1")).bearer_auth(WRONG_KEY),
        get(shop.ingress("/v1/pay-orders/P1")).basic_auth("m1", Some(&shop.merchant.api_key)),
        get(shop.order_service("/v1/orders/m1/S-9")).bearer_auth(ORDER_API_TOKEN),
        get(shop.order_service("/v1/orders/m1/S-9")).bearer_auth(ADMIN_TOKEN),
        foreign_body,
        admin(urls[0]).bearer_auth(ORDER_API_TOKEN),
        admin(urls[1]).bearer_auth(&shop.merchant.api_key),
        admin(urls[2]).query(&[("from", "yesterday")]).bearer_auth(ADMIN_TOKEN),
    ];
    let mut answers = Vec::new();
    for request in requests {
        answers.push(refused(&shop.http, request).await);
    }
    answers
}

async fn refused(http: &Client, request: RequestBuilder) -> String {
    let answer = http.execute(request.build().expect("a request")).await.expect("an answer");
    assert!(answer.status().is_client_error(), "{answer:?}");
    format!("{:?} {}", answer.headers().clone(), answer.text().await.expect("text"))
}

async fn answer(request: RequestBuilder) -> String {
    request.send().await.expect("an answer").text().await.expect("text")
}

/// The form in which a text holds a secret: as it is, or, of it or of the bytes that it encodes, base64 at any offset,
/// hexadecimal, or a list of numbers.
fn find(text: &str, secret: &str) -> Option<String> {
    let mut forms = vec![secret.to_owned()];
    let encoded = secret.strip_prefix("whsec_").unwrap_or(secret);
    forms.push(encoded.to_owned());
    let decoded = STANDARD.decode(encoded).unwrap_or_default();
    for bytes in [secret.as_bytes(), &decoded] {
        if !bytes.is_empty() {
            forms.extend((0..3).map(|offset| base64_inside(bytes, offset)));
            let hex = bytes.iter().fold(String::new(), |mut hex, byte| {
                let _ = write!(hex, "{byte:02x}");
                hex
            });
            forms.extend([hex.to_uppercase(), hex]);
            forms.push(format!("{bytes:?}").trim_matches(['[', ']']).to_owned());
        }
    }
    forms.into_iter().find(|form| text.contains(form.as_str()))
}

/// What every base64 of a text has in common in which `bytes` begin at this offset, modulo 3.
fn base64_inside(bytes: &[u8], offset: usize) -> String {
    let whole = STANDARD_NO_PAD.encode([&[0; 2][..offset], bytes].concat());
    let (first, end) = ((offset * 8).div_ceil(6), (offset + bytes.len()) * 8 / 6);
    whole[first..end].to_owned()
}

#[test]
fn a_secret_is_found_in_every_form() {
    let secret = "a secret of some length";
    for told in [
        format!("key={secret}"),
        format!("Basic {}", STANDARD.encode(format!("user:{secret}"))),
        format!("Basic {}", STANDARD.encode(format!("me:{secret};"))),
        format!("{:?}", format!("\0guest\0{secret}").as_bytes()),
        "6120736563726574206f6620736f6d65206c656e677468".to_owned(),
    ] {
        assert!(find(&told, secret).is_some(), "{told}");
    }
    assert!(find("sealed: [7, 7, 7, 7]", &STANDARD.encode([7; 4])).is_some());
    assert_eq!(find("nothing of a secret", secret), None);
}
