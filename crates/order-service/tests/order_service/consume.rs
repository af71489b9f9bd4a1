//! What messages do, from the exchange to the order.

use events::codec::{JSON, PROTOBUF, TEXT};
use events::{EventId, Purpose};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use crate::fixtures::{AMOUNT_MINOR, MERCHANT, cny, failed, refund, second_success, success};
use crate::running::{Fixture, TRACEPARENT, eventually, foreign, message};

const SUCCESS_QUEUE: &str = "trade.pay.success.queue";

fn reasons(parked: &[Value]) -> Vec<&str> {
    let mut reasons: Vec<_> = parked.iter().map(|parked| parked["reason"].as_str().unwrap()).collect();
    reasons.sort_unstable();
    reasons
}

#[tokio::test]
async fn a_success_marks_its_order_paid_and_splits_it() {
    let fixture = Fixture::with_orders(&["1"]).await;
    let event = success("1");
    fixture.publish(vec![message(&event)]).await;
    let paid = fixture.replica.order_with_status("1", "PAID").await;
    assert_eq!(paid["payment"]["pay_order_no"], "P-1");
    assert_eq!(paid["payment"]["channel_trade_no"], "T-1");
    let paid_at = OffsetDateTime::parse(paid["payment"]["paid_at"].as_str().unwrap(), &Rfc3339).unwrap();
    assert_eq!(Some(paid_at), event.order.paid_at);
    assert_eq!((&paid["refunded_minor"], &paid["version"]), (&json!(0), &json!(2)));
    let parts: Vec<_> = paid["sub_orders"].as_array().unwrap().iter().collect();
    let places: Vec<_> = parts.iter().map(|part| (&part["shop_id"], &part["warehouse_id"])).collect();
    assert_eq!(json!(places), json!([["s1", "w1"], ["s1", "w2"], ["s2", "w1"]]));
    let sum: i64 = parts.iter().map(|part| part["amount_minor"].as_i64().unwrap()).sum();
    assert_eq!(sum, AMOUNT_MINOR);

    let trace: Value = fixture.replica.admin(Method::GET, "/admin/trace/1").await.json().await.unwrap();
    let handled =
        trace["steps"].as_array().unwrap().iter().find(|step| step["step"] == "event_handled").unwrap();
    assert_eq!(
        (&handled["service"], &handled["detail"]["outcome"]),
        (&json!("order-service"), &json!("applied"))
    );
    assert_eq!(handled["detail"]["event_id"], event.event_id.to_string());
    assert_eq!(handled["detail"]["traceparent"], TRACEPARENT);
}

#[tokio::test]
async fn duplicates_are_absorbed_whatever_their_event_id() {
    let fixture = Fixture::with_orders(&["1"]).await;
    let event = success("1");
    fixture.publish(vec![message(&event), message(&event), message(&success("1"))]).await;
    fixture.replica.audited_once("duplicate", 1).await;
    assert_eq!(fixture.replica.audited("applied").await, 1);
    let paid = fixture.replica.order("1").await;
    assert_eq!((&paid["version"], paid["sub_orders"].as_array().unwrap().len()), (&json!(2), 3));
    assert_eq!(fixture.replica.parked().await, Vec::<Value>::new());
}

#[tokio::test]
async fn poison_among_good_ones_is_dead_lettered_alone_and_with_its_reason() {
    let fixture = Fixture::with_orders(&["1", "2", "3", "4"]).await;
    let mut other_amount = success("4");
    other_amount.order.amount = cny(1);
    let mut from_the_future = success("4");
    from_the_future.occurred_at += Duration::days(2);
    fixture
        .publish(vec![
            message(&success("1")),
            foreign("pay.success", PROTOBUF, "no protobuf"),
            message(&other_amount),
            message(&success("2")),
            message(&from_the_future),
            foreign("pay.success", "application/xml", "<order/>"),
            foreign("pay.success", JSON, r#"{"eventId": "x"}"#),
            message(&success("3")),
        ])
        .await;
    for order_no in ["1", "2", "3"] {
        fixture.replica.order_with_status(order_no, "PAID").await;
    }
    let parked = fixture.replica.parked_once(5).await;
    assert_eq!(reasons(&parked), ["amount_mismatch", "invalid", "invalid", "undecodable", "undecodable"]);
    let mismatch = parked.iter().find(|parked| parked["reason"] == "amount_mismatch").unwrap();
    assert_eq!((&mismatch["order_no"], &mismatch["queue"]), (&json!("4"), &json!(SUCCESS_QUEUE)));
    assert_eq!(mismatch["event_id"], other_amount.event_id.to_string());
    assert_eq!((&mismatch["upstream"], &mismatch["traceparent"]), (&json!(false), &json!(TRACEPARENT)));
    fixture.dead_letters(SUCCESS_QUEUE, 5).await;
    assert_eq!(fixture.replica.order("4").await["status"], "AWAITING_PAYMENT");
    assert_eq!(fixture.replica.audited("parked").await, 1, "what is decoded and not from the future");
}

#[tokio::test]
async fn an_unknown_order_is_retried_and_found_when_it_is_created_meanwhile() {
    let fixture = Fixture::start().await;
    let mut behind_it = success("2");
    behind_it.order.purpose = Purpose::External;
    fixture.publish(vec![message(&success("1")), message(&behind_it)]).await;
    fixture.replica.audited_once("not_mine", 1).await;
    fixture.replica.create("1").await;
    fixture.replica.order_with_status("1", "PAID").await;
    assert_eq!(fixture.replica.parked().await, Vec::<Value>::new());
}

#[tokio::test]
async fn an_order_that_stays_unknown_is_dead_lettered_after_the_last_delay() {
    let fixture = Fixture::start().await;
    fixture.publish(vec![message(&success("1"))]).await;
    let parked = fixture.replica.parked_once(1).await;
    assert_eq!(reasons(&parked), ["attempts_exhausted"]);
    let detail = parked[0]["detail"].as_str().unwrap();
    assert!(detail.contains("unknown_order") && detail.contains("order 1"), "{detail}");
    assert_eq!(parked[0]["attempts"], 4, "once, and once after each delay");
    fixture.dead_letters(SUCCESS_QUEUE, 1).await;
}

#[tokio::test]
async fn success_and_refunds_in_any_order_end_in_the_same_state() {
    let fixture = Fixture::with_orders(&["1", "2"]).await;
    let first = [success("1"), refund("1", 300), refund("1", AMOUNT_MINOR)];
    let second = [refund("2", 700), refund("2", 300), success("2")];
    fixture.publish(first.iter().chain(&second).map(message).collect()).await;
    fixture.replica.order_with_status("1", "REFUNDED").await;
    eventually("all six to be handled", || async {
        let (applied, duplicate) =
            (fixture.replica.audited("applied").await, fixture.replica.audited("duplicate").await);
        (applied + duplicate == 6).then_some(())
    })
    .await;
    let part = fixture.replica.order("2").await;
    assert_eq!(part["status"], "PARTIALLY_REFUNDED");
    assert_eq!((&part["refunded_minor"], &part["payment"]["pay_order_no"]), (&json!(700), &json!("P-2")));
    assert_eq!(part["sub_orders"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn a_bare_order_number_pays_and_the_full_event_still_fills_in_the_facts() {
    let fixture = Fixture::with_orders(&["1", "2", "3"]).await;
    fixture
        .publish(vec![
            foreign("pay.success", TEXT, "1"),
            foreign("pay.success", JSON, "2"),
            foreign("pay.success", JSON, r#"{"orderNo": "3"}"#),
        ])
        .await;
    for order_no in ["1", "2", "3"] {
        let paid = fixture.replica.order_with_status(order_no, "PAID").await;
        assert_eq!((&paid["payment"], paid["sub_orders"].as_array().unwrap().len()), (&json!(null), 3));
    }
    assert_eq!(fixture.replica.audited("applied").await, 0);

    let mut other_amount = success("2");
    other_amount.order.amount = cny(1);
    fixture.publish(vec![message(&success("1")), message(&other_amount)]).await;
    fixture.replica.audited_once("applied", 1).await;
    let paid = fixture.replica.order("1").await;
    assert_eq!((&paid["payment"]["pay_order_no"], &paid["version"]), (&json!("P-1"), &json!(3)));
    assert_eq!(reasons(&fixture.replica.parked_once(1).await), ["amount_mismatch"]);
}

#[tokio::test]
async fn a_bare_refund_says_no_amount_and_a_bare_failure_is_noted() {
    let fixture = Fixture::with_orders(&["1"]).await;
    fixture.publish(vec![foreign("pay.refunded", TEXT, "1"), foreign("pay.failed", TEXT, "1")]).await;
    assert_eq!(reasons(&fixture.replica.parked_once(1).await), ["invalid"]);
    fixture.publish(vec![message(&failed("1"))]).await;
    fixture.replica.audited_once("applied", 1).await;
    let noted = fixture.replica.order("1").await;
    assert_eq!(noted["status"], "AWAITING_PAYMENT");
    let pay_orders: Vec<_> =
        noted["payments"].as_array().unwrap().iter().map(|noted| &noted["pay_order_no"]).collect();
    assert_eq!(json!(pay_orders), json!([null, "F-1"]));
}

#[tokio::test]
async fn other_purposes_are_not_mine_even_without_an_order() {
    let fixture = Fixture::start().await;
    let mut external = success("1");
    external.order.purpose = Purpose::External;
    let mut recharge = success("R1");
    recharge.order.purpose = Purpose::Recharge;
    fixture.publish(vec![message(&external), message(&recharge)]).await;
    fixture.replica.audited_once("not_mine", 2).await;
    assert_eq!(fixture.replica.parked().await, Vec::<Value>::new());
}

#[tokio::test]
async fn a_payment_of_a_closed_order_and_a_second_payment_are_parked() {
    let fixture = Fixture::with_orders(&["1", "2"]).await;
    let path = format!("/v1/orders/{MERCHANT}/1/close");
    assert_eq!(fixture.replica.request(Method::POST, &path, None).await.status(), StatusCode::OK);
    fixture.publish(vec![message(&success("1")), message(&success("2"))]).await;
    fixture.replica.order_with_status("2", "PAID").await;
    fixture.publish(vec![message(&second_success("2"))]).await;
    assert_eq!(reasons(&fixture.replica.parked_once(2).await), ["order_closed", "second_payment"]);
    assert_eq!(fixture.replica.order("1").await["status"], "CLOSED");
    assert_eq!(fixture.replica.order("2").await["payment"]["pay_order_no"], "P-2");
    fixture.replica.audited_once("parked", 2).await;

    let path = format!("/v1/orders/{MERCHANT}/2/close");
    let refused = fixture.replica.request(Method::POST, &path, None).await;
    assert_eq!(refused.status(), StatusCode::CONFLICT);
    assert_eq!(refused.json::<Value>().await.unwrap()["code"], "already_paid");
}

#[tokio::test]
async fn an_event_of_an_upstream_is_told_apart() {
    let fixture = Fixture::with_orders(&["1"]).await;
    let mut upstream = message(&success("1"));
    upstream.headers.clear();
    upstream.message_id = EventId(Uuid::now_v7()).to_string();
    fixture.publish(vec![upstream]).await;
    fixture.replica.audited_once("applied", 1).await;
    let report: Value = fixture.replica.admin(Method::GET, "/admin/audit").await.json().await.unwrap();
    assert_eq!(report["buckets"][0]["upstream"], true);
}
