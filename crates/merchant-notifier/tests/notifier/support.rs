//! A migrated database, events, and notifications made of them.

use std::future::Future;
use std::time::Duration;

use devstack::testing::{self, Twinned};
use events::{EventType, MerchantId, PayEvent, Status};
use merchant_notifier::store::intake::{self, Handled, NewNotification};
use merchant_notifier::store::{self, endpoints, retention};
use merchant_notifier::{Change, EndpointChange};
use serde_json::json;
use storage::partitions::Maintainer;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::time::Instant;
use uuid::Uuid;

#[path = "../../src/test_events.rs"]
mod test_events;

pub(crate) use test_events::event;

/// The longest that a test waits for what must come.
const PATIENCE: Duration = testing::DEADLINE;

/// Another merchant's row beside each that a test makes: the same order, pay order and event. It is never due and its lease
/// never ends, so nothing that acts for all merchants has a reason to touch it. The other's breaker stays closed.
const TWINS: [Twinned<'_>; 3] = [
    Twinned::by_merchant("notify.endpoints"),
    Twinned {
        table: "notify.breakers",
        merchant: "merchant_id",
        differs: "jsonb_build_object('opened_at', NULL, 'probe_at', NULL)",
    },
    Twinned {
        table: "notify.notifications",
        merchant: "merchant_id",
        differs: "jsonb_build_object('notification_id', gen_random_uuid(), 'status', 'PENDING', 'reason', NULL,
            'finished_at', NULL, 'next_attempt_at', 'infinity', 'lease_token', gen_random_uuid(), 'lease_until', 'infinity')",
    },
];

/// A database of its own with the schema in it.
pub(crate) struct TestDatabase {
    pub(crate) database: storage::Database,
    // Dropped last, for it drops the database.
    pub(crate) server: testing::Database,
}

impl TestDatabase {
    pub(crate) async fn create() -> Self {
        let server = tokio::task::spawn_blocking(testing::Database::create).await.unwrap();
        let database = storage::Database::connect(server.url(), "test", 16).unwrap();
        store::migrate(&database).await.unwrap();
        let maintainer = Maintainer::new(database.clone(), retention::partitioned(7));
        maintainer.maintain(OffsetDateTime::now_utc()).await.unwrap();
        Self { database, server }
    }

    /// With a twin of every endpoint, breaker and notification, which nobody may touch. A test looks at its own rows by
    /// `ours.notifications` and the like.
    pub(crate) async fn with_twins() -> Self {
        let made = Self::create().await;
        let url = made.server.url().to_owned();
        tokio::task::spawn_blocking(move || testing::add_twins(&url, &TWINS)).await.unwrap();
        made
    }

    /// The one value that a statement of the test's own selects.
    pub(crate) async fn value<T: for<'a> tokio_postgres::types::FromSql<'a>>(&self, statement: &str) -> T {
        self.database.client().await.unwrap().query_one(statement, &[]).await.unwrap().get(0)
    }

    pub(crate) async fn execute(&self, statement: &str) -> u64 {
        self.database.client().await.unwrap().execute(statement, &[]).await.unwrap()
    }

    /// An endpoint with this address and a secret that nothing opens.
    pub(crate) async fn endpoint(&self, merchant_id: &str, url: Option<&str>) {
        let change = EndpointChange {
            url: url.map_or(Change::Keep, |url| Change::Set(url.to_owned())),
            ..EndpointChange::default()
        };
        let client = self.database.client().await.unwrap();
        endpoints::put(&client, &merchant(merchant_id), &change, b"sealed").await.unwrap();
    }

    /// Makes notifications of events as the consumers do, and says which are new.
    pub(crate) async fn notify(&self, events: &[PayEvent]) -> Vec<bool> {
        self.make(events, None).await.iter().map(Option::is_some).collect()
    }

    /// Makes notifications of events, leased under a token if there is one; says of each whether it is new, and whether it
    /// is leased.
    pub(crate) async fn make(&self, events: &[PayEvent], lease_token: Option<Uuid>) -> Vec<Option<bool>> {
        let keys: Vec<_> = events.iter().map(PayEvent::key).collect();
        let bodies: Vec<_> = events.iter().map(body).collect();
        let new: Vec<_> = events
            .iter()
            .zip(keys.iter().zip(&bodies))
            .map(|(event, (key, body))| NewNotification {
                notification_id: Uuid::now_v7(),
                key,
                event,
                body,
                traceparent: None,
                lease: lease_token.is_some(),
            })
            .collect();
        let new = &new;
        let token = lease_token.unwrap_or_default();
        let write = self.database.transaction(|tx| {
            Box::pin(async move {
                let made = intake::insert_notifications(&tx, new, token).await?;
                let handled: Vec<_> = new
                    .iter()
                    .map(|new| Handled {
                        event: new.event,
                        notification_id: made
                            .contains_key(&new.notification_id)
                            .then_some(new.notification_id),
                        applied: made.contains_key(&new.notification_id),
                        upstream: false,
                    })
                    .collect();
                intake::insert_handled(&tx, &handled, true).await?;
                Ok::<_, storage::Error>(
                    new.iter().map(|n| made.get(&n.notification_id).map(Option::is_some)).collect(),
                )
            })
        });
        write.await.unwrap()
    }
}

fn body(event: &PayEvent) -> Vec<u8> {
    let order = &event.order;
    let time = |time: OffsetDateTime| time.format(&Rfc3339).unwrap();
    let body = json!({
        "type": event.event_type, "timestamp": time(event.occurred_at),
        "data": {
            "pay_order_no": order.pay_order_no, "order_no": order.order_no, "merchant_id": order.merchant_id,
            "amount_minor": order.amount.amount_minor, "currency": order.amount.currency.to_string(),
            "refunded_minor": order.refunded_minor, "status": order.status, "version": order.version,
            "channel": order.channel, "channel_trade_no": order.channel_trade_no,
            "paid_at": order.paid_at.map(time), "attach": order.attach,
        },
    });
    body.to_string().into_bytes()
}

pub(crate) fn merchant(id: &str) -> MerchantId {
    MerchantId::parse(id).unwrap()
}

/// The refund in full that follows a success.
pub(crate) fn refund_of(success: &PayEvent) -> PayEvent {
    let mut refund = success.clone();
    refund.event_id = events::EventId(uuid::Uuid::now_v7());
    refund.event_type = EventType::Refunded;
    refund.order.status = Status::TradeRefunded;
    refund.order.refunded_minor = refund.order.amount.amount_minor;
    refund.order.version += 1;
    refund
}

/// Asks until the answer is `Some`.
pub(crate) async fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut ask: impl FnMut() -> F,
) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
