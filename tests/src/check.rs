//! Compares what callers were told with what orders show and merchants got. The pipeline's own books come last.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use futures_util::{StreamExt, stream};
use serde_json::Value;

use crate::{Payment, Pipeline, Received, Sandbox, Shop, until};

/// How many orders are fetched at once.
const FETCHES: usize = 16;

/// Waits until the payments have settled: every order shows its payment once, the merchant was told of everything once, and
/// of nothing else, nothing is parked, and the audit finds no gap. They must be all payments of the shop.
pub async fn settled(pipeline: &Pipeline, sandbox: &Sandbox, shop: &Shop, payments: &[Payment]) {
    complete(sandbox, shop, payments).await;
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
}

/// Waits until every order shows its payment and the merchant was told of everything.
pub async fn complete(sandbox: &Sandbox, shop: &Shop, payments: &[Payment]) {
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
}

/// Waits until `payrelay audit` ends with 0, and returns what it printed. Nothing may be parked.
pub async fn audited(pipeline: &Pipeline) -> Value {
    let audit = until("clean audit", async || {
        let answer = pipeline.payrelay(&["audit", "--settle", "0s", "--json"]).await;
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

type Told = HashMap<String, Vec<Arc<Received>>>;

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

/// The orders of the payments, as the order service holds them.
pub async fn orders(shop: &Shop, payments: &[&Payment]) -> Vec<Value> {
    stream::iter(payments.iter().map(|payment| shop.order(&payment.order_no)))
        .buffered(FETCHES)
        .collect()
        .await
}

/// What has not arrived yet.
fn missing(payment: &Payment, order: &Value, told: Option<&Vec<Arc<Received>>>) -> Option<String> {
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
fn doubled(payment: &Payment, order: &Value, told: &[Arc<Received>]) -> Option<String> {
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn payment() -> Payment {
        Payment {
            order_no: "A-1".to_owned(),
            pay_order_no: "P1".to_owned(),
            amount_minor: 100,
            refunded_minor: 25,
        }
    }

    fn order() -> Value {
        json!({
            "status": "PARTIALLY_REFUNDED", "refunded_minor": 25, "payment": {"pay_order_no": "P1"},
            "sub_orders": [{"amount_minor": 33}, {"amount_minor": 67}],
        })
    }

    fn received(event_type: &str, webhook_id: &str, reply: u16) -> Arc<Received> {
        let body = json!({"type": event_type, "data": {"pay_order_no": "P1", "order_no": "A-1", "amount_minor": 100}});
        Arc::new(Received {
            merchant_id: "m1".to_owned(),
            webhook_id: webhook_id.to_owned(),
            traceparent: String::new(),
            at: time::OffsetDateTime::UNIX_EPOCH,
            body,
            reply: Some(reply),
        })
    }

    fn told() -> Vec<Arc<Received>> {
        vec![
            received("pay.success", "1", 503),
            received("pay.success", "1", 204),
            received("pay.refunded", "2", 204),
        ]
    }

    #[test]
    fn a_payment_that_arrived_once_everywhere_is_good() {
        assert_eq!(missing(&payment(), &order(), Some(&told())), None);
        assert_eq!(doubled(&payment(), &order(), &told()), None);
    }

    #[test]
    fn what_has_not_arrived_is_missing() {
        let awaiting = json!({"status": "AWAITING_PAYMENT"});
        assert!(missing(&payment(), &awaiting, Some(&told())).is_some());
        assert!(missing(&payment(), &order(), None).is_some());
        assert!(
            missing(&payment(), &order(), Some(&told()[..2].to_vec())).is_some(),
            "the refund was not told"
        );
        assert!(
            missing(&payment(), &order(), Some(&vec![told().remove(0)])).is_some(),
            "nothing was acknowledged"
        );
    }

    #[test]
    fn what_arrived_twice_or_wrong_is_doubled() {
        let twice = [told(), vec![received("pay.success", "3", 204)]].concat();
        assert!(doubled(&payment(), &order(), &twice).is_some());
        let invented = [told(), vec![received("pay.closed", "3", 204)]].concat();
        assert!(doubled(&payment(), &order(), &invented).is_some());
        let mut wrong = told();
        Arc::make_mut(&mut wrong[0]).body["data"]["amount_minor"] = json!(99);
        assert!(doubled(&payment(), &order(), &wrong).is_some());
        for (field, value) in [
            ("refunded_minor", json!(50)),
            ("payment", json!({"pay_order_no": "P2"})),
            (
                "sub_orders",
                json!([{"amount_minor": 33}, {"amount_minor": 67}, {"amount_minor": 33}, {"amount_minor": 67}]),
            ),
        ] {
            let mut order = order();
            order[field] = value;
            assert!(doubled(&payment(), &order, &told()).is_some(), "{order}");
        }
    }
}
