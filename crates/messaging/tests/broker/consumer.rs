//! Verdicts and what becomes of them.

use std::sync::atomic::Ordering;
use std::time::Instant;

use messaging::header;

use crate::support::{DEADLINE, Fixture, Obedient, Running, header_text, names, until};

#[tokio::test]
async fn poison_alone_is_dead_lettered_and_its_neighbours_are_done() {
    let fixture = Fixture::new().await;
    let mut bodies = names("good", 50);
    bodies.insert(20, "poison".to_owned());
    fixture.publish(&bodies).await;
    let handler = Obedient::default();
    let running = Running::start(fixture.consumer(), handler.clone());

    let dead = fixture.take_soon(&fixture.queue.dead_letter_queue()).await;
    until("all good ones are done", || handler.done_count() == 50).await;
    running.stop().await;
    assert_eq!(dead.data, b"poison");
    let properties = &dead.properties;
    assert_eq!(properties.message_id().as_ref().unwrap().as_str(), "poison");
    assert_eq!(properties.content_type().as_ref().unwrap().as_str(), "text/plain");
    let expected = [
        (header::REASON, "told"),
        (header::DETAIL, "attempt 0"),
        (header::ATTEMPTS, "1"),
        (header::CONSUMER, "trade"),
        (header::ROUTING_KEY, "pay.success"),
        (header::TRACEPARENT, "00-1-2-01"),
    ];
    for (name, value) in expected {
        assert_eq!(header_text(&dead.properties, name).as_deref(), Some(value), "{name}");
    }
    assert!(header_text(&dead.properties, header::FIRST_SEEN).unwrap().contains('T'));
    assert_eq!(handler.parked.lock().unwrap()[0].0, "poison");
    assert_eq!(handler.sorted(), names("good", 50));
    assert!(fixture.take(&fixture.queue.queue).await.is_none(), "the queue is empty");
}

#[tokio::test]
async fn a_retry_comes_home_until_its_attempts_are_used_up() {
    let fixture = Fixture::new().await;
    fixture.publish(&["later".to_owned(), "good".to_owned()]).await;
    let handler = Obedient::default();
    let running = Running::start(fixture.consumer(), handler.clone());
    let dead = fixture.take_soon(&fixture.queue.dead_letter_queue()).await;
    running.stop().await;
    assert_eq!(header_text(&dead.properties, header::REASON).unwrap(), "attempts_exhausted");
    // Two delays: handled at first, after the first and after the second.
    assert_eq!(header_text(&dead.properties, header::ATTEMPTS).unwrap(), "3");
    assert_eq!(header_text(&dead.properties, header::DETAIL).unwrap(), "told: attempt 2");
    assert_eq!(header_text(&dead.properties, header::ROUTING_KEY).unwrap(), "pay.success");
    assert_eq!(handler.sorted(), ["good"]);
}

#[tokio::test]
async fn a_rejected_batch_is_handled_one_by_one() {
    let fixture = Fixture::new().await;
    let mut bodies = names("good", 30);
    bodies.insert(10, "reject".to_owned());
    fixture.publish(&bodies).await;
    let handler = Obedient::default();
    let running = Running::start(fixture.consumer(), handler.clone());
    let dead = fixture.take_soon(&fixture.queue.dead_letter_queue()).await;
    until("all good ones are done", || handler.done_count() >= 30).await;
    running.stop().await;
    assert_eq!(dead.data, b"reject");
    assert_eq!(header_text(&dead.properties, header::REASON).unwrap(), "attempts_exhausted");
    assert_eq!(handler.sorted(), names("good", 30), "each once");
}

#[tokio::test]
async fn a_handler_that_panics_over_one_message_goes_on_with_the_others() {
    let fixture = Fixture::new().await;
    let mut bodies = names("good", 30);
    bodies.insert(10, "panic".to_owned());
    fixture.publish(&bodies).await;
    let handler = Obedient::default();
    let running = Running::start(fixture.consumer(), handler.clone());
    let dead = fixture.take_soon(&fixture.queue.dead_letter_queue()).await;
    until("all good ones are done", || handler.done_count() >= 30).await;
    running.stop().await;
    assert_eq!(dead.data, b"panic");
    assert_eq!(header_text(&dead.properties, header::DETAIL).unwrap(), "rejected: the handler panicked");
    assert_eq!(handler.sorted(), names("good", 30), "each once");
}

#[tokio::test]
async fn an_outage_longer_than_all_delays_parks_nothing() {
    let fixture = Fixture::new().await;
    let handler = Obedient::default();
    let running = Running::start(fixture.consumer(), handler.clone());
    fixture.publish(&names("before", 20)).await;
    until("the first are done", || handler.done_count() == 20).await;

    handler.outage.store(true, Ordering::SeqCst);
    fixture.publish(&names("during", 20)).await;
    // More often than there are delays: a message that counted these as its own attempts would be dead-lettered by now.
    let asked = handler.asked.load(Ordering::SeqCst);
    until("the handler is asked again and again", || handler.asked.load(Ordering::SeqCst) >= asked + 4).await;
    assert_eq!(handler.done_count(), 20);
    handler.outage.store(false, Ordering::SeqCst);
    until("the others are done", || handler.done_count() == 40).await;
    running.stop().await;
    assert_eq!(handler.parked_count(), 0);
    assert!(
        handler.done.lock().unwrap().iter().all(|(_, attempts)| *attempts == 0),
        "no attempt was counted"
    );
    assert!(fixture.take(&fixture.queue.dead_letter_queue()).await.is_none());
}

#[tokio::test]
async fn a_drain_finishes_what_is_in_hand_and_leaves_the_rest() {
    let fixture = Fixture::new().await;
    let bodies = names("message", 2000);
    fixture.publish(&bodies).await;
    let first = Obedient::default();
    let running = Running::start(fixture.consumer().with_batch(10), first.clone());
    until("some are done", || first.done_count() > 50).await;
    running.stop().await;
    assert!(first.done_count() < 2000, "stopped in the middle");

    let second = Obedient::default();
    let running = Running::start(fixture.consumer(), second.clone());
    let total = || first.done_count() + second.done_count();
    until("the rest is done", || total() >= 2000).await;
    running.stop().await;
    let mut all = first.sorted();
    all.extend(second.sorted());
    all.sort();
    assert_eq!(all, bodies, "each exactly once, for a drain acknowledges what it did");
}

#[tokio::test]
async fn batches_are_as_large_as_what_waits_and_no_larger_than_told() {
    let fixture = Fixture::new().await;
    fixture.publish(&names("message", 500)).await;
    let handler = Obedient::default();
    let running = Running::start(fixture.consumer().with_batch(40), handler.clone());
    until("all are done", || handler.done_count() == 500).await;
    running.stop().await;
    assert!((2..=40).contains(&handler.largest_batch.load(Ordering::SeqCst)));
    assert!(handler.batches.load(Ordering::SeqCst) < 250, "messages share batches");
}

#[tokio::test]
async fn a_deleted_queue_is_made_again() {
    let fixture = Fixture::new().await;
    let handler = Obedient::default();
    let consumer = fixture.consumer();
    let status = consumer.status();
    let running = Running::start(consumer, handler.clone());
    until("it is subscribed", || status.is_subscribed()).await;
    delete_queue(&fixture).await;
    until("it is subscribed no more", || !status.is_subscribed()).await;
    until("it is subscribed again", || status.is_subscribed()).await;
    fixture.publish(&names("message", 3)).await;
    until("all are done", || handler.done_count() == 3).await;
    running.stop().await;
}

/// The end of the subscription comes behind messages that were delivered before.
#[tokio::test]
async fn a_queue_that_is_deleted_under_a_waiting_batch_is_made_again() {
    let fixture = Fixture::new().await;
    let handler = Obedient::default();
    let consumer = fixture.consumer();
    let status = consumer.status();
    let running = Running::start(consumer, handler.clone());
    fixture.publish(&names("first", 1)).await;
    until("the consumer has widened", || handler.done_count() == 1).await;
    let held = handler.gate.write().await;
    fixture.publish(&names("in hand", 1)).await;
    until("one is in hand", || handler.waiting.load(Ordering::SeqCst) == 1).await;
    fixture.publish(&names("behind it", 1)).await;
    delete_queue(&fixture).await;
    drop(held);
    until("it is subscribed no more", || !status.is_subscribed()).await;
    until("it is subscribed again", || status.is_subscribed()).await;
    let done = handler.done_count();
    fixture.publish(&names("message", 3)).await;
    until("all are done", || handler.done_count() == done + 3).await;
    running.stop().await;
}

async fn delete_queue(fixture: &Fixture) {
    let connection = fixture.broker.connect().await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    channel
        .queue_delete(fixture.queue.queue.as_str().into(), lapin::options::QueueDeleteOptions::default())
        .await
        .unwrap();
}

/// What is published together is handled together, though its first message arrives before the others.
#[tokio::test]
async fn what_comes_in_one_go_is_one_batch() {
    let fixture = Fixture::new().await;
    let handler = Obedient::default();
    let running = Running::start(fixture.consumer(), handler.clone());
    fixture.publish(&names("first", 1)).await;
    until("the consumer has widened", || handler.done_count() == 1).await;
    // On a busy machine some come in pieces. Ten whole ones are no accident: a consumer that does not gather takes the first
    // message alone, every time.
    let deadline = Instant::now() + DEADLINE;
    let mut whole = 0;
    for rounds in 1.. {
        let (done, before) = (handler.done_count(), handler.batches.load(Ordering::SeqCst));
        fixture.publish(&names("good", 50)).await;
        until("all are done", || handler.done_count() == done + 50).await;
        whole += usize::from(handler.batches.load(Ordering::SeqCst) == before + 1);
        if whole == 10 {
            break;
        }
        assert!(Instant::now() < deadline, "of {rounds} times 50 messages only {whole} came as one batch");
    }
    running.stop().await;
}

/// A transaction for each message of a steady trickle would cost more than it carries.
#[tokio::test]
async fn what_trickles_in_is_gathered_into_batches() {
    let fixture = Fixture::new().await;
    let handler = Obedient::default();
    let running = Running::start(fixture.consumer(), handler.clone());
    fixture.publish(&names("first", 1)).await;
    until("the consumer has widened", || handler.done_count() == 1).await;
    let start = Instant::now();
    let before = handler.batches.load(Ordering::SeqCst);
    for body in names("good", 100) {
        fixture.publish(&[body]).await;
    }
    until("all are done", || handler.done_count() == 101).await;
    let elapsed = start.elapsed();
    running.stop().await;
    let batches = (handler.batches.load(Ordering::SeqCst) - before) as u128;
    let most = elapsed.as_millis() / 10 + 2;
    assert!(batches <= most, "{batches} batches in {elapsed:?}, expected {most} at most");
}
