//! Rows that grow a database, written in bulk in the shape in which the services write them.

use std::ops::Range;

use anyhow::Result;
use events::codec;
use tokio_postgres::Client;

use crate::payments::{ACCOUNT, event, pay_order_no, sql};

const TRACEPARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// Payments that were made, applied and told long ago: pay orders, orders with one part each, notifications.
pub(super) async fn finished_payments(client: &Client, range: Range<usize>) -> Result<()> {
    let merchant = sql::merchant_id();
    let (number, order) =
        ("'P0190000000070008000AA' || lpad(i::text, 10, '0')", "'S' || lpad(i::text, 10, '0')");
    let series = format!("FROM generate_series({}, {}) AS i", range.start, range.end - 1);
    let at = "now() - interval '40 days' + i * interval '1 ms'";
    let items = crate::seed::ITEMS;
    let statements = [
        // The checks of foreign keys would take longer than all the rest.
        "SET session_replication_role = replica".to_owned(),
        format!(
            "INSERT INTO pay.pay_orders (pay_order_no, merchant_id, order_no, purpose, amount_minor, currency, channel, status,
                active, version, channel_trade_no, paid_at, subject, attach, created_at, expires_at, payable_until)
            SELECT {number}, {merchant}, {order}, 'ORDER', 1000 + i % 100000, 'CNY', '{ACCOUNT}', 'TRADE_SUCCESS', true, 2,
                'T' || i, {at}, 'tea and cup', 'buyer=' || i, {at}, {at}, {at} {series}"
        ),
        format!(
            "INSERT INTO orders.orders (merchant_id, order_no, buyer_id, amount_minor, currency, items, status, pay_order_no,
                channel_trade_no, paid_at, version, created_at, marked_paid_at)
            SELECT {merchant}, {order}, 'b' || i, 1000 + i % 100000, 'CNY', {items}, 'PAID', {number},
                'T' || i, {at}, 2, {at}, {at} {series}"
        ),
        format!(
            "INSERT INTO orders.sub_orders (merchant_id, order_no, seq, shop_id, warehouse_id, amount_minor, items)
            SELECT {merchant}, {order}, 1, 's1', 'w1', 1000 + i % 100000, {items} {series}"
        ),
        format!(
            "INSERT INTO notify.notifications (notification_id, event_id, merchant_id, order_no, pay_order_no, event_type, seq,
                version, occurred_at, status, attempts, next_attempt_at, created_at, finished_at)
            SELECT {id}, {id}, {merchant}, {order}, {number}, 'pay.success', 0, 2, {at}, 'DELIVERED', 1, {at}, {at}, {at} {series}",
            id = "('019a0000-0000-7000-8000-' || lpad(to_hex(i), 12, '0'))::uuid",
        ),
        "SET session_replication_role = origin".to_owned(),
    ];
    for statement in statements {
        client.batch_execute(&statement).await?;
    }
    Ok(())
}

/// Payments that were accepted and not published: pay orders paid, events, outbox.
pub(super) async fn accepted_payments(client: &Client, range: Range<usize>) -> Result<()> {
    let events = range.clone().map(event).collect::<Result<Vec<_>>>()?;
    let ids: Vec<_> = events.iter().map(|event| event.event_id.0).collect();
    let times: Vec<_> = events.iter().map(|event| event.occurred_at).collect();
    let numbers: Vec<_> = range.map(pay_order_no).collect();
    let payloads: Vec<_> = events.iter().map(codec::encode_protobuf).collect();
    let statement = "
        WITH n AS (SELECT * FROM unnest($1::uuid[], $2::timestamptz[], $3::text[], $4::bytea[]) AS n (id, at, number, payload)),
        paid AS (
            UPDATE pay.pay_orders o SET status = 'TRADE_SUCCESS', version = 2, paid_at = n.at
            FROM n WHERE o.pay_order_no = n.number
        ), written AS (
            INSERT INTO pay.events (occurred_at, event_id, pay_order_no, version, type, traceparent, payload)
            SELECT at, id, number, 2, 'pay.success', $5, payload FROM n
        )
        INSERT INTO pay.outbox_pending (slot, occurred_at, event_id) SELECT 0, at, id FROM n";
    client.execute(statement, &[&ids, &times, &numbers, &payloads, &TRACEPARENT]).await?;
    Ok(())
}

/// Notifications that wait to be sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Waiting<'a> {
    /// The merchant of all of them.
    pub(super) merchant_id: &'a str,
    /// What their order numbers begin with, so that nobody takes them for payments of the load.
    pub(super) prefix: &'a str,
    /// How many there are.
    pub(super) count: usize,
    /// How long until they are due: an SQL interval; `0` is at once.
    pub(super) due_after: &'a str,
}

/// Writes notifications that wait to be sent.
pub(super) async fn waiting_notifications(client: &Client, waiting: Waiting<'_>) -> Result<()> {
    let Waiting { merchant_id, prefix, count, due_after } = waiting;
    let number = format!("'{prefix}P' || lpad(i::text, 10, '0')");
    let statement = format!(
        "INSERT INTO notify.notifications (notification_id, event_id, merchant_id, order_no, pay_order_no, event_type, seq, version,
            occurred_at, status, body, traceparent, attempts, next_attempt_at)
        SELECT gen_random_uuid(), gen_random_uuid(), $1, '{prefix}' || lpad(i::text, 10, '0'), {number}, 'pay.success', 0, 2,
            now(), 'PENDING', convert_to(rpad('{{\"type\":\"pay.success\"', 380, ' ') || '}}', 'UTF8'), $2, 3,
            now() + interval '{due_after}' + (i % 1000) * interval '1 ms'
        FROM generate_series(1, {count}) AS i"
    );
    client.execute(&statement, &[&merchant_id, &TRACEPARENT]).await?;
    Ok(())
}
