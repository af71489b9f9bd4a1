//! The dispatcher against merchants of every temper.

use std::sync::Arc;
use std::time::Duration;

use merchant_notifier::dispatch::{Attempts, Dispatcher, Limits, Sender};
use merchant_notifier::secrets::Vault;
use merchant_notifier::ssrf::TargetPolicy;
use merchant_notifier::store::endpoints;
use merchant_notifier::{Ack, Change, EndpointChange};
use service::MasterKey;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use webhooks::Secret;

use crate::merchant::{Merchant, Reply};
use crate::support::{TestDatabase, event, eventually, merchant, refund_of};

pub(crate) const LIMITS: Limits = Limits { workers: 32, per_endpoint: 4 };
pub(crate) const LADDER: &str = "100ms,100ms,100ms,100ms,100ms,100ms";

pub(crate) fn vault() -> Vault {
    Vault::new(&MasterKey::default())
}

pub(crate) fn sender(allowed: &[&str], ladder: &str) -> Sender {
    service::tls::install();
    let policy = TargetPolicy::new(allowed.iter().map(|network| network.parse().unwrap()).collect());
    Sender::new(Arc::new(policy), vault(), ladder.parse().unwrap()).unwrap()
}

/// A replica's dispatcher, stopped and waited for by [`Replica::stop`].
pub(crate) struct Replica {
    cancel: CancellationToken,
    task: JoinHandle<()>,
}

impl Replica {
    pub(crate) fn start(db: &TestDatabase, ladder: &str) -> Self {
        Self::with(db, sender(&["127.0.0.0/8"], ladder))
    }

    fn with(db: &TestDatabase, sender: Sender) -> Self {
        let wake = Arc::new(Notify::new());
        let (attempts, recorder) = Attempts::new(db.database.clone(), sender, LIMITS, wake);
        tokio::spawn(recorder.run());
        let dispatcher = Dispatcher::new(attempts);
        let cancel = CancellationToken::new();
        let stopped = cancel.clone();
        Self { cancel, task: tokio::spawn(async move { dispatcher.run(&stopped).await }) }
    }

    pub(crate) async fn stop(self) {
        self.cancel.cancel();
        self.task.await.unwrap();
    }
}

/// Gives the merchant an endpoint and tells it the secret.
pub(crate) async fn connect(db: &TestDatabase, id: &str, receiver: &Merchant, change: EndpointChange) {
    let secret = Secret::generate(rand::random());
    receiver.trust(secret.verifying_key());
    let sealed = vault().seal(&merchant(id), &secret.into()).unwrap();
    let change = EndpointChange { url: Change::Set(receiver.url.clone()), ..change };
    endpoints::put(&db.database.client().await.unwrap(), &merchant(id), &change, &sealed).await.unwrap();
}

pub(crate) async fn statuses(db: &TestDatabase, wanted: &str, count: i64) {
    let statement = format!(
        "SELECT count(*) FROM notify.notifications WHERE status || coalesce(':' || reason, '') = '{wanted}'"
    );
    eventually(wanted, async || (db.value::<i64>(&statement).await == count).then_some(())).await;
}

async fn error_kind(db: &TestDatabase) -> Option<String> {
    db.value("SELECT error_kind FROM notify.attempts ORDER BY attempt LIMIT 1").await
}

#[tokio::test]
async fn a_failing_merchant_gets_the_same_webhook_again_signed_afresh_even_by_another_process() {
    let db = TestDatabase::create().await;
    let receiver = Merchant::start(|n| if n < 3 { Reply::status(500) } else { Reply::OK }).await;
    connect(&db, "m1", &receiver, EndpointChange::default()).await;
    db.notify(&[event("m1", "10001")]).await;
    let first = Replica::start(&db, LADDER);
    receiver.wait_for(2).await;
    first.stop().await;
    let second = Replica::start(&db, LADDER);
    let calls = receiver.wait_for(4).await;
    statuses(&db, "DELIVERED", 1).await;
    second.stop().await;
    assert_eq!(receiver.received().len(), 4);
    assert!(calls.iter().all(|webhook| webhook.id == calls[0].id && webhook.body == calls[0].body));
    assert!(calls.windows(2).all(|pair| pair[1].at - pair[0].at >= Duration::from_millis(90)));
    assert!(calls[3].timestamp >= calls[0].timestamp);
    let headers = &calls[0].headers;
    assert_eq!(headers["content-type"], "application/json");
    assert!(headers["user-agent"].to_str().unwrap().starts_with("payrelay/"));
    assert!(headers.contains_key("traceparent"));
    let attempts: Vec<i16> =
        db.value("SELECT array_agg(http_status ORDER BY attempt) FROM notify.attempts").await;
    assert_eq!(attempts, [500, 500, 500, 200]);
}

#[tokio::test]
async fn the_last_failure_parks_a_notification_where_it_can_be_seen() {
    let db = TestDatabase::create().await;
    let receiver = Merchant::start(|_| Reply { body: "no\0 thanks", ..Reply::status(404) }).await;
    let own = EndpointChange { ladder: Change::Set("20ms".parse().unwrap()), ..EndpointChange::default() };
    connect(&db, "m1", &receiver, own).await;
    db.notify(&[event("m1", "10001")]).await;
    let replica = Replica::start(&db, "1h");
    statuses(&db, "PARKED:attempts_exhausted", 1).await;
    replica.stop().await;
    assert_eq!(receiver.received().len(), 2);
    assert_eq!(error_kind(&db).await.as_deref(), Some("status"));
    assert_eq!(
        db.value::<String>("SELECT response_excerpt FROM notify.attempts LIMIT 1").await,
        "no  thanks"
    );
}

#[tokio::test]
async fn two_replicas_make_each_attempt_once() {
    let db = TestDatabase::create().await;
    let receiver = Merchant::start(|_| Reply::OK).await;
    connect(&db, "m1", &receiver, EndpointChange::default()).await;
    let replicas = [Replica::start(&db, LADDER), Replica::start(&db, LADDER)];
    let events: Vec<_> = (0..100).map(|order| event("m1", &format!("{order}"))).collect();
    db.notify(&events).await;
    statuses(&db, "DELIVERED", 100).await;
    for replica in replicas {
        replica.stop().await;
    }
    let mut ids: Vec<_> = receiver.received().into_iter().map(|webhook| webhook.id).collect();
    ids.sort();
    ids.dedup();
    assert_eq!((receiver.received().len(), ids.len()), (100, 100));
    assert_eq!(db.value::<i64>("SELECT count(*) FROM notify.attempts").await, 100);
}

#[tokio::test]
async fn a_slow_merchant_slows_nobody_else() {
    let db = TestDatabase::create().await;
    let slow = Merchant::start(|_| Reply { after: Duration::from_secs(4), ..Reply::OK }).await;
    let quick = Merchant::start(|_| Reply::OK).await;
    connect(&db, "slow", &slow, EndpointChange::default()).await;
    connect(&db, "quick", &quick, EndpointChange::default()).await;
    let mut events: Vec<_> = (0..50).map(|order| event("slow", &format!("{order}"))).collect();
    events.extend((0..50).map(|order| event("quick", &format!("{order}"))));
    db.notify(&events).await;
    let replica = Replica::start(&db, LADDER);
    quick.wait_for(50).await;
    // The slow one has its share, no more, and has not answered even once.
    assert_eq!(slow.received().len(), 4);
    assert_eq!(db.value::<i64>("SELECT count(*) FROM notify.attempts WHERE duration_ms > 2000").await, 0);
    replica.stop().await;
}

#[tokio::test]
async fn an_endpoint_may_demand_the_word_success() {
    let db = TestDatabase::create().await;
    let receiver =
        Merchant::start(|n| Reply { body: [" fail", "\nSuccess \n"][n.min(1)], ..Reply::OK }).await;
    connect(&db, "m1", &receiver, EndpointChange { ack: Some(Ack::Success), ..EndpointChange::default() })
        .await;
    db.notify(&[event("m1", "10001")]).await;
    let replica = Replica::start(&db, LADDER);
    statuses(&db, "DELIVERED", 1).await;
    replica.stop().await;
    assert_eq!(receiver.received().len(), 2);
    assert_eq!(error_kind(&db).await.as_deref(), Some("not_acknowledged"));
}

#[tokio::test]
async fn gone_disables_the_endpoint_and_enabling_it_resumes_in_order() {
    let db = TestDatabase::create().await;
    let receiver = Merchant::start(|n| if n == 0 { Reply::status(410) } else { Reply::OK }).await;
    connect(&db, "m1", &receiver, EndpointChange::default()).await;
    let success = event("m1", "10001");
    // The refund waits for its success, and is parked with it.
    db.notify(&[refund_of(&success), success]).await;
    let replica = Replica::start(&db, LADDER);
    statuses(&db, "PARKED:endpoint_disabled", 2).await;
    assert!(!db.value::<bool>("SELECT enabled FROM notify.endpoints").await);
    assert_eq!(receiver.received().len(), 1);

    let client = db.database.client().await.unwrap();
    let enable = EndpointChange { enabled: Some(true), ..EndpointChange::default() };
    endpoints::put(&client, &merchant("m1"), &enable, b"").await.unwrap();
    // The replica looks for them as well, and may have come first.
    endpoints::settle(&client).await.unwrap();
    statuses(&db, "DELIVERED", 2).await;
    replica.stop().await;
    let types: Vec<_> = receiver.received().iter().map(|webhook| webhook.body["type"].clone()).collect();
    assert_eq!(types, ["pay.success", "pay.success", "pay.refunded"]);
}

#[tokio::test]
async fn gone_at_a_pay_orders_own_address_ends_that_notification_only() {
    let db = TestDatabase::create().await;
    let receiver = Merchant::start(|n| if n == 0 { Reply::status(410) } else { Reply::OK }).await;
    connect(&db, "m1", &receiver, EndpointChange::default()).await;
    let mut own = event("m1", "10001");
    own.order.notify_url = Some(receiver.url.clone());
    db.notify(&[own]).await;
    let replica = Replica::start(&db, LADDER);
    statuses(&db, "PARKED:gone", 1).await;
    db.notify(&[event("m1", "10002")]).await;
    statuses(&db, "DELIVERED", 1).await;
    replica.stop().await;
}

#[tokio::test]
async fn retry_after_is_honoured() {
    let db = TestDatabase::create().await;
    let busy = Reply { header: Some(("retry-after", "2")), ..Reply::status(429) };
    let receiver = Merchant::start(move |n| if n == 0 { busy.clone() } else { Reply::OK }).await;
    connect(&db, "m1", &receiver, EndpointChange::default()).await;
    db.notify(&[event("m1", "10001")]).await;
    let replica = Replica::start(&db, LADDER);
    let calls = receiver.wait_for(2).await;
    replica.stop().await;
    assert!(calls[1].at - calls[0].at >= Duration::from_secs(2));
}

#[tokio::test]
async fn redirections_are_not_followed() {
    let db = TestDatabase::create().await;
    let elsewhere = Merchant::start(|_| Reply::OK).await;
    let to: &'static str = elsewhere.url.clone().leak();
    let redirect = Reply { header: Some(("location", to)), ..Reply::status(307) };
    let receiver = Merchant::start(move |n| if n == 0 { redirect.clone() } else { Reply::OK }).await;
    connect(&db, "m1", &receiver, EndpointChange::default()).await;
    db.notify(&[event("m1", "10001")]).await;
    let replica = Replica::start(&db, LADDER);
    statuses(&db, "DELIVERED", 1).await;
    replica.stop().await;
    assert!(elsewhere.received().is_empty());
    assert_eq!(error_kind(&db).await.as_deref(), Some("redirect"));
}

#[tokio::test]
async fn private_targets_are_refused_by_literal_and_by_name() {
    let db = TestDatabase::create().await;
    let receiver = Merchant::start(|_| Reply::OK).await;
    let port = receiver.url.rsplit(':').next().unwrap().to_owned();
    connect(&db, "m1", &receiver, EndpointChange::default()).await;
    let urls = [receiver.url.clone(), format!("http://localhost:{port}"), "not a url".to_owned()];
    let events: Vec<_> = urls
        .into_iter()
        .map(|url| {
            let mut event = event("m1", "10001");
            event.order.notify_url = Some(url);
            event
        })
        .collect();
    db.notify(&events).await;
    // Another private network is let through, so that the name is resolved and only then refused.
    let replica = Replica::with(&db, sender(&["10.0.0.0/8"], "1h"));
    eventually("attempts", async || {
        (db.value::<i64>("SELECT count(*) FROM notify.attempts").await == 3).then_some(())
    })
    .await;
    replica.stop().await;
    assert!(receiver.received().is_empty());
    let kinds: Vec<String> = db.value("SELECT array_agg(DISTINCT error_kind) FROM notify.attempts").await;
    assert_eq!(kinds, ["forbidden_target"]);
}

#[tokio::test]
async fn a_name_that_resolves_into_an_allowed_network_is_let_through() {
    let db = TestDatabase::create().await;
    let mut receiver = Merchant::start(|_| Reply::OK).await;
    receiver.url = receiver.url.replace("127.0.0.1", "localhost");
    connect(&db, "m1", &receiver, EndpointChange::default()).await;
    db.notify(&[event("m1", "10001")]).await;
    let replica = Replica::with(&db, sender(&["127.0.0.0/8", "::1/128"], LADDER));
    statuses(&db, "DELIVERED", 1).await;
    replica.stop().await;
}

#[tokio::test]
async fn nobody_listening_and_endless_answers_are_failures_with_a_bound() {
    let db = TestDatabase::create().await;
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let receiver = Merchant::start(|_| Reply { after: Duration::from_secs(60), ..Reply::OK }).await;
    connect(&db, "m1", &receiver, EndpointChange::default()).await;
    let mut refused = event("m1", "10001");
    refused.order.notify_url = Some(format!("http://{closed}/"));
    db.notify(&[refused, event("m1", "10002")]).await;
    let replica = Replica::start(&db, "1h");
    eventually("attempts", async || {
        (db.value::<i64>("SELECT count(*) FROM notify.attempts").await == 2).then_some(())
    })
    .await;
    replica.stop().await;
    let kinds: Vec<String> =
        db.value("SELECT array_agg(error_kind ORDER BY duration_ms) FROM notify.attempts").await;
    assert_eq!(kinds, ["connect", "timeout"]);
    assert!(db.value::<i32>("SELECT max(duration_ms) FROM notify.attempts").await < 11_000);
}

#[tokio::test]
async fn the_lease_of_a_killed_worker_is_taken_over() {
    let db = TestDatabase::create().await;
    let receiver =
        Merchant::start(|n| Reply { after: Duration::from_secs([60, 0][n.min(1)]), ..Reply::OK }).await;
    connect(&db, "m1", &receiver, EndpointChange::default()).await;
    db.notify(&[event("m1", "10001")]).await;
    let killed = Replica::start(&db, LADDER);
    receiver.wait_for(1).await;
    killed.task.abort();
    let other = Replica::start(&db, LADDER);
    db.execute("UPDATE notify.notifications SET lease_until = now() - interval '1 second'").await;
    let calls = receiver.wait_for(2).await;
    statuses(&db, "DELIVERED", 1).await;
    other.stop().await;
    assert_eq!(calls[0].id, calls[1].id);
    assert_eq!(db.value::<i64>("SELECT count(*) FROM notify.attempts").await, 1);
}

#[tokio::test]
async fn stopping_finishes_what_is_in_flight_and_takes_nothing_new() {
    let db = TestDatabase::create().await;
    let receiver = Merchant::start(|_| Reply { after: Duration::from_secs(1), ..Reply::OK }).await;
    connect(&db, "m1", &receiver, EndpointChange::default()).await;
    let events: Vec<_> = (0..8).map(|order| event("m1", &format!("{order}"))).collect();
    db.notify(&events).await;
    let replica = Replica::start(&db, LADDER);
    receiver.wait_for(4).await;
    replica.stop().await;
    assert_eq!(receiver.received().len(), 4);
    statuses(&db, "DELIVERED", 4).await;
    assert_eq!(
        db.value::<i64>("SELECT count(*) FROM notify.notifications WHERE lease_token IS NOT NULL").await,
        0
    );
}
