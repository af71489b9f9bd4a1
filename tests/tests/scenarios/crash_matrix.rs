//! The crash matrix: every service aborts at every step boundary, among payments in full flow, and is started again. Whatever it
//! had in hand, each acknowledged callback has one effect on its order and one webhook per event.
//!
//! A failpoint is armed by the variable `FAILPOINTS` (`crates/service/src/failpoints.rs`). One that is never reached fails the test.
//! Orders are numbered after the point during which they were paid, so that a failure tells where it happened.

mod poison;
mod stage;

use scenarios::{Pipeline, Service};

use stage::Stage;

/// Where a process aborts.
enum Point {
    /// Reached by payments in flow, after it was passed so often.
    InFlow(&'static str, u32),
    /// Reached after SIGTERM.
    Draining(&'static str),
}

use Point::{Draining, InFlow};

/// The points of one service.
struct Row {
    select: fn(&mut Pipeline) -> &mut Service,
    points: &'static [Point],
}

const INGRESS: Row = Row {
    select: |pipeline| &mut pipeline.ingress[0],
    points: &[
        InFlow("pay_orders::before_commit", 3),
        InFlow("pay_orders::after_commit", 3),
        InFlow("facts::before_commit", 3),
        InFlow("facts::after_commit", 3),
        InFlow("relay::after_read", 3),
        InFlow("publisher::after_publish", 3),
        InFlow("publisher::after_confirm", 3),
        InFlow("relay::before_delete", 3),
        InFlow("relay::after_delete", 3),
        Draining("ingress::draining"),
    ],
};

const ORDER_SERVICE: Row = Row {
    select: |pipeline| &mut pipeline.order_service[0],
    points: &[
        InFlow("orders::before_commit", 3),
        InFlow("orders::after_commit", 3),
        InFlow("consumer::before_ack", 3),
        InFlow("consumer::after_ack", 3),
        // Of a message that is to be retried or dead-lettered. There are few.
        InFlow("consumer::after_park", 0),
        InFlow("publisher::before_publish", 1),
        InFlow("publisher::after_publish", 1),
        InFlow("publisher::after_confirm", 1),
        InFlow("consumer::after_retry_copy", 1),
        InFlow("consumer::after_dead_letter_copy", 0),
        Draining("consumer::draining"),
        Draining("consumer::drained"),
    ],
};

const NOTIFIER: Row = Row {
    select: |pipeline| &mut pipeline.notifier[0],
    points: &[
        InFlow("notifications::before_commit", 3),
        InFlow("notifications::after_commit", 3),
        InFlow("consumer::before_ack", 3),
        InFlow("consumer::after_park", 0),
        InFlow("consumer::after_dead_letter_copy", 0),
        InFlow("attempts::after_claim", 3),
        InFlow("attempts::after_acknowledgement", 3),
        InFlow("attempts::before_record", 3),
        InFlow("attempts::after_record", 3),
        Draining("consumer::draining"),
        Draining("attempts::draining"),
    ],
};

async fn run(Row { select, points }: Row) {
    let mut stage = Stage::start().await;
    for point in points {
        stage.play(select, point).await;
    }
    stage.settled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ingress_may_die_at_every_step() {
    run(INGRESS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_order_service_may_die_at_every_step() {
    run(ORDER_SERVICE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_notifier_may_die_at_every_step() {
    run(NOTIFIER).await;
}
