//! Users, their passwords and what is on their accounts.

use events::{ChannelAccount, Currency, MerchantId, Money, PayOrderNo, UserId, to_micros};
use futures_util::future::join_all;
use ledger::{Account, Entries, Flow, FlowKind, Owner};
use reqwest::header::RETRY_AFTER;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use storage::Database;
use time::OffsetDateTime;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use crate::support::{Ingress, World, read};

pub(crate) const PASSWORD: &str = "pass-phrase-8431";

/// The books behind the ingress.
pub(crate) struct Books(Database);

impl Books {
    pub(crate) fn of(database: &devstack::testing::Database) -> Self {
        Self(Database::connect(database.url(), "books of a test", 4).unwrap())
    }

    /// Gives a user of `m1` money, as a recharge does.
    pub(crate) async fn give(&self, user_id: &str, amount_minor: i64, currency: &str) {
        let amount = Money::new(amount_minor, Currency::parse(currency).unwrap());
        let from = Owner::Channel(ChannelAccount::parse("gateway_main").unwrap());
        let flow = &Flow {
            trans_no: Uuid::now_v7().to_string(),
            kind: FlowKind::Recharge,
            pay_order_no: PayOrderNo::new(OffsetDateTime::now_utc(), rand::random()),
            occurred_at: to_micros(OffsetDateTime::now_utc()),
            entries: Entries::transfer(amount, from, user(user_id)).unwrap(),
        };
        let give = self.0.transaction(|tx| {
            Box::pin(async move {
                ledger::post(&tx, std::slice::from_ref(flow)).await.unwrap();
                Ok::<_, storage::Error>(())
            })
        });
        give.await.unwrap();
    }

    /// What the owner holds in CNY.
    pub(crate) async fn balance(&self, owner: Owner) -> i64 {
        let account = Account { owner, currency: Currency::parse("CNY").unwrap() };
        let held = ledger::balance(&self.0.client().await.unwrap(), &account).await.unwrap();
        held.map_or(0, |held| held.balance_minor)
    }

    pub(crate) async fn count(&self, from: &str) -> i64 {
        let client = self.0.client().await.unwrap();
        client.query_one(&format!("SELECT count(*) FROM {from}"), &[]).await.unwrap().get(0)
    }

    pub(crate) async fn execute(&self, statement: &str, values: &[&(dyn ToSql + Sync)]) {
        self.0.client().await.unwrap().execute(statement, values).await.unwrap();
    }

    /// Nothing came from nowhere, nothing has vanished, and every balance is the sum of its entries.
    pub(crate) async fn must_balance(&self) {
        let trial = ledger::trial_balance(&self.0.client().await.unwrap()).await.unwrap();
        assert_eq!(trial.findings, []);
    }
}

pub(crate) fn user(user_id: &str) -> Owner {
    Owner::User { merchant_id: MerchantId::parse("m1").unwrap(), user_id: UserId::parse(user_id).unwrap() }
}

fn new_account(user_id: &str, pay_password: &str, currency: &str) -> Value {
    json!({ "user_id": user_id, "pay_password": pay_password, "currency": currency })
}

pub(crate) async fn open(ingress: &Ingress, user_id: &str) {
    let (status, body) = ingress.post("/v1/accounts", &new_account(user_id, PASSWORD, "CNY")).await;
    assert_eq!(status, StatusCode::CREATED, "{body}");
}

#[tokio::test]
async fn a_user_has_one_password_and_an_account_in_each_currency() {
    let (mut ingress, database) = World::without_broker(&[]).await;
    let alice = |currency| new_account("alice", PASSWORD, currency);
    let (status, made) = ingress.post("/v1/accounts", &alice("CNY")).await;
    assert_eq!((status, &made["balance_minor"]), (StatusCode::CREATED, &json!(0)), "{made}");
    assert_eq!((&made["user_id"], &made["currency"]), (&json!("alice"), &json!("CNY")));
    assert_eq!(ingress.post("/v1/accounts", &alice("CNY")).await, (StatusCode::OK, made));
    assert_eq!(ingress.post("/v1/accounts", &alice("USD")).await.0, StatusCode::CREATED);
    let (status, problem) = ingress.post("/v1/accounts", &new_account("alice", "another", "EUR")).await;
    assert_eq!((status, &problem["code"]), (StatusCode::FORBIDDEN, &json!("wrong_pay_password")));

    Books::of(&database).give("alice", 500, "USD").await;
    let (_, found) = ingress.get("/v1/accounts/alice").await;
    let held: Vec<_> = found["balances"]
        .as_array()
        .unwrap()
        .iter()
        .map(|held| (held["currency"].as_str().unwrap(), held["balance_minor"].as_i64().unwrap()))
        .collect();
    assert_eq!(held, [("CNY", 0), ("USD", 500)], "{found}");

    let first = std::mem::take(&mut ingress.api_key);
    ingress.api_key = ingress.add_merchant("m2").await.unwrap();
    for path in ["/v1/accounts/alice", "/v1/accounts/alice/flows"] {
        assert_eq!(ingress.get(path).await.0, StatusCode::NOT_FOUND, "another merchant's user");
    }
    let namesake = new_account("alice", "a password of her own", "CNY");
    assert_eq!(ingress.post("/v1/accounts", &namesake).await.0, StatusCode::CREATED);
    assert_eq!(ingress.get("/v1/accounts/alice").await.1["balances"].as_array().unwrap().len(), 1);
    ingress.api_key = first;
    assert_eq!(ingress.get("/v1/accounts/bob").await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_wrong_request_is_refused_and_its_password_not_repeated() {
    let (mut ingress, database) = World::without_broker(&[]).await;
    let good = new_account("alice", PASSWORD, "CNY");
    for (field, value) in [
        ("pay_password", json!("short")),
        ("pay_password", json!("x".repeat(129))),
        ("pay_password", json!(84_310_001)),
        ("pay_password", Value::Null),
        ("user_id", json!("a/b")),
        ("user_id", json!("")),
        ("currency", json!("cny")),
        ("balance_minor", json!(84_310_001)),
    ] {
        let mut bad = good.clone();
        bad[field] = value.clone();
        let (status, problem) = ingress.post("/v1/accounts", &bad).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{bad}: {problem}");
        assert!(problem["detail"].as_str().unwrap().contains(field), "{problem}");
        assert!(!problem.to_string().contains("84310001"), "{problem}");
    }
    open(&ingress, "alice").await;
    for query in ["limit=0", "limit=1001", "limit=many", "cursor=x"] {
        let (status, problem) = ingress.get(&format!("/v1/accounts/alice/flows?{query}")).await;
        assert_eq!((status, &problem["code"]), (StatusCode::BAD_REQUEST, &json!("invalid_query")), "{query}");
    }
    ingress.api_key = "pk_nobody".to_owned();
    for (method, path) in [
        (Method::POST, "/v1/accounts"),
        (Method::GET, "/v1/accounts/alice"),
        (Method::GET, "/v1/accounts/alice/flows"),
    ] {
        let answer = ingress.request(method, path).json(&good).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{path}");
    }
    assert_eq!(Books::of(&database).count("pay.users").await, 1);
}

#[tokio::test]
async fn flows_come_newest_first_and_page_by_page() {
    let (ingress, database) = World::without_broker(&[]).await;
    let books = Books::of(&database);
    for currency in ["CNY", "USD"] {
        ingress.post("/v1/accounts", &new_account("alice", PASSWORD, currency)).await;
    }
    open(&ingress, "bob").await;
    for amount in 1..=5 {
        books.give("alice", amount, if amount == 3 { "USD" } else { "CNY" }).await;
        books.give("bob", 100, "CNY").await;
    }
    let mut listed = Vec::new();
    let mut path = "/v1/accounts/alice/flows?limit=2".to_owned();
    let mut pages = 0;
    loop {
        let (status, page) = ingress.get(&path).await;
        assert_eq!(status, StatusCode::OK, "{page}");
        listed.extend(page["flows"].as_array().unwrap().iter().cloned());
        pages += 1;
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("/v1/accounts/alice/flows?limit=2&cursor={cursor}");
    }
    let seen: Vec<_> = listed
        .iter()
        .map(|flow| {
            (flow["amount_minor"].as_i64(), flow["currency"].as_str(), flow["balance_minor"].as_i64())
        })
        .collect();
    let expected = [(5, "CNY", 12), (4, "CNY", 7), (3, "USD", 3), (2, "CNY", 3), (1, "CNY", 1)]
        .map(|(amount, currency, balance)| (Some(amount), Some(currency), Some(balance)));
    assert_eq!((seen, pages), (expected.into(), 3));
    assert_eq!(listed[0]["kind"], "recharge");
    let (_, all) = ingress.get("/v1/accounts/alice/flows").await;
    assert_eq!((all["flows"].as_array(), &all["next_cursor"]), (Some(&listed), &Value::Null));
}

#[tokio::test]
async fn many_who_open_the_same_account_at_once_open_it_once_and_are_not_taken_for_guessers() {
    let (ingress, _database) = World::without_broker(&[]).await;
    let alice = new_account("alice", PASSWORD, "CNY");
    let answers = join_all((0..12).map(|_| ingress.post("/v1/accounts", &alice))).await;
    let made = answers.iter().filter(|(status, _)| *status == StatusCode::CREATED).count();
    let same = answers.iter().filter(|(status, _)| *status == StatusCode::OK).count();
    assert_eq!((made, same), (1, 11), "{answers:?}");
}

#[tokio::test]
async fn guesses_are_limited_whoever_is_asked_and_whenever() {
    let (first, database) = World::without_broker(&[]).await;
    let mut second = Ingress::start(database.url(), "amqp://127.0.0.1:1", &[]).await;
    second.api_key.clone_from(&first.api_key);
    open(&first, "alice").await;
    open(&first, "bob").await;
    let (right, wrong) = (new_account("alice", PASSWORD, "CNY"), new_account("alice", "a guess", "CNY"));
    // A right one in between forgets the wrong ones before.
    for (replica, request, expected) in [
        (&first, &wrong, StatusCode::FORBIDDEN),
        (&second, &wrong, StatusCode::FORBIDDEN),
        (&first, &right, StatusCode::OK),
    ] {
        assert_eq!(replica.post("/v1/accounts", request).await.0, expected);
    }
    let guesses = (0..30).map(|guess| [&first, &second][guess % 2].post("/v1/accounts", &wrong));
    let told: Vec<_> = join_all(guesses).await.into_iter().map(|(status, _)| status).collect();
    let of = |wanted| told.iter().filter(|status| **status == wanted).count();
    assert_eq!((of(StatusCode::FORBIDDEN), of(StatusCode::TOO_MANY_REQUESTS)), (5, 25), "{told:?}");

    second.stop().await;
    let mut third = Ingress::start(database.url(), "amqp://127.0.0.1:1", &[]).await;
    third.api_key.clone_from(&first.api_key);
    let answer = third.request(Method::POST, "/v1/accounts").json(&right).send().await.unwrap();
    let wait: i64 = answer.headers()[RETRY_AFTER].to_str().unwrap().parse().unwrap();
    let (status, problem) = read(answer).await;
    assert_eq!((status, &problem["code"]), (StatusCode::TOO_MANY_REQUESTS, &json!("too_many_attempts")));
    assert!((1..=901).contains(&wait), "{wait}");
    let bob = new_account("bob", PASSWORD, "CNY");
    assert_eq!(third.post("/v1/accounts", &bob).await.0, StatusCode::OK, "others are not concerned");

    let earlier =
        "UPDATE pay.users SET attempts_since = attempts_since - interval '15 min' WHERE user_id = $1";
    Books::of(&database).execute(earlier, &[&"alice"]).await;
    assert_eq!(first.post("/v1/accounts", &right).await.0, StatusCode::OK);
}
