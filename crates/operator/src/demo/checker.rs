//! Compares what callers were told with what the order service holds and what the merchants received.
//! Nothing here asks the pipeline for its own counts.

use std::collections::{BTreeMap, HashMap};

use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::Value;

use super::{
    drive::{Driver, Payment},
    plan::Kind,
    sandbox::{Sandbox, ToldWebhook},
};

/// How many orders are fetched at once.
const FETCHES: usize = 16;

/// The result of a comparison.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// Payments of which the channel was told that they are taken.
    pub(super) paid: usize,
    /// Those whose order shows it, once and with the right amounts.
    pub(super) applied: usize,
    /// Those whose merchant was told everything, once.
    pub(super) notified: usize,
    /// Repeated callbacks that had no second effect.
    pub(super) duplicates: u64,
    /// What is missing, by order number.
    pub(super) lost: BTreeMap<String, &'static str>,
    /// What happened twice, or though nobody was told so, by order number.
    pub(super) doubled: BTreeMap<String, &'static str>,
}

/// Compares all payments.
pub(super) async fn check(
    driver: &Driver,
    sandbox: &Sandbox,
    payments: &[Payment],
) -> anyhow::Result<Findings> {
    let orders: Vec<Option<Value>> = stream::iter(payments.iter().map(|payment| driver.order(payment.plan)))
        .buffered(FETCHES)
        .try_collect()
        .await?;
    Ok(compare(payments, &orders, &sandbox.told()))
}

/// The comparison itself; `orders` in the order of `payments`.
fn compare(payments: &[Payment], orders: &[Option<Value>], told: &HashMap<ToldWebhook, usize>) -> Findings {
    let mut findings = Findings::default();
    let mut told_of: HashMap<&str, Vec<(&ToldWebhook, usize)>> = HashMap::new();
    for (told, ids) in told {
        told_of.entry(&told.order_no).or_default().push((told, *ids));
    }
    for (payment, order) in payments.iter().zip(orders) {
        findings.paid += usize::from(payment.told_paid);
        findings.duplicates += payment.duplicates;
        let order_no = payment.plan.order_no();
        let told = told_of.remove(order_no.as_str()).unwrap_or_default();
        findings.judge_order(payment, order.as_ref());
        findings.judge_webhooks(payment, &told);
    }
    for order_no in told_of.into_keys() {
        findings.doubled.insert(order_no.to_owned(), "a webhook about an order that nobody made");
    }
    findings
}

impl Findings {
    fn judge_order(&mut self, payment: &Payment, order: Option<&Value>) {
        let order_no = payment.plan.order_no();
        let Some(order) = order else {
            if payment.plan.kind != Kind::UnknownOrder {
                self.lost.insert(order_no, "the order service has no such order");
            }
            return;
        };
        let status = order["status"].as_str().unwrap_or_default();
        if !payment.told_paid {
            if status != "AWAITING_PAYMENT" {
                self.doubled
                    .insert(order_no, "the order is paid, though the channel was told that it is not");
            }
            return;
        }
        let refunded = payment.plan.refunded_minor();
        let expected = if refunded == 0 { "PAID" } else { "PARTIALLY_REFUNDED" };
        if status != expected || order["payment"]["pay_order_no"] != payment.pay_order_no.as_str() {
            self.lost.insert(order_no, "the order does not show its payment");
        } else if order["refunded_minor"] != refunded || split_sum(order) != payment.plan.amount_minor() {
            self.doubled.insert(order_no, "the order's refund or split is not what was paid");
        } else {
            self.applied += 1;
        }
    }

    fn judge_webhooks(&mut self, payment: &Payment, told: &[(&ToldWebhook, usize)]) {
        let order_no = payment.plan.order_no();
        let mut expected = Vec::new();
        if payment.told_paid {
            expected.push("pay.success");
        }
        if payment.plan.refunded_minor() > 0 {
            expected.push("pay.refunded");
        }
        let right = |told: &ToldWebhook| {
            told.merchant_id == payment.plan.merchant.id
                && told.amount_minor == payment.plan.amount_minor()
                && expected.contains(&told.event_type.as_str())
        };
        let received =
            |event_type: &&str| told.iter().any(|(told, _)| told.event_type == **event_type && right(told));
        let complete = expected.iter().all(received);
        let ids: usize = told.iter().map(|(_, ids)| ids).sum();
        if !told.iter().all(|(told, _)| right(told)) || ids > expected.len() {
            self.doubled.insert(order_no, "its merchant was told something twice, or something wrong");
        } else if !complete {
            self.lost.insert(order_no, "its merchant was not told");
        } else if payment.told_paid {
            self.notified += 1;
        }
    }
}

fn split_sum(order: &Value) -> i64 {
    let sub_orders = order["sub_orders"].as_array().into_iter().flatten();
    sub_orders.filter_map(|sub_order| sub_order["amount_minor"].as_i64()).sum()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::demo::plan::PaymentPlan;

    fn payment(index: usize) -> Payment {
        let plan = PaymentPlan::all(10)[index];
        Payment {
            plan,
            pay_order_no: "P1".to_owned(),
            told_paid: plan.kind != Kind::WrongAmount,
            duplicates: 0,
        }
    }

    fn paid_order(payment: &Payment) -> Value {
        json!({
            "status": "PAID",
            "refunded_minor": 0,
            "payment": {"pay_order_no": "P1"},
            "sub_orders": [{"amount_minor": payment.plan.amount_minor()}],
        })
    }

    fn told(payment: &Payment) -> ToldWebhook {
        ToldWebhook {
            merchant_id: payment.plan.merchant.id.to_owned(),
            order_no: payment.plan.order_no(),
            event_type: "pay.success".to_owned(),
            version: 2,
            amount_minor: payment.plan.amount_minor(),
        }
    }

    #[test]
    fn an_order_paid_once_and_told_once_is_good() {
        let payment = payment(1);
        let findings = compare(
            std::slice::from_ref(&payment),
            &[Some(paid_order(&payment))],
            &HashMap::from([(told(&payment), 1)]),
        );
        assert_eq!((findings.paid, findings.applied, findings.notified), (1, 1, 1));
        assert!(findings.lost.is_empty() && findings.doubled.is_empty());
    }

    #[test]
    fn what_is_missing_is_lost() {
        let payment = payment(1);
        let awaiting = json!({"status": "AWAITING_PAYMENT"});
        let unpaid =
            compare(std::slice::from_ref(&payment), &[Some(awaiting)], &HashMap::from([(told(&payment), 1)]));
        assert_eq!((unpaid.lost.len(), unpaid.applied), (1, 0));
        let untold = compare(std::slice::from_ref(&payment), &[Some(paid_order(&payment))], &HashMap::new());
        assert_eq!((untold.lost.len(), untold.notified), (1, 0));
    }

    #[test]
    fn what_happens_twice_or_unasked_is_doubled() {
        let payment = payment(1);
        let doubled = |order: Value, told: HashMap<ToldWebhook, usize>| {
            compare(std::slice::from_ref(&payment), &[Some(order)], &told).doubled.len()
        };
        assert_eq!(doubled(paid_order(&payment), HashMap::from([(told(&payment), 2)])), 1);
        let mut split_twice = paid_order(&payment);
        split_twice["sub_orders"] = json!([{"amount_minor": 1001}, {"amount_minor": 1001}]);
        assert_eq!(doubled(split_twice, HashMap::from([(told(&payment), 1)])), 1);
        let mut later_version = told(&payment);
        later_version.version = 3;
        assert_eq!(
            doubled(paid_order(&payment), HashMap::from([(told(&payment), 1), (later_version, 1)])),
            1
        );

        let refused = self::payment(10);
        let paid_all_the_same =
            compare(std::slice::from_ref(&refused), &[Some(paid_order(&refused))], &HashMap::new());
        assert_eq!(paid_all_the_same.doubled.len(), 1);
    }
}
