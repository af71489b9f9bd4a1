//! Refunds that the channel reports: several of one payment, in whatever order and however often they come.

use std::collections::BTreeMap;

use channels::standard::{Kind, Notice};
use scenarios::{Options, Pipeline, Received, Sandbox, Servers, Shop, check, until};
use serde_json::json;

const AMOUNT_MINOR: i64 = 1_999;

/// Type, version and refunded amount of a webhook.
type Told<'a> = (&'a str, i64, i64);

/// What the channel says of a payment, and what its merchant is told.
struct Arrival {
    order_no: &'static str,
    /// What was refunded in all; `None` is the success.
    facts: &'static [Option<i64>],
    told: &'static [Told<'static>],
}

const EACH_REFUND: &[Told<'_>] = &[
    ("pay.success", 2, 0),
    ("pay.refunded", 3, 500),
    ("pay.refunded", 4, 1500),
    ("pay.refunded", 5, AMOUNT_MINOR),
];

const ARRIVALS: [Arrival; 3] = [
    Arrival {
        order_no: "in-order",
        facts: &[None, Some(500), Some(500), None, Some(1500), Some(AMOUNT_MINOR), Some(1500), None],
        told: EACH_REFUND,
    },
    Arrival {
        order_no: "before-its-success",
        facts: &[Some(500), Some(1500), None, Some(500), Some(AMOUNT_MINOR), None],
        told: EACH_REFUND,
    },
    // The 500 are part of the 1500 that came before them.
    Arrival {
        order_no: "overtaken",
        facts: &[Some(1500), Some(500), None, Some(AMOUNT_MINOR), Some(1500)],
        told: &[("pay.success", 2, 0), ("pay.refunded", 3, 1500), ("pay.refunded", 4, AMOUNT_MINOR)],
    },
];

/// What the channel says when so much was refunded in all.
fn refunded(shop: &Shop, pay_order_no: &str, refunded_minor: i64) -> Notice {
    let notice = shop.notice(Kind::RefundSucceeded, pay_order_no, AMOUNT_MINOR);
    Notice { refunded_minor: Some(refunded_minor), ..notice }
}

/// Type, version and refunded amount of every webhook of an order, in the order of their versions. Several attempts at one webhook are
/// one.
fn told(sandbox: &Sandbox, order_no: &str) -> Vec<(String, i64, i64)> {
    let webhook = |received: Received| {
        let number = |field: &str| received.body["data"][field].as_i64().expect("a number");
        let told = (received.event_type().to_owned(), number("version"), number("refunded_minor"));
        (received.webhook_id, told)
    };
    let by_id: BTreeMap<_, _> = sandbox.received_of(order_no).into_iter().map(webhook).collect();
    let mut told: Vec<_> = by_id.into_values().collect();
    told.sort_by_key(|(_, version, _)| *version);
    told
}

/// The order when all of it was given back, split once, with the facts of its payment.
async fn until_refunded(shop: &Shop, order_no: &str, pay_order_no: &str) {
    let order = until(&format!("refund of {order_no}"), async || {
        let order = shop.order(order_no).await;
        if order["status"] == "REFUNDED" { Ok(order) } else { Err(order.to_string()) }
    })
    .await;
    assert_eq!(order["refunded_minor"], AMOUNT_MINOR, "{order}");
    assert_eq!(order["payment"]["pay_order_no"], pay_order_no, "{order}");
    assert_eq!(order["payment"]["channel_trade_no"], format!("T-{pay_order_no}"), "{order}");
    assert!(order["payment"]["paid_at"].is_string(), "{order}");
    let parts = order["sub_orders"].as_array().expect("sub-orders");
    let split: i64 = parts.iter().filter_map(|part| part["amount_minor"].as_i64()).sum();
    assert_eq!((parts.len(), split), (2, AMOUNT_MINOR), "{order}");
}

async fn until_told(sandbox: &Sandbox, order_no: &str, expected: &[Told<'_>]) {
    let expected: Vec<_> = expected
        .iter()
        .map(|(event_type, version, refunded)| ((*event_type).to_owned(), *version, *refunded))
        .collect();
    until(&format!("webhooks of {order_no}"), async || {
        let told = told(sandbox, order_no);
        if told == expected { Ok(()) } else { Err(format!("{told:?}")) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn partial_refunds_up_to_the_total_each_have_their_event_effect_and_webhook() {
    let sandbox = Sandbox::start().await;
    let pipeline = Pipeline::start(Servers::shared(), Options { replicas: 2, ..Options::default() }).await;
    let merchant = pipeline.add_merchant("m1", &sandbox.url("m1")).await;
    sandbox.register(&merchant);
    let shop = pipeline.shop(&merchant);
    let mut sent = Vec::new();
    for Arrival { order_no, facts, told } in ARRIVALS {
        shop.create_order(order_no, AMOUNT_MINOR).await;
        let pay_order_no = shop.create_pay_order(order_no, AMOUNT_MINOR).await;
        for fact in facts {
            let notice = match fact {
                None => shop.notice(Kind::PaymentSucceeded, &pay_order_no, AMOUNT_MINOR),
                Some(refunded_minor) => refunded(&shop, &pay_order_no, *refunded_minor),
            };
            assert_eq!(shop.tell(&notice).await, 204, "{order_no}: {fact:?}");
            sent.push(notice);
        }
        let version = told.last().expect("one at least").1;
        let pay_order = shop.pay_order(&pay_order_no).await;
        assert_eq!(
            (&pay_order["status"], &pay_order["version"]),
            (&json!("TRADE_REFUNDED"), &json!(version))
        );
        until_refunded(&shop, order_no, &pay_order_no).await;
        until_told(&sandbox, order_no, told).await;
    }
    // Once all is over the channel repeats itself, the last first.
    for notice in sent.iter().rev() {
        assert_eq!(shop.tell(notice).await, 204, "{notice:?}");
    }
    assert_eq!(pipeline.payrelay_json(&["contradictions", "list"]).await, json!([]));
    check::audited(&pipeline).await;
    for Arrival { order_no, told, .. } in ARRIVALS {
        until_told(&sandbox, order_no, told).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn callbacks_of_one_payment_that_arrive_at_once_end_the_same() {
    let sandbox = Sandbox::start().await;
    let pipeline = Pipeline::start(Servers::shared(), Options { replicas: 2, ..Options::default() }).await;
    let merchant = pipeline.add_merchant("m1", &sandbox.url("m1")).await;
    sandbox.register(&merchant);
    let shop = pipeline.shop(&merchant);
    for round in 0..10 {
        let order_no = format!("at-once-{round}");
        shop.create_order(&order_no, AMOUNT_MINOR).await;
        let pay_order_no = shop.create_pay_order(&order_no, AMOUNT_MINOR).await;
        let success = shop.notice(Kind::PaymentSucceeded, &pay_order_no, AMOUNT_MINOR);
        let [some, more, all] =
            [700, 1400, AMOUNT_MINOR].map(|refunded_minor| refunded(&shop, &pay_order_no, refunded_minor));
        let told_all = tokio::join!(
            shop.tell(&all),
            shop.tell(&some),
            shop.tell(&success),
            shop.tell(&more),
            shop.tell(&some),
            shop.tell(&success),
        );
        assert_eq!(told_all, (204, 204, 204, 204, 204, 204), "{order_no}");
        until_refunded(&shop, &order_no, &pay_order_no).await;
        let version = shop.pay_order(&pay_order_no).await["version"].as_i64().expect("a version");
        // Which of the amounts came first decides how many of them are told; every version is.
        let told = until(&format!("webhooks of {order_no}"), async || {
            let told = told(&sandbox, &order_no);
            let versions: Vec<_> = told.iter().map(|(_, version, _)| *version).collect();
            if versions == (2..=version).collect::<Vec<_>>() { Ok(told) } else { Err(format!("{told:?}")) }
        })
        .await;
        assert!(told.is_sorted_by_key(|(_, _, refunded)| *refunded), "{told:?}");
        assert_eq!(told.last().map(|(_, _, refunded)| *refunded), Some(AMOUNT_MINOR), "{told:?}");
        assert_eq!(told.iter().filter(|(event_type, ..)| event_type == "pay.success").count(), 1, "{told:?}");
    }
    check::audited(&pipeline).await;
}
