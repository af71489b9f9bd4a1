use std::sync::Arc;

use devstack::testing;
use events::Status;

use super::*;
use crate::fixtures;
use crate::signals::Signals;
use crate::store::new_pay_orders;
use crate::store::pay_orders::{self, StoredPayOrder, Wanted};

const GRACE: Duration = Duration::from_secs(300);
const MOMENT: Duration = Duration::from_micros(1);

fn now() -> OffsetDateTime {
    to_micros(OffsetDateTime::now_utc())
}

/// A pay order of a channel that expired longer ago than the grace.
fn expired() -> StoredPayOrder {
    let order = fixtures::pay_order(PayOrderNo::new(now(), rand::random()));
    let expires_at = now() - 3 * GRACE;
    fixtures::stored(order, expires_at - GRACE, expires_at)
}

struct World {
    database: Database,
    facts: FactWriter,
    _dropped_last: testing::Database,
}

impl World {
    async fn create() -> Self {
        let (database, fresh) = fixtures::database(8).await;
        let (facts, writers) = FactWriter::new(database.clone(), Arc::new(Signals::new()));
        tokio::spawn(writers.run());
        Self { database, facts, _dropped_last: fresh }
    }

    fn sweeper(&self) -> Sweeper {
        Sweeper::new(self.database.clone(), self.facts.clone(), GRACE)
    }

    async fn insert(&self, new: &StoredPayOrder) {
        let new = std::slice::from_ref(new);
        let insert =
            self.database.transaction(|tx| Box::pin(async move { new_pay_orders::insert(&tx, new).await }));
        insert.await.unwrap();
    }

    async fn status(&self, of: &StoredPayOrder) -> Status {
        let client = self.database.client().await.unwrap();
        let wanted = Wanted::PayOrder(of.order.pay_order_no.clone());
        pay_orders::find(&client, &of.order.merchant_id, &wanted).await.unwrap().unwrap().order.status
    }

    async fn execute(&self, statement: &str) {
        self.database.client().await.unwrap().batch_execute(statement).await.unwrap();
    }
}

#[tokio::test]
async fn the_grace_counts_from_when_callbacks_can_be_written_again() {
    let world = World::create().await;
    let order = expired();
    world.insert(&order).await;
    let mut sweeper = world.sweeper();
    let start = now();
    assert_eq!(sweeper.sweep(start).await.unwrap(), 0, "the ingress has only just started");
    assert_eq!(sweeper.sweep(start + GRACE - MOMENT).await.unwrap(), 0);

    world.execute("ALTER TABLE pay.closings RENAME TO away").await;
    sweeper.sweep(start + GRACE).await.unwrap_err();
    world.execute("ALTER TABLE pay.away RENAME TO closings").await;

    let back = start + 2 * GRACE;
    assert_eq!(sweeper.sweep(back).await.unwrap(), 0, "the outage is only just over");
    assert_eq!(sweeper.sweep(back + GRACE - MOMENT).await.unwrap(), 0);
    assert_eq!(world.status(&order).await, Status::WaitBuyerPay);
    assert_eq!(sweeper.sweep(back + GRACE).await.unwrap(), 1);
    assert_eq!(world.status(&order).await, Status::TradeClosed);
}
