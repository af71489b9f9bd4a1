//! Every statement on a real PostgreSQL.

use admin_api::audit::{Bucket, Span, Stage};
use devstack::testing;
use events::codec::{BareOrder, Incoming};
use events::{EventType, MerchantId, PayEvent, Purpose, Status};
use order_service::fold::MessageOutcome;
use order_service::order::{Order, OrderStatus};
use order_service::store::{self, Origin, audit, orders, parked, trace};
use order_service::{apply::apply, split::split};
use storage::{Database, Error, partitions::Maintainer};
use time::{Duration, OffsetDateTime};

use crate::fixtures::{
    AMOUNT_MINOR, MERCHANT, add_twins, failed, key, order, refund, second_success, success,
};

pub(crate) const RETENTION_DAYS: u16 = 7;

/// A migrated database, dropped with its first field.
pub(crate) struct Fixture {
    _server: testing::Database,
    pub(crate) database: Database,
}

impl Fixture {
    async fn new() -> Self {
        let server = testing::Database::create();
        let database = Database::connect(server.url(), "test", 8).unwrap();
        store::migrate(&database).await.unwrap();
        add_twins(server.url());
        let maintainer = Maintainer::new(database.clone(), vec![store::handled_table(RETENTION_DAYS)]);
        maintainer.maintain(OffsetDateTime::now_utc()).await.unwrap();
        Self { _server: server, database }
    }

    /// With the orders of these numbers.
    pub(crate) async fn with_orders(order_nos: &[&str]) -> Self {
        let fixture = Self::new().await;
        for order_no in order_nos {
            assert!(orders::create(&fixture.database, &order(order_no)).await.unwrap());
        }
        fixture
    }

    pub(crate) async fn apply(&self, messages: &[Incoming]) -> Vec<MessageOutcome> {
        self.try_apply(messages).await.unwrap()
    }

    async fn try_apply(&self, messages: &[Incoming]) -> Result<Vec<MessageOutcome>, Error> {
        let origin = Origin { upstream: false, traceparent: Some("00-1-2-01".to_owned()) };
        let origins = &vec![origin; messages.len()];
        let messages = &messages.iter().collect::<Vec<_>>();
        apply(&self.database, messages, origins).await
    }

    pub(crate) async fn order(&self, order_no: &str) -> Order {
        orders::find(&self.database, &key(order_no)).await.unwrap().unwrap()
    }

    async fn stages(&self) -> Vec<Stage> {
        let now = OffsetDateTime::now_utc();
        let span = Span { from: now - Duration::days(1), to: now + Duration::days(1) };
        let report = audit::report(&self.database.client().await.unwrap(), span).await.unwrap();
        let stage = |bucket: &Bucket| vec![bucket.stage; usize::try_from(bucket.count).unwrap()];
        let mut stages: Vec<_> = report.buckets.iter().flat_map(stage).collect();
        stages.sort();
        stages
    }
}

pub(crate) fn full(event: &PayEvent) -> Incoming {
    Incoming::Event(Box::new(event.clone()))
}

fn bare(event_type: EventType, order_no: &str) -> Incoming {
    Incoming::Bare(BareOrder {
        event_type,
        merchant_id: MerchantId::parse(MERCHANT).unwrap(),
        order_no: key(order_no).order_no,
    })
}

pub(crate) fn parked_event(event: &PayEvent, reason: &str) -> parked::Parked {
    parked::Parked {
        queue: "trade.pay.success.queue".to_owned(),
        message_id: format!("{}\0", event.event_id),
        reason: reason.to_owned(),
        detail: "NUL \0 is kept out".to_owned(),
        attempts: 3,
        first_seen: event.occurred_at,
        origin: Origin { upstream: true, traceparent: None },
        subject: parked::Subject {
            event_type: Some(event.event_type.to_string()),
            merchant_id: Some(event.order.merchant_id.to_string()),
            order_no: Some(event.order.order_no.to_string()),
            pay_order_no: Some(event.order.pay_order_no.to_string()),
            event_id: Some(event.event_id.0),
            occurred_at: Some(event.occurred_at),
        },
        parked_at: event.occurred_at,
    }
}

#[tokio::test]
async fn an_order_is_created_once_and_read_back_as_it_was() {
    let fixture = Fixture::with_orders(&["1"]).await;
    let mut other = order("1");
    other.items.truncate(1);
    assert!(!orders::create(&fixture.database, &other).await.unwrap());
    let found = fixture.order("1").await;
    assert_eq!(found.content, order("1"));
    assert_eq!((found.status, found.version), (OrderStatus::AwaitingPayment, 1));
    assert_eq!((found.payment, found.payments, found.sub_orders), (None, vec![], vec![]));
    assert_eq!(orders::find(&fixture.database, &key("2")).await.unwrap(), None);
}

#[tokio::test]
async fn an_unpaid_order_is_closed_once_and_a_paid_one_never() {
    let fixture = Fixture::with_orders(&["1", "2"]).await;
    assert!(orders::close(&fixture.database, &key("1")).await.unwrap());
    assert!(!orders::close(&fixture.database, &key("1")).await.unwrap());
    assert_eq!(fixture.order("1").await.status, OrderStatus::Closed);
    fixture.apply(&[full(&success("2"))]).await;
    assert!(!orders::close(&fixture.database, &key("2")).await.unwrap());
    assert_eq!(fixture.order("2").await.status, OrderStatus::Paid);
}

#[tokio::test]
async fn a_success_pays_splits_and_is_logged_in_one_transaction() {
    let fixture = Fixture::with_orders(&["1"]).await;
    let event = success("1");
    assert_eq!(fixture.apply(&[full(&event)]).await, [MessageOutcome::Applied]);
    let paid = fixture.order("1").await;
    let payment = paid.payment.unwrap();
    assert_eq!(payment.pay_order_no, event.order.pay_order_no);
    assert_eq!(payment.channel_trade_no, event.order.channel_trade_no);
    assert_eq!(Some(payment.paid_at), event.order.paid_at);
    assert_eq!((paid.status, paid.version), (OrderStatus::Paid, 2));
    assert_eq!(Some(paid.sub_orders), split(&order("1").items));
    assert_eq!(fixture.stages().await, [Stage::Applied]);
    assert_eq!(fixture.apply(&[full(&event)]).await, [MessageOutcome::Duplicate]);
    assert_eq!(fixture.stages().await, [Stage::Applied], "a redelivery leaves the first outcome");
    assert_eq!(fixture.apply(&[full(&success("1"))]).await, [MessageOutcome::Duplicate]);
    assert_eq!(fixture.stages().await, [Stage::Applied, Stage::Duplicate], "another event of the same key");
}

#[tokio::test]
async fn one_batch_folds_success_refunds_duplicates_and_strangers() {
    let fixture = Fixture::with_orders(&["1", "2"]).await;
    let (first, mut external) = (success("1"), success("3"));
    external.order.purpose = Purpose::External;
    let batch = [
        full(&refund("2", 300)),
        full(&first),
        full(&first),
        full(&refund("1", AMOUNT_MINOR)),
        full(&refund("1", 300)),
        full(&success("2")),
        full(&success("3")),
        full(&external),
        full(&second_success("1")),
        bare(EventType::Success, "1"),
    ];
    let outcomes = fixture.apply(&batch).await;
    let applied = [true, true, false, true, false];
    assert_eq!(
        outcomes[..5],
        applied.map(|applied| if applied { MessageOutcome::Applied } else { MessageOutcome::Duplicate })
    );
    assert_eq!(
        outcomes[5..8],
        [MessageOutcome::Duplicate, MessageOutcome::UnknownOrder, MessageOutcome::NotMine]
    );
    assert!(matches!(&outcomes[8], MessageOutcome::Refused(refusal) if refusal.reason == "second_payment"));
    assert_eq!(outcomes[9], MessageOutcome::Duplicate);

    let (one, two) = (fixture.order("1").await, fixture.order("2").await);
    assert_eq!((one.status, one.refunded_minor), (OrderStatus::Refunded, AMOUNT_MINOR));
    assert_eq!((two.status, two.refunded_minor), (OrderStatus::PartiallyRefunded, 300));
    assert_eq!((one.sub_orders.len(), two.sub_orders.len()), (3, 3));
    let stages = fixture.stages().await;
    let count = |stage| stages.iter().filter(|other| **other == stage).count();
    assert_eq!((count(Stage::Applied), count(Stage::Duplicate), count(Stage::NotMine)), (3, 2, 1));
    assert_eq!(stages.len(), 6);
}

#[tokio::test]
async fn a_bare_order_number_leaves_no_key_and_the_full_event_is_the_first() {
    let fixture = Fixture::with_orders(&["1"]).await;
    assert_eq!(fixture.apply(&[bare(EventType::Success, "1")]).await, [MessageOutcome::Applied]);
    let paid = fixture.order("1").await;
    assert_eq!((paid.status, paid.payment, paid.sub_orders.len()), (OrderStatus::Paid, None, 3));
    assert_eq!(fixture.stages().await, []);
    assert_eq!(fixture.apply(&[full(&success("1"))]).await, [MessageOutcome::Applied]);
    let paid = fixture.order("1").await;
    assert!(paid.payment.is_some());
    assert_eq!(paid.sub_orders.len(), 3);
    assert_eq!(fixture.stages().await, [Stage::Applied]);
}

#[tokio::test]
async fn failures_and_closes_are_noted_once() {
    let fixture = Fixture::with_orders(&["1"]).await;
    let event = failed("1");
    let batch = [full(&event), bare(EventType::Closed, "1"), full(&event)];
    assert_eq!(
        fixture.apply(&batch).await,
        [MessageOutcome::Applied, MessageOutcome::Applied, MessageOutcome::Duplicate]
    );
    assert_eq!(fixture.apply(&batch).await, vec![MessageOutcome::Duplicate; 3]);
    let noted = fixture.order("1").await;
    assert_eq!(noted.status, OrderStatus::AwaitingPayment);
    let failure = noted.payments.iter().find(|payment| payment.status == Status::TradeFailed).unwrap();
    assert_eq!(failure.pay_order_no, Some(event.order.pay_order_no));
    assert_eq!(failure.occurred_at, Some(event.occurred_at));
    let close = noted.payments.iter().find(|payment| payment.status == Status::TradeClosed).unwrap();
    assert_eq!((&close.pay_order_no, close.occurred_at), (&None, None));
    assert_eq!(noted.payments.len(), 2);
}

#[tokio::test]
async fn an_event_of_a_day_without_a_partition_is_still_guarded() {
    let fixture = Fixture::with_orders(&["1"]).await;
    let mut event = success("1");
    event.occurred_at -= Duration::days(i64::from(RETENTION_DAYS) + 30);
    assert_eq!(
        fixture.apply(&[full(&event), full(&success("1"))]).await,
        [MessageOutcome::Applied, MessageOutcome::Duplicate]
    );
    assert_eq!(fixture.apply(&[full(&event)]).await, [MessageOutcome::Duplicate]);
    assert_eq!(fixture.stages().await, [Stage::Duplicate]);
}

#[tokio::test]
async fn batches_in_opposite_orders_do_not_deadlock_and_apply_each_event_once() {
    let order_nos: Vec<_> = (0..20).map(|number| number.to_string()).collect();
    let names: Vec<_> = order_nos.iter().map(String::as_str).collect();
    let fixture = Fixture::with_orders(&names).await;
    let forward: Vec<_> = names.iter().map(|order_no| full(&success(order_no))).collect();
    let backward: Vec<_> = forward.iter().rev().cloned().collect();
    for _ in 0..5 {
        let (one, two) = tokio::join!(fixture.apply(&forward), fixture.apply(&backward));
        let outcomes = one.iter().chain(&two);
        assert!(
            outcomes
                .clone()
                .all(|outcome| matches!(outcome, MessageOutcome::Applied | MessageOutcome::Duplicate))
        );
    }
    assert_eq!(fixture.stages().await, vec![Stage::Applied; 20]);
}

#[tokio::test]
async fn what_is_parked_is_listed_and_audited_until_it_is_handled() {
    let fixture = Fixture::with_orders(&["1"]).await;
    let event = success("1");
    for reason in ["invalid", "invalid", "order_closed"] {
        parked::insert(&fixture.database, &parked_event(&event, reason)).await.unwrap();
    }
    let listed = parked::list(&fixture.database, 10).await.unwrap();
    assert_eq!(listed.len(), 2, "once for each reason");
    assert_eq!(listed[0].detail, "NUL \u{fffd} is kept out");
    assert_eq!(listed[0].subject, parked_event(&event, "invalid").subject);
    assert_eq!(parked::list(&fixture.database, 1).await.unwrap().len(), 1);
    assert_eq!(fixture.stages().await, [Stage::Parked]);
    fixture.apply(&[full(&event)]).await;
    assert_eq!(parked::list(&fixture.database, 10).await.unwrap(), []);
    assert_eq!(fixture.stages().await, [Stage::Applied]);
}

#[tokio::test]
async fn a_dead_letter_that_comes_again_tells_its_newest_story() {
    let fixture = Fixture::new().await;
    let first = parked_event(&success("1"), "attempts_exhausted");
    let again =
        parked::Parked { detail: "still unknown".to_owned(), attempts: first.attempts + 4, ..first.clone() };
    parked::insert(&fixture.database, &first).await.unwrap();
    let before = parked::list(&fixture.database, 10).await.unwrap().remove(0);
    parked::insert(&fixture.database, &again).await.unwrap();
    let after = parked::list(&fixture.database, 10).await.unwrap();
    assert_eq!(after.len(), 1);
    assert_eq!((after[0].detail.as_str(), after[0].attempts), ("still unknown", again.attempts));
    assert!(after[0].parked_at > before.parked_at, "it is not pruned for its age");
}

#[tokio::test]
async fn parked_messages_expire() {
    let fixture = Fixture::new().await;
    parked::insert(&fixture.database, &parked_event(&success("1"), "invalid")).await.unwrap();
    let now = OffsetDateTime::now_utc();
    assert_eq!(parked::prune(&fixture.database, now, 7).await.unwrap(), 0);
    assert_eq!(parked::prune(&fixture.database, now + Duration::days(8), 7).await.unwrap(), 1);
}

#[tokio::test]
async fn a_trace_tells_what_happened_in_the_order_of_time() {
    let fixture = Fixture::with_orders(&["1", "2"]).await;
    fixture.apply(&[full(&success("1"))]).await;
    parked::insert(&fixture.database, &parked_event(&second_success("1"), "second_payment")).await.unwrap();
    orders::close(&fixture.database, &key("2")).await.unwrap();
    let steps = trace::steps(&fixture.database, &key("1").order_no).await.unwrap();
    let names: Vec<_> = steps.iter().map(|step| step.step.as_str()).collect();
    let whole = ["order_created", "order_created", "order_paid", "event_handled", "message_parked"];
    assert_eq!(names, whole, "the order of the same number of another merchant is told of, too");
    assert_eq!(steps[3].detail["outcome"], "applied");
    assert_eq!(steps[3].detail["traceparent"], "00-1-2-01");
    assert_eq!(steps[4].detail["reason"], "second_payment");
    let closed = trace::steps(&fixture.database, &key("2").order_no).await.unwrap();
    assert_eq!(closed.last().unwrap().step, "order_closed");
}

#[tokio::test]
async fn a_running_service_bears_the_columns_of_the_next_migration() {
    let fixture = Fixture::with_orders(&["1"]).await;
    fixture.order("1").await;
    parked::list(&fixture.database, 10).await.unwrap();
    let client = fixture.database.client().await.unwrap();
    client
        .batch_execute("ALTER TABLE orders.orders ADD later int; ALTER TABLE orders.parked ADD later int")
        .await
        .unwrap();
    // Back into the pool, for the statements that were prepared on this connection.
    drop(client);
    fixture.order("1").await;
    parked::list(&fixture.database, 10).await.unwrap();
    assert_eq!(fixture.apply(&[full(&success("1"))]).await, [MessageOutcome::Applied]);
}
