//! The admin routes over HTTP.

use std::sync::Arc;

use merchant_notifier::admin::{Admin, routes};
use merchant_notifier::secrets::Vault;
use merchant_notifier::ssrf::TargetPolicy;
use merchant_notifier::store::attempts::Next;
use reqwest::Method;
use serde_json::{Value, json};
use service::admin::{AdminOptions, Readiness};
use service::{MasterKey, http};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::store::{ROOM, claim, record};
use crate::support::{TestDatabase, event};

const TOKEN: &str = "token";

pub(crate) struct Client {
    base: String,
    http: reqwest::Client,
    // Keeps the database until the test is over.
    pub(crate) db: TestDatabase,
}

impl Client {
    pub(crate) async fn start() -> Self {
        service::tls::install();
        let db = TestDatabase::create().await;
        let admin = routes(Admin {
            database: db.database.clone(),
            policy: Arc::new(TargetPolicy::default()),
            vault: Vault::new(&MasterKey::default()),
            wake: Arc::new(Notify::new()),
        });
        let cancel = CancellationToken::new();
        let readiness = Readiness::new(cancel.clone());
        let router = service::admin::router(AdminOptions { readiness, token: TOKEN.into(), routes: admin });
        let listener = http::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(http::serve(listener, router, http::Patience::default(), http::Stop::at(cancel)));
        Self { base, http: transport::http_client().build().unwrap(), db }
    }

    pub(crate) async fn send(&self, method: Method, path: &str, body: Option<Value>) -> (u16, Value) {
        let mut request = self.http.request(method, format!("{}{path}", self.base)).bearer_auth(TOKEN);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, Value) {
        self.send(Method::GET, path, None).await
    }

    pub(crate) async fn put(&self, merchant: &str, body: Value) -> (u16, Value) {
        self.send(Method::PUT, &format!("/admin/endpoints/{merchant}"), Some(body)).await
    }
}

#[tokio::test]
async fn an_endpoint_is_put_seen_and_its_secret_told_once() {
    let client = Client::start().await;
    let full = json!({ "url": "https://merchant.example/n", "ack": "success", "ladder": ["1s", "3m"] });
    let (status, made) = client.put("m1", full).await;
    assert_eq!(status, 200);
    let secret: webhooks::Secret = made["secret"].as_str().unwrap().parse().unwrap();
    assert!(secret.expose().starts_with("whsec_"));
    let stored: Vec<u8> = client.db.value("SELECT secret FROM notify.endpoints").await;
    assert!(!stored.windows(8).any(|part| secret.expose().as_bytes().windows(8).any(|known| known == part)));

    let (status, again) = client.put("m1", json!({})).await;
    assert_eq!((status, &again["secret"]), (200, &Value::Null));
    let (_, shown) = client.get("/admin/endpoints/m1").await;
    for field in ["merchant_id", "url", "enabled", "ack", "ladder"] {
        assert_eq!((&again[field], &shown[field]), (&made[field], &made[field]), "{field}");
    }
    assert_eq!(made["ladder"], json!(["1s", "180s"]));
    let (_, disabled) = client.put("m1", json!({ "enabled": false, "url": null })).await;
    assert_eq!((&disabled["enabled"], &disabled["url"]), (&json!(false), &Value::Null));
    assert_eq!(client.get("/admin/endpoints").await.1.as_array().unwrap().len(), 1);
    assert_eq!(client.get("/admin/endpoints/m2").await.0, 404);
}

#[tokio::test]
async fn a_breaker_is_shown_and_closes_for_an_endpoint_that_is_changed_or_enabled() {
    let client = Client::start().await;
    client.put("m1", json!({ "url": "https://merchant.example/n" })).await;
    client.put("m2", json!({})).await;
    let open = "INSERT INTO notify.breakers VALUES ('m1', 7, now(), now() + interval '1 minute')";
    let closed = json!({ "open": false, "failures": 0, "opened_at": null, "probe_at": null });
    for (change, closes) in [
        (json!({ "ack": "any_2xx" }), false),
        (json!({ "url": "https://merchant.example/n" }), false),
        (json!({ "enabled": false }), false),
        (json!({ "enabled": true }), true),
        (json!({ "url": "https://merchant.example/new" }), true),
    ] {
        client.db.execute(&format!("{open} ON CONFLICT DO NOTHING")).await;
        let (_, shown) = client.get("/admin/endpoints/m1").await;
        assert_eq!((&shown["breaker"]["open"], &shown["breaker"]["failures"]), (&json!(true), &json!(7)));
        assert!(shown["breaker"]["opened_at"].is_string() && shown["breaker"]["probe_at"].is_string());
        let listed = client.get("/admin/endpoints").await.1;
        assert_eq!([&listed[0]["breaker"], &listed[1]["breaker"]], [&shown["breaker"], &closed]);
        let (_, changed) = client.put("m1", change.clone()).await;
        assert_eq!(changed["breaker"] == closed, closes, "{change}");
    }
}

#[tokio::test]
async fn bad_input_is_a_problem_with_a_code() {
    let client = Client::start().await;
    for (body, code) in [
        (json!({ "url": "https://127.0.0.1/" }), "forbidden_target"),
        (json!({ "url": "http://merchant.example/" }), "forbidden_target"),
        (json!({ "url": "nowhere" }), "invalid"),
        (json!({ "url": format!("https://merchant.example/{}", "x".repeat(2048)) }), "invalid"),
        (json!({ "ladder": ["soon"] }), "invalid"),
        (json!({ "ladder": [] }), "invalid"),
        (json!({ "ack": "ok" }), "invalid"),
        (json!({ "format": "form_md5" }), "invalid"),
        (json!({ "signature": "v2" }), "invalid"),
        (json!({ "encryption": "rot13" }), "invalid"),
        (json!({ "format": "form-md5", "signature": "v1a" }), "invalid"),
        (json!({ "format": "form-md5", "encryption": "aes-256-gcm" }), "invalid"),
        (json!({ "ulr": "https://merchant.example/" }), "invalid"),
    ] {
        let (status, problem) = client.put("m1", body.clone()).await;
        assert_eq!((status, problem["code"].as_str()), (422, Some(code)), "{body}");
    }
    assert_eq!(client.put("a b", json!({})).await.0, 400);
    for (path, status) in [
        ("/admin/notifications?status=LOST", 422),
        ("/admin/notifications?limit=0", 400),
        ("/admin/notifications?since=yesterday", 400),
        ("/admin/notifications/retryable?status=LOST", 422),
        ("/admin/notifications/1", 400),
        ("/admin/notifications/00000000-0000-7000-8000-000000000000", 404),
        ("/admin/parked?limit=1001", 400),
        ("/admin/parked?limit=many", 400),
        ("/admin/audit?from=yesterday", 400),
        ("/admin/audit?from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z", 400),
        ("/admin/trace/a%2Fb", 400),
    ] {
        assert_eq!(client.get(path).await.0, status, "{path}");
    }
    let (status, _) =
        client.send(Method::POST, "/admin/notifications/retry", Some(json!({ "merchant": "m1" }))).await;
    assert_eq!(status, 422, "a filter that is misspelt would retry everything");
    for (method, path) in [
        (Method::GET, "endpoints"),
        (Method::GET, "notifications"),
        (Method::GET, "notifications/retryable"),
        (Method::POST, "notifications/retry"),
    ] {
        let open = client.http.request(method, format!("{}/admin/{path}", client.base)).send().await.unwrap();
        assert_eq!(open.status(), 401, "{path}");
    }
}

#[tokio::test]
async fn what_waits_for_an_address_goes_on_when_it_is_put() {
    let client = Client::start().await;
    client.put("m1", json!({})).await;
    client.db.notify(&[event("m1", "10001")]).await;
    let (_, parked) = client.get("/admin/notifications?merchant_id=m1&status=PARKED&limit=10").await;
    assert_eq!((&parked[0]["reason"], &parked[0]["order_no"]), (&json!("no_endpoint"), &json!("10001")));
    client.put("m1", json!({ "url": "https://merchant.example/n" })).await;
    let (_, pending) = client.get("/admin/notifications?status=PENDING").await;
    assert_eq!(pending[0]["notification_id"], parked[0]["notification_id"]);
    assert!(pending[0]["next_attempt_at"].is_string());
}

#[tokio::test]
async fn audit_and_trace_are_told_in_the_shapes_that_all_services_share() {
    let client = Client::start().await;
    client.put("m1", json!({})).await;
    client.db.notify(&[event("m1", "10001")]).await;
    let (status, audit) = client.get("/admin/audit").await;
    let report: admin_api::audit::AuditReport = serde_json::from_value(audit).unwrap();
    assert_eq!((status, report.count(admin_api::audit::Stage::Parked)), (200, 1));
    let (_, trace) = client.get("/admin/trace/10001").await;
    let trace: admin_api::trace::Trace = serde_json::from_value(trace).unwrap();
    let steps: Vec<_> = trace.steps.iter().map(|step| step.step.as_str()).collect();
    assert_eq!(steps.len(), 3, "{steps:?}");
    assert_eq!(client.get("/admin/parked").await, (200, json!([])));
}

#[tokio::test]
async fn what_was_parked_is_shown_and_retried_once() {
    let client = Client::start().await;
    client.put("m1", json!({ "url": "https://merchant.example/n" })).await;
    client.db.notify(&[event("m1", "10001"), event("m1", "10002")]).await;
    let claimed = claim(&client.db, &ROOM).await;
    for claimed in &claimed {
        record(&client.db, claimed, Next::Park { reason: "attempts_exhausted" }).await;
    }
    let id = claimed[0].notification_id;
    let (_, shown) = client.get(&format!("/admin/notifications/{id}")).await;
    assert_eq!((&shown["reason"], &shown["retried_at"]), (&json!("attempts_exhausted"), &Value::Null));
    let attempt = &shown["history"][0];
    let seen = ["attempt", "duration_ms", "http_status", "response"].map(|field| attempt[field].clone());
    assert_eq!(seen, [json!(1), json!(12), json!(200), json!("ok")]);

    let preview = async |query: &str| client.get(&format!("/admin/notifications/retryable{query}")).await.1;
    let first = preview("?merchant_id=m1&status=attempts_exhausted").await;
    assert_eq!((&first["count"], &first["held"]), (&json!(2), &json!(0)));
    assert!(first["oldest"].is_string());
    assert_eq!(preview("?status=gone").await["count"], 0);
    let retry = async |body: Value| {
        let (status, answer) = client.send(Method::POST, "/admin/notifications/retry", Some(body)).await;
        assert_eq!(status, 200, "{answer}");
        answer["retried"].as_u64().unwrap()
    };
    assert_eq!(retry(json!({ "notification_id": id })).await, 1);
    assert_eq!(retry(json!({ "notification_id": id })).await, 0, "it is due already");
    assert_eq!(retry(json!({ "merchant_id": "m1", "as_of": first["as_of"], "limit": 10 })).await, 1);
    assert_eq!(retry(json!({})).await, 0);
    assert_eq!(preview("").await["count"], 0);
    let (_, shown) = client.get(&format!("/admin/notifications/{id}")).await;
    assert_eq!((&shown["status"], &shown["attempts"]), (&json!("PENDING"), &json!(1)));
    assert!(shown["retried_at"].is_string());
}
