//! Users who pay from their balances.

use std::time::Duration;

use events::{EventType, MerchantId, PayOrderNo};
use futures_util::future::join_all;
use futures_util::{StreamExt as _, stream};
use ledger::Owner;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::accounts::{Books, PASSWORD, open, user};
use crate::support::{Ingress, World, event, eventually, new_pay_order, number, paid, take};

const PRICE: i64 = 1999;

async fn order(ingress: &Ingress, order_no: &str, more: &Value) -> PayOrderNo {
    let mut request = new_pay_order(order_no);
    request["channel"] = "balance".into();
    for (name, value) in more.as_object().unwrap() {
        request[name] = value.clone();
    }
    let (status, body) = ingress.create(&request).await;
    assert_eq!(status, StatusCode::CREATED, "{body}");
    number(&body)
}

async fn pay_as(
    ingress: &Ingress,
    number: &PayOrderNo,
    user_id: &str,
    password: &str,
) -> (StatusCode, Value) {
    let request = json!({ "user_id": user_id, "pay_password": password });
    ingress.post(&format!("/v1/pay-orders/{number}/balance-payment"), &request).await
}

async fn pay(ingress: &Ingress, number: &PayOrderNo, user_id: &str) -> (StatusCode, Value) {
    pay_as(ingress, number, user_id, PASSWORD).await
}

async fn refused(ingress: &Ingress, number: &PayOrderNo, user_id: &str, expected: (u16, &str)) {
    let (status, problem) = pay(ingress, number, user_id).await;
    assert_eq!((status.as_u16(), &problem["code"]), (expected.0, &json!(expected.1)), "{problem}");
}

async fn close(ingress: &Ingress, number: &PayOrderNo) -> (StatusCode, Value) {
    ingress.post(&format!("/v1/pay-orders/{number}/close"), &json!({})).await
}

fn shop() -> Owner {
    Owner::Merchant(MerchantId::parse("m1").unwrap())
}

/// A user of this name who can pay so many times.
async fn rich(ingress: &Ingress, books: &Books, user_id: &str, payments: i64) {
    open(ingress, user_id).await;
    books.give(user_id, payments * PRICE, "CNY").await;
}

#[tokio::test]
async fn a_user_pays_once_however_often_it_asks() {
    let world = World::create();
    let ingress = world.ingress(&[]).await;
    let books = Books::of(&world.database);
    rich(&ingress, &books, "alice", 2).await;
    rich(&ingress, &books, "bob", 1).await;
    let number = order(&ingress, "10001", &json!({})).await;
    let wait = format!("/v1/pay-orders/{number}?wait_seconds=30");
    let ((_, found), (status, receipt)) = tokio::join!(ingress.get(&wait), pay(&ingress, &number, "alice"));
    assert_eq!(status, StatusCode::OK, "{receipt}");
    let trans_no = format!("BP-{number}");
    for (field, expected) in [
        ("pay_order_no", json!(number)),
        ("order_no", json!("10001")),
        ("merchant_id", json!("m1")),
        ("user_id", json!("alice")),
        ("amount_minor", json!(PRICE)),
        ("currency", json!("CNY")),
        ("channel", json!("balance")),
        ("status", json!("TRADE_SUCCESS")),
        ("channel_trade_no", json!(trans_no)),
        ("paid_at", found["paid_at"].clone()),
    ] {
        assert_eq!(receipt[field], expected, "{field} in {receipt}");
    }
    assert_eq!((&found["status"], &found["version"]), (&json!("TRADE_SUCCESS"), &json!(2)));

    let again = join_all((0..12).map(|_| pay(&ingress, &number, "alice"))).await;
    assert!(again.iter().all(|answer| *answer == (StatusCode::OK, receipt.clone())), "{again:?}");
    let (status, problem) = pay_as(&ingress, &number, "alice", "a guess").await;
    assert_eq!((status, &problem["code"]), (StatusCode::FORBIDDEN, &json!("wrong_pay_password")));
    refused(&ingress, &number, "bob", (409, "already_paid_or_closed")).await;

    assert_eq!(books.balance(user("alice")).await, PRICE);
    assert_eq!((books.balance(user("bob")).await, books.balance(shop()).await), (PRICE, PRICE));
    let (_, flows) = ingress.get("/v1/accounts/alice/flows").await;
    let [payment, _recharge] = &**flows["flows"].as_array().unwrap() else { panic!("{flows}") };
    assert_eq!((&payment["amount_minor"], &payment["balance_minor"]), (&json!(-PRICE), &json!(PRICE)));
    assert_eq!((&payment["trans_no"], &payment["kind"]), (&json!(trans_no), &json!("balance_payment")));
    books.must_balance().await;
    let trace = ingress.admin_get("/admin/trace/10001").await;
    let steps = trace["steps"].as_array().unwrap();
    let moved = &steps.iter().find(|step| step["step"] == "money_moved").expect("a step")["detail"];
    assert_eq!(
        (&moved["owner"], &moved["amount_minor"]),
        (&json!("user/m1/alice"), &json!(-PRICE)),
        "{trace}"
    );

    let told = event(&take(world.vhost.amqp_url(), "trade.pay.success.queue", 1).await[0]);
    assert_eq!((told.event_type, told.order.version), (EventType::Success, 2));
    assert_eq!((told.order.channel_trade_no, told.order.pay_order_no), (Some(trans_no), number));
}

#[tokio::test]
async fn what_cannot_be_paid_is_refused_and_leaves_nothing() {
    let (mut ingress, database) = World::without_broker(&[]).await;
    let books = Books::of(&database);
    rich(&ingress, &books, "alice", 10).await;
    open(&ingress, "bob").await;

    let number = order(&ingress, "10001", &json!({})).await;
    refused(&ingress, &number, "bob", (402, "insufficient_balance")).await;
    books.give("bob", PRICE - 1, "CNY").await;
    refused(&ingress, &number, "bob", (402, "insufficient_balance")).await;
    let wrong = pay_as(&ingress, &number, "alice", "a guess").await;
    assert_eq!((wrong.0, &wrong.1["code"]), (StatusCode::FORBIDDEN, &json!("wrong_pay_password")));
    assert_eq!(pay(&ingress, &number, "nobody").await, wrong, "nobody is not told from a user");
    let dollars = order(&ingress, "10002", &json!({ "currency": "USD" })).await;
    refused(&ingress, &dollars, "alice", (404, "no_account_in_currency")).await;
    let by_channel = ingress.pay_order("10003").await;
    refused(&ingress, &by_channel, "alice", (409, "not_a_balance_payment")).await;
    refused(&ingress, &PayOrderNo::parse("P0").unwrap(), "alice", (404, "not_found")).await;
    let closed = order(&ingress, "10004", &json!({})).await;
    assert_eq!(close(&ingress, &closed).await.0, StatusCode::OK);
    refused(&ingress, &closed, "alice", (409, "already_paid_or_closed")).await;
    let expired = order(&ingress, "10005", &json!({ "expires_in_seconds": 1 })).await;
    let is_closed = async || (ingress.show(&expired).await["status"] == "TRADE_CLOSED").then_some(());
    eventually("the expiry", is_closed).await;
    refused(&ingress, &expired, "alice", (409, "already_paid_or_closed")).await;
    for bad in
        [json!({ "user_id": "alice" }), json!({ "user_id": "alice", "pay_password": 1, "amount_minor": 1 })]
    {
        let (status, _) = ingress.post(&format!("/v1/pay-orders/{number}/balance-payment"), &bad).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{bad}");
    }

    assert_eq!(ingress.show(&number).await["status"], "WAIT_BUYER_PAY");
    assert_eq!(books.count("ledger.flows WHERE kind = 'balance_payment'").await, 0);
    assert_eq!(books.count("pay.contradictions").await, 0);
    books.give("bob", 1, "CNY").await;
    assert_eq!(pay(&ingress, &number, "bob").await.0, StatusCode::OK, "after a recharge");
    assert_eq!(books.balance(user("bob")).await, 0);
    books.must_balance().await;

    // Another merchant sees neither the pay order nor the user.
    ingress.api_key = ingress.add_merchant("m2").await.unwrap();
    refused(&ingress, &dollars, "alice", (404, "not_found")).await;
}

#[tokio::test]
async fn whoever_guesses_is_stopped_before_the_right_password() {
    let (ingress, database) = World::without_broker(&[]).await;
    let books = Books::of(&database);
    rich(&ingress, &books, "alice", 1).await;
    let number = order(&ingress, "10001", &json!({})).await;
    for _ in 0..5 {
        assert_eq!(pay_as(&ingress, &number, "alice", "a guess").await.0, StatusCode::FORBIDDEN);
    }
    refused(&ingress, &number, "alice", (429, "too_many_attempts")).await;
    assert_eq!(ingress.show(&number).await["status"], "WAIT_BUYER_PAY");
    assert_eq!(books.balance(user("alice")).await, PRICE);
}

#[tokio::test]
async fn of_a_hundred_users_at_once_one_pays() {
    let (first, database) = World::without_broker(&[]).await;
    let mut second = Ingress::start(database.url(), "amqp://127.0.0.1:1", &[]).await;
    second.api_key.clone_from(&first.api_key);
    let books = Books::of(&database);
    let users: Vec<_> = (0..100).map(|user| format!("u{user}")).collect();
    stream::iter(&users).for_each_concurrent(8, |user| rich(&first, &books, user, 1)).await;
    let number = order(&first, "10001", &json!({})).await;

    let tries = users.iter().enumerate().map(|(at, user)| pay([&first, &second][at % 2], &number, user));
    let answers = join_all(tries).await;
    let winners: Vec<_> =
        users.iter().zip(&answers).filter(|(_, (status, _))| *status == StatusCode::OK).collect();
    let [(winner, (_, receipt))] = &*winners else { panic!("{winners:?}") };
    assert_eq!(receipt["user_id"], **winner);
    let conflicts = answers.iter().filter(|(status, problem)| {
        *status == StatusCode::CONFLICT && problem["code"] == "already_paid_or_closed"
    });
    assert_eq!(conflicts.count(), 99, "{answers:?}");

    assert_eq!(first.show(&number).await["version"], 2);
    assert_eq!(first.pending().await, 1, "one event");
    assert_eq!(books.count("ledger.flows WHERE kind = 'balance_payment'").await, 1);
    assert_eq!(books.count("ledger.accounts WHERE balance_minor = 0").await, 1);
    assert_eq!((books.balance(user(winner)).await, books.balance(shop()).await), (0, PRICE));
    books.must_balance().await;
}

#[tokio::test]
async fn a_callback_at_the_same_time_is_a_contradiction_and_pays_nothing() {
    let (ingress, database) = World::without_broker(&[]).await;
    let books = Books::of(&database);
    rich(&ingress, &books, "alice", 10).await;
    for round in 0..10 {
        let number = order(&ingress, &format!("R-{round}"), &json!({})).await;
        let notice = paid(&number);
        let ((status, receipt), told) =
            tokio::join!(pay(&ingress, &number, "alice"), ingress.callback(&notice));
        assert_eq!((status, told), (StatusCode::OK, StatusCode::CONFLICT), "{receipt}");
        let found = ingress.show(&number).await;
        assert_eq!(
            (&found["version"], &found["channel_trade_no"]),
            (&json!(2), &receipt["channel_trade_no"])
        );
    }
    let recorded = ingress.admin_get("/admin/contradictions?reason=account_mismatch").await;
    assert_eq!(recorded.as_array().unwrap().len(), 10, "{recorded}");
    assert_eq!((books.balance(user("alice")).await, ingress.pending().await), (0, 10));
    books.must_balance().await;
}

#[tokio::test]
async fn a_close_and_a_payment_have_one_outcome() {
    let (ingress, database) = World::without_broker(&[]).await;
    let books = Books::of(&database);
    let users: Vec<_> = (0..16).map(|user| format!("u{user}")).collect();
    stream::iter(&users).for_each_concurrent(8, |user| rich(&ingress, &books, user, 1)).await;
    let told = join_all(users.iter().enumerate().map(async |(at, user)| {
        let number = order(&ingress, &format!("C-{user}"), &json!({})).await;
        let late = async {
            // Not for a state, but to come when the password is checked: some before, some after.
            tokio::time::sleep(Duration::from_millis(25 * at as u64)).await;
            close(&ingress, &number).await
        };
        let (payment, closed) = tokio::join!(pay(&ingress, &number, user), late);
        (payment, closed, number)
    }))
    .await;
    let mut paid = 0;
    for ((status, receipt), (closed, answer), number) in &told {
        let found = ingress.show(number).await;
        assert_eq!(found["version"], 2, "{found}");
        match (status.as_u16(), closed.as_u16(), found["status"].as_str().unwrap()) {
            (200, 409, "TRADE_SUCCESS") => paid += 1,
            (409, 200, "TRADE_CLOSED") => {}
            _ => panic!("{found}: {receipt} {answer}"),
        }
    }
    assert_eq!(books.balance(shop()).await, paid * PRICE);
    assert_eq!(
        (books.count("ledger.flows WHERE kind = 'balance_payment'").await, ingress.pending().await),
        (paid, 16)
    );
    books.must_balance().await;
}

#[tokio::test]
async fn an_expiry_and_a_payment_have_one_outcome() {
    let (ingress, database) = World::without_broker(&[]).await;
    let books = Books::of(&database);
    let users: Vec<_> = (0..16).map(|user| format!("u{user}")).collect();
    stream::iter(&users).for_each_concurrent(8, |user| rich(&ingress, &books, user, 1)).await;
    let told = join_all(users.iter().enumerate().map(async |(at, user)| {
        let number = order(&ingress, &format!("E-{user}"), &json!({ "expires_in_seconds": 1 })).await;
        // Not for a state, but to come about when the time is over: some before, some after.
        tokio::time::sleep(Duration::from_millis(700 + 30 * at as u64)).await;
        (pay(&ingress, &number, user).await, number, user)
    }))
    .await;
    let mut paid = 0;
    for ((status, receipt), number, name) in &told {
        let settled = async || {
            let found = ingress.show(number).await;
            (found["status"] != "WAIT_BUYER_PAY").then_some(found)
        };
        let found = eventually("an end", settled).await;
        let expected = match status.as_u16() {
            200 => ("TRADE_SUCCESS", 0),
            409 => ("TRADE_CLOSED", PRICE),
            _ => panic!("{receipt}"),
        };
        assert_eq!((found["status"].as_str().unwrap(), books.balance(user(name)).await), expected);
        assert_eq!(found["version"], 2);
        paid += i64::from(*status == StatusCode::OK);
    }
    assert_eq!(books.count("ledger.flows WHERE kind = 'balance_payment'").await, paid);
    assert_eq!(ingress.pending().await, 16);
    books.must_balance().await;
}
