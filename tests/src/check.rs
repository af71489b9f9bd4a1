//! Compares what callers were told with what orders show and merchants got. The pipeline's own books come last.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use futures_util::{StreamExt, stream};
use serde_json::Value;

use crate::{Load, Payment, Pipeline, Received, Sandbox, Shop, until};

/// How many orders are fetched at once.
const FETCHES: usize = 16;

/// Stops the load and waits until its payments have settled: every order shows its payment once, the merchant was told of
/// everything once, nothing is parked, and the audit finds no gap. Returns the payments.
pub async fn settled(pipeline: &Pipeline, sandbox: &Sandbox, shop: &Shop, load: Load) -> Vec<Payment> {
    let payments = load.finish().await;
    let mut open: Vec<&Payment> = payments.iter().collect();
    until("order and merchant of every payment told", async || {
        let told = by_order(sandbox, shop);
        let (mut orders, mut still_open) = (orders(shop, &open).await, Vec::new());
        for (payment, order) in open.iter().copied().zip(orders.drain(..)) {
            if let Some(missing) = missing(payment, &order, told.get(&payment.order_no)) {
                still_open.push((payment, missing));
            }
        }
        let example = still_open
            .first()
            .map(|(payment, missing)| format!("{} of {}: {missing}", still_open.len(), payment.order_no));
        open = still_open.into_iter().map(|(payment, _)| payment).collect();
        example.map_or(Ok(()), Err)
    })
    .await;
    audited(pipeline).await;

    let told = by_order(sandbox, shop);
    let all: Vec<_> = payments.iter().collect();
    for (payment, order) in payments.iter().zip(orders(shop, &all).await) {
        let doubled = doubled(payment, &order, &told[&payment.order_no]);
        assert_eq!(doubled, None, "{payment:?}");
    }
    let known: BTreeSet<_> = payments.iter().map(|payment| &payment.order_no).collect();
    let invented: Vec<_> = told.keys().filter(|order_no| !known.contains(order_no)).collect();
    assert!(invented.is_empty(), "webhooks about orders that nobody paid: {invented:?}");
    payments
}

/// Waits until `payrelay audit` ends with 0, and returns what it printed. Nothing may be parked.
pub async fn audited(pipeline: &Pipeline) -> Value {
    let audit = until("clean audit", async || {
        let answer = pipeline.payrelay(&["audit", "--json"]).await;
        match answer.code {
            Some(0) => Ok(answer.json()),
            Some(1 | 3) => Err(format!("{answer:?}")),
            _ => panic!("{answer:?}"),
        }
    })
    .await;
    for row in audit["rows"].as_array().expect("rows") {
        assert_eq!((&row["parked"], &row["pending"]), (&0.into(), &0.into()), "{audit}");
    }
    audit
}

type Told = HashMap<String, Vec<Received>>;

/// What the shop's merchant was told, by order.
fn by_order(sandbox: &Sandbox, shop: &Shop) -> Told {
    let mut told = Told::new();
    for received in sandbox.received() {
        if received.merchant_id == shop.merchant.id {
            told.entry(received.order_no().to_owned()).or_default().push(received);
        }
    }
    told
}

async fn orders(shop: &Shop, payments: &[&Payment]) -> Vec<Value> {
    stream::iter(payments.iter().map(|payment| shop.order(&payment.order_no)))
        .buffered(FETCHES)
        .collect()
        .await
}

/// What has not arrived yet.
fn missing(payment: &Payment, order: &Value, told: Option<&Vec<Received>>) -> Option<String> {
    let status = if payment.refunded_minor > 0 { "PARTIALLY_REFUNDED" } else { "PAID" };
    if order["status"] != status {
        return Some(format!("the order is {}, expected {status}", order["status"]));
    }
    let acknowledged = |event_type: &str| {
        told.into_iter().flatten().any(|told| told.event_type() == event_type && told.is_acknowledged())
    };
    let untold = payment.event_types().iter().find(|event_type| !acknowledged(event_type));
    untold.map(|event_type| format!("the merchant was not told {event_type}"))
}

/// What there is too much of, or wrong. Several attempts under one `webhook-id` are one webhook.
fn doubled(payment: &Payment, order: &Value, told: &[Received]) -> Option<String> {
    let sub_orders = order["sub_orders"].as_array().into_iter().flatten();
    let split: Vec<_> = sub_orders.filter_map(|part| part["amount_minor"].as_i64()).collect();
    if order["payment"]["pay_order_no"] != payment.pay_order_no.as_str()
        || order["refunded_minor"] != payment.refunded_minor
        || split.len() != 2
        || split.iter().sum::<i64>() != payment.amount_minor
    {
        return Some(format!("the order is not what was paid: {order}"));
    }
    let mut ids: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for told in told {
        if told.body["data"]["amount_minor"] != payment.amount_minor
            || told.body["data"]["pay_order_no"] != payment.pay_order_no.as_str()
        {
            return Some(format!("a webhook is not what was paid: {told:?}"));
        }
        ids.entry(told.event_type()).or_default().insert(&told.webhook_id);
    }
    let expected: BTreeSet<_> = payment.event_types().iter().copied().collect();
    let once =
        ids.values().all(|ids| ids.len() == 1) && ids.keys().copied().collect::<BTreeSet<_>>() == expected;
    (!once).then(|| format!("webhook ids by type: {ids:?}"))
}
