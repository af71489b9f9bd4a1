//! A message that kills its consumer, among good ones.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use messaging::{Delivery, Handler, HandlerError, ParkedDelivery, Verdict};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::support::{DEADLINE, Fixture, names};

/// Asks to be killed, and hangs, when it is given a message whose body begins with `killer`.
#[derive(Clone, Default)]
struct Mortal {
    done: Arc<Mutex<HashMap<String, u32>>>,
    dying: Arc<Notify>,
}

impl Handler for Mortal {
    async fn handle(&self, batch: &[Delivery]) -> Result<Vec<Verdict>, HandlerError> {
        let bodies: Vec<_> =
            batch.iter().map(|delivery| String::from_utf8_lossy(&delivery.body).into_owned()).collect();
        if bodies.iter().any(|body| body.starts_with("killer")) {
            self.dying.notify_one();
            std::future::pending::<()>().await;
        }
        let mut done = self.done.lock().unwrap();
        for body in bodies {
            *done.entry(body).or_default() += 1;
        }
        Ok(vec![Verdict::Done; batch.len()])
    }

    async fn park(&self, _: &ParkedDelivery<'_>) -> Result<(), HandlerError> {
        Ok(())
    }

    async fn ready(&self) -> bool {
        true
    }
}

#[tokio::test]
async fn a_message_that_kills_its_consumer_ends_in_the_dead_letter_queue_and_no_neighbour_does() {
    let fixture = Fixture::new().await;
    let mut bodies = names("good", 300);
    bodies.insert(40, "killer".to_owned());
    fixture.publish(&bodies).await;

    let mortal = Mortal::default();
    let deadline = Instant::now() + 2 * DEADLINE;
    let mut deaths = 0;
    let dead = loop {
        // A consumer that is aborted drops its connection with all that it had prefetched, as a process that dies does.
        let consumer = tokio::spawn(fixture.consumer().run(mortal.clone(), CancellationToken::new()));
        let died = tokio::time::timeout(Duration::from_secs(3), mortal.dying.notified()).await.is_ok();
        deaths += usize::from(died);
        consumer.abort();
        let _ = consumer.await;
        if let Some(dead) = fixture.take(&fixture.queue.dead_letter_queue()).await {
            break dead;
        }
        assert!(Instant::now() < deadline, "after {deaths} deaths");
    };
    assert_eq!(dead.data, b"killer");
    assert!(deaths >= 20, "the delivery limit is the backstop, {deaths} deaths");

    let survivor = tokio::spawn(fixture.consumer().run(mortal.clone(), CancellationToken::new()));
    crate::support::until("all good ones are done", || mortal.done.lock().unwrap().len() == 300).await;
    survivor.abort();
    assert!(
        fixture.take(&fixture.queue.dead_letter_queue()).await.is_none(),
        "no neighbour was dead-lettered"
    );
}
