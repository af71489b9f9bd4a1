//! Recharges: money from a channel onto a user's account, once.

use channels::standard::Kind;
use events::{EventType, MerchantId, OrderNo, PayOrderNo, Purpose};
use futures_util::future::join_all;
use ledger::Owner;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use storage::Database;

use crate::accounts::{Books, PASSWORD, open};
use crate::support::{Ingress, World, event, notice, number, paid, read, refunded, take};

fn recharge(recharge_no: &str) -> Value {
    json!({ "recharge_no": recharge_no, "user_id": "u1", "amount_minor": 1999, "currency": "CNY", "channel": "gateway_main" })
}

/// An ingress on a database alone, with the account of `u1`.
async fn with_account() -> (Ingress, Books, devstack::testing::Database) {
    let (ingress, database) = World::without_broker(&[]).await;
    open(&ingress, "u1").await;
    let books = Books::of(&database);
    (ingress, books, database)
}

/// The pay order of a new recharge of 1999 CNY.
async fn create(ingress: &Ingress, recharge_no: &str) -> PayOrderNo {
    let (status, body) = ingress.post("/v1/recharges", &recharge(recharge_no)).await;
    assert_eq!(status, StatusCode::CREATED, "{body}");
    number(&body)
}

/// Pays the merchant from `u1`'s balance.
async fn spend(ingress: &Ingress, order_no: &str, amount_minor: i64) {
    let order = json!({ "order_no": order_no, "amount_minor": amount_minor, "currency": "CNY", "channel": "balance" });
    let (status, body) = ingress.create(&order).await;
    assert_eq!(status, StatusCode::CREATED, "{body}");
    let path = format!("/v1/pay-orders/{}/balance-payment", number(&body));
    let (status, body) = ingress.post(&path, &json!({ "user_id": "u1", "pay_password": PASSWORD })).await;
    assert_eq!(status, StatusCode::OK, "{body}");
}

async fn balance(ingress: &Ingress) -> i64 {
    let (status, body) = ingress.get("/v1/accounts/u1").await;
    assert_eq!(status, StatusCode::OK, "{body}");
    body["balances"][0]["balance_minor"].as_i64().unwrap()
}

/// The books are sound, and say the same of every recharge as its pay order.
async fn must_agree(ingress: &Ingress) {
    assert_eq!(ingress.admin_get("/admin/trial-balance").await["findings"], json!([]));
    assert_eq!(ingress.admin_get("/admin/audit").await["recharges"], Value::Null);
}

fn shortfall() -> Owner {
    Owner::Shortfall(MerchantId::parse("m1").unwrap())
}

fn reasons(contradictions: &Value) -> Vec<(&str, &str)> {
    let listed = contradictions.as_array().unwrap().iter();
    listed.map(|row| (row["pay_order_no"].as_str().unwrap(), row["reason"].as_str().unwrap())).collect()
}

#[tokio::test]
async fn a_recharge_is_made_once_for_each_number() {
    let (ingress, _books, _database) = with_account().await;
    let request = ingress.request(Method::POST, "/v1/recharges").json(&recharge("R1")).send();
    let response = request.await.unwrap();
    assert_eq!(response.headers()["location"], "/v1/recharges/R1");
    let (status, made) = read(response).await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    assert_eq!(
        [&made["recharge_no"], &made["user_id"], &made["purpose"], &made["status"], &made["channel"]],
        ["R1", "u1", "RECHARGE", "WAIT_BUYER_PAY", "gateway_main"]
    );
    let order_no = OrderNo::parse(made["order_no"].as_str().unwrap()).unwrap();
    assert_eq!(order_no, OrderNo::of_recharge(&number(&made)));

    assert_eq!(ingress.post("/v1/recharges", &recharge("R1")).await, (StatusCode::OK, made.clone()));
    assert_eq!(ingress.get("/v1/recharges/R1").await, (StatusCode::OK, made.clone()));
    assert_eq!(ingress.show(&number(&made)).await["order_no"], made["order_no"]);
    for (field, value) in [
        ("amount_minor", json!(2000)),
        ("channel", json!("gateway_other")),
        ("expires_in_seconds", json!(60)),
        ("notify_url", json!("https://shop.example/n")),
    ] {
        let mut other = recharge("R1");
        other[field] = value;
        let (status, problem) = ingress.post("/v1/recharges", &other).await;
        assert_eq!(
            (status, &problem["code"]),
            (StatusCode::CONFLICT, &json!("recharge_conflict")),
            "{field}"
        );
        assert_eq!(problem["pay_order_no"], made["pay_order_no"]);
    }
    let second = recharge("R2");
    let same = join_all((0..10).map(|_| ingress.post("/v1/recharges", &second))).await;
    let statuses = same.iter().map(|(status, _)| *status);
    assert_eq!(statuses.filter(|status| *status == StatusCode::CREATED).count(), 1);
    assert!(same.iter().all(|(_, body)| body["pay_order_no"] == same[0].1["pay_order_no"]), "{same:?}");
}

#[tokio::test]
async fn what_is_no_recharge_is_refused_with_its_reason() {
    let (ingress, _books, _database) = with_account().await;
    for (field, value, status, code) in [
        ("user_id", json!("nobody"), StatusCode::NOT_FOUND, "not_found"),
        ("currency", json!("USD"), StatusCode::NOT_FOUND, "not_found"),
        ("channel", json!("balance"), StatusCode::UNPROCESSABLE_ENTITY, "unknown_channel"),
        ("channel", json!("nowhere"), StatusCode::UNPROCESSABLE_ENTITY, "unknown_channel"),
        ("amount_minor", json!(0), StatusCode::UNPROCESSABLE_ENTITY, "invalid"),
        ("amount_minor", json!(1_000_000_000_001_i64), StatusCode::UNPROCESSABLE_ENTITY, "invalid"),
    ] {
        let mut wrong = recharge("R1");
        wrong[field] = value.clone();
        let (got, problem) = ingress.post("/v1/recharges", &wrong).await;
        assert_eq!((got, problem["code"].as_str()), (status, Some(code)), "{field}: {value}");
    }
    assert_eq!(ingress.get("/v1/recharges/R1").await.0, StatusCode::NOT_FOUND, "nothing was kept");
    let stranger = ingress.add_merchant("m2").await.unwrap();
    create(&ingress, "R1").await;
    let request = ingress.http.get(format!("{}/v1/recharges/R1", ingress.url)).bearer_auth(stranger);
    assert_eq!(request.send().await.unwrap().status(), StatusCode::NOT_FOUND);

    let order = |field: &str, value: &str| {
        let mut order = crate::support::new_pay_order("1");
        order[field] = json!(value);
        order
    };
    for order in [order("order_no", "recharge:1"), order("purpose", "RECHARGE")] {
        let (status, problem) = ingress.create(&order).await;
        assert_eq!(
            (status, &problem["code"]),
            (StatusCode::UNPROCESSABLE_ENTITY, &json!("invalid")),
            "{order}"
        );
    }
}

#[tokio::test]
async fn its_success_credits_the_account_once_whatever_is_repeated() {
    let world = World::create();
    let ingress = world.ingress(&[]).await;
    open(&ingress, "u1").await;
    let number = create(&ingress, "R1").await;
    let notice = paid(&number);
    let answers = join_all((0..5).map(|_| ingress.callback(&notice))).await;
    assert_eq!(answers, [StatusCode::NO_CONTENT; 5]);
    for _ in 0..3 {
        assert_eq!(ingress.callback(&notice).await, StatusCode::NO_CONTENT);
    }
    assert_eq!(balance(&ingress).await, 1999);
    let (_, flows) = ingress.get("/v1/accounts/u1/flows").await;
    let [flow] = flows["flows"].as_array().unwrap().as_slice() else { panic!("{flows}") };
    assert_eq!((&flow["kind"], &flow["amount_minor"]), (&json!("recharge"), &json!(1999)));
    assert_eq!(flow["trans_no"], json!(format!("gateway_main/T-{number}")));

    for queue in ["trade.pay.success.queue", "merchant.pay.success.queue"] {
        let told = event(&take(world.vhost.amqp_url(), queue, 1).await[0]);
        assert_eq!((told.event_type, told.order.purpose), (EventType::Success, Purpose::Recharge));
        assert_eq!(told.order.order_no, OrderNo::of_recharge(&number));
    }
    let trace = ingress.admin_get(&format!("/admin/trace/recharge:{number}")).await;
    let steps = trace["steps"].as_array().unwrap().iter();
    let posted: Vec<_> = steps.filter(|step| step["step"] == "money_moved").collect();
    assert_eq!(posted.len(), 1, "{trace}");
    must_agree(&ingress).await;
}

#[tokio::test]
async fn many_recharges_of_one_user_at_once_all_count() {
    let (ingress, books, _database) = with_account().await;
    let names: Vec<_> = (0..30).map(|n| format!("R{n}")).collect();
    let numbers = join_all(names.iter().map(|name| create(&ingress, name))).await;
    let notices: Vec<_> =
        numbers.iter().flat_map(|number| [paid(number), refunded(number, 999), paid(number)]).collect();
    let answers = join_all(notices.iter().map(|notice| ingress.callback(notice))).await;
    assert!(answers.iter().all(|status| *status == StatusCode::NO_CONTENT), "{answers:?}");
    assert_eq!((balance(&ingress).await, books.count("ledger.flows").await), (30 * 1000, 60));
    must_agree(&ingress).await;
}

#[tokio::test]
async fn a_trade_that_has_paid_one_recharge_pays_no_other() {
    let (ingress, books, _database) = with_account().await;
    let (first, second) = (create(&ingress, "R1").await, create(&ingress, "R2").await);
    let success = paid(&first);
    assert_eq!(ingress.callback(&success).await, StatusCode::NO_CONTENT);
    let mut again = paid(&second);
    again.channel_trade_no.clone_from(&success.channel_trade_no);
    for _ in 0..2 {
        assert_eq!(ingress.callback(&again).await, StatusCode::CONFLICT);
    }
    let listed = ingress.admin_get("/admin/contradictions").await;
    assert_eq!(reasons(&listed), [(second.as_str(), "trade_reused")]);
    assert_eq!(listed[0]["count"], 2);
    assert_eq!(ingress.show(&second).await["status"], "WAIT_BUYER_PAY");
    assert_eq!((balance(&ingress).await, books.count("ledger.flows").await), (1999, 1));
    // Its own trade still pays it; and the trade of a recharge may pay an order, of which no flow is posted.
    assert_eq!(ingress.callback(&paid(&second)).await, StatusCode::NO_CONTENT);
    let mut of_order = paid(&ingress.pay_order("10001").await);
    of_order.channel_trade_no = success.channel_trade_no;
    assert_eq!(ingress.callback(&of_order).await, StatusCode::NO_CONTENT);
    assert_eq!((balance(&ingress).await, books.count("ledger.flows").await), (2 * 1999, 2));
    must_agree(&ingress).await;
}

#[tokio::test]
async fn one_trade_stated_of_many_recharges_at_once_pays_one_of_them() {
    let (ingress, books, _database) = with_account().await;
    for user_id in ["u2", "u3"] {
        open(&ingress, user_id).await;
    }
    for round in 0..10 {
        let numbers = join_all(["u1", "u2", "u3"].map(async |user_id| {
            let mut request = recharge(&format!("R{round}-{user_id}"));
            request["user_id"] = json!(user_id);
            number(&ingress.post("/v1/recharges", &request).await.1)
        }))
        .await;
        let notices: Vec<_> = numbers
            .iter()
            .map(|number| {
                let mut notice = paid(number);
                notice.channel_trade_no = format!("T{round}");
                notice
            })
            .collect();
        let mut answers = join_all(notices.iter().map(|notice| ingress.callback(notice))).await;
        answers.sort_unstable();
        assert_eq!(answers, [StatusCode::NO_CONTENT, StatusCode::CONFLICT, StatusCode::CONFLICT]);
    }
    assert_eq!(books.count("ledger.flows").await, 10);
    assert_eq!(reasons(&ingress.admin_get("/admin/contradictions").await).len(), 20);
    must_agree(&ingress).await;
}

#[tokio::test]
async fn a_refund_takes_back_what_is_there_and_the_merchant_owes_the_rest() {
    let (ingress, books, _database) = with_account().await;
    let number = create(&ingress, "R1").await;
    assert_eq!(ingress.callback(&paid(&number)).await, StatusCode::NO_CONTENT);
    assert_eq!(ingress.callback(&refunded(&number, 500)).await, StatusCode::NO_CONTENT);
    assert_eq!((balance(&ingress).await, books.balance(shortfall()).await), (1499, 0));
    spend(&ingress, "10001", 1000).await;
    for _ in 0..2 {
        assert_eq!(ingress.callback(&refunded(&number, 1999)).await, StatusCode::NO_CONTENT);
    }
    assert_eq!((balance(&ingress).await, books.balance(shortfall()).await), (0, -1000));
    assert_eq!(ingress.show(&number).await["status"], "TRADE_REFUNDED");
    let (_, flows) = ingress.get("/v1/accounts/u1/flows").await;
    let told: Vec<_> = flows["flows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|flow| (flow["kind"].as_str().unwrap(), flow["amount_minor"].as_i64().unwrap()))
        .collect();
    let expected = [
        ("recharge_refund", -499),
        ("balance_payment", -1000),
        ("recharge_refund", -500),
        ("recharge", 1999),
    ];
    assert_eq!(told, expected);
    must_agree(&ingress).await;
}

#[tokio::test]
async fn a_refund_before_its_success_comes_to_the_same() {
    let (ingress, books, _database) = with_account().await;
    let number = create(&ingress, "R1").await;
    for notice in [refunded(&number, 500), paid(&number), refunded(&number, 300)] {
        assert_eq!(ingress.callback(&notice).await, StatusCode::NO_CONTENT);
    }
    assert_eq!((balance(&ingress).await, books.count("ledger.flows").await), (1499, 2));
    must_agree(&ingress).await;
}

#[tokio::test]
async fn what_ends_unpaid_books_nothing_until_a_payment_after_it_is_accepted() {
    let (ingress, books, _database) = with_account().await;
    let (closed, failed) = (create(&ingress, "R1").await, create(&ingress, "R2").await);
    assert_eq!(ingress.callback(&notice(Kind::PaymentClosed, &closed)).await, StatusCode::NO_CONTENT);
    assert_eq!(ingress.callback(&notice(Kind::PaymentFailed, &failed)).await, StatusCode::NO_CONTENT);
    for notice in [paid(&closed), refunded(&closed, 999)] {
        assert_eq!(ingress.callback(&notice).await, StatusCode::CONFLICT);
    }
    assert_eq!(books.count("ledger.flows").await, 0);
    must_agree(&ingress).await;

    let listed = ingress.admin_get("/admin/contradictions").await;
    let id = listed[0]["contradiction_id"].as_str().unwrap();
    let path = format!("/admin/contradictions/{id}/resolve");
    let decision = json!({ "action": "accepted", "note": "the money is there", "by": "ops" });
    for _ in 0..2 {
        let (status, body) =
            read(ingress.admin(Method::POST, &path).json(&decision).send().await.unwrap()).await;
        assert_eq!(status, StatusCode::OK, "{body}");
    }
    assert_eq!((balance(&ingress).await, books.count("ledger.flows").await), (1000, 2));
    // A failed one may still be paid, and the channel repeats what was accepted.
    for notice in [paid(&failed), paid(&closed)] {
        assert_eq!(ingress.callback(&notice).await, StatusCode::NO_CONTENT);
    }
    assert_eq!((balance(&ingress).await, books.count("ledger.flows").await), (2999, 3));
    must_agree(&ingress).await;
}

#[tokio::test]
async fn a_recharge_that_the_books_do_not_know_and_one_that_only_they_know_are_found() {
    let (ingress, books, database) = with_account().await;
    let (number, other) = (create(&ingress, "R1").await, create(&ingress, "R2").await);
    for number in [&number, &other] {
        assert_eq!(ingress.callback(&paid(number)).await, StatusCode::NO_CONTENT);
    }
    // As the superuser can, without the triggers that would refuse it.
    let tamper = format!(
        "SET session_replication_role = replica;
         UPDATE pay.pay_orders SET status = 'WAIT_BUYER_PAY' WHERE pay_order_no = '{number}';
         UPDATE pay.pay_orders SET status = 'PARTIALLY_REFUNDED', refunded_minor = 9 WHERE pay_order_no = '{other}'"
    );
    let client = Database::connect(database.url(), "tampering", 1).unwrap().client().await.unwrap();
    client.batch_execute(&tamper).await.unwrap();
    books.give("u1", 5, "CNY").await;
    let trial = ingress.admin_get("/admin/trial-balance").await;
    assert_eq!((&trial["currencies"][0]["sum_minor"], &trial["findings"]), (&json!(0), &json!([])));
    let audit = ingress.admin_get("/admin/audit").await;
    let mut found: Vec<_> = audit["recharges"]
        .as_array()
        .unwrap()
        .iter()
        .map(|found| {
            (
                found["kind"].as_str().unwrap(),
                found["expected_minor"].as_i64().unwrap(),
                found["found_minor"].as_i64().unwrap(),
            )
        })
        .collect();
    found.sort_unstable();
    let expected =
        [("recharge_differs", 0, 5), ("recharge_differs", 0, 1999), ("recharge_refund_differs", 9, 0)];
    assert_eq!(found, expected);
    assert!(audit["recharges"].as_array().unwrap().iter().any(|found| found["subject"] == number.as_str()));
}
