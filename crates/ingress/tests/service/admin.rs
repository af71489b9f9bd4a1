//! What operators ask.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{World, count, eventually, paid, read};

#[tokio::test]
async fn a_merchant_is_put_once_and_its_key_shown_once() {
    let (ingress, _database) = World::without_broker(&[]).await;
    let put = async |body: Value| {
        read(ingress.admin(Method::PUT, "/admin/merchants/shop").json(&body).send().await.unwrap()).await
    };
    let (status, new) = put(json!({ "name": "A shop" })).await;
    assert_eq!((status, &new["name"], &new["enabled"]), (StatusCode::OK, &json!("A shop"), &json!(true)));
    let key = new["api_key"].as_str().unwrap();
    assert!(key.starts_with("pk_") && key.len() == 3 + 64, "{key}");
    let (_, again) = put(json!({})).await;
    assert_eq!((&again["name"], &again["api_key"]), (&json!("A shop"), &Value::Null));
    assert_eq!(put(json!({ "nmae": "typo" })).await.0, StatusCode::UNPROCESSABLE_ENTITY);

    let shown = ingress.admin_get("/admin/merchants/shop").await;
    assert_eq!((&shown["merchant_id"], &shown["enabled"]), (&json!("shop"), &json!(true)));
    let listed = ingress.admin_get("/admin/merchants").await;
    let ids: Vec<_> = listed.as_array().unwrap().iter().map(|merchant| &merchant["merchant_id"]).collect();
    assert_eq!(ids, ["m1", "shop"]);
    let missing = ingress.admin(Method::GET, "/admin/merchants/nobody").send().await.unwrap();
    assert_eq!(missing.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_rotated_key_is_taken_for_its_overlap_and_no_longer() {
    let (ingress, _database) = World::without_broker(&[]).await;
    let rotate = async |overlap_seconds: u32| {
        let path = "/admin/merchants/m1/rotate-key";
        let request = ingress.admin(Method::POST, path).json(&json!({ "overlap_seconds": overlap_seconds }));
        let (status, body) = read(request.send().await.unwrap()).await;
        assert_eq!((status, &body["merchant_id"]), (StatusCode::OK, &json!("m1")), "{body}");
        body["api_key"].as_str().unwrap().to_owned()
    };
    let status = async |key: &str| {
        let request = ingress.http.get(format!("{}/v1/pay-orders?order_no=1", ingress.url));
        request.bearer_auth(key).send().await.unwrap().status()
    };
    let first = ingress.api_key.clone();
    let second = rotate(3600).await;
    let third = rotate(7200).await;
    for key in [&first, &second, &third] {
        assert_eq!(status(key).await, StatusCode::NOT_FOUND, "taken, and there is no such pay order");
    }
    // A leak: every earlier key ends, also those with an hour to go.
    let fourth = rotate(0).await;
    for key in [&first, &second, &third] {
        eventually("the key is refused", async || {
            (status(key).await == StatusCode::UNAUTHORIZED).then_some(())
        })
        .await;
    }
    assert_eq!(status(&fourth).await, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn only_a_merchant_that_exists_gets_another_key() {
    let (ingress, _database) = World::without_broker(&[]).await;
    for (merchant, body, expected) in [
        ("nobody", json!({ "overlap_seconds": 0 }), StatusCode::NOT_FOUND),
        ("m1", json!({ "overlap_seconds": 2_592_001 }), StatusCode::UNPROCESSABLE_ENTITY),
        ("m1", json!({ "overlap_seconds": -1 }), StatusCode::UNPROCESSABLE_ENTITY),
        ("m1", json!({}), StatusCode::UNPROCESSABLE_ENTITY),
    ] {
        let path = format!("/admin/merchants/{merchant}/rotate-key");
        let answer = ingress.admin(Method::POST, &path).json(&body).send().await.unwrap();
        assert_eq!(answer.status(), expected, "{merchant} {body}");
        let open =
            ingress.http.post(format!("{}{path}", ingress.admin_url)).json(&body).send().await.unwrap();
        assert_eq!(open.status(), StatusCode::UNAUTHORIZED);
    }
}

#[tokio::test]
async fn the_admin_token_is_demanded() {
    let (ingress, _database) = World::without_broker(&[]).await;
    for path in ["/admin/merchants", "/admin/contradictions", "/admin/trace/1", "/admin/audit"] {
        let open = ingress.http.get(format!("{}{path}", ingress.admin_url)).send().await.unwrap();
        assert_eq!(open.status(), StatusCode::UNAUTHORIZED, "{path}");
        let public = ingress.http.get(format!("{}{path}", ingress.url)).send().await.unwrap();
        assert_eq!(public.status(), StatusCode::NOT_FOUND, "{path}");
    }
    let openapi = ingress.http.get(format!("{}/openapi.yaml", ingress.url)).send().await.unwrap();
    assert!(openapi.text().await.unwrap().starts_with("openapi: 3.1"));
}

#[tokio::test]
async fn an_order_is_traced_from_its_creation_to_its_event() {
    let world = World::create();
    let ingress = world.ingress(&[]).await;
    let number = ingress.pay_order("10001").await;
    ingress.callback(&paid(&number)).await;
    let published = async || {
        let trace = ingress.admin_get("/admin/trace/10001").await;
        let steps = trace["steps"].as_array().unwrap().clone();
        steps.iter().any(|step| step["detail"]["published"] == true).then_some(steps)
    };
    let steps = eventually("the event is published", published).await;
    let names: Vec<_> = steps.iter().map(|step| step["step"].as_str().unwrap()).collect();
    assert_eq!(names, ["pay_order_created", "callback_received", "event_committed"]);
    assert!(
        steps
            .iter()
            .all(|step| step["service"] == "ingress" && step["detail"]["pay_order_no"] == number.as_str())
    );
    assert_eq!(ingress.admin_get("/admin/trace/nothing").await, json!({ "steps": [] }));
}

#[tokio::test]
async fn the_audit_counts_what_was_committed_and_published() {
    let world = World::create();
    let ingress = world.ingress(&[]).await;
    for order in 0..5 {
        let number = ingress.pay_order(&order.to_string()).await;
        ingress.callback(&paid(&number)).await;
    }
    let all =
        async || Some(ingress.admin_get("/admin/audit").await).filter(|audit| count(audit, "published") == 5);
    let audit = eventually("all is published", all).await;
    assert_eq!(count(&audit, "committed"), 0);
    assert!(
        audit["buckets"].as_array().unwrap().iter().all(|bucket| bucket["type"] == "pay.success"),
        "{audit}"
    );
    let before = ingress.admin_get("/admin/audit?from=2020-01-01T00:00:00Z&to=2020-01-02T00:00:00Z").await;
    assert_eq!(before["buckets"], json!([]));
    for window in
        ["from=2020-01-02T00:00:00Z&to=2020-01-01T00:00:00Z", "from=2020-01-01T00:00:00Z", "from=yesterday"]
    {
        let answer = ingress.admin(Method::GET, &format!("/admin/audit?{window}")).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{window}");
    }
}
