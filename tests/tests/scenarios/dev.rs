//! `payrelay dev`: the whole pipeline by one command, for people and for programs.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use devstack::testing::{Database, Vhost, program};
use lapin::options::BasicPublishOptions;
use lapin::{BasicProperties, Connection, ConnectionProperties};
use scenarios::{LIMIT, Process, Sandbox, http_client, is_alive, run_program, signal, until};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

/// Writes a channels file of the developer's own with these accounts, and a key file beside it.
fn write_channels(folder: &TempDir, accounts: &[&str]) {
    let file = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("a file");
    file("own.key", "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD\n");
    let table = |name: &&str| format!("[{name}]\nkind = \"standard\"\nsecret_file = \"own.key\"\n");
    file("channels.toml", &accounts.iter().map(table).collect::<String>());
}

/// Starts `payrelay dev --json` with a channels file in this folder, on its own servers or those given, and reads the first line
/// that it prints.
async fn start(webhook_url: &str, channels: &TempDir, servers: &[&str]) -> (Process, Value) {
    let mut command = Command::new(program("payrelay"));
    write_channels(channels, &["own"]);
    command.args(["dev", "--json", "--webhook-url", webhook_url]).args(servers).stdin(Stdio::null());
    command.arg("--channels").arg(channels.path().join("channels.toml"));
    let mut process = Process::watch(command.stdout(Stdio::piped()), "payrelay dev".as_ref());
    let stdout = process.child().stdout.take().expect("a pipe");
    let read = spawn_blocking(move || BufReader::new(stdout).lines().next());
    let line = timeout(LIMIT, read)
        .await
        .expect("a line in time")
        .expect("a reader")
        .expect("a line")
        .expect("text");
    let told = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
    (process, told)
}

fn text<'a>(told: &'a Value, pointer: &str) -> &'a str {
    told.pointer(pointer).and_then(Value::as_str).unwrap_or_else(|| panic!("{pointer} in {told}"))
}

/// The process ids of the private servers, which must be running.
fn servers(told: &Value) -> [u32; 2] {
    ["postgres", "rabbitmq"].map(|server| {
        let pid = told["pids"][server].as_u64().and_then(|pid| pid.try_into().ok());
        let pid = pid.unwrap_or_else(|| panic!("the pid of {server} in {told}"));
        assert!(is_alive(pid), "{server} runs");
        pid
    })
}

async fn gone(servers: [u32; 2]) {
    until("end of both servers", async || {
        let left: Vec<_> = servers.into_iter().filter(|pid| is_alive(*pid)).collect();
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?} live")) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dev_prints_what_it_takes_to_pay_and_ends_cleanly() {
    let sandbox = Sandbox::start().await;
    let channels = tempfile::tempdir().expect("a folder");
    let (mut process, told) = start(&sandbox.url("dev-merchant"), &channels, &[]).await;
    let servers = servers(&told);
    all_told(&told);
    assert!(!text(&told, "/management_url").is_empty(), "{told}");
    write_channels(&channels, &["own", "added-later"]);
    signal(process.pid(), "HUP");
    until_taken(&told, "added-later").await;
    // By the account that no file holds.
    pay(&told, &sandbox).await;
    operate(&told).await;

    signal(process.pid(), "TERM");
    assert_eq!(process.ended().await.code(), Some(0));
    gone(servers).await;
}

fn all_told(told: &Value) {
    let fields = [
        "/ingress_url",
        "/ingress_admin_url",
        "/order_service_url",
        "/order_service_admin_url",
        "/notifier_admin_url",
        "/database_url",
        "/amqp_url",
        "/admin_token",
        "/order_api_token",
        "/merchant_id",
        "/merchant_api_key",
        "/webhook_secret",
        "/standard_channel/account",
        "/standard_channel/secret",
    ];
    for field in fields {
        assert!(!text(told, field).is_empty(), "{field} in {told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn dev_works_again_on_a_database_that_it_has_used() {
    let (database, vhost) = spawn_blocking(|| (Database::create(), Vhost::create())).await.expect("servers");
    let servers = ["--database-url", database.url(), "--amqp-url", vhost.amqp_url()];
    let sandbox = Sandbox::start().await;
    let channels = tempfile::tempdir().expect("a folder");
    let mut keys = Vec::new();
    for start_no in 1..=2 {
        let (mut process, told) = start(&sandbox.url("dev-merchant"), &channels, &servers).await;
        all_told(&told);
        keys.push((text(&told, "/merchant_api_key").to_owned(), text(&told, "/webhook_secret").to_owned()));
        if start_no == 2 {
            pay(&told, &sandbox).await;
            bare_number_pays(&told, vhost.amqp_url()).await;
        }
        signal(process.pid(), "TERM");
        assert_eq!(process.ended().await.code(), Some(0));
    }
    assert!(keys[0].0 != keys[1].0 && keys[0].1 != keys[1].1, "each start prints keys of its own");
}

/// An upstream that sends order numbers alone pays the orders of the merchant that is there.
async fn bare_number_pays(told: &Value, amqp_url: &str) {
    let (http, token) = (http_client(), text(told, "/order_api_token"));
    let orders = format!("{}/v1/orders", text(told, "/order_service_url"));
    let item = json!({"sku": "s", "quantity": 1, "price_minor": 5, "shop_id": "s1", "warehouse_id": "w1"});
    let order = json!({
        "order_no": "BARE-1", "merchant_id": "dev-merchant", "buyer_id": "b", "amount_minor": 5, "currency": "CNY",
        "items": [item],
    });
    let created = http.post(&orders).bearer_auth(token).json(&order).send().await.expect("an answer");
    assert_eq!(created.status(), 201);
    let connection =
        Connection::connect(amqp_url, ConnectionProperties::default()).await.expect("a connection");
    let channel = connection.create_channel().await.expect("a channel");
    let options = BasicPublishOptions { mandatory: true, ..Default::default() };
    let properties = BasicProperties::default().with_delivery_mode(2);
    let published = channel
        .basic_publish("pay.direct".into(), "pay.success".into(), options, b"BARE-1", properties)
        .await;
    published.expect("a publish");
    until("payment of BARE-1", async || {
        let url = format!("{orders}/dev-merchant/BARE-1");
        let order = http.get(url).bearer_auth(token).send().await.expect("an answer");
        let order: Value = order.json().await.expect("JSON");
        if order["status"] == "PAID" { Ok(()) } else { Err(order.to_string()) }
    })
    .await;
}

/// Until pay orders of this channel account are taken.
async fn until_taken(told: &Value, account: &str) {
    let pay_order = json!({"order_no": "D-3", "amount_minor": 1, "currency": "CNY", "channel": account});
    let url = format!("{}/v1/pay-orders", text(told, "/ingress_url"));
    let (http, api_key) = (http_client(), text(told, "/merchant_api_key"));
    until("pay order of the account", async || {
        let request = http.post(&url).bearer_auth(api_key).json(&pay_order);
        let status = request.send().await.expect("an answer").status();
        if status == 201 { Ok(()) } else { Err(status.to_string()) }
    })
    .await;
}

/// One payment with nothing but what was printed.
async fn pay(told: &Value, sandbox: &Sandbox) {
    let merchant_id = text(told, "/merchant_id");
    let key = text(told, "/webhook_secret").parse().expect("a webhook secret");
    let api_key = text(told, "/merchant_api_key").to_owned();
    sandbox.register(&scenarios::Merchant { id: merchant_id.to_owned(), api_key: api_key.clone(), key });
    let http = http_client();
    let pay_order = json!({
        "order_no": "D-1", "amount_minor": 1999, "currency": "CNY", "channel": text(told, "/standard_channel/account"),
    });
    let url = format!("{}/v1/pay-orders", text(told, "/ingress_url"));
    let by_own_channel = json!({"order_no": "D-2", "amount_minor": 1, "currency": "CNY", "channel": "own"});
    let own = http.post(&url).bearer_auth(&api_key).json(&by_own_channel).send().await.expect("an answer");
    assert_eq!(own.status(), 201, "the developer's own channel is there");
    let created = http.post(url).bearer_auth(api_key).json(&pay_order).send().await.expect("an answer");
    let created: Value = created.json().await.expect("JSON");
    let callback = json!({
        "type": "payment.succeeded", "timestamp": "2026-01-01T00:00:00Z",
        "data": {
            "pay_order_no": text(&created, "/pay_order_no"), "channel_trade_no": "T-1", "amount_minor": 1999,
            "currency": "CNY", "status": "SUCCESS", "success_time": "2026-01-01T00:00:00Z",
        },
    });
    let secret = text(told, "/standard_channel/secret").parse().expect("a secret");
    let now = time::OffsetDateTime::now_utc();
    let sent = channels::standard::sign(callback.to_string(), "evt_1", &secret, now).expect("a valid id");
    let url =
        format!("{}/v1/callbacks/{}", text(told, "/ingress_url"), text(told, "/standard_channel/account"));
    let mut request = http.post(url);
    for (name, value) in sent.headers() {
        request = request.header(name, value);
    }
    assert_eq!(request.body(sent.body).send().await.expect("an answer").status(), 204);
    let webhook = until("webhook", async || sandbox.received_of("D-1").pop().ok_or("none".to_owned())).await;
    assert_eq!(webhook.event_type(), "pay.success");
}

/// What operators ask, by what was printed.
async fn operate(told: &Value) {
    let environment = [
        ("PAYRELAY_ADMIN_TOKEN", text(told, "/admin_token")),
        ("PAYRELAY_INGRESS_ADMIN_URL", text(told, "/ingress_admin_url")),
        ("PAYRELAY_ORDER_SERVICE_ADMIN_URL", text(told, "/order_service_admin_url")),
        ("PAYRELAY_NOTIFIER_ADMIN_URL", text(told, "/notifier_admin_url")),
    ];
    let trace = run_program("payrelay", &["trace", "D-1", "--json"], &environment).await.json();
    assert!(trace["steps"].as_array().is_some_and(|steps| steps.len() > 3), "{trace}");
    let environment = [&environment[..], &[("PAYRELAY_AMQP_URL", text(told, "/amqp_url"))]].concat();
    let doctor = run_program("payrelay", &["doctor", "--json"], &environment).await.json();
    assert_eq!((&doctor["errors"], &doctor["asked"][4]), (&json!(0), &json!("management API")), "{doctor}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_dev_leaves_no_server_behind() {
    let channels = tempfile::tempdir().expect("a folder");
    let (process, told) = start("http://127.0.0.1:9/webhooks", &channels, &[]).await;
    let servers = servers(&told);
    drop(process); // SIGKILL
    gone(servers).await;
}
