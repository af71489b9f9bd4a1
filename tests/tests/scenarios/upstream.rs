//! Other systems publish to `pay.direct` themselves, in every form that is understood, and in some that are not.

mod spring;

use channels::standard::Kind;
use events::codec::{self, Incoming};
use lapin::options::{BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions};
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties};
use scenarios::{DEFAULT_MERCHANT, Options, Pipeline, Sandbox, Servers, Shop, check, until};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

/// What Java writes for `Long.valueOf(…)`, up to the number itself.
pub(crate) const JAVA_LONG: &[u8] =
    b"\xac\xed\x00\x05sr\x00\x0ejava.lang.Long;\x8b\xe4\x90\xcc\x8f#\xdf\x02\x00\x01J\x00\x05value\
    xr\x00\x10java.lang.Number\x86\xac\x95\x1d\x0b\x94\xe0\x8b\x02\x00\x00xp";

/// A publisher of another team, with a client of its own.
pub(crate) struct Publisher {
    channel: Channel,
    _connection: Connection,
}

impl Publisher {
    pub(crate) async fn connect(pipeline: &Pipeline) -> Self {
        let url = pipeline.servers.amqp_url();
        let connection =
            Connection::connect(&url, ConnectionProperties::default()).await.expect("a connection");
        let channel = connection.create_channel().await.expect("a channel");
        channel.confirm_select(ConfirmSelectOptions::default()).await.expect("confirms");
        Self { channel, _connection: connection }
    }

    pub(crate) async fn publish(&self, routing_key: &str, content_type: &str, body: &[u8]) {
        let properties =
            BasicProperties::default().with_delivery_mode(2).with_content_type(content_type.into());
        self.publish_with(routing_key, properties, body).await;
    }

    async fn publish_with(&self, routing_key: &str, properties: BasicProperties, body: &[u8]) {
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let published = self
            .channel
            .basic_publish("pay.direct".into(), routing_key.into(), options, body, properties)
            .await;
        let confirmed = published.expect("a publish").await.expect("a confirm");
        assert!(matches!(confirmed, Confirmation::Ack(None)), "{confirmed:?}");
    }

    /// Takes one message from a queue, as soon as there is one: its headers and its body.
    pub(crate) async fn take(&self, queue: &str) -> (Value, Vec<u8>) {
        until(&format!("message in {queue}"), async || self.get(queue).await.ok_or("it is empty".to_owned()))
            .await
    }

    /// Takes one message from a queue, if there is one.
    pub(crate) async fn get(&self, queue: &str) -> Option<(Value, Vec<u8>)> {
        let options = BasicGetOptions { no_ack: true };
        let got = self.channel.basic_get(queue.into(), options).await.expect("an answer");
        let delivery = got?.delivery;
        let headers = delivery.properties.headers().as_ref().map(lapin::types::FieldTable::inner);
        let headers = headers.into_iter().flatten().map(|(name, value)| (name.to_string(), text(value)));
        Some((Value::Object(headers.collect()), delivery.data))
    }
}

/// A header's value as people read it.
fn text(value: &lapin::types::AMQPValue) -> Value {
    use lapin::types::AMQPValue::{LongInt, LongLongInt, LongString};
    match value {
        LongString(text) => String::from_utf8_lossy(text.as_bytes()).into(),
        LongInt(number) => (*number).into(),
        LongLongInt(number) => (*number).into(),
        other => format!("{other:?}").into(),
    }
}

/// A success in proto3 JSON, as any client of the schema writes it.
pub(crate) fn success(merchant_id: &str, order_no: &str) -> Value {
    let now = OffsetDateTime::now_utc().format(&Rfc3339).expect("a time");
    json!({
        "eventId": Uuid::now_v7(), "type": "PAY_EVENT_TYPE_SUCCESS", "merchantId": merchant_id, "orderNo": order_no,
        "payOrderNo": format!("UP-{order_no}"), "version": "1", "status": "PAY_ORDER_STATUS_TRADE_SUCCESS",
        "purpose": "PURPOSE_ORDER", "amountMinor": "1999", "currency": "CNY", "channel": "upstream",
        "channelTradeNo": format!("UT-{order_no}"), "paidAt": now, "occurredAt": now,
    })
}

/// The same in protobuf.
fn success_protobuf(merchant_id: &str, order_no: &str) -> Vec<u8> {
    let json = success(merchant_id, order_no).to_string();
    match codec::decode(Some(codec::JSON), "pay.success", json.as_bytes(), None) {
        Ok(Incoming::Event(event)) => codec::encode_protobuf(&event),
        other => panic!("{other:?}"),
    }
}

async fn start(sandbox: &Sandbox) -> (Pipeline, Shop, Publisher) {
    let pipeline = Pipeline::start(Servers::shared(), Options::default()).await;
    let merchant = pipeline.add_merchant(DEFAULT_MERCHANT, &sandbox.url(DEFAULT_MERCHANT)).await;
    sandbox.register(&merchant);
    let (shop, publisher) = (pipeline.shop(&merchant), Publisher::connect(&pipeline).await);
    // Another team may publish as soon as the queues are there; nobody has paid anything yet.
    for queue in ["trade.pay.success.queue", "merchant.pay.success.queue"] {
        until(queue, async || {
            pipeline.servers.vhost().queue_depth(queue).ok_or("it is not there".to_owned())
        })
        .await;
    }
    (pipeline, shop, publisher)
}

async fn paid(shop: &Shop, order_no: &str) -> Value {
    until(&format!("payment of {order_no}"), async || {
        let order = shop.order(order_no).await;
        if order["status"] == "PAID" { Ok(order) } else { Err(order.to_string()) }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_form_of_an_upstream_event_pays_the_order_and_only_full_ones_are_told() {
    let sandbox = Sandbox::start().await;
    let (pipeline, shop, publisher) = start(&sandbox).await;
    for order_no in ["10001", "10002", "10003", "U-1", "U-2"] {
        shop.create_order(order_no, 1999).await;
    }
    publisher.publish("pay.success", "text/plain", b"10001").await;
    publisher.publish("pay.success", "application/json", b"10002").await;
    let java = [JAVA_LONG, &10003_i64.to_be_bytes()].concat();
    publisher.publish("pay.success", "application/x-java-serialized-object", &java).await;
    let json = success(DEFAULT_MERCHANT, "U-1").to_string();
    publisher.publish("pay.success", "application/json", json.as_bytes()).await;
    publisher.publish("pay.success", "application/json", json.as_bytes()).await;
    let protobuf = success_protobuf(DEFAULT_MERCHANT, "U-2");
    publisher.publish("pay.success", "application/protobuf", &protobuf).await;

    for order_no in ["10001", "10002", "10003"] {
        let order = paid(&shop, order_no).await;
        assert_eq!(order["payment"], Value::Null, "a bare number tells no facts: {order}");
        assert_eq!(order["sub_orders"].as_array().map(Vec::len), Some(2), "{order}");
    }
    for order_no in ["U-1", "U-2"] {
        let order = paid(&shop, order_no).await;
        assert_eq!(order["payment"]["pay_order_no"], format!("UP-{order_no}"));
    }
    // The full event of an order that a bare number has paid brings the facts, and is told.
    publisher
        .publish("pay.success", "application/protobuf", &success_protobuf(DEFAULT_MERCHANT, "10001"))
        .await;
    until("webhook about 10001", async || sandbox.received_of("10001").pop().ok_or("none".to_owned())).await;
    until("facts of 10001", async || {
        let order = shop.order("10001").await;
        if order["payment"]["pay_order_no"] == "UP-10001" { Ok(()) } else { Err(order.to_string()) }
    })
    .await;

    check::audited(&pipeline).await;
    let mut told: Vec<_> = sandbox.received().iter().map(|received| received.order_no().to_owned()).collect();
    told.sort();
    assert_eq!(told, ["10001", "U-1", "U-2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn poison_goes_to_the_dead_letter_queues_with_its_reason_and_takes_no_neighbour_along() {
    let sandbox = Sandbox::start().await;
    let (pipeline, shop, publisher) = start(&sandbox).await;
    for order in 0..20 {
        let order_no = format!("G-{order}");
        shop.create_order(&order_no, 1999).await;
        let good = success_protobuf(DEFAULT_MERCHANT, &order_no);
        publisher.publish("pay.success", "application/protobuf", &good).await;
        if order == 10 {
            publisher.publish("pay.success", "application/protobuf", b"\xff\xff poison").await;
        }
    }
    for (queue, consumer) in
        [("trade.pay.success.queue.dlq", "trade"), ("merchant.pay.success.queue.dlq", "merchant")]
    {
        let (headers, body) = publisher.take(queue).await;
        assert_eq!(body, b"\xff\xff poison");
        assert_eq!(headers["x-payrelay-reason"], "undecodable", "{headers}");
        assert_eq!(headers["x-payrelay-consumer"], consumer, "{headers}");
        for name in ["x-payrelay-detail", "x-payrelay-attempts", "x-payrelay-first-seen"] {
            assert!(!headers[name].is_null(), "{name} in {headers}");
        }
    }
    for order in 0..20 {
        let order_no = format!("G-{order}");
        paid(&shop, &order_no).await;
        until(&format!("webhook about {order_no}"), async || {
            sandbox.received_of(&order_no).pop().ok_or("none".to_owned())
        })
        .await;
    }
    assert_eq!(sandbox.received().len(), 20);
    for queue in ["trade.pay.success.queue.dlq", "merchant.pay.success.queue.dlq"] {
        assert_eq!(publisher.get(queue).await, None, "{queue} holds more than the poison");
    }
    drop(pipeline);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_knows_is_retried_then_dead_lettered_with_the_reason() {
    let sandbox = Sandbox::start().await;
    let (pipeline, shop, publisher) = start(&sandbox).await;
    // Known to the notifier, unknown to the order service; and the other way round.
    publisher
        .publish(
            "pay.success",
            "application/json",
            success(DEFAULT_MERCHANT, "NO-SUCH").to_string().as_bytes(),
        )
        .await;
    publisher
        .publish("pay.success", "application/json", success("stranger", "S-1").to_string().as_bytes())
        .await;
    let (headers, _) = publisher.take("merchant.pay.success.queue.dlq").await;
    assert_eq!(headers["x-payrelay-reason"], "unknown_merchant", "{headers}");
    for _ in 0..2 {
        let (headers, _) = publisher.take("trade.pay.success.queue.dlq").await;
        assert_eq!(headers["x-payrelay-reason"], "attempts_exhausted", "{headers}");
        assert!(
            headers["x-payrelay-detail"].as_str().is_some_and(|detail| detail.contains("unknown_order")),
            "{headers}"
        );
        assert_eq!(headers["x-payrelay-attempts"], 4, "the first and one after each delay: {headers}");
    }

    // An order that comes while its event waits in a retry queue is paid.
    let early = success(DEFAULT_MERCHANT, "LATE").to_string();
    publisher.publish("pay.success", "application/json", early.as_bytes()).await;
    until("webhook about LATE", async || sandbox.received_of("LATE").pop().ok_or("none".to_owned())).await;
    shop.create_order("LATE", 1999).await;
    paid(&shop, "LATE").await;

    // A success of other money than ordered is nothing that a retry could mend.
    shop.create_order("OTHER", 2000).await;
    publisher
        .publish("pay.success", "application/json", success(DEFAULT_MERCHANT, "OTHER").to_string().as_bytes())
        .await;
    let (headers, _) = publisher.take("trade.pay.success.queue.dlq").await;
    assert_eq!(headers["x-payrelay-reason"], "amount_mismatch", "{headers}");
    assert_eq!(shop.order("OTHER").await["status"], "AWAITING_PAYMENT");
    drop(pipeline);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_paid_once_by_whoever_comes_first_and_the_second_payment_is_parked() {
    let sandbox = Sandbox::start().await;
    let (pipeline, shop, publisher) = start(&sandbox).await;
    shop.create_order("O-1", 1999).await;
    publisher
        .publish("pay.success", "application/json", success(DEFAULT_MERCHANT, "O-1").to_string().as_bytes())
        .await;
    paid(&shop, "O-1").await;
    let pay_order_no = shop.create_pay_order("O-1", 1999).await;
    assert_eq!(shop.tell(&shop.notice(Kind::PaymentSucceeded, &pay_order_no, 1999)).await, 204);
    let (headers, _) = publisher.take("trade.pay.success.queue.dlq").await;
    assert_eq!(headers["x-payrelay-reason"], "second_payment", "{headers}");
    assert_eq!(shop.order("O-1").await["payment"]["pay_order_no"], "UP-O-1");
    drop(pipeline);
}
