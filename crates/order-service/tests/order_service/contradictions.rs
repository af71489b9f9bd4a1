//! Payments that an order cannot take, as operators see and dismiss them.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::fixtures::{AMOUNT_MINOR, MERCHANT, cny, second_success, success};
use crate::running::{Fixture, Replica, eventually, message};

async fn listed(replica: &Replica, query: &str) -> Vec<Value> {
    let answer = replica.admin(Method::GET, &format!("/admin/contradictions?{query}")).await;
    assert_eq!(answer.status(), StatusCode::OK, "{query}");
    answer.json().await.unwrap()
}

fn decision(action: &str) -> Value {
    json!({ "action": action, "note": "refunded at the channel", "by": "ops" })
}

/// One order that was closed and then paid, one that is paid twice; and something else that is parked.
async fn contradicted() -> (Fixture, [Value; 2]) {
    let fixture = Fixture::with_orders(&["1", "2", "3"]).await;
    let path = format!("/v1/orders/{MERCHANT}/1/close");
    assert_eq!(fixture.replica.request(Method::POST, &path, None).await.status(), StatusCode::OK);
    let mut mismatch = success("3");
    mismatch.order.amount = cny(1);
    fixture.publish(vec![message(&success("1")), message(&success("2")), message(&mismatch)]).await;
    fixture.replica.order_with_status("2", "PAID").await;
    fixture.replica.parked_once(2).await;
    fixture.publish(vec![message(&second_success("2"))]).await;
    fixture.replica.parked_once(3).await;
    let open = listed(&fixture.replica, "").await;
    let [second, closed] = <[Value; 2]>::try_from(open).unwrap();
    (fixture, [second, closed])
}

#[tokio::test]
async fn both_sides_are_shown_and_a_dismissal_stands() {
    let (fixture, [second, closed]) = contradicted().await;
    let replica = &fixture.replica;
    assert_eq!([&second["reason"], &closed["reason"]], ["second_payment", "order_closed"]);
    assert_eq!((&second["source"], &second["pay_order_no"]), (&json!("order-service"), &json!("P2-2")));
    assert_eq!(
        (&second["ours"]["pay_order_no"], &second["ours"]["amount_minor"]),
        (&json!("P-2"), &json!(AMOUNT_MINOR))
    );
    assert_eq!(second["theirs"][0]["type"], "pay.success");
    assert_eq!(closed["ours"]["status"], "CLOSED");
    assert_eq!(listed(replica, "reason=order_closed").await, std::slice::from_ref(&closed));

    let path = format!("/admin/contradictions/{}", second["contradiction_id"].as_str().unwrap());
    let (status, resolved) = replica.admin_post(&format!("{path}/resolve"), &decision("dismissed")).await;
    assert_eq!((status, &resolved["resolution"]["by"]), (StatusCode::OK, &json!("ops")), "{resolved}");
    let mut again = decision("dismissed");
    again["note"] = json!("another note");
    assert_eq!(
        replica.admin_post(&format!("{path}/resolve"), &again).await,
        (StatusCode::OK, resolved.clone())
    );
    let (status, problem) = replica.admin_post(&format!("{path}/resolve"), &decision("accepted")).await;
    assert_eq!((status, &problem["code"]), (StatusCode::CONFLICT, &json!("already_resolved")));
    assert_eq!(replica.admin(Method::GET, &path).await.json::<Value>().await.unwrap(), resolved);
    assert_eq!(listed(replica, "").await, [closed]);
    assert_eq!(listed(replica, "status=resolved").await, [resolved]);
    assert_eq!(listed(replica, "status=all").await.len(), 2);

    // A replay of its dead letter is parked again, and dismissed still.
    let mut replayed = second_success("2");
    replayed.event_id.0 = second["theirs"][0]["event_id"].as_str().unwrap().parse().unwrap();
    fixture.publish(vec![message(&replayed)]).await;
    let seen_again = eventually("the replay to be parked", async || {
        let resolved = listed(replica, "status=resolved").await;
        (resolved[0]["last_seen_at"] != second["last_seen_at"]).then_some(resolved)
    });
    assert_eq!(seen_again.await[0]["resolution"]["action"], "dismissed");
    let trace: Value = replica.admin(Method::GET, "/admin/trace/2").await.json().await.unwrap();
    let steps = trace["steps"].as_array().unwrap();
    assert!(steps.iter().any(|step| step["step"] == "contradiction_dismissed"), "{trace}");
}

#[tokio::test]
async fn nothing_can_be_accepted_and_what_is_no_contradiction_not_dismissed() {
    let (fixture, open) = contradicted().await;
    let replica = &fixture.replica;
    for (row, what) in open.iter().zip(["another pay order has paid", "closed unpaid"]) {
        let path = format!("/admin/contradictions/{}/resolve", row["contradiction_id"].as_str().unwrap());
        let (status, problem) = replica.admin_post(&path, &decision("accepted")).await;
        assert_eq!((status, &problem["code"]), (StatusCode::CONFLICT, &json!("not_acceptable")));
        assert!(problem["detail"].as_str().unwrap().contains(what), "{problem}");
        let mut silent = decision("dismissed");
        silent["note"] = json!("");
        assert_eq!(replica.admin_post(&path, &silent).await.0, StatusCode::UNPROCESSABLE_ENTITY);
    }
    let database = storage::Database::connect(fixture.database.url(), "test", 1).unwrap();
    let client = database.client().await.unwrap();
    let other = "SELECT contradiction_id FROM orders.parked WHERE reason = 'amount_mismatch'";
    let other: uuid::Uuid = client.query_one(other, &[]).await.unwrap().get(0);
    for action in ["dismissed", "accepted"] {
        let path = format!("/admin/contradictions/{other}/resolve");
        assert_eq!(replica.admin_post(&path, &decision(action)).await.0, StatusCode::NOT_FOUND);
    }
    assert_eq!(listed(replica, "").await, open);
    for query in ["reason=amount_mismatch", "status=closed", "limit=x", "limit=1001"] {
        let answer = replica.admin(Method::GET, &format!("/admin/contradictions?{query}")).await;
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{query}");
    }
}

#[tokio::test]
async fn a_payment_that_is_applied_after_all_contradicts_no_longer() {
    let (fixture, [_, closed]) = contradicted().await;
    let database = storage::Database::connect(fixture.database.url(), "test", 1).unwrap();
    let client = database.client().await.unwrap();
    // As after a restore by hand, and a replay.
    let reopen = "UPDATE orders.orders SET status = 'AWAITING_PAYMENT', closed_at = NULL
        WHERE order_no = '1' AND merchant_id = 'M1'";
    client.execute(reopen, &[]).await.unwrap();
    let mut replayed = success("1");
    replayed.event_id.0 = closed["theirs"][0]["event_id"].as_str().unwrap().parse().unwrap();
    replayed.occurred_at = time::OffsetDateTime::parse(
        closed["theirs"][0]["occurred_at"].as_str().unwrap(),
        &time::format_description::well_known::Rfc3339,
    )
    .unwrap();
    fixture.publish(vec![message(&replayed)]).await;
    fixture.replica.order_with_status("1", "PAID").await;
    let open = listed(&fixture.replica, "status=all").await;
    assert_eq!(open.iter().map(|row| &row["reason"]).collect::<Vec<_>>(), ["second_payment"]);
}
