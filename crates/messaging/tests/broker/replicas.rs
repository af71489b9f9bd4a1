//! Several consumers of one queue.

use crate::support::{Fixture, Obedient, Running, names, until};

#[tokio::test]
async fn two_consumers_share_a_queue() {
    let fixture = Fixture::new().await;
    let handlers = [Obedient::default(), Obedient::default()];
    let running = handlers.clone().map(|handler| Running::start(fixture.consumer().with_batch(5), handler));
    fixture.publish(&names("message", 1000)).await;
    until("all are done", || handlers.iter().map(Obedient::done_count).sum::<usize>() == 1000).await;
    for running in running {
        running.stop().await;
    }
    assert!(handlers.iter().all(|handler| handler.done_count() > 0), "both took part");
}

/// Else each would get a part of what comes, and transactions of many small batches cost more than those of few large ones.
#[tokio::test]
async fn of_two_consumers_one_works_alone_until_it_has_its_hands_full() {
    let fixture = Fixture::new().await;
    let handlers = [Obedient::default(), Obedient::default()];
    let consumers = [(); 2].map(|()| fixture.consumer().with_batch(5));
    let statuses = consumers.each_ref().map(messaging::Consumer::status);
    let mut consumers = consumers.into_iter();
    let running = handlers.clone().map(|handler| Running::start(consumers.next().unwrap(), handler));
    until("both are subscribed", || statuses.iter().all(messaging::ConsumerStatus::is_subscribed)).await;
    let done = || handlers.each_ref().map(Obedient::done_count);
    let all_done = |count| move || done().iter().sum::<usize>() == count;
    // Whoever is just subscribing anew with a larger prefetch may leave one to the other.
    for count in 1..=10 {
        fixture.publish(&names("first", 1)).await;
        until("it is done", all_done(count)).await;
    }
    let first = done();
    for count in 11..=50 {
        fixture.publish(&names("second", 1)).await;
        until("it is done", all_done(count)).await;
    }
    let [busy, idle] = if done()[0] > first[0] { [0, 1] } else { [1, 0] };
    assert_eq!(done()[idle], first[idle], "one had nothing to do");

    // Two batches of five are all that the busy one takes while it does not get on.
    let held = handlers[busy].gate.write().await;
    fixture.publish(&names("third", 40)).await;
    until("the idle one has helped", || done()[idle] >= first[idle] + 30).await;
    drop(held);
    until("all are done", all_done(90)).await;
    for running in running {
        running.stop().await;
    }
}
