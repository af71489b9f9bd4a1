//! Closes and expiries, with their grace.

use events::EventType;
use futures_util::future::join_all;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::{Ingress, World, event, eventually, new_pay_order, number, paid, take};

const NO_GRACE: &[(&str, &str)] = &[("PAYRELAY_CLOSE_GRACE_SECONDS", "0")];

async fn expired(ingress: &Ingress, order_no: &str) -> events::PayOrderNo {
    let mut request = new_pay_order(order_no);
    request["expires_in_seconds"] = 1.into();
    let (status, body) = ingress.create(&request).await;
    assert_eq!(status, StatusCode::CREATED, "{body}");
    number(&body)
}

#[tokio::test]
async fn what_nobody_pays_is_closed_after_its_expiry() {
    let world = World::create();
    let ingress = world.ingress(NO_GRACE).await;
    let number = expired(&ingress, "10001").await;
    let (_, found) = ingress.get(&format!("/v1/pay-orders/{number}?wait_seconds=30")).await;
    assert_eq!((&found["status"], &found["version"]), (&json!("TRADE_CLOSED"), &json!(2)));
    let told = event(&take(world.vhost.amqp_url(), "merchant.pay.closed.queue", 1).await[0]);
    assert_eq!((told.event_type, told.order.pay_order_no), (EventType::Closed, number));
    assert_ne!(
        ingress.pay_order("10001").await,
        event(&take(world.vhost.amqp_url(), "trade.pay.closed.queue", 1).await[0]).order.pay_order_no
    );
}

#[tokio::test]
async fn a_payment_within_the_grace_still_counts() {
    let (ingress, _database) = World::without_broker(&[]).await;
    let number = expired(&ingress, "10001").await;
    let closing = async || Some(ingress.show(&number).await).filter(|found| found["closes_at"].is_string());
    let found = eventually("new payments are refused", closing).await;
    assert_eq!(found["status"], "WAIT_BUYER_PAY");
    assert_eq!(ingress.callback(&paid(&number)).await, StatusCode::NO_CONTENT);
    let found = ingress.show(&number).await;
    assert_eq!((&found["status"], &found["closes_at"]), (&json!("TRADE_SUCCESS"), &Value::Null));
}

#[tokio::test]
async fn a_close_has_the_same_grace_and_can_be_repeated() {
    let (ingress, _database) = World::without_broker(&[]).await;
    let number = ingress.pay_order("10001").await;
    let close = format!("/v1/pay-orders/{number}/close");
    let (status, closing) = ingress.post(&close, &json!({})).await;
    assert_eq!((status, &closing["status"]), (StatusCode::OK, &json!("WAIT_BUYER_PAY")));
    assert!(closing["closes_at"].is_string(), "{closing}");
    assert_eq!(ingress.post(&close, &json!({})).await, (StatusCode::OK, closing));
    assert_eq!(ingress.callback(&paid(&number)).await, StatusCode::NO_CONTENT);
    let (status, problem) = ingress.post(&close, &json!({})).await;
    assert_eq!((status, &problem["code"]), (StatusCode::CONFLICT, &json!("already_paid")));
    let missing = "/v1/pay-orders/P0/close";
    assert_eq!(ingress.post(missing, &json!({})).await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_close_without_grace_closes_and_stays_closed() {
    let (ingress, _database) = World::without_broker(NO_GRACE).await;
    let number = ingress.pay_order("10001").await;
    let close = format!("/v1/pay-orders/{number}/close");
    ingress.post(&close, &json!({})).await;
    let (_, found) = ingress.get(&format!("/v1/pay-orders/{number}?wait_seconds=30")).await;
    assert_eq!(found["status"], "TRADE_CLOSED");
    assert_eq!(ingress.post(&close, &json!({})).await, (StatusCode::OK, found));
}

#[tokio::test]
async fn nothing_can_be_under_way_from_a_balance() {
    let (ingress, _database) = World::without_broker(&[]).await;
    let mut request = new_pay_order("10001");
    request["channel"] = "balance".into();
    let (_, created) = ingress.create(&request).await;
    let (status, closed) =
        ingress.post(&format!("/v1/pay-orders/{}/close", number(&created)), &json!({})).await;
    assert_eq!((status, &closed["status"]), (StatusCode::OK, &json!("TRADE_CLOSED")));
    assert_eq!(ingress.create(&request).await.0, StatusCode::CREATED);
}

#[tokio::test]
async fn many_closes_at_once_leave_the_writers_a_connection() {
    let (ingress, _database) = World::without_broker(&[("PAYRELAY_DATABASE_CONNECTIONS", "4")]).await;
    let closes = (0..16).map(async |order| {
        let mut request = new_pay_order(&format!("1000{order}"));
        request["channel"] = "balance".into();
        let (_, created) = ingress.create(&request).await;
        ingress.post(&format!("/v1/pay-orders/{}/close", number(&created)), &json!({})).await
    });
    for (status, closed) in join_all(closes).await {
        assert_eq!((status, &closed["status"]), (StatusCode::OK, &json!("TRADE_CLOSED")), "{closed}");
    }
}
