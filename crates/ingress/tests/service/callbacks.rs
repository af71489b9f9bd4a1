//! What channels send, and what they are answered.

use std::time::Duration;

use channels::MAX_BODY_BYTES;
use channels::standard::{Kind, sign};
use events::{Currency, EventType, Money, PayOrderNo, Purpose};
use futures_util::future::join_all;
use reqwest::StatusCode;
use serde_json::{Value, json};
use storage::Database;
use time::OffsetDateTime;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::{World, event, new_pay_order, notice, paid, read, refunded, signed, take};

const RUNBOOK: &str = include_str!("../../../../docs/runbook/callbacks.md");

#[tokio::test]
async fn a_success_is_committed_told_once_and_acknowledged_again() {
    let world = World::create();
    let ingress = world.ingress(&[]).await;
    let number = ingress.pay_order("10001").await;
    let sent = signed(&paid(&number));
    assert_eq!(ingress.send("gateway_main", &sent).await, (StatusCode::NO_CONTENT, Value::Null));
    let found = ingress.show(&number).await;
    assert_eq!((&found["status"], &found["version"]), (&json!("TRADE_SUCCESS"), &json!(2)));
    assert_eq!(found["channel_trade_no"], json!(format!("T-{number}")));
    assert!(found["paid_at"].is_string());
    assert_eq!(ingress.send("gateway_main", &sent).await.0, StatusCode::NO_CONTENT);
    assert_eq!(ingress.show(&number).await, found);

    let message = take(world.vhost.amqp_url(), "trade.pay.success.queue", 1).await.remove(0);
    let told = event(&message);
    assert_eq!(told.event_type, EventType::Success);
    assert_eq!((told.order.pay_order_no, told.order.version), (number.clone(), 2));
    assert_eq!((told.order.purpose, told.order.attach.as_deref()), (Purpose::Order, Some("a=1")));
    let properties = &message.properties;
    assert_eq!(properties.message_id().as_ref().unwrap().as_str(), told.event_id.to_string());
    assert_eq!(properties.kind().as_ref().unwrap().as_str(), "pay.success");
    assert_eq!(*properties.delivery_mode(), Some(2));
    let headers = properties.headers().as_ref().unwrap().inner();
    let header = |name: &str| headers[name].as_long_string().unwrap().to_string();
    assert_eq!(
        (header("cloudEvents_specversion"), header("cloudEvents_type")),
        ("1.0".into(), "pay.success".into())
    );
    assert_eq!(
        (header("cloudEvents_subject"), header("cloudEvents_source")),
        (number.to_string(), events::SOURCE.into())
    );
    assert!(header("traceparent").starts_with("00-"), "{}", header("traceparent"));
    let also = take(world.vhost.amqp_url(), "merchant.pay.success.queue", 1).await.remove(0);
    assert_eq!(event(&also).event_id, told.event_id);
}

#[tokio::test]
async fn the_trace_of_the_callback_goes_on_and_credentials_are_not_kept() {
    let world = World::create();
    let ingress = world.ingress(&[]).await;
    let number = ingress.pay_order("10001").await;
    let sent = signed(&paid(&number));
    let mut request =
        ingress.http.post(format!("{}/v1/callbacks/gateway_main", ingress.url)).body(sent.body.clone());
    for (name, value) in sent.headers() {
        request = request.header(name, value);
    }
    let trace_id = "0af7651916cd43dd8448eb211c80319c";
    let request = request.header("traceparent", format!("00-{trace_id}-b7ad6b7169203331-01"));
    let request = request.header("tracestate", "vendor=1").bearer_auth("hunter2").header("cookie", "hunter2");
    assert_eq!(request.send().await.unwrap().status(), StatusCode::NO_CONTENT);

    let message = take(world.vhost.amqp_url(), "trade.pay.success.queue", 1).await.remove(0);
    let headers = message.properties.headers().as_ref().unwrap().inner();
    assert!(headers["traceparent"].as_long_string().unwrap().to_string().contains(trace_id));
    assert_eq!(headers["tracestate"].as_long_string().unwrap().to_string(), "vendor=1");

    let database = Database::connect(world.database.url(), "test", 1).unwrap();
    let client = database.client().await.unwrap();
    let row = client.query_one("SELECT headers, body, dedupe_id FROM pay.callbacks", &[]).await.unwrap();
    let kept: Value = row.get("headers");
    assert_eq!(kept["webhook-id"], json!(sent.webhook_id));
    assert!(!kept.to_string().contains("hunter2"), "{kept}");
    assert_eq!(row.get::<_, &[u8]>("body"), sent.body.as_bytes());
    assert_eq!(row.get::<_, &str>("dedupe_id"), sent.webhook_id);
}

#[tokio::test]
async fn a_refund_may_come_before_its_success() {
    let world = World::create();
    let ingress = world.ingress(&[]).await;
    let number = ingress.pay_order("10001").await;
    for notice in [refunded(&number, 500), paid(&number), refunded(&number, 300), refunded(&number, 1999)] {
        assert_eq!(ingress.callback(&notice).await, StatusCode::NO_CONTENT);
    }
    let found = ingress.show(&number).await;
    assert_eq!((&found["status"], &found["refunded_minor"]), (&json!("TRADE_REFUNDED"), &json!(1999)));
    let refunds = take(world.vhost.amqp_url(), "trade.pay.refunded.queue", 2).await;
    let told: Vec<_> =
        refunds.iter().map(event).map(|told| (told.order.version, told.order.refunded_minor)).collect();
    assert_eq!(told, [(3, 500), (4, 1999)]);
    let success = event(&take(world.vhost.amqp_url(), "trade.pay.success.queue", 1).await[0]);
    assert_eq!((success.order.version, success.order.refunded_minor), (2, 0));
}

#[tokio::test]
async fn facts_of_many_pay_orders_at_once_each_get_their_own_answer() {
    let (ingress, _database) = World::without_broker(&[]).await;
    let numbers = join_all((0..30).map(|order| {
        let order_no = order.to_string();
        let ingress = &ingress;
        async move { ingress.pay_order(&order_no).await }
    }))
    .await;
    let notices: Vec<_> =
        numbers.iter().flat_map(|number| [paid(number), paid(number), refunded(number, 1999)]).collect();
    let answers = join_all(notices.iter().map(|notice| ingress.callback(notice))).await;
    assert!(answers.iter().all(|status| *status == StatusCode::NO_CONTENT), "{answers:?}");
    for number in &numbers {
        let found = ingress.show(number).await;
        assert_eq!((&found["status"], &found["version"]), (&json!("TRADE_REFUNDED"), &json!(3)));
    }
}

#[tokio::test]
async fn what_is_refused_is_stored_only_if_it_is_the_channels() {
    let (ingress, database) = World::without_broker(&[]).await;
    let number = ingress.pay_order("10001").await;
    let mut forged = signed(&paid(&number));
    forged.body = forged.body.replace("1999", "1998");
    let (status, problem) = ingress.send("gateway_main", &forged).await;
    assert_eq!((status, &problem["code"]), (StatusCode::UNAUTHORIZED, &json!("bad_signature")));

    let secret = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD".parse().unwrap();
    let unreadable =
        sign("{\"type\":\"payment.succeeded\"}".to_owned(), "evt_1", &secret, OffsetDateTime::now_utc())
            .unwrap();
    assert_eq!(ingress.send("gateway_main", &unreadable).await.0, StatusCode::UNPROCESSABLE_ENTITY);
    let unknown =
        sign("{\"type\":\"dispute.opened\"}".to_owned(), "evt_2", &secret, OffsetDateTime::now_utc())
            .unwrap();
    assert_eq!(ingress.send("gateway_main", &unknown).await.0, StatusCode::NO_CONTENT);
    assert_eq!(ingress.send("nowhere", &signed(&paid(&number))).await.0, StatusCode::NOT_FOUND);
    let mut huge = signed(&paid(&number));
    huge.body.push_str(&" ".repeat(MAX_BODY_BYTES));
    let (status, problem) = ingress.send("gateway_main", &huge).await;
    assert_eq!((status, &problem["code"]), (StatusCode::PAYLOAD_TOO_LARGE, &json!("body_too_large")));
    let encoded = ingress.http.post(format!("{}/v1/callbacks/gateway_main", ingress.url));
    let (status, problem) = read(encoded.header("content-encoding", "gzip").send().await.unwrap()).await;
    assert_eq!(
        (status, &problem["code"]),
        (StatusCode::UNSUPPORTED_MEDIA_TYPE, &json!("unsupported_content_encoding"))
    );

    let database = Database::connect(database.url(), "test", 1).unwrap();
    let client = database.client().await.unwrap();
    // But for the one that was the channel's.
    let row = client
        .query_one(
            "SELECT outcome, reason, account, dedupe_id, pay_order_no, headers, body FROM pay.callbacks",
            &[],
        )
        .await
        .unwrap();
    assert_eq!(
        kept_by_the_runbook(&client).await["body_base64"],
        json!("eyJ0eXBlIjoicGF5bWVudC5zdWNjZWVkZWQifQ==")
    );
    let kept: Vec<&str> = (0..5).map(|column| row.get(column)).collect();
    assert_eq!(kept, ["refused", "unreadable", "gateway_main", "", ""]);
    assert_eq!(row.get::<_, Value>("headers")["webhook-id"], json!("evt_1"));
    assert_eq!(row.get::<_, &[u8]>("body"), unreadable.body.as_bytes());
    assert_eq!(ingress.show(&number).await["status"], "WAIT_BUYER_PAY");
}

/// A client that sends on while it is refused hears why, and one that holds a place for a large body gives it back.
#[tokio::test]
async fn a_callback_may_have_a_mebibyte_and_hears_when_it_has_more() {
    let (ingress, _database) = World::without_broker(&[]).await;
    let number = ingress.pay_order("10001").await;
    let secret = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD".parse().unwrap();
    let body = signed(&paid(&number)).body;
    let padded = |bytes: usize| {
        let body = format!("{}{body}", " ".repeat(bytes - body.len()));
        sign(body, "evt_large", &secret, OffsetDateTime::now_utc()).unwrap()
    };
    for _ in 0..3 {
        let over = padded(MAX_BODY_BYTES + 1);
        let (status, problem) = ingress.send("gateway_main", &over).await;
        assert_eq!((status, &problem["code"]), (StatusCode::PAYLOAD_TOO_LARGE, &json!("body_too_large")));
        assert_eq!((&problem["status"], &problem["title"]), (&json!(413), &json!("Payload Too Large")));
    }
    let far_over = padded(8 * MAX_BODY_BYTES);
    assert_eq!(ingress.send("gateway_main", &far_over).await.0, StatusCode::PAYLOAD_TOO_LARGE);
    // More at a time than there are places.
    let large = padded(100 * 1024);
    let answers = join_all((0..100).map(|_| ingress.send("gateway_main", &large))).await;
    assert!(answers.iter().all(|(status, _)| *status == StatusCode::NO_CONTENT), "{answers:?}");
    assert_eq!(ingress.send("gateway_main", &padded(MAX_BODY_BYTES)).await.0, StatusCode::NO_CONTENT);
    assert_eq!(ingress.show(&number).await["status"], "TRADE_SUCCESS");
}

/// One that stops in the middle of a body that is too large already: it is refused, logged and counted as others are.
#[tokio::test]
async fn who_stops_in_the_middle_of_too_large_a_body_is_answered() {
    let (ingress, _database) = World::without_broker(&[]).await;
    let counted = async || {
        let metrics = ingress.http.get(format!("{}/metrics", ingress.admin_url)).send().await.unwrap();
        metrics.text().await.unwrap().contains("outcome=\"body_too_large\"} 1")
    };
    assert!(!counted().await);
    let mut stream = TcpStream::connect(ingress.url.trim_start_matches("http://")).await.unwrap();
    let head = format!(
        "POST /v1/callbacks/gateway_main HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n",
        3 * MAX_BODY_BYTES
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&vec![b' '; 2 * MAX_BODY_BYTES]).await.unwrap();
    let mut answer = [0; 12];
    timeout(Duration::from_secs(30), stream.read_exact(&mut answer)).await.unwrap().unwrap();
    assert_eq!(&answer, b"HTTP/1.1 413");
    assert!(counted().await);
}

/// The one request that the statement of the runbook finds.
async fn kept_by_the_runbook(client: &storage::Client) -> Value {
    let (_, section) = RUNBOOK.split_once("\n## Callbacks that were not taken\n").expect("the section");
    let statement = section.split("```sql\n").nth(1).and_then(|rest| rest.split("```").next());
    let row = client.query_one(statement.expect("a statement"), &[]).await.unwrap();
    let mut request: Value = row.get("request");
    assert!(request["now"].is_i64(), "{request}");
    request["request"].take()
}

#[tokio::test]
async fn contradictions_are_failures_to_the_channel_and_recorded_once() {
    let (ingress, _database) = World::without_broker(&[]).await;
    let (amount, account, twice, closed) = (
        ingress.pay_order("amount").await,
        ingress.pay_order("account").await,
        ingress.pay_order("twice").await,
        ingress.pay_order("closed").await,
    );
    let mut wrong = paid(&amount);
    wrong.amount = Money::new(1, Currency::parse("CNY").unwrap());
    for _ in 0..2 {
        let (status, problem) = ingress.send("gateway_main", &signed(&wrong)).await;
        assert_eq!((status, &problem["code"]), (StatusCode::CONFLICT, &json!("contradiction")));
    }
    assert_eq!(ingress.send("gateway_other", &signed(&paid(&account))).await.0, StatusCode::CONFLICT);
    assert_eq!(ingress.callback(&paid(&twice)).await, StatusCode::NO_CONTENT);
    let mut second = paid(&twice);
    second.channel_trade_no = "another".to_owned();
    assert_eq!(ingress.callback(&second).await, StatusCode::CONFLICT);
    assert_eq!(ingress.callback(&notice(Kind::PaymentClosed, &closed)).await, StatusCode::NO_CONTENT);
    assert_eq!(ingress.callback(&paid(&closed)).await, StatusCode::CONFLICT);
    let stranger = PayOrderNo::parse("P0").unwrap();
    let (status, problem) = ingress.send("gateway_main", &signed(&paid(&stranger))).await;
    assert_eq!((status, &problem["code"]), (StatusCode::NOT_FOUND, &json!("unknown_pay_order")));

    let listed = ingress.admin_get("/admin/contradictions").await;
    let listed = listed.as_array().unwrap();
    let known: Vec<_> = listed
        .iter()
        .rev()
        .map(|row| (row["order_no"].as_str(), row["reason"].as_str().unwrap(), &row["count"]))
        .collect();
    assert_eq!(
        known,
        [
            (Some("amount"), "amount_mismatch", &json!(2)),
            (Some("account"), "account_mismatch", &json!(1)),
            (Some("twice"), "second_trade", &json!(1)),
            (Some("closed"), "success_after_close", &json!(1)),
            (None, "unknown_pay_order", &json!(1)),
        ]
    );
    assert_eq!(ingress.show(&amount).await["status"], "WAIT_BUYER_PAY");
    assert_eq!(ingress.callback(&paid(&amount)).await, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn with_the_database_away_the_channel_is_told_to_try_again() {
    let stack =
        devstack::Stack::start(&devstack::StackOptions { rabbitmq: false, ..Default::default() }).unwrap();
    let vhost = devstack::testing::Vhost::create();
    let ingress =
        crate::support::Ingress::start(&stack.postgres().database_url(), vhost.amqp_url(), &[]).await;
    let number = ingress.pay_order("10001").await;
    stack.postgres().kill().unwrap();
    assert_eq!(ingress.callback(&paid(&number)).await, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(ingress.create(&new_pay_order("10002")).await.0, StatusCode::SERVICE_UNAVAILABLE);
    let ready = ingress.http.get(format!("{}/readyz", ingress.admin_url)).send().await.unwrap();
    assert_eq!(ready.status(), StatusCode::SERVICE_UNAVAILABLE);
    stack.postgres().start().unwrap();
    let accepted = async || (ingress.callback(&paid(&number)).await == StatusCode::NO_CONTENT).then_some(());
    crate::support::eventually("the callback is taken", accepted).await;
    assert_eq!(take(vhost.amqp_url(), "trade.pay.success.queue", 1).await.len(), 1);
}
