//! What operators decide about contradictions.

use channels::standard::{Kind, Notice};
use events::{Currency, EventType, Money, PayOrderNo};
use futures_util::future::join;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{Ingress, World, event, new_pay_order, notice, paid, read, refunded, take};

fn decision(action: &str, note: &str) -> Value {
    json!({ "action": action, "note": note, "by": "ops" })
}

async fn resolve(ingress: &Ingress, id: &str, body: &Value) -> (StatusCode, Value) {
    let path = format!("/admin/contradictions/{id}/resolve");
    read(ingress.admin(Method::POST, &path).json(body).send().await.unwrap()).await
}

/// A pay order that the channel has closed.
async fn closed(ingress: &Ingress, order_no: &str) -> PayOrderNo {
    let number = ingress.pay_order(order_no).await;
    assert_eq!(ingress.callback(&notice(Kind::PaymentClosed, &number)).await, StatusCode::NO_CONTENT);
    number
}

/// Sends what contradicts, and returns the id of the one contradiction of its pay order.
async fn contradict(ingress: &Ingress, notices: &[Notice]) -> String {
    for notice in notices {
        assert_eq!(ingress.callback(notice).await, StatusCode::CONFLICT);
    }
    let listed = ingress.admin_get("/admin/contradictions").await;
    let number = notices[0].pay_order_no.as_str();
    let ids: Vec<_> = listed
        .as_array()
        .unwrap()
        .iter()
        .filter(|row| row["pay_order_no"] == number)
        .map(|row| row["contradiction_id"].as_str().unwrap().to_owned())
        .collect();
    let [id] = &*ids else { panic!("{listed}") };
    id.clone()
}

#[tokio::test]
async fn an_accepted_payment_is_booked_told_and_a_duplicate_from_then_on() {
    let world = World::create();
    let ingress = world.ingress(&[]).await;
    let number = closed(&ingress, "10001").await;
    let success = paid(&number);
    let id = contradict(&ingress, &[refunded(&number, 500), success.clone(), refunded(&number, 300)]).await;
    let shown = ingress.admin_get(&format!("/admin/contradictions/{id}")).await;
    assert_eq!((&shown["count"], &shown["resolution"]), (&json!(3), &Value::Null));
    assert_eq!((&shown["ours"]["status"], &shown["source"]), (&json!("TRADE_CLOSED"), &json!("ingress")));
    let kinds: Vec<_> = shown["theirs"].as_array().unwrap().iter().map(|fact| &fact["kind"]).collect();
    assert_eq!(kinds, ["succeeded", "refunded"]);

    let (status, resolved) = resolve(&ingress, &id, &decision("accepted", "the money is there")).await;
    assert_eq!(status, StatusCode::OK, "{resolved}");
    let resolution = &resolved["resolution"];
    assert_eq!(
        (&resolution["action"], &resolution["note"], &resolution["by"]),
        (&json!("accepted"), &json!("the money is there"), &json!("ops"))
    );
    let (_, again) = resolve(&ingress, &id, &decision("accepted", "once more")).await;
    assert_eq!(again, resolved, "the first note stays");
    let (status, problem) = resolve(&ingress, &id, &decision("dismissed", "no")).await;
    assert_eq!((status, &problem["code"]), (StatusCode::CONFLICT, &json!("already_resolved")));
    assert_eq!(problem["resolution"], *resolution);

    let found = ingress.show(&number).await;
    assert_eq!(
        (&found["status"], &found["version"], &found["refunded_minor"]),
        (&json!("PARTIALLY_REFUNDED"), &json!(4), &json!(500))
    );
    let success_event = event(&take(world.vhost.amqp_url(), "trade.pay.success.queue", 1).await[0]);
    assert_eq!((success_event.event_type, success_event.order.version), (EventType::Success, 3));
    assert_eq!(success_event.order.paid_at, Some(events::to_micros(success.at)));
    let refund = event(&take(world.vhost.amqp_url(), "merchant.pay.refunded.queue", 1).await[0]);
    assert_eq!((refund.order.version, refund.order.refunded_minor), (4, 500));

    for notice in [success, refunded(&number, 500), refunded(&number, 1999)] {
        assert_eq!(ingress.callback(&notice).await, StatusCode::NO_CONTENT);
    }
    assert_eq!(ingress.show(&number).await["status"], "TRADE_REFUNDED");
    // It keeps its order from getting another one, as any paid one.
    let (status, same) = ingress.create(&new_pay_order("10001")).await;
    assert_eq!((status, same["pay_order_no"].as_str()), (StatusCode::OK, Some(number.as_str())));

    let trace = ingress.admin_get("/admin/trace/10001").await;
    let steps = trace["steps"].as_array().unwrap();
    let accepted = steps.iter().find(|step| step["step"] == "contradiction_accepted").expect("a step");
    assert_eq!((&accepted["detail"]["by"], accepted["service"].as_str()), (&json!("ops"), Some("ingress")));
}

#[tokio::test]
async fn what_an_older_version_has_recorded_is_accepted_with_what_came_since() {
    let (ingress, database) = World::without_broker(&[]).await;
    let number = closed(&ingress, "10001").await;
    contradict(&ingress, &[refunded(&number, 500)]).await;
    let database = storage::Database::connect(database.url(), "test", 1).unwrap();
    let older = "UPDATE pay.contradictions SET stated = DEFAULT";
    assert_eq!(database.client().await.unwrap().execute(older, &[]).await.unwrap(), 1);
    let id = contradict(&ingress, &[refunded(&number, 300), paid(&number)]).await;
    let (status, resolved) = resolve(&ingress, &id, &decision("accepted", "paid")).await;
    assert_eq!((status, resolved["theirs"].as_array().unwrap().len()), (StatusCode::OK, 2), "{resolved}");
    let found = ingress.show(&number).await;
    assert_eq!((&found["refunded_minor"], &found["version"]), (&json!(500), &json!(4)));
}

#[tokio::test]
async fn a_dismissed_contradiction_stays_dismissed_when_it_comes_again() {
    let (ingress, _database) = World::without_broker(&[]).await;
    let number = closed(&ingress, "10001").await;
    let id = contradict(&ingress, &[paid(&number)]).await;
    let (status, resolved) = resolve(&ingress, &id, &decision("dismissed", "refunded by hand")).await;
    assert_eq!(status, StatusCode::OK, "{resolved}");
    assert_eq!(ingress.admin_get("/admin/contradictions").await, json!([]));

    assert_eq!(ingress.callback(&paid(&number)).await, StatusCode::CONFLICT);
    assert_eq!(ingress.admin_get("/admin/contradictions?status=open").await, json!([]));
    let listed = ingress.admin_get("/admin/contradictions?status=resolved").await;
    assert_eq!(
        (&listed[0]["count"], &listed[0]["resolution"], listed.as_array().unwrap().len()),
        (&json!(2), &resolved["resolution"], 1)
    );
    assert!(listed[0]["last_seen_at"].as_str() > resolved["last_seen_at"].as_str(), "{listed}");
    let (status, problem) = resolve(&ingress, &id, &decision("accepted", "no, paid")).await;
    assert_eq!((status, &problem["code"]), (StatusCode::CONFLICT, &json!("already_resolved")));
    assert_eq!(ingress.show(&number).await["status"], "TRADE_CLOSED");
}

#[tokio::test]
async fn what_cannot_be_accepted_is_refused_with_what_to_do_and_can_be_dismissed() {
    let (ingress, _database) = World::without_broker(&[]).await;
    let amount = ingress.pay_order("amount").await;
    let mut wrong = paid(&amount);
    wrong.amount = Money::new(1, Currency::parse("CNY").unwrap());
    let amount = contradict(&ingress, &[wrong]).await;
    let twice = ingress.pay_order("twice").await;
    assert_eq!(ingress.callback(&paid(&twice)).await, StatusCode::NO_CONTENT);
    let mut second = paid(&twice);
    second.channel_trade_no = "another".to_owned();
    let twice = contradict(&ingress, &[second]).await;
    for (id, reason) in [(&amount, "amount_mismatch"), (&twice, "second_trade")] {
        let (status, problem) = resolve(&ingress, id, &decision("accepted", "why not")).await;
        assert_eq!((status, &problem["code"]), (StatusCode::CONFLICT, &json!("not_acceptable")));
        assert_eq!(problem["reason"], reason);
        assert!(problem["detail"].as_str().unwrap().contains("dismiss"), "{problem}");
        let of_reason = ingress.admin_get(&format!("/admin/contradictions?reason={reason}&limit=5")).await;
        assert_eq!((of_reason.as_array().unwrap().len(), &of_reason[0]["contradiction_id"]), (1, &json!(id)));
        assert_eq!(resolve(&ingress, id, &decision("dismissed", "refunded")).await.0, StatusCode::OK);
    }
    assert_eq!(ingress.admin_get("/admin/contradictions").await, json!([]));

    let (first, mut other) = (closed(&ingress, "trades").await, None);
    for trade in ["one", "two"] {
        let mut success = paid(&first);
        success.channel_trade_no = trade.to_owned();
        assert_eq!(ingress.callback(&success).await, StatusCode::CONFLICT);
        let listed = ingress.admin_get("/admin/contradictions").await;
        other.replace(listed);
    }
    let ids: Vec<_> =
        other.unwrap().as_array().unwrap().iter().map(|row| row["contradiction_id"].clone()).collect();
    let [last, earlier] = &*ids else { panic!("{ids:?}") };
    let accept = decision("accepted", "paid");
    assert_eq!(resolve(&ingress, last.as_str().unwrap(), &accept).await.0, StatusCode::OK);
    let (status, problem) = resolve(&ingress, earlier.as_str().unwrap(), &accept).await;
    assert_eq!((status, &problem["code"]), (StatusCode::CONFLICT, &json!("still_contradicts")));
    assert_eq!(
        (&problem["reason"], &ingress.show(&first).await["version"]),
        (&json!("second_trade"), &json!(3))
    );
    // The refused decision has left nothing behind, a second_trade least of all.
    let open = ingress.admin_get("/admin/contradictions").await;
    assert_eq!((open.as_array().unwrap().len(), &open[0]["contradiction_id"]), (1, earlier));
}

#[tokio::test]
async fn a_payment_is_not_accepted_beside_another_pay_order_of_its_order() {
    let (ingress, _database) = World::without_broker(&[]).await;
    let first = closed(&ingress, "10001").await;
    let second = ingress.pay_order("10001").await;
    let id = contradict(&ingress, &[paid(&first)]).await;
    let accept = decision("accepted", "paid");
    let refused = async || {
        let (status, problem) = resolve(&ingress, &id, &accept).await;
        assert_eq!((status, &problem["code"]), (StatusCode::CONFLICT, &json!("order_has_another_pay_order")));
        assert_eq!(problem["pay_order_no"], second.as_str());
    };
    refused().await;
    // It gave way when it failed, and is paid after all.
    for kind in [Kind::PaymentFailed, Kind::PaymentSucceeded] {
        assert_eq!(ingress.callback(&notice(kind, &second)).await, StatusCode::NO_CONTENT);
    }
    refused().await;
    assert_eq!(ingress.show(&first).await["status"], "TRADE_CLOSED");

    let third = closed(&ingress, "10002").await;
    let fourth = closed(&ingress, "10002").await;
    let id = contradict(&ingress, &[paid(&third)]).await;
    assert_eq!(resolve(&ingress, &id, &accept).await.0, StatusCode::OK, "{fourth} is closed, too");
}

#[tokio::test]
async fn an_acceptance_and_whoever_else_comes_at_that_moment_agree() {
    let (ingress, _database) = World::without_broker(&[]).await;
    for round in 0..10 {
        let order_no = format!("R-{round}");
        let number = closed(&ingress, &order_no).await;
        let id = contradict(&ingress, &[paid(&number)]).await;
        let accept = decision("accepted", "paid");
        let ((accepted, why), (created, other)) =
            join(resolve(&ingress, &id, &accept), ingress.create(&new_pay_order(&order_no))).await;
        let told = (accepted.as_u16(), created.as_u16());
        assert!(told == (200, 200) || told == (409, 201), "{told:?}: {why} {other}");
        let same = other["pay_order_no"] == number.as_str();
        assert_eq!(same, accepted == StatusCode::OK, "{why} {other}");
    }
    for round in 0..10 {
        let number = closed(&ingress, &format!("C-{round}")).await;
        let id = contradict(&ingress, &[paid(&number)]).await;
        let (accept, success, refund) =
            (decision("accepted", "paid"), paid(&number), refunded(&number, 1999));
        let ((accepted, why), ..) = tokio::join!(
            resolve(&ingress, &id, &accept),
            ingress.callback(&success),
            ingress.callback(&refund)
        );
        assert_eq!(accepted, StatusCode::OK, "{why}");
        assert_eq!(ingress.callback(&refund).await, StatusCode::NO_CONTENT, "booked with it, or now");
        let found = ingress.show(&number).await;
        assert_eq!((&found["status"], &found["version"]), (&json!("TRADE_REFUNDED"), &json!(4)));
    }
    for round in 0..10 {
        let number = closed(&ingress, &format!("D-{round}")).await;
        let id = contradict(&ingress, &[paid(&number)]).await;
        let (accept, dismiss) = (decision("accepted", "paid"), decision("dismissed", "refunded"));
        let ((accepted, _), (dismissed, _)) =
            join(resolve(&ingress, &id, &accept), resolve(&ingress, &id, &dismiss)).await;
        assert_ne!(accepted, dismissed, "one decision stands");
        let paid = ingress.show(&number).await["status"] == "TRADE_SUCCESS";
        assert_eq!(paid, accepted == StatusCode::OK);
    }
}

#[tokio::test]
async fn a_wrong_decision_or_question_is_refused() {
    let (ingress, _database) = World::without_broker(&[]).await;
    let number = closed(&ingress, "10001").await;
    let id = contradict(&ingress, &[paid(&number)]).await;
    let unknown = "0197c1a0-0000-7000-8000-000000000000";
    for (id, body, expected) in [
        (unknown, decision("dismissed", "x"), StatusCode::NOT_FOUND),
        (unknown, decision("accepted", "x"), StatusCode::NOT_FOUND),
        ("no-uuid", decision("dismissed", "x"), StatusCode::BAD_REQUEST),
        (&id, decision("dismissed", ""), StatusCode::UNPROCESSABLE_ENTITY),
        (&id, decision("dismissed", "a\0b"), StatusCode::UNPROCESSABLE_ENTITY),
        (&id, decision("dismissed", &"x".repeat(1025)), StatusCode::UNPROCESSABLE_ENTITY),
        (&id, decision("reopened", "x"), StatusCode::UNPROCESSABLE_ENTITY),
        (&id, json!({ "action": "dismissed", "note": "x" }), StatusCode::UNPROCESSABLE_ENTITY),
    ] {
        let (status, problem) = resolve(&ingress, id, &body).await;
        assert_eq!(status, expected, "{body}: {problem}");
    }
    for query in ["status=closed", "reason=second_payment", "limit=many", "limit=0", "sort=up"] {
        let path = format!("/admin/contradictions?{query}");
        let answer = ingress.admin(Method::GET, &path).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{query}");
    }
    let missing =
        ingress.admin(Method::GET, &format!("/admin/contradictions/{unknown}")).send().await.unwrap();
    assert_eq!(missing.status(), StatusCode::NOT_FOUND);
    assert_eq!(ingress.admin_get("/admin/contradictions?status=all").await.as_array().unwrap().len(), 1);
}
