//! What expires goes, what guards stays, and a day without partitions loses nothing.

use tokio_postgres::SimpleQueryMessage;

use super::*;

/// Longer than any retention.
const MUCH_LATER: Duration = Duration::days(60);

/// Publishes everything.
async fn drain_outbox(store: &Store) {
    let client = store.client().await;
    let pending = outbox::read(&client, ALL, 0, now(), 100).await.unwrap();
    outbox::delete(&client, &pending.iter().map(|pending| pending.id).collect::<Vec<_>>()).await.unwrap();
}

#[tokio::test]
async fn a_day_with_a_pending_event_outlives_its_retention() {
    let store = Store::create().await;
    let orders = ["1", "2"].map(new_order);
    store.insert(&orders).await;
    let writer = store.writer();
    for order in &orders {
        writer.submit(job(order, paid())).await.unwrap();
    }
    let maintainer = Maintainer::new(store.database.clone(), partitioned(7));
    let later = now() + Duration::days(9);
    let kept = maintainer.maintain(later).await.unwrap().kept;
    assert_eq!(kept.len(), 1, "{kept:?}");
    assert_eq!(store.count("pay.events").await, 2);
    assert_eq!(store.count("pay.callbacks").await, 0);

    let client = store.client().await;
    let pending = outbox::read(&client, ALL, 0, now(), 10).await.unwrap();
    outbox::delete(&client, &pending.iter().map(|pending| pending.id).collect::<Vec<_>>()).await.unwrap();
    assert_eq!(maintainer.maintain(later).await.unwrap().kept, Vec::<String>::new());
    assert_eq!(store.count("pay.events").await, 0);
}

#[tokio::test]
async fn what_expires_goes_and_a_repetition_of_it_changes_nothing() {
    let store = Store::create().await;
    let new = new_order("1");
    store.insert(std::slice::from_ref(&new)).await;
    let writer = store.writer();
    assert_eq!(writer.submit(job(&new, paid())).await, Ok(FactOutcome::Applied));
    let mut other_trade = job(&new, paid());
    other_trade.fact.channel_trade_no = Some("T2".to_owned());
    let contradiction = FactOutcome::Contradiction(ContradictionReason::SecondTrade);
    assert_eq!(writer.submit(other_trade).await, Ok(contradiction));
    let paid_order = store.find(&new).await;
    drain_outbox(&store).await;

    let maintainer = Maintainer::new(store.database.clone(), partitioned(7));
    maintainer.maintain(now() + MUCH_LATER).await.unwrap();
    assert_eq!((store.count("pay.callbacks").await, store.count("pay.events").await), (0, 0));
    assert_eq!((store.count("ours.pay_orders").await, store.count("pay.contradictions").await), (1, 1));

    // The partitions of now are gone, as those of the first time are when it comes again much later.
    maintainer.maintain(now()).await.unwrap();
    assert_eq!(writer.submit(job(&new, paid())).await, Ok(FactOutcome::Duplicate));
    assert_eq!(store.find(&new).await, paid_order);
    assert_eq!((store.count("pay.events").await, store.count("pay.outbox_pending").await), (0, 0));
    assert_eq!(store.count("pay.callbacks WHERE outcome = 'duplicate'").await, 1);
}

#[tokio::test]
async fn a_success_of_a_day_without_partitions_is_refused_and_taken_once_they_are_there() {
    let store = Store::create().await;
    let new = new_order("1");
    store.insert(std::slice::from_ref(&new)).await;
    let maintainer = Maintainer::new(store.database.clone(), partitioned(7));
    maintainer.maintain(now() + MUCH_LATER).await.unwrap();
    let writer = store.writer();
    assert_eq!(writer.submit(job(&new, paid())).await, Err(NotPersisted));
    assert_eq!(store.find(&new).await, new);

    maintainer.maintain(now()).await.unwrap();
    assert_eq!(writer.submit(job(&new, paid())).await, Ok(FactOutcome::Applied));
    assert_eq!((store.count("pay.events").await, store.count("pay.outbox_pending").await), (1, 1));
}

#[tokio::test]
async fn api_keys_that_have_ended_are_forgotten() {
    let store = Store::create().await;
    let insert = "INSERT INTO pay.merchants VALUES ('m1', NULL, true, sha256('now'), now());
        INSERT INTO pay.rotated_api_keys VALUES
            (sha256('ended'), 'm1', now()), (sha256('taken'), 'm1', now() + interval '1 day')";
    store.client().await.batch_execute(insert).await.unwrap();
    assert_eq!(merchants::forget_ended_keys(&store.database, now()).await.unwrap(), 1);
    assert_eq!(store.count("ours.rotated_api_keys WHERE api_key_sha256 = sha256('taken')").await, 1);
    assert_eq!(merchants::forget_ended_keys(&store.database, now() + MUCH_LATER).await.unwrap(), 1);
    assert_eq!(store.count("ours.merchants").await, 1);
}

const KEPT_CALLBACKS: &str = include_str!("../../../migrations/V8__kept_callbacks.sql");
/// As it was before.
const NARROWER: &str = "
    ALTER TABLE pay.callbacks DROP CONSTRAINT callbacks_outcome_check,
        ADD CONSTRAINT callbacks_outcome_check CHECK (outcome IN ('applied', 'duplicate', 'contradiction'))";
/// One callback for each day that has a partition.
const REFUSED: &str = "
    INSERT INTO pay.callbacks (received_at, callback_id, account, dedupe_id, pay_order_no, outcome, traceparent, headers, body)
    SELECT day, gen_random_uuid(), 'a', '', '', 'refused', '', '{}', '' FROM generate_series(now(), now() + $1::interval, '1 day') day";

#[tokio::test]
async fn callbacks_are_kept_in_partitions_of_before_and_after_the_migration() {
    let store = Store::create().await;
    let client = store.client().await;
    client.batch_execute(NARROWER).await.unwrap();
    let new = new_order("1");
    store.insert(std::slice::from_ref(&new)).await;
    assert_eq!(store.writer().submit(job(&new, paid())).await, Ok(FactOutcome::Applied));
    let insert = |days: &str| REFUSED.replace("$1", &format!("'{days} days'"));
    assert!(client.batch_execute(&insert("0")).await.is_err(), "not before");

    client.batch_execute(KEPT_CALLBACKS).await.unwrap();
    let maintainer = Maintainer::new(store.database.clone(), partitioned(7));
    maintainer.maintain(now() + Duration::days(1)).await.unwrap();
    client.batch_execute(&insert("4")).await.unwrap();
    assert_eq!(store.count("pay.callbacks WHERE outcome = 'refused'").await, 5);
    let strange = insert("0").replace("refused", "strange");
    assert!(client.batch_execute(&strange).await.is_err(), "the condition is still one");
}

/// A partition that is opened costs as much as a row that is read, and there is one for each day of the retention.
#[tokio::test]
async fn events_are_read_from_the_partitions_of_their_days_alone() {
    let store = Store::create().await;
    let client = store.client().await;
    let partitions = store.count("pg_inherits WHERE inhparent = 'pay.events'::regclass").await;
    assert!(partitions > 7, "{partitions}");
    client.batch_execute(&format!("PREPARE events AS {}", outbox::EVENTS)).await.unwrap();
    let explain = "EXPLAIN EXECUTE events('{}', '{}', '{}', '{}', now(), now())";
    let plan = client.simple_query(explain).await.unwrap();
    let removed = plan.iter().find_map(|line| match line {
        SimpleQueryMessage::Row(line) => line.get(0)?.trim().strip_prefix("Subplans Removed: ")?.parse().ok(),
        _ => None,
    });
    assert_eq!(removed, Some(partitions - 1));
}
