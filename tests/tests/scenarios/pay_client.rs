//! Services of other teams, on `pay-client`, beside the real pipeline.

use std::sync::{Arc, Mutex};

use lapin::options::{BasicGetOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{FieldTable, ShortString};
use lapin::{Channel, Connection, ConnectionProperties};
use pay_client::{
    CancellationToken, EventType, Handler, HandlerError, Money, PayEvent, PayOrder, Publisher, Purpose,
    Received, RetryDelays, Status, Subscriber, Verdict, new_event_id,
};
use scenarios::{DEFAULT_MERCHANT, Options, Pipeline, Sandbox, Servers, until};
use serde_json::{Value, json};
use time::OffsetDateTime;

/// Remembers the keys and sources of what it was given.
#[derive(Clone, Default)]
struct Books(Arc<Mutex<Vec<(String, String)>>>);

impl Handler for Books {
    async fn handle(&self, batch: &[Received]) -> Result<Vec<Verdict>, HandlerError> {
        let entry = |received: &Received| (received.key.clone(), received.source.clone().unwrap_or_default());
        self.0.lock().expect("books").extend(batch.iter().map(entry));
        Ok(vec![Verdict::Done; batch.len()])
    }
}

fn success(order_no: &str) -> PayEvent {
    let now = OffsetDateTime::now_utc();
    PayEvent {
        event_id: new_event_id(),
        event_type: EventType::Success,
        occurred_at: now,
        order: PayOrder {
            pay_order_no: format!("UP-{order_no}").parse().expect("an identifier"),
            merchant_id: DEFAULT_MERCHANT.parse().expect("an identifier"),
            order_no: order_no.parse().expect("an identifier"),
            purpose: Purpose::Order,
            amount: Money::new(1999, "CNY".parse().expect("a currency")),
            channel: "upstream".parse().expect("an identifier"),
            status: Status::TradeSuccess,
            version: 1,
            refunded_minor: 0,
            channel_trade_no: None,
            paid_at: Some(now),
            subject: None,
            notify_url: None,
            attach: None,
        },
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_pays_orders_and_a_downstream_hears_of_all_payments() {
    hears_of_all_payments("protobuf", "application/protobuf").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_in_json_reach_both_consumers_and_a_downstream() {
    hears_of_all_payments("json", "application/json").await;
}

/// A queue that nobody consumes, for a look at what is published.
async fn eavesdrop(url: &str) -> Channel {
    let connection = Connection::connect(url, ConnectionProperties::default()).await.expect("a connection");
    let channel = connection.create_channel().await.expect("a channel");
    let durable = QueueDeclareOptions { durable: true, ..Default::default() };
    channel.queue_declare("spy".into(), durable, FieldTable::default()).await.expect("a queue");
    let options = QueueBindOptions::default();
    let bound = channel.queue_bind(
        "spy".into(),
        "pay.direct".into(),
        "pay.success".into(),
        options,
        FieldTable::default(),
    );
    bound.await.expect("a binding");
    channel
}

async fn hears_of_all_payments(format: &'static str, content_type: &str) {
    let sandbox = Sandbox::start().await;
    let options = Options { environment: vec![("PAYRELAY_EVENT_FORMAT", format)], ..Options::default() };
    let pipeline = Pipeline::start(Servers::shared(), options).await;
    let merchant = pipeline.add_merchant(DEFAULT_MERCHANT, &sandbox.url(DEFAULT_MERCHANT)).await;
    sandbox.register(&merchant);
    let (shop, url) = (pipeline.shop(&merchant), pipeline.servers.amqp_url());

    let retry: RetryDelays = "300ms,600ms,1s".parse().expect("delays, those of the services");
    let subscriber = Subscriber::new(&url, "risk", &[EventType::Success], &retry).expect("a subscriber");
    let (books, cancel, subscriptions) =
        (Books::default(), CancellationToken::new(), subscriber.subscriptions());
    let running = tokio::spawn(subscriber.run(books.clone(), cancel.clone()));
    until("subscription", async || subscriptions.are_there().then_some(()).ok_or("none".to_owned())).await;

    let spy = eavesdrop(&url).await;
    let pay_order_no = shop.pay("P-1", 1999).await;
    let seen = until("the event of P-1", async || {
        let taken = spy.basic_get("spy".into(), BasicGetOptions::default()).await.expect("an answer");
        taken.map(|message| message.delivery).ok_or("nothing".to_owned())
    })
    .await;
    assert_eq!(seen.properties.content_type().as_ref().map(ShortString::as_str), Some(content_type));
    if format == "json" {
        let event: Value = serde_json::from_slice(&seen.data).expect("JSON");
        let told = (&event["orderNo"], &event["amountMinor"], &event["type"]);
        assert_eq!(told, (&json!("P-1"), &json!("1999"), &json!("PAY_EVENT_TYPE_SUCCESS")), "{event}");
    }
    shop.create_order("U-1", 1999).await;
    let (publisher, event) = (Publisher::new(&url, "billing").expect("a publisher"), success("U-1"));
    // Whether one knows of the first or not, the second does no harm.
    until("publish", async || publisher.publish(&event).await.map_err(|error| error.to_string())).await;
    until("publish", async || publisher.publish(&event).await.map_err(|error| error.to_string())).await;

    until("payment of U-1", async || {
        let order = shop.order("U-1").await;
        if order["payment"]["pay_order_no"] == "UP-U-1" { Ok(()) } else { Err(order.to_string()) }
    })
    .await;
    until("webhook about U-1", async || sandbox.received_of("U-1").pop().ok_or("none".to_owned())).await;
    let mut heard = until("three events", async || {
        let heard = books.0.lock().expect("books").clone();
        if heard.len() == 3 { Ok(heard) } else { Err(format!("{heard:?}")) }
    })
    .await;
    heard.sort();
    heard.dedup();
    let entry = |key: String, source: &str| (key, source.to_owned());
    let expected = [
        entry(format!("{DEFAULT_MERCHANT}/P-1/{pay_order_no}/pay.success/0"), "/payrelay/ingress"),
        entry(format!("{DEFAULT_MERCHANT}/U-1/UP-U-1/pay.success/0"), "/billing"),
    ];
    assert_eq!(heard, expected);
    scenarios::check::audited(&pipeline).await;
    let told: Vec<_> = sandbox.received().iter().map(|told| told.order_no().to_owned()).collect();
    assert_eq!(told.iter().filter(|order_no| *order_no == "U-1").count(), 1, "{told:?}");
    cancel.cancel();
    running.await.expect("an end in good order");
}
