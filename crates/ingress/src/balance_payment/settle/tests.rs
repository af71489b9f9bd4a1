use std::sync::Arc;

use axum::response::IntoResponse as _;
use devstack::testing;
use events::{ChannelAccount, Currency, MerchantId, Money, OrderNo, PayOrder, Purpose, UserId};
use futures_util::future::join_all;
use time::Duration;
use time::macros::datetime;

use super::*;
use crate::facts::FactWriter;
use crate::fixtures;
use crate::store::new_pay_orders;
use crate::trace_context::TraceContext;

const END: OffsetDateTime = datetime!(2026-01-01 12:00 UTC);

fn stored(status: Status) -> StoredPayOrder {
    let order = PayOrder {
        purpose: Purpose::Order,
        channel: ChannelAccount::parse(ChannelAccount::BALANCE).unwrap(),
        status,
        ..fixtures::pay_order(PayOrderNo::parse("P1").unwrap())
    };
    fixtures::stored(order, END - Duration::hours(1), END)
}

#[test]
fn only_what_waits_for_its_buyer_is_payable_and_only_in_time() {
    let instant = Duration::microseconds(1);
    for status in Status::ALL {
        let waits = matches!(status, Status::NotCommit | Status::WaitBuyerPay);
        assert_eq!(payable(&stored(status), END - instant), waits, "{status}");
        assert!(!payable(&stored(status), END), "{status}");
    }
}

#[test]
fn every_refusal_has_its_code() {
    for (refusal, status, code) in [
        (PaymentRefusal::NoPayOrder, 404, "not_found"),
        (PaymentRefusal::OtherChannel, 409, "not_a_balance_payment"),
        (PaymentRefusal::Over(Status::TradeClosed), 409, "already_paid_or_closed"),
        (PaymentRefusal::NoAccount, 404, "no_account_in_currency"),
        (PaymentRefusal::Insufficient, 402, "insufficient_balance"),
        (PaymentRefusal::NotApplied(None), 500, "internal"),
    ] {
        let error = ApiError::from(refusal);
        assert_eq!(error.code(), code);
        assert_eq!(error.into_response().status().as_u16(), status);
    }
}

/// A database in which everybody is rich, and nobody needs a password.
struct World {
    database: Database,
    signals: Arc<Signals>,
    _dropped_last: testing::Database,
}

impl World {
    async fn create(users: usize) -> Self {
        let (database, fresh) = fixtures::database(12).await;
        let give = |user| Flow {
            trans_no: format!("R-{user}"),
            kind: FlowKind::Recharge,
            pay_order_no: PayOrderNo::new(OffsetDateTime::now_utc(), rand::random()),
            occurred_at: to_micros(OffsetDateTime::now_utc()),
            entries: Entries::transfer(
                Money::new(100 * 1999, Currency::parse("CNY").unwrap()),
                Owner::Channel(ChannelAccount::parse("gateway_main").unwrap()),
                key(user).owner(),
            )
            .unwrap(),
        };
        let flows: &Vec<_> = &(0..users).map(give).collect();
        let given = database.transaction(|tx| {
            Box::pin(async move {
                for user in 0..users {
                    ledger::open_account(&tx, &key(user).account(Currency::parse("CNY").unwrap())).await?;
                }
                ledger::post(&tx, flows).await?;
                Ok::<_, PaymentRefusal>(())
            })
        });
        given.await.unwrap();
        Self { database, signals: Arc::new(Signals::new()), _dropped_last: fresh }
    }

    async fn pay_order(&self, order_no: &str) -> PayOrderNo {
        let mut new = stored(Status::WaitBuyerPay);
        new.order.pay_order_no = PayOrderNo::new(OffsetDateTime::now_utc(), rand::random());
        new.order.order_no = OrderNo::parse(order_no).unwrap();
        new.expires_at = to_micros(OffsetDateTime::now_utc()) + Duration::hours(1);
        let number = new.order.pay_order_no.clone();
        let new = &[new];
        self.database
            .transaction(|tx| Box::pin(async move { new_pay_orders::insert(&tx, new).await }))
            .await
            .unwrap();
        number
    }

    async fn pay(&self, pay_order_no: &PayOrderNo, user: usize) -> Result<Paid, PaymentRefusal> {
        let trace = TraceContext::generate();
        let payment = Payment { pay_order_no: pay_order_no.clone(), user: key(user), trace };
        settle(&self.database, &self.signals, &payment).await
    }

    async fn count(&self, from: &str) -> i64 {
        let client = self.database.client().await.unwrap();
        client.query_one(&format!("SELECT count(*) FROM {from}"), &[]).await.unwrap().get(0)
    }

    /// So many were paid, each by one debit and told by one event, and nothing else has happened.
    async fn paid_once(&self, payments: i64) {
        assert_eq!(self.count("ledger.flows WHERE kind = 'balance_payment'").await, payments);
        assert_eq!(self.count("pay.events WHERE type = 'pay.success' AND version = 2").await, payments);
        assert_eq!(self.count("pay.outbox_pending").await, self.count("pay.events").await);
        assert_eq!(self.count("pay.pay_orders WHERE status = 'TRADE_SUCCESS'").await, payments);
        assert_eq!(self.count("pay.contradictions").await, 0);
        let trial = ledger::trial_balance(&self.database.client().await.unwrap()).await.unwrap();
        assert_eq!(trial.findings, []);
    }
}

fn key(user: usize) -> UserKey {
    let user_id = UserId::parse(format!("u{user}")).unwrap();
    UserKey { merchant_id: MerchantId::parse("m1").unwrap(), user_id }
}

#[tokio::test]
async fn of_a_hundred_users_who_all_know_their_passwords_one_pays() {
    let world = World::create(100).await;
    let number = world.pay_order("10001").await;
    let told = join_all((0..100).map(|user| world.pay(&number, user))).await;
    assert_eq!(told.iter().filter(|told| matches!(told, Ok(Paid { before: false, .. }))).count(), 1);
    let over = told.iter().filter(|told| matches!(told, Err(PaymentRefusal::Over(Status::TradeSuccess))));
    assert_eq!(over.count(), 99, "{told:?}");
    world.paid_once(1).await;
}

#[tokio::test]
async fn one_user_at_the_same_time_pays_once_and_each_pay_order_for_itself() {
    let world = World::create(1).await;
    let numbers = [world.pay_order("10001").await, world.pay_order("10002").await];
    let told = join_all((0..40).map(|at| world.pay(&numbers[at % 2], 0))).await;
    let orders: Vec<_> = told.iter().map(|told| &told.as_ref().unwrap().order).collect();
    for (at, order) in orders.iter().enumerate() {
        assert_eq!(*order, orders[at % 2], "what is answered never changes");
    }
    assert_eq!(told.iter().filter(|told| matches!(told, Ok(Paid { before: false, .. }))).count(), 2);
    world.paid_once(2).await;
}

#[tokio::test]
async fn a_close_at_the_same_moment_comes_before_or_after() {
    let world = World::create(1).await;
    let (facts, writers) = FactWriter::new(world.database.clone(), Arc::clone(&world.signals));
    let writers = tokio::spawn(writers.run());
    let mut payments = 0;
    for round in 0..40 {
        let number = world.pay_order(&format!("C-{round}")).await;
        let (fact, trace) = (Fact::own(FactKind::Closed), TraceContext::generate());
        let close = facts.submit(Job { pay_order_no: number.clone(), fact, trace, callback: None });
        match tokio::join!(world.pay(&number, 0), close) {
            (Ok(paid), Ok(FactOutcome::Duplicate)) => payments += i64::from(!paid.before),
            (Err(PaymentRefusal::Over(Status::TradeClosed)), Ok(FactOutcome::Applied)) => {}
            told => panic!("{told:?}"),
        }
    }
    world.paid_once(payments).await;
    facts.shutdown().await;
    writers.await.unwrap();
}
