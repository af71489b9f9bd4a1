//! What consumers hand over in memory as soon as it is committed, and what they leave to a claim. Nobody claims here unless told to.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use events::EventType;
use merchant_notifier::EndpointChange;
use merchant_notifier::dispatch::Attempts;
use merchant_notifier::receive::Receiver;
use messaging::{Consumer, ConsumerQueue, RetryDelays};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::merchant::{Merchant, Reply};
use crate::service::{Servers, message};
use crate::support::{event, refund_of};
use crate::webhooks::{LADDER, LIMITS, Replica, connect, sender, statuses};

/// The consumers of successes and refunds, without a dispatcher.
struct Consumers {
    cancel: CancellationToken,
    tasks: JoinSet<()>,
    attempts: Attempts,
}

impl Consumers {
    fn start(servers: &Servers, ladder: &str) -> Self {
        let (cancel, mut tasks) = (CancellationToken::new(), JoinSet::new());
        let sender = sender(&["127.0.0.0/8"], ladder);
        let (attempts, recorder) =
            Attempts::new(servers.db.database.clone(), sender, LIMITS, Arc::new(Notify::new()));
        tokio::spawn(recorder.run());
        for event_type in [EventType::Success, EventType::Refunded] {
            let queue = ConsumerQueue::new("merchant", event_type.as_str());
            let consumer = Consumer::new(servers.broker(), queue, RetryDelays::default());
            let receiver = Receiver::new(servers.db.database.clone(), None, attempts.clone());
            tasks.spawn(consumer.run(receiver, cancel.clone()));
        }
        Self { cancel, tasks, attempts }
    }

    async fn stop(self) {
        self.cancel.cancel();
        self.tasks.join_all().await;
        self.attempts.finish().await;
    }
}

#[tokio::test]
async fn what_is_new_is_sent_without_a_claim() {
    let servers = Servers::start().await;
    let receiver = Merchant::start(|_| Reply::OK).await;
    connect(&servers.db, "m1", &receiver, EndpointChange::default()).await;
    let consumers = Consumers::start(&servers, LADDER);
    for count in 1..=3_i64 {
        servers.publish(vec![message(&event("m1", &count.to_string()))]).await;
        statuses(&servers.db, "DELIVERED", count).await;
    }
    consumers.stop().await;
    assert_eq!(receiver.received().len(), 3);
}

#[tokio::test]
async fn a_refund_waits_for_a_claim_which_waits_for_its_success() {
    let servers = Servers::start().await;
    let well = Arc::new(AtomicBool::new(false));
    let is_well = Arc::clone(&well);
    let reply = move |_| if is_well.load(Ordering::SeqCst) { Reply::OK } else { Reply::status(500) };
    let receiver = Merchant::start(reply).await;
    connect(&servers.db, "m1", &receiver, EndpointChange::default()).await;
    let consumers = Consumers::start(&servers, "1h");
    let success = event("m1", "10001");
    servers.publish(vec![message(&success)]).await;
    receiver.wait_for(1).await;
    // In a batch of its own, from another queue.
    servers.publish(vec![message(&refund_of(&success))]).await;
    servers.handled(2).await;
    // A lease would have been taken with the notification, and could end by an attempt only.
    let untouched = "SELECT count(*) FROM notify.notifications
        WHERE event_type = 'pay.refunded' AND status = 'PENDING' AND attempts = 0 AND lease_token IS NULL";
    assert_eq!(servers.db.value::<i64>(untouched).await, 1);
    consumers.stop().await;
    assert_eq!(receiver.received().len(), 1);

    well.store(true, Ordering::SeqCst);
    servers.db.execute("UPDATE notify.notifications SET next_attempt_at = now()").await;
    let replica = Replica::start(&servers.db, LADDER);
    statuses(&servers.db, "DELIVERED", 2).await;
    replica.stop().await;
    let told: Vec<_> = receiver.received().iter().map(|webhook| webhook.body["type"].clone()).collect();
    assert_eq!(told, ["pay.success", "pay.success", "pay.refunded"]);
}
