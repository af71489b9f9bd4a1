//! The statements on a real server, where HTTP cannot reach a case by itself.

use devstack::testing;
use events::{ChannelAccount, ContradictionReason, EventType, Fact, FactKind, MerchantId, Money, OrderNo};
use events::{PayEvent, PayOrder, PayOrderNo, Purpose, Status, codec, to_micros};
use storage::partitions::Maintainer;
use storage::{Client, Database};
use time::{Duration, OffsetDateTime};

use super::pay_orders::{StoredPayOrder, Wanted};
use super::{closings, contradictions, merchants, new_pay_orders, outbox, partitioned, pay_orders};
use crate::batches::NotPersisted;
use crate::facts::{FactOutcome, FactWriter, Job, RawCallback};
use crate::fixtures;
use crate::signals::Signals;
use crate::store::outbox::Shard;
use crate::trace_context::TraceContext;

mod credits;
mod recharges;
mod refunds;
mod retention;
mod twins;

use twins::{CLOSINGS, TWINS};

const ALL: Shard = Shard { shard: 0, shards: 1 };

struct Store {
    database: Database,
    _dropped_last: testing::Database,
}

impl Store {
    async fn create() -> Self {
        let (database, fresh) = fixtures::database(8).await;
        testing::add_twins(fresh.url(), &TWINS);
        Self { database, _dropped_last: fresh }
    }

    async fn client(&self) -> Client {
        self.database.client().await.unwrap()
    }

    /// Inserts all of them in one statement and returns the active pay orders of their orders.
    async fn insert(&self, new: &[StoredPayOrder]) -> Vec<StoredPayOrder> {
        self.database
            .transaction(|tx| {
                Box::pin(async move {
                    new_pay_orders::insert(&tx, new).await?;
                    new_pay_orders::active(&tx, new).await
                })
            })
            .await
            .unwrap()
    }

    fn writer(&self) -> FactWriter {
        let (writer, writers) = FactWriter::new(self.database.clone(), Signals::new().into());
        tokio::spawn(writers.run());
        writer
    }

    async fn find(&self, new: &StoredPayOrder) -> StoredPayOrder {
        let wanted = Wanted::PayOrder(new.order.pay_order_no.clone());
        pay_orders::find(&self.client().await, &new.order.merchant_id, &wanted).await.unwrap().unwrap()
    }

    async fn count(&self, what: &str) -> i64 {
        self.client().await.query_one(&format!("SELECT count(*) FROM {what}"), &[]).await.unwrap().get(0)
    }
}

fn now() -> OffsetDateTime {
    to_micros(OffsetDateTime::now_utc())
}

fn new_order(order_no: &str) -> StoredPayOrder {
    let order = PayOrder {
        order_no: OrderNo::parse(order_no).unwrap(),
        subject: Some("a 'quoted' subject, 中文".to_owned()),
        attach: Some("{\"a\":1}".to_owned()),
        ..fixtures::pay_order(PayOrderNo::new(now(), rand::random()))
    };
    fixtures::stored(order, now(), now() + Duration::hours(2))
}

fn job(of: &StoredPayOrder, kind: FactKind) -> Job {
    let fact = Fact {
        kind,
        account: Some(of.order.channel.clone()),
        amount: Some(of.order.amount),
        channel_trade_no: Some("T1".to_owned()),
        accepted: false,
    };
    let callback = RawCallback {
        account: "gateway_main".to_owned(),
        dedupe_id: "evt_1".to_owned(),
        received_at: now(),
        headers: serde_json::json!({ "webhook-id": "evt_1" }),
        body: bytes::Bytes::from_static(b"{}"),
        _room: None,
    };
    let pay_order_no = of.order.pay_order_no.clone();
    Job { pay_order_no, fact, trace: TraceContext::generate(), callback: Some(callback) }
}

fn paid() -> FactKind {
    FactKind::Succeeded { paid_at: now() }
}

#[tokio::test]
async fn what_is_inserted_is_read_back_and_the_first_of_an_order_wins() {
    let store = Store::create().await;
    let (first, second, other) = (new_order("1"), new_order("1"), new_order("2"));
    let active = store.insert(&[other.clone(), first.clone(), second]).await;
    assert_eq!(active.len(), 2);
    assert!(active.contains(&first) && active.contains(&other), "{active:?}");
    assert_eq!(store.find(&first).await, first);

    let client = store.client().await;
    let stranger = MerchantId::parse("m2").unwrap();
    for wanted in
        [Wanted::PayOrder(first.order.pay_order_no.clone()), Wanted::Order(first.order.order_no.clone())]
    {
        assert_eq!(
            pay_orders::find(&client, &first.order.merchant_id, &wanted).await.unwrap().as_ref(),
            Some(&first)
        );
        assert_eq!(pay_orders::find(&client, &stranger, &wanted).await.unwrap(), None);
    }
}

#[tokio::test]
async fn success_and_refund_that_arrive_together_are_written_together() {
    let store = Store::create().await;
    let new = new_order("1");
    store.insert(std::slice::from_ref(&new)).await;
    let writer = store.writer();
    let refund = |refunded_minor| job(&new, FactKind::Refunded { refunded_minor, refunded_at: now() });
    let outcomes = tokio::join!(
        biased;
        writer.submit(job(&new, paid())),
        writer.submit(refund(999)),
        writer.submit(refund(1999)),
        writer.submit(job(&new, paid())),
    );
    assert_eq!(
        outcomes,
        (
            Ok(FactOutcome::Applied),
            Ok(FactOutcome::Applied),
            Ok(FactOutcome::Applied),
            Ok(FactOutcome::Duplicate)
        )
    );
    let found = store.find(&new).await;
    assert_eq!(
        (found.order.status, found.order.version, found.order.refunded_minor),
        (Status::TradeRefunded, 4, 1999)
    );

    let client = store.client().await;
    let pending = outbox::read(&client, ALL, 0, now(), 100).await.unwrap();
    let events: Vec<_> = pending.iter().map(as_consumers_read_it).collect();
    let told: Vec<_> = events.iter().map(|event| (event.event_type, event.order.version)).collect();
    assert_eq!(told, [(EventType::Success, 2), (EventType::Refunded, 3), (EventType::Refunded, 4)]);
    assert_eq!(events.last().map(|event| &event.order), Some(&found.order));
    // One batch, one moment.
    assert!(events.iter().all(|event| event.occurred_at == events[0].occurred_at));
    assert_eq!(store.count("pay.callbacks WHERE outcome = 'applied'").await, 3);
    assert_eq!(store.count("pay.callbacks WHERE outcome = 'duplicate'").await, 1);
}

#[tokio::test]
async fn a_fact_that_the_database_refuses_fails_alone() {
    let store = Store::create().await;
    let orders: Vec<_> = ["1", "2", "3"].map(new_order).into();
    store.insert(&orders).await;
    let writer = store.writer();
    let mut jobs: Vec<_> = orders.iter().map(|order| job(order, paid())).collect();
    // PostgreSQL has no text with NUL.
    jobs[1].fact.channel_trade_no = Some("\0".to_owned());
    let outcomes = futures_util::future::join_all(jobs.into_iter().map(|job| writer.submit(job))).await;
    assert_eq!(outcomes, [Ok(FactOutcome::Applied), Err(NotPersisted), Ok(FactOutcome::Applied)]);
    assert_eq!(store.find(&orders[1]).await.order.status, Status::WaitBuyerPay);
    assert_eq!(store.count("pay.events").await, 2);
}

#[tokio::test]
async fn a_failed_pay_order_gives_way_for_ever() {
    let store = Store::create().await;
    let (first, second) = (new_order("1"), new_order("1"));
    store.insert(std::slice::from_ref(&first)).await;
    let writer = store.writer();
    assert_eq!(writer.submit(job(&first, FactKind::Failed)).await, Ok(FactOutcome::Applied));
    assert_eq!(store.insert(std::slice::from_ref(&second)).await, std::slice::from_ref(&second));
    // The first one is paid after all: both stand, and the order service sees the second payment.
    assert_eq!(writer.submit(job(&first, paid())).await, Ok(FactOutcome::Applied));
    assert_eq!(store.find(&first).await.order.status, Status::TradeSuccess);
    let wanted = Wanted::Order(first.order.order_no.clone());
    let found =
        pay_orders::find(&store.client().await, &first.order.merchant_id, &wanted).await.unwrap().unwrap();
    assert_eq!(found.order.pay_order_no, second.order.pay_order_no);
}

#[tokio::test]
async fn a_contradiction_has_one_row_with_both_sides() {
    let store = Store::create().await;
    let new = new_order("1");
    store.insert(std::slice::from_ref(&new)).await;
    let writer = store.writer();
    let mut wrong = job(&new, paid());
    wrong.fact.amount = Some(Money::new(1, new.order.amount.currency));
    for _ in 0..3 {
        let outcome = writer.submit(wrong.clone()).await;
        assert_eq!(outcome, Ok(FactOutcome::Contradiction(ContradictionReason::AmountMismatch)));
    }
    let wanted = serde_json::from_value(serde_json::json!({})).unwrap();
    let listed = contradictions::list(&store.client().await, &wanted).await.unwrap();
    let [listed] = &*listed else { panic!("{listed:?}") };
    assert_eq!((listed.reason.as_str(), listed.count), ("amount_mismatch", 3));
    assert_eq!(listed.ours.as_ref().unwrap()["amount_minor"], 1999);
    assert_eq!(
        (&listed.theirs[0]["amount_minor"], &listed.theirs[0]["kind"]),
        (&1.into(), &"succeeded".into())
    );
    assert!(listed.first_seen_at < listed.last_seen_at);
}

#[tokio::test]
async fn what_is_due_to_close_depends_on_the_channel() {
    let store = Store::create().await;
    let (mut expired, mut balance, fresh) = (new_order("1"), new_order("2"), new_order("3"));
    balance.order.channel = ChannelAccount::parse(ChannelAccount::BALANCE).unwrap();
    for stored in [&mut expired, &mut balance] {
        stored.expires_at = now() - Duration::seconds(60);
    }
    store.insert(&[expired.clone(), balance.clone(), fresh]).await;
    let client = store.client().await;
    let due = async |due: Option<Duration>| {
        closings::take_due(&client, due.map(|age| now() - age), now(), 10).await.unwrap().open
    };
    let balance = balance.order.pay_order_no;
    assert_eq!(due(None).await, [balance.clone()].into());
    assert_eq!(due(Some(Duration::seconds(90))).await, [balance.clone()].into());
    assert_eq!(due(Some(Duration::seconds(30))).await, [expired.order.pay_order_no, balance].into());
}

/// The sweep runs every second, however many wait.
#[tokio::test]
async fn a_sweep_reads_nothing_of_what_is_not_due() {
    let store = Store::create().await;
    let mut orders: Vec<_> = (0..500).map(|number| new_order(&number.to_string())).collect();
    for stored in &mut orders {
        stored.order.channel = ChannelAccount::parse(ChannelAccount::BALANCE).unwrap();
    }
    store.insert(&orders).await;
    let client = store.client().await;
    let rows_read = async || -> i64 {
        let sql = "SELECT sum(idx_tup_fetch + seq_tup_read)::bigint FROM pg_stat_xact_user_tables WHERE relname IN ('pay_orders', 'closings')";
        client.query_one(sql, &[]).await.unwrap().get(0)
    };
    client.batch_execute("BEGIN").await.unwrap();
    let before = rows_read().await;
    let everything_of_channels = Some(now() + Duration::days(1));
    let due = closings::take_due(&client, everything_of_channels, now(), 10).await.unwrap();
    assert_eq!((due.open.len(), due.settled), (0, 0));
    assert_eq!(rows_read().await - before, 0);
    client.batch_execute("ROLLBACK").await.unwrap();
}

#[tokio::test]
async fn what_is_settled_when_its_time_comes_is_looked_at_once() {
    let store = Store::create().await;
    let mut orders: Vec<_> = (0..10).map(|number| new_order(&number.to_string())).collect();
    for stored in &mut orders {
        stored.expires_at = now();
    }
    store.insert(&orders).await;
    let (writer, client) = (store.writer(), store.client().await);
    for stored in &orders[..7] {
        assert_eq!(writer.submit(job(stored, paid())).await, Ok(FactOutcome::Applied));
    }
    let open: std::collections::BTreeSet<_> =
        orders[7..].iter().map(|stored| stored.order.pay_order_no.clone()).collect();
    for settled in [7, 0] {
        let due = closings::take_due(&client, Some(now()), now(), 100).await.unwrap();
        assert_eq!((&due.open, due.settled), (&open, settled));
    }
    assert_eq!(store.count(CLOSINGS).await, 3);
}

#[tokio::test]
async fn a_close_that_is_asked_for_is_looked_at_when_it_was_asked_for() {
    let store = Store::create().await;
    let new = new_order("1");
    store.insert(std::slice::from_ref(&new)).await;
    let client = store.client().await;
    let (merchant_id, number) = (&new.order.merchant_id, &new.order.pay_order_no);
    for _ in 0..2 {
        let asked = pay_orders::request_close(&client, merchant_id, number, now()).await.unwrap();
        assert!(asked.is_some());
    }
    let due = closings::take_due(&client, Some(now()), now(), 10).await.unwrap();
    assert_eq!(due.open, [number.clone()].into());
    assert_eq!(store.count(CLOSINGS).await, 2, "its expiry, and the close");

    let other = new_order("2");
    store.insert(std::slice::from_ref(&other)).await;
    assert_eq!(store.writer().submit(job(&other, paid())).await, Ok(FactOutcome::Applied));
    let stranger = MerchantId::parse("m2").unwrap();
    for (merchant_id, refused) in [(merchant_id, &other), (&stranger, &new)] {
        let asked = pay_orders::request_close(&client, merchant_id, &refused.order.pay_order_no, now()).await;
        assert_eq!(asked.unwrap(), None, "paid, or of another merchant");
    }
}

/// What a payment changes stands in no index, so a page with room takes the new version, too.
#[tokio::test]
async fn a_payment_updates_its_pay_order_in_place() {
    let store = Store::create().await;
    let orders: Vec<_> = (0..200).map(|number| new_order(&number.to_string())).collect();
    store.insert(&orders).await;
    let pay = |stored: &StoredPayOrder| PayOrder {
        status: Status::TradeSuccess,
        version: 2,
        channel_trade_no: Some("T1".to_owned()),
        paid_at: Some(now()),
        ..stored.order.clone()
    };
    let paid: Vec<_> = orders.iter().map(pay).collect();
    let paid = &paid;
    let in_place = store.database.transaction(|tx| {
        Box::pin(async move {
            let sql = "SELECT n_tup_hot_upd FROM pg_stat_xact_user_tables WHERE relname = 'pay_orders'";
            let before: i64 = tx.query_one(sql, &[]).await?.try_get(0)?;
            pay_orders::save(&tx, paid).await?;
            Ok::<_, storage::Error>(tx.query_one(sql, &[]).await?.try_get::<_, i64>(0)? - before)
        })
    });
    let in_place = in_place.await.unwrap();
    assert!(in_place >= 180, "{in_place} of 200");
}

#[tokio::test]
async fn the_outbox_gives_what_is_due_of_a_shard() {
    let store = Store::create().await;
    let orders: Vec<_> = (0..40).map(|number| new_order(&number.to_string())).collect();
    store.insert(&orders).await;
    let writer = store.writer();
    futures_util::future::join_all(orders.iter().map(|order| writer.submit(job(order, paid())))).await;
    let client = store.client().await;
    let all = outbox::read(&client, ALL, 0, now(), 100).await.unwrap();
    assert_eq!(all.len(), 40);
    assert!(all.is_sorted_by_key(|pending| pending.id));

    let mut shared = Vec::new();
    for shard in 0..3 {
        shared.extend(outbox::read(&client, Shard { shard, shards: 3 }, 0, now(), 100).await.unwrap());
    }
    shared.sort_by_key(|pending| pending.id);
    let ids = |of: &[outbox::Pending]| of.iter().map(|pending| pending.id).collect::<Vec<_>>();
    assert_eq!(ids(&shared), ids(&all));
    assert_eq!(ids(&outbox::read(&client, ALL, all[9].id, now(), 5).await.unwrap()), ids(&all[10..15]));

    outbox::postpone(&client, &[(all[0].id, now() + Duration::seconds(60))]).await.unwrap();
    outbox::delete(&client, &ids(&all[1..30])).await.unwrap();
    assert_eq!(ids(&outbox::read(&client, ALL, 0, now(), 100).await.unwrap()), ids(&all[30..]));
    let later = outbox::read(&client, ALL, 0, now() + Duration::seconds(61), 100).await.unwrap();
    assert_eq!((later[0].id, later[0].attempts), (all[0].id, 1));
    let backlog = outbox::backlog(&client).await.unwrap();
    assert_eq!((backlog.pending, backlog.unroutable), (11, 1));
    assert_eq!(backlog.oldest, all.iter().map(|pending| pending.occurred_at).min());
    // What is not flushed is the commit of this one statement only.
    let synchronous: String = client.query_one("SHOW synchronous_commit", &[]).await.unwrap().get(0);
    assert_eq!(synchronous, "on");
}

#[tokio::test]
async fn earlier_keys_end_at_their_time_or_sooner_and_are_then_forgotten() {
    let store = Store::create().await;
    let client = store.client().await;
    let (id, start) = (&MerchantId::parse("m1").unwrap(), to_micros(OffsetDateTime::now_utc()));
    let put = merchants::Put { merchant_id: id, name: None, enabled: None, api_key_sha256: &[1; 32] };
    merchants::put(&client, &put, start).await.unwrap();
    let rotate = async |merchant_id: &MerchantId, key: u8, minute: i64, end_minute: i64| {
        let rotation = &merchants::Rotation {
            merchant_id,
            api_key_sha256: &[key; 32],
            now: start + Duration::minutes(minute),
            earlier_valid_until: start + Duration::minutes(end_minute),
        };
        let rotate = store
            .database
            .transaction(|tx| Box::pin(async move { merchants::rotate_key(&tx, rotation).await }));
        rotate.await.unwrap().map(|merchant| merchant.id)
    };
    let taken = async |minute: i64| {
        let mut taken = Vec::new();
        for key in 1..=4 {
            let now = start + Duration::minutes(minute);
            let found = merchants::find_by_key(&client, &[key; 32], now).await.unwrap();
            taken.extend(found.is_some_and(|merchant| merchant.id == *id).then_some(key));
        }
        taken
    };
    assert_eq!(rotate(id, 2, 0, 10).await.as_ref(), Some(id));
    assert_eq!([taken(0).await, taken(10).await], [vec![1, 2], vec![2]]);
    rotate(id, 3, 1, 20).await;
    assert_eq!([taken(9).await, taken(19).await, taken(20).await], [vec![1, 2, 3], vec![2, 3], vec![3]]);
    rotate(id, 4, 11, 12).await;
    assert_eq!([taken(11).await, taken(12).await], [vec![2, 3, 4], vec![4]]);
    // The first had ended when the fourth was made.
    let kept = client.query_one("SELECT count(*) FROM ours.rotated_api_keys", &[]).await.unwrap();
    assert_eq!(kept.get::<_, i64>(0), 2);
    assert_eq!(rotate(&MerchantId::parse("nobody").unwrap(), 5, 0, 0).await, None);
}

fn as_consumers_read_it(pending: &outbox::Pending) -> PayEvent {
    match codec::decode(Some(codec::PROTOBUF), &pending.event_type, &pending.payload, None).unwrap() {
        codec::Incoming::Event(event) => *event,
        codec::Incoming::Bare(bare) => panic!("a full event, not {bare:?}"),
    }
}
