//! What unit tests begin with.

use devstack::testing;
use events::{ChannelAccount, Currency, MerchantId, Money, OrderNo, PayOrder, PayOrderNo, Purpose, Status};
use storage::Database;
use storage::partitions::Maintainer;
use time::OffsetDateTime;

use crate::store::pay_orders::StoredPayOrder;
use crate::store::{migrate, partitioned};

/// A pay order of `m1` for 19.99 CNY by `gateway_main` that waits for its buyer.
pub(crate) fn pay_order(pay_order_no: PayOrderNo) -> PayOrder {
    PayOrder {
        pay_order_no,
        merchant_id: MerchantId::parse("m1").unwrap(),
        order_no: OrderNo::parse("10001").unwrap(),
        purpose: Purpose::External,
        amount: Money::new(1999, Currency::parse("CNY").unwrap()),
        channel: ChannelAccount::parse("gateway_main").unwrap(),
        status: Status::WaitBuyerPay,
        version: 1,
        refunded_minor: 0,
        channel_trade_no: None,
        paid_at: None,
        subject: None,
        notify_url: None,
        attach: None,
    }
}

/// A pay order as it is stored, payable until `expires_at`.
pub(crate) fn stored(
    order: PayOrder,
    created_at: OffsetDateTime,
    expires_at: OffsetDateTime,
) -> StoredPayOrder {
    StoredPayOrder { order, created_at, expires_at, close_requested_at: None, payable_until: expires_at }
}

/// A fresh database with today's partitions, and what drops it in the end.
pub(crate) async fn database(connections: usize) -> (Database, testing::Database) {
    let fresh = testing::Database::create();
    let database = Database::connect(fresh.url(), "unit tests", connections).unwrap();
    migrate(&database).await.unwrap();
    Maintainer::new(database.clone(), partitioned(7)).maintain(OffsetDateTime::now_utc()).await.unwrap();
    (database, fresh)
}
