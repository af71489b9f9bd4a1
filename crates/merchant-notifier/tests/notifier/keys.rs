//! Formats and keys of endpoints, as operators put and rotate them, and beside an older release.

use merchant_notifier::keyring::Keyring;
use merchant_notifier::store::{self, SCHEMA};
use refinery::Target;
use reqwest::Method;
use serde_json::{Value, json};
use webhooks::Secret;

use crate::admin::Client;
use crate::support::merchant;
use crate::webhooks::vault;

mod migrations {
    refinery::embed_migrations!("migrations");
}

async fn rotate(client: &Client, body: Value) -> (u16, Value) {
    client.send(Method::POST, "/admin/endpoints/m1/rotate-secret", Some(body)).await
}

/// What is stored of the only endpoint's keys, in the column.
async fn stored(client: &Client, column: &str) -> String {
    let sealed: Vec<u8> = client.db.value(&format!("SELECT {column} FROM notify.endpoints")).await;
    vault().open(&merchant("m1"), &sealed).unwrap().to_text().to_string()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("a text, got {value}"))
}

#[tokio::test]
async fn a_form_endpoint_gets_a_key_of_its_own_and_acknowledges_by_the_word() {
    let client = Client::start().await;
    let (_, made) = client.put("m1", json!({ "format": "form-md5" })).await;
    assert!(text(&made["secret"]).starts_with("whmd5_"), "{made}");
    assert_eq!(
        (&made["format"], &made["ack"], &made["signature"]),
        (&json!("form-md5"), &json!("success"), &Value::Null)
    );
    let (_, again) = client.put("m1", json!({ "format": "form-md5", "ack": "any_2xx" })).await;
    assert_eq!((&again["secret"], &again["ack"]), (&Value::Null, &json!("any_2xx")));
    let (_, kept) = client.put("m1", json!({ "format": "form-md5" })).await;
    assert_eq!(kept["ack"], "any_2xx", "the same format again leaves it");
    assert_eq!(stored(&client, "keyring").await, text(&made["secret"]));
    let unknown = stored(&client, "secret").await;
    assert!(unknown.starts_with("whsec_"), "an older release signs with what nobody was told: {unknown}");

    let (status, refused) = rotate(&client, json!({ "overlap_seconds": 60 })).await;
    assert_eq!((status, &refused["code"]), (422, &json!("invalid")));
    let (_, rotated) = rotate(&client, json!({})).await;
    assert_ne!(rotated["secret"], made["secret"]);
    assert_eq!(rotated["earlier_secrets_valid_until"], Value::Null);

    let (_, standard) = client.put("m1", json!({ "format": "standard" })).await;
    assert!(text(&standard["secret"]).starts_with("whsec_"));
    assert_eq!((&standard["ack"], &standard["signature"]), (&json!("any_2xx"), &json!("v1")));
    let (_, back) = client.put("m1", json!({ "format": "form-md5" })).await;
    assert_eq!(
        (&back["secret"], &back["ack"]),
        (&Value::Null, &json!("success")),
        "the way back needs no new key"
    );
}

#[tokio::test]
async fn signatures_are_chosen_and_the_public_key_is_shown() {
    let client = Client::start().await;
    let (_, made) = client.put("m1", json!({ "signature": "v1a" })).await;
    assert_eq!((&made["secret"], &made["signature"]), (&Value::Null, &json!("v1a")));
    let (_, shown) = client.get("/admin/endpoints/m1").await;
    assert!(text(&shown["public_key"]).starts_with("whpk_"));
    assert_eq!(shown["public_key"], made["public_key"]);
    let (_, both) = client.put("m1", json!({ "signature": "both" })).await;
    assert!(text(&both["secret"]).starts_with("whsec_"));
    assert_eq!(both["public_key"], made["public_key"]);
    assert_eq!(stored(&client, "secret").await, text(&both["secret"]));
    let (_, v1) = client.put("m1", json!({ "signature": "v1" })).await;
    assert_eq!((&v1["public_key"], &v1["secret"]), (&Value::Null, &Value::Null));
    let listed = client.get("/admin/endpoints").await.1.to_string();
    assert!(!listed.contains("whsec_") && !listed.contains("whsk_"), "{listed}");
}

#[tokio::test]
async fn a_rotation_overlaps_is_bounded_and_can_end_at_once() {
    let client = Client::start().await;
    assert_eq!(rotate(&client, json!({})).await.0, 404);
    let (_, made) = client.put("m1", json!({})).await;
    let (_, first) = rotate(&client, json!({})).await;
    let (old, new) = (text(&made["secret"]), text(&first["secret"]));
    assert!(first["earlier_secrets_valid_until"].is_string());
    assert!(stored(&client, "keyring").await.starts_with(&format!("{new}\n{old} ")));
    assert_eq!(stored(&client, "secret").await, new, "an older release signs with the newest");
    assert_eq!(rotate(&client, json!({ "overlap_seconds": 3600 })).await.0, 200);
    let (status, refused) = rotate(&client, json!({ "overlap_seconds": 3600 })).await;
    assert_eq!((status, &refused["code"]), (409, &json!("too_many_secrets")), "{refused}");
    let (_, replaced) = rotate(&client, json!({ "replace_last": true })).await;
    let keyring = stored(&client, "keyring").await;
    assert!(keyring.starts_with(text(&replaced["secret"])) && keyring.contains(&format!("\n{old} ")));
    assert_eq!(keyring.lines().count(), 3, "nothing but the last one has ended");
    let (_, last) = rotate(&client, json!({ "overlap_seconds": 0 })).await;
    assert_eq!(last["earlier_secrets_valid_until"], Value::Null);
    assert_eq!(stored(&client, "keyring").await, text(&last["secret"]));
    for body in [
        json!({ "overlap_seconds": 30 * 24 * 3600 + 1 }),
        json!({ "key": "encryption" }),
        json!({ "key": "api" }),
        json!({ "overlap": 1 }),
        json!({ "replace_last": true }),
        json!({ "replace_last": true, "overlap_seconds": 60 }),
        json!({ "replace_last": true, "key": "encryption" }),
    ] {
        assert_eq!(rotate(&client, body.clone()).await.0, 422, "{body}");
    }
}

#[tokio::test]
async fn an_encryption_key_is_told_once_rotated_and_taken_away() {
    let client = Client::start().await;
    let (_, made) = client.put("m1", json!({ "encryption": "aes-256-gcm" })).await;
    let first = text(&made["encryption_key"]).to_owned();
    assert!(first.starts_with("whenc_"));
    let (_, again) = client.put("m1", json!({ "encryption": "aes-256-gcm" })).await;
    assert_eq!((&again["encryption_key"], &again["encryption"]), (&Value::Null, &json!("aes-256-gcm")));
    assert_ne!(stored(&client, "secret").await, text(&made["secret"]), "an older release would not encrypt");
    assert_eq!(rotate(&client, json!({ "key": "encryption", "overlap_seconds": 60 })).await.0, 422);
    let (_, rotated) = rotate(&client, json!({ "key": "encryption" })).await;
    let second = text(&rotated["encryption_key"]);
    assert!(second != first && rotated["secret"].is_null());
    assert!(stored(&client, "keyring").await.ends_with(second));
    let (status, _) = client.put("m1", json!({ "format": "form-md5" })).await;
    assert_eq!(status, 422, "forms cannot be encrypted");
    assert_eq!(client.get("/admin/endpoints/m1").await.1["format"], "standard", "nothing of it is kept");
    let (_, plain) = client.put("m1", json!({ "encryption": null })).await;
    assert_eq!(plain["encryption"], Value::Null);
    assert_eq!(stored(&client, "secret").await, text(&made["secret"]));
}

#[tokio::test]
async fn two_who_put_the_same_endpoint_at_once_leave_the_secret_that_was_told() {
    let client = Client::start().await;
    for _ in 0..10 {
        client.db.execute("DELETE FROM notify.endpoints").await;
        let (one, other) = tokio::join!(client.put("m1", json!({})), client.put("m1", json!({})));
        let told: Vec<_> = [&one.1, &other.1].into_iter().filter_map(|put| put["secret"].as_str()).collect();
        assert_eq!(told, [stored(&client, "keyring").await]);
    }
}

/// What an older release says, as it stands in its code.
const OLDER_PUT: &str = "
INSERT INTO notify.endpoints AS e (merchant_id, url, enabled, ack, ladder_ms, secret)
VALUES ($1, $3, coalesce($4::boolean, true), coalesce($5::text, 'any_2xx'), $7::bigint[], $8)
ON CONFLICT (merchant_id) DO UPDATE SET
    url = CASE WHEN $2::boolean THEN excluded.url ELSE e.url END,
    enabled = coalesce($4::boolean, e.enabled),
    ack = coalesce($5::text, e.ack),
    ladder_ms = CASE WHEN $6::boolean THEN excluded.ladder_ms ELSE e.ladder_ms END,
    updated_at = now()
RETURNING merchant_id, url, enabled, ack, ladder_ms, created_at, updated_at, xmax = 0 AS made";
const OLDER_HOLD: &str = "
SELECT e.secret, notify.hold_reason(e, NULL) FROM notify.endpoints e WHERE merchant_id = ANY($1::text[])";

#[tokio::test]
async fn an_older_release_goes_on_through_the_migration_and_beside_this_one() {
    let server = tokio::task::spawn_blocking(devstack::testing::Database::create).await.unwrap();
    let database = storage::Database::connect(server.url(), "test", 4).unwrap();
    let older = migrations::migrations::runner().set_target(Target::Version(4));
    database.migrate(SCHEMA, older).await.unwrap();
    let client = database.client().await.unwrap();
    let secret = Secret::generate([7; 32]);
    let sealed = vault().seal(&merchant("m1"), &secret.clone().into()).unwrap();
    let nobody: (Option<String>, Option<bool>, Option<Vec<i64>>) = (None, None, None);
    let put = async |id: &str, sealed: &[u8]| {
        let statement = client.prepare_cached(OLDER_PUT).await.unwrap();
        let (text, flag, ladder) = &nobody;
        let row = client.query_one(&statement, &[&id, &true, text, flag, text, &true, ladder, &sealed]).await;
        row.unwrap().get::<_, bool>("made")
    };
    let hold = async || {
        let statement = client.prepare_cached(OLDER_HOLD).await.unwrap();
        let row = client.query_one(&statement, &[&vec!["m1"]]).await.unwrap();
        (row.get::<_, Vec<u8>>(0), row.get::<_, Option<String>>(1))
    };
    assert!(put("m1", &sealed).await);
    let before = hold().await;
    store::migrate(&database).await.unwrap();
    assert_eq!(hold().await, before, "a plan that was made before still stands");
    assert!(!put("m1", b"another").await && put("m2", b"sealed").await);

    let known = store::endpoints::list(&client, Some(&merchant("m1"))).await.unwrap().pop().unwrap();
    let keyring: Keyring = vault().open(&merchant("m1"), &known.sealed_keyring).unwrap();
    assert_eq!(keyring.to_text(), secret.expose());
}
