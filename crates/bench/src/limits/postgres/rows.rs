//! The rows of a batch of payments, and the statements that write them: what the services write, without what they read.

use std::ops::Range;

use events::codec;
use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use crate::payments::{ACCOUNT, amount_minor, event, merchant_id, order_no, pay_order_no};

pub(super) const CALLBACKS: &str = "
    INSERT INTO pay.callbacks (received_at, callback_id, account, dedupe_id, pay_order_no, outcome, traceparent, headers, body)
    SELECT now(), id, $5, 'msg_' || number, number, 'applied', $6, headers, body
    FROM unnest($1::uuid[], $2::text[], $3::jsonb[], $4::bytea[]) AS n (id, number, headers, body)";

pub(super) const PAY_ORDERS: &str = "
    UPDATE pay.pay_orders o SET status = 'TRADE_SUCCESS', version = 2, channel_trade_no = n.trade, paid_at = now()
    FROM unnest($1::text[], $2::text[]) AS n (number, trade) WHERE o.pay_order_no = n.number";

pub(super) const EVENTS: &str = "
    INSERT INTO pay.events (occurred_at, event_id, pay_order_no, version, type, traceparent, payload)
    SELECT now(), id, number, 2, 'pay.success', $4, payload
    FROM unnest($1::uuid[], $2::text[], $3::bytea[]) AS n (id, number, payload)";

pub(super) const OUTBOX: &str = "
    INSERT INTO pay.outbox_pending (slot, occurred_at, event_id)
    SELECT 7, now(), id FROM unnest($1::uuid[]) AS n (id) RETURNING id";

pub(super) const PUBLISH: &str = "
    DELETE FROM pay.outbox_pending
    WHERE id = ANY($1) AND (SELECT set_config('synchronous_commit', 'off', true)) = 'off'";

pub(super) const ORDERS: &str = "
    UPDATE orders.orders o
    SET status = 'PAID', pay_order_no = n.number, channel_trade_no = n.trade, paid_at = now(), version = 2, marked_paid_at = now()
    FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) AS n (order_no, merchant, number, trade)
    WHERE o.order_no = n.order_no AND o.merchant_id = n.merchant";

pub(super) const SUB_ORDERS: &str = "
    INSERT INTO orders.sub_orders (order_no, merchant_id, seq, shop_id, warehouse_id, amount_minor, items)
    SELECT order_no, merchant, seq, 's' || seq, 'w1', amount, items
    FROM unnest($1::text[], $2::text[], $3::bigint[], $4::jsonb[]) AS n (order_no, merchant, amount, items)
    CROSS JOIN generate_series(1, 2) AS seq";

pub(super) const ORDER_HANDLED: &str = "
    INSERT INTO orders.handled
        (occurred_at, event_id, type, outcome, merchant_id, order_no, pay_order_no, upstream, traceparent)
    SELECT now(), id, 'pay.success', 'applied', merchant, order_no, number, false, $5
    FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[]) AS n (id, merchant, order_no, number)";

pub(super) const NOTIFICATIONS: &str = "
    INSERT INTO notify.notifications (notification_id, event_id, merchant_id, order_no, pay_order_no, event_type, seq,
        version, occurred_at, body, traceparent, status, lease_token, lease_until)
    SELECT id, event_id, merchant, order_no, number, 'pay.success', 0, 2, now(), body, $7, 'PENDING', id,
        now() + interval '30 s'
    FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::bytea[])
        AS n (id, event_id, merchant, order_no, number, body)";

pub(super) const NOTIFY_HANDLED: &str = "
    INSERT INTO notify.handled (occurred_at, event_id, event_type, merchant_id, order_no, outcome, upstream, notification_id)
    SELECT now(), id, 'pay.success', merchant, order_no, 'applied', $5::text IS NULL, id
    FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[]) AS n (id, merchant, order_no, number)";

pub(super) const DELIVER: &str = "
    UPDATE notify.notifications
    SET status = 'DELIVERED', attempts = 1, lease_token = NULL, lease_until = NULL, finished_at = now()
    WHERE notification_id = ANY($1)";

pub(super) const ATTEMPTS: &str = "
    INSERT INTO notify.attempts (notification_id, attempt, started_at, duration_ms, http_status)
    SELECT id, 1, now(), 3, 204 FROM unnest($1::uuid[]) AS n (id)";

type Parameter<'a> = &'a (dyn ToSql + Sync);

/// The columns of a batch.
pub(super) struct Rows {
    pay_order_nos: Vec<String>,
    order_nos: Vec<String>,
    merchants: Vec<String>,
    trades: Vec<String>,
    amounts: Vec<i64>,
    ids: Vec<Uuid>,
    event_ids: Vec<Uuid>,
    headers: Vec<Value>,
    items: Vec<Value>,
    bodies: Vec<Vec<u8>>,
    payloads: Vec<Vec<u8>>,
    account: &'static str,
    traceparent: &'static str,
}

impl Rows {
    pub(super) fn of(range: Range<usize>) -> Self {
        let events: Vec<_> = range.clone().filter_map(|index| event(index).ok()).collect();
        let now = OffsetDateTime::now_utc().to_string();
        Self {
            pay_order_nos: range.clone().map(pay_order_no).collect(),
            order_nos: range.clone().map(order_no).collect(),
            merchants: range.clone().map(merchant_id).collect(),
            trades: range.clone().map(|index| format!("T{index:010}")).collect(),
            amounts: range.clone().map(|index| amount_minor(index) / 2).collect(),
            ids: range.clone().map(|_| Uuid::now_v7()).collect(),
            event_ids: events.iter().map(|event| event.event_id.0).collect(),
            headers: range
                .clone()
                .map(|index| {
                    json!({"host": "127.0.0.1:18080", "content-type": "application/json", "content-length": "252",
                        "webhook-id": format!("msg_{index}"), "webhook-timestamp": "1767225600",
                        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="})
                })
                .collect(),
            items: range
                .clone()
                .map(|index| json!([{"sku": "tea", "quantity": 1, "price_minor": index, "shop_id": "s1", "warehouse_id": "w1"}]))
                .collect(),
            bodies: range
                .clone()
                .map(|index| format!("{:<330}", format!("{{\"order_no\":\"{}\",\"at\":\"{now}\"}}", order_no(index))).into_bytes())
                .collect(),
            payloads: events.iter().map(codec::encode_protobuf).collect(),
            account: ACCOUNT,
            traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        }
    }

    pub(super) fn callbacks(&self) -> [Parameter<'_>; 6] {
        [&self.ids, &self.pay_order_nos, &self.headers, &self.bodies, &self.account, &self.traceparent]
    }

    pub(super) fn pay_orders(&self) -> [Parameter<'_>; 2] {
        [&self.pay_order_nos, &self.trades]
    }

    pub(super) fn events(&self) -> [Parameter<'_>; 4] {
        [&self.event_ids, &self.pay_order_nos, &self.payloads, &self.traceparent]
    }

    pub(super) fn outbox(&self) -> [Parameter<'_>; 1] {
        [&self.event_ids]
    }

    pub(super) fn orders(&self) -> [Parameter<'_>; 4] {
        [&self.order_nos, &self.merchants, &self.pay_order_nos, &self.trades]
    }

    pub(super) fn sub_orders(&self) -> [Parameter<'_>; 4] {
        [&self.order_nos, &self.merchants, &self.amounts, &self.items]
    }

    pub(super) fn handled(&self) -> [Parameter<'_>; 5] {
        [&self.event_ids, &self.merchants, &self.order_nos, &self.pay_order_nos, &self.traceparent]
    }

    pub(super) fn notifications(&self) -> [Parameter<'_>; 7] {
        let Self { ids, event_ids, merchants, order_nos, pay_order_nos, bodies, .. } = self;
        [ids, event_ids, merchants, order_nos, pay_order_nos, bodies, &self.traceparent]
    }

    pub(super) fn ids(&self) -> [Parameter<'_>; 1] {
        [&self.ids]
    }
}
