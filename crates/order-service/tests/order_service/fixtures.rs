//! Orders and events that tests are made of.

use devstack::testing::{self, Twinned};
use events::{
    ChannelAccount, Currency, EventId, EventType, MerchantId, Money, OrderNo, PayEvent, PayOrder, PayOrderNo,
    Purpose, Status, to_micros,
};
use order_service::order::{Item, NewOrder, OrderKey};
use time::OffsetDateTime;
use uuid::Uuid;

/// The merchant of every order; also the one of bare order numbers.
pub(crate) const MERCHANT: &str = "M1";
/// What [`order`] costs.
pub(crate) const AMOUNT_MINOR: i64 = 2_599;

/// Puts an order of the same number of another merchant beside every order. The server refuses every change of it.
pub(crate) fn add_twins(database_url: &str) {
    let tables = ["orders.orders", "orders.sub_orders", "orders.payments"];
    testing::add_twins(database_url, &tables.map(Twinned::by_merchant));
}

pub(crate) fn key(order_no: &str) -> OrderKey {
    OrderKey {
        merchant_id: MerchantId::parse(MERCHANT).unwrap(),
        order_no: OrderNo::parse(order_no).unwrap(),
    }
}

pub(crate) fn cny(amount_minor: i64) -> Money {
    Money::new(amount_minor, Currency::parse("CNY").unwrap())
}

/// An order of two shops, one of which sends from two warehouses: three sub-orders.
pub(crate) fn order(order_no: &str) -> NewOrder {
    let item = |sku: &str, quantity, price_minor, shop_id: &str, warehouse_id: &str| Item {
        sku: sku.parse().unwrap(),
        quantity,
        price_minor,
        shop_id: shop_id.parse().unwrap(),
        warehouse_id: warehouse_id.parse().unwrap(),
    };
    NewOrder {
        key: key(order_no),
        buyer_id: "B7".parse().unwrap(),
        amount: cny(AMOUNT_MINOR),
        items: vec![
            item("红茶", 1, 1_999, "s2", "w1"),
            item("cup", 1, 300, "s1", "w1"),
            item("spoon", 2, 100, "s1", "w2"),
            item("saucer", 1, 100, "s1", "w1"),
        ],
    }
}

/// A success of pay order `P-{order_no}`, just now.
pub(crate) fn success(order_no: &str) -> PayEvent {
    let now = to_micros(OffsetDateTime::now_utc());
    PayEvent {
        event_id: EventId(Uuid::now_v7()),
        event_type: EventType::Success,
        occurred_at: now,
        order: PayOrder {
            pay_order_no: PayOrderNo::parse(format!("P-{order_no}")).unwrap(),
            merchant_id: MerchantId::parse(MERCHANT).unwrap(),
            order_no: OrderNo::parse(order_no).unwrap(),
            purpose: Purpose::Order,
            amount: cny(AMOUNT_MINOR),
            channel: ChannelAccount::parse("main").unwrap(),
            status: Status::TradeSuccess,
            version: 2,
            refunded_minor: 0,
            channel_trade_no: Some(format!("T-{order_no}")),
            paid_at: Some(now),
            subject: None,
            notify_url: None,
            attach: None,
        },
    }
}

/// A refund of the same pay order, cumulatively `refunded_minor`.
pub(crate) fn refund(order_no: &str, refunded_minor: i64) -> PayEvent {
    let mut event = success(order_no);
    event.event_type = EventType::Refunded;
    event.order.refunded_minor = refunded_minor;
    event.order.status =
        if refunded_minor == AMOUNT_MINOR { Status::TradeRefunded } else { Status::PartiallyRefunded };
    event
}

/// Another pay order of the order that failed.
pub(crate) fn failed(order_no: &str) -> PayEvent {
    let mut event = success(order_no);
    event.event_type = EventType::Failed;
    event.order.status = Status::TradeFailed;
    event.order.pay_order_no = PayOrderNo::parse(format!("F-{order_no}")).unwrap();
    event.order.paid_at = None;
    event
}

/// The same success, told by another pay order.
pub(crate) fn second_success(order_no: &str) -> PayEvent {
    let mut event = success(order_no);
    event.order.pay_order_no = PayOrderNo::parse(format!("P2-{order_no}")).unwrap();
    event
}
