//! Dead letters looked at, replayed and discarded.

use std::io;

use lapin::options::{BasicGetOptions, QueueDeleteOptions};
use messaging::{DeadLetter, DeadLetters, Error, MAX_REMOVED, PublishOutcome, header};

use crate::support::{DEADLINE, Fixture, Obedient, Running, message, names, until};

/// Puts messages into the dead-letter queue as a consumer does.
async fn park(fixture: &Fixture, reason: &str, bodies: &[String]) {
    let dead = |body: &String| {
        let mut dead = message("", &fixture.queue.dead_letter_queue(), body);
        for (name, value) in
            [(header::REASON, reason), (header::ATTEMPTS, "3"), (header::ROUTING_KEY, "pay.success")]
        {
            dead.headers.insert(name.to_owned(), value.to_owned());
        }
        dead
    };
    let outcomes = fixture.publisher.publish(bodies.iter().map(dead).collect()).await.unwrap();
    assert!(outcomes.iter().all(|outcome| *outcome == PublishOutcome::Confirmed), "{outcomes:?}");
}

async fn open(fixture: &Fixture) -> DeadLetters {
    DeadLetters::open(&fixture.broker, &fixture.queue).await.unwrap().expect("a dead-letter queue")
}

fn bodies(letters: &[DeadLetter]) -> Vec<String> {
    letters.iter().map(|letter| String::from_utf8(letter.body.to_vec()).unwrap()).collect()
}

/// Looks at what is there, and leaves it there.
async fn look(fixture: &Fixture) -> Vec<String> {
    let look = DeadLetters::look(&fixture.broker, &fixture.queue).await.unwrap();
    let (depth, seen) = look.expect("a dead-letter queue");
    assert_eq!(depth as usize, seen.len());
    bodies(&seen)
}

/// Replays all that match, a few at a time, and says how many.
async fn replay(fixture: &Fixture, matches: impl Fn(&DeadLetter) -> bool) -> usize {
    let mut letters = open(fixture).await;
    let mut replayed = 0;
    loop {
        let batch = letters.gather(10, &matches).await.unwrap();
        if batch.is_empty() {
            break;
        }
        let outcomes = letters.replay(&fixture.publisher, &batch).await.unwrap();
        replayed += outcomes.iter().filter(|outcome| **outcome == PublishOutcome::Confirmed).count();
    }
    letters.close().await.unwrap();
    replayed
}

#[tokio::test]
async fn a_look_leaves_the_queue_as_it_was() {
    let fixture = Fixture::new().await;
    assert_eq!(look(&fixture).await, Vec::<String>::new());
    let parked = names("message", 100);
    park(&fixture, "told", &parked).await;
    for look_number in 1..=5 {
        assert_eq!(look(&fixture).await, parked, "look {look_number}");
    }
    let mut letters = open(&fixture).await;
    assert_eq!(letters.depth(), 100);
    let first = letters.gather(3, |_| true).await.unwrap();
    assert_eq!(bodies(&first), parked[..3]);
    assert_eq!((first[0].reason.as_str(), first[0].attempts), ("told", Some(3)));
    letters.close().await.unwrap();
    let mut after = look(&fixture).await;
    after.sort();
    assert_eq!(after, parked, "after a look at a few");
}

#[tokio::test]
async fn a_replay_of_one_reason_leaves_the_others_and_counts_no_attempt() {
    let fixture = Fixture::new().await;
    let (wanted, other) = (names("wanted", 30), names("other", 30));
    for (wanted, other) in wanted.iter().zip(&other) {
        park(&fixture, "unknown_order", std::slice::from_ref(wanted)).await;
        park(&fixture, "invalid", std::slice::from_ref(other)).await;
    }
    assert_eq!(replay(&fixture, |letter| letter.reason == "unknown_order").await, 30);
    let handler = Obedient::default();
    let running = Running::start(fixture.consumer(), handler.clone());
    until("the replayed are done", || handler.done_count() == 30).await;
    running.stop().await;
    assert_eq!(handler.sorted(), wanted);
    assert!(handler.done.lock().unwrap().iter().all(|(_, attempts)| *attempts == 0));
    assert_eq!(look(&fixture).await, other, "and in their order");
    assert_eq!(replay(&fixture, |letter| letter.reason == "unknown_order").await, 0, "a second time");
}

#[tokio::test]
async fn what_fails_again_is_not_replayed_for_ever() {
    let fixture = Fixture::new().await;
    park(&fixture, "told", &names("poison", 25)).await;
    let running = Running::start(fixture.consumer(), Obedient::default());
    assert_eq!(replay(&fixture, |_| true).await, 25);
    let deadline = std::time::Instant::now() + DEADLINE;
    while look(&fixture).await.len() < 25 {
        assert!(std::time::Instant::now() < deadline, "all come back");
    }
    running.stop().await;
}

#[tokio::test]
async fn what_was_replayed_has_left_the_queue_once_it_is_closed() {
    const ROUNDS: usize = 5;
    const PARKED: usize = 2 * MAX_REMOVED + 10;
    let fixture = Fixture::new().await;
    let mut replayed = 0;
    for _ in 0..ROUNDS {
        park(&fixture, "told", &names("message", PARKED)).await;
        let mut letters = open(&fixture).await;
        for _ in 0..2 {
            let batch = letters.gather(MAX_REMOVED, |_| true).await.unwrap();
            replayed += letters.replay(&fixture.publisher, &batch).await.unwrap().len();
        }
        letters.close().await.unwrap();
        replayed += replay(&fixture, |_| true).await;
    }
    replayed += replay(&fixture, |_| true).await;
    assert_eq!(replayed, ROUNDS * PARKED, "each once");
}

#[tokio::test]
async fn an_interrupted_replay_loses_nothing() {
    let fixture = Fixture::new().await;
    let parked = names("message", 100);
    park(&fixture, "told", &parked).await;
    let mut letters = open(&fixture).await;
    let batch = letters.gather(40, |_| true).await.unwrap();
    letters.replay(&fixture.publisher, &batch[..20]).await.unwrap();
    // Published, and broken off before it is removed: the one place where a message is there twice.
    let twice = message("", &fixture.queue.queue, &parked[20]);
    fixture.publisher.publish(vec![twice]).await.unwrap();
    drop(letters);

    let deadline = std::time::Instant::now() + DEADLINE;
    let left = loop {
        let mut left = look(&fixture).await;
        left.sort();
        if left.len() == 80 {
            break left;
        }
        assert!(std::time::Instant::now() < deadline, "what was not removed comes back");
    };
    assert_eq!(left, parked[20..]);
    assert_eq!(replay(&fixture, |_| true).await, 80);
    let handler = Obedient::default();
    let running = Running::start(fixture.consumer(), handler.clone());
    until("all are done", || handler.done_count() == 101).await;
    running.stop().await;
    let mut done = handler.sorted();
    done.dedup();
    assert_eq!(done, parked, "each, and one of them twice");
}

#[tokio::test]
async fn two_replays_at_once_replay_each_message_once() {
    let fixture = Fixture::new().await;
    let parked = names("message", 300);
    park(&fixture, "told", &parked).await;
    let (one, two) = tokio::join!(replay(&fixture, |_| true), replay(&fixture, |_| true));
    assert_eq!(one + two, 300, "{one} and {two}");
    let handler = Obedient::default();
    let running = Running::start(fixture.consumer(), handler.clone());
    until("all are done", || handler.done_count() >= 300).await;
    running.stop().await;
    assert_eq!(handler.sorted(), parked);
    assert_eq!(look(&fixture).await, Vec::<String>::new());
}

#[tokio::test]
async fn what_its_queue_does_not_take_stays() {
    let fixture = Fixture::new().await;
    let parked = names("message", 5);
    park(&fixture, "told", &parked).await;
    let connection = fixture.broker.connect().await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    let queue = fixture.queue.queue.as_str().into();
    channel.queue_delete(queue, QueueDeleteOptions::default()).await.unwrap();
    let mut letters = open(&fixture).await;
    let batch = letters.gather(5, |_| true).await.unwrap();
    let outcomes = letters.replay(&fixture.publisher, &batch).await.unwrap();
    assert!(
        outcomes.iter().all(|outcome| matches!(outcome, PublishOutcome::Returned { .. })),
        "{outcomes:?}"
    );
    letters.close().await.unwrap();
    assert_eq!(look(&fixture).await, parked);
}

#[derive(Debug, thiserror::Error)]
enum DiscardError {
    #[error(transparent)]
    Write(#[from] io::Error),
    #[error(transparent)]
    Broker(#[from] Error),
}

#[tokio::test]
async fn nothing_is_discarded_that_was_not_written() {
    let fixture = Fixture::new().await;
    let parked = names("message", 10);
    park(&fixture, "told", &parked).await;
    let mut letters = open(&fixture).await;
    let batch = letters.gather(5, |_| true).await.unwrap();
    let full = |_: &[DeadLetter]| -> Result<(), DiscardError> { Err(io::Error::other("disk full").into()) };
    assert!(matches!(letters.discard(&batch, full).await, Err(DiscardError::Write(_))));
    letters.close().await.unwrap();
    assert_eq!(look(&fixture).await, parked);

    let mut letters = open(&fixture).await;
    let batch = letters.gather(5, |_| true).await.unwrap();
    let mut written = Vec::new();
    let write = |letters: &[DeadLetter]| -> Result<(), DiscardError> {
        written = bodies(letters);
        Ok(())
    };
    letters.discard(&batch, write).await.unwrap();
    letters.close().await.unwrap();
    assert_eq!(written, parked[..5]);
    assert_eq!(look(&fixture).await, parked[5..]);
}

#[tokio::test]
async fn the_brokers_own_dead_letters_say_so_and_are_replayed_as_new() {
    let fixture = Fixture::new().await;
    fixture.publish(&names("good", 1)).await;
    let connection = fixture.broker.connect().await.unwrap();
    let deadline = std::time::Instant::now() + DEADLINE;
    while look(&fixture).await.is_empty() {
        // A consumer that dies with the message in hand.
        let channel = connection.create_channel().await.unwrap();
        channel.basic_get(fixture.queue.queue.as_str().into(), BasicGetOptions::default()).await.unwrap();
        channel.close(200, "OK".into()).await.unwrap();
        assert!(std::time::Instant::now() < deadline, "the broker gives up");
    }
    let mut letters = open(&fixture).await;
    let seen = letters.gather(10, |_| true).await.unwrap();
    letters.close().await.unwrap();
    assert_eq!((seen[0].reason.as_str(), seen[0].attempts), ("delivery_limit", None));
    assert_eq!(seen[0].routing_key, "pay.success");
    assert!(seen[0].first_seen.is_some() && seen[0].headers.contains_key("x-death"));

    assert_eq!(replay(&fixture, |letter| letter.reason == "delivery_limit").await, 1);
    let handler = Obedient::default();
    let running = Running::start(fixture.consumer(), handler.clone());
    until("it is done", || handler.done_count() == 1).await;
    running.stop().await;
    assert_eq!(handler.most_redeliveries.load(std::sync::atomic::Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_queue_that_is_not_there_is_none() {
    let fixture = Fixture::new().await;
    let nobody = messaging::ConsumerQueue::new("nobody", "pay.success");
    assert!(DeadLetters::open(&fixture.broker, &nobody).await.unwrap().is_none());
}
