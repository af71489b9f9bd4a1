//! Recharges among crashes: whatever is repeated and whoever dies, the money comes onto the account once, and the books say so.

use channels::standard::Kind;
use futures_util::future::join_all;
use scenarios::{CHANNEL, Options, Pipeline, Sandbox, Servers, Shop, check, until};
use serde_json::{Value, json};
use tokio_postgres::NoTls;

const AMOUNT: i64 = 1999;

struct World {
    pipeline: Pipeline,
    sandbox: Sandbox,
    shop: Shop,
}

impl World {
    /// A pipeline whose merchant has the user `alice`.
    async fn start(replicas: usize) -> Self {
        let sandbox = Sandbox::start().await;
        let options = Options { replicas, ..Options::default() };
        let pipeline = Pipeline::start(Servers::shared(), options).await;
        let merchant = pipeline.add_merchant("m1", &sandbox.url("m1")).await;
        sandbox.register(&merchant);
        let shop = pipeline.shop(&merchant);
        let world = Self { pipeline, sandbox, shop };
        let account = json!({ "user_id": "alice", "pay_password": "pass-phrase-8431", "currency": "CNY" });
        world.posted("/v1/accounts", &account).await;
        world
    }

    /// What is made of `body`.
    async fn posted(&self, path: &str, body: &Value) -> Value {
        let request = self.shop.http.post(self.shop.ingress(path)).bearer_auth(&self.shop.merchant.api_key);
        let answer = request.json(body).send().await.expect("an answer");
        let (status, body) = (answer.status(), answer.json::<Value>().await.expect("JSON"));
        assert_eq!(status, 201, "{path}: {body}");
        body
    }

    /// The pay order of a new recharge of alice's account.
    async fn recharge(&self, recharge_no: &str) -> String {
        let recharge = json!({ "recharge_no": recharge_no, "user_id": "alice", "amount_minor": AMOUNT, "currency": "CNY",
            "channel": CHANNEL });
        let made = self.posted("/v1/recharges", &recharge).await;
        made["pay_order_no"].as_str().expect("a number").to_owned()
    }

    async fn got(&self, path: &str) -> Value {
        let request = self.shop.http.get(self.shop.ingress(path)).bearer_auth(&self.shop.merchant.api_key);
        request.send().await.expect("an answer").json().await.expect("JSON")
    }

    /// Alice's balance, and what has moved on her account, the latest first.
    async fn account(&self) -> (i64, Vec<i64>) {
        let (user, flows) =
            (self.got("/v1/accounts/alice").await, self.got("/v1/accounts/alice/flows").await);
        let flows = flows["flows"].as_array().unwrap_or_else(|| panic!("{flows}"));
        let amounts = flows.iter().filter_map(|flow| flow["amount_minor"].as_i64()).collect();
        (user["balances"][0]["balance_minor"].as_i64().unwrap_or_else(|| panic!("{user}")), amounts)
    }

    /// Everything has arrived, the books balance, the order service has left the recharges alone, and the merchant was told of
    /// each of these once.
    async fn settled(&self, pay_orders: &[&str]) {
        let audit = check::audited(&self.pipeline).await;
        assert_eq!(audit["ledger"]["findings"], json!([]), "{audit}");
        for pay_order_no in pay_orders {
            let received = self.sandbox.received();
            let order_no = format!("recharge:{pay_order_no}");
            let told: Vec<_> = received.iter().filter(|webhook| webhook.order_no() == order_no).collect();
            let [webhook] = &*told else { panic!("{told:?}") };
            assert_eq!(
                (webhook.event_type(), &webhook.body["data"]["amount_minor"]),
                ("pay.success", &json!(AMOUNT))
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn five_identical_callbacks_at_two_replicas_credit_once() {
    let world = World::start(2).await;
    let numbers = join_all(["R-1", "R-2", "R-3"].map(|recharge_no| world.recharge(recharge_no))).await;
    let notices: Vec<_> =
        numbers.iter().map(|number| world.shop.notice(Kind::PaymentSucceeded, number, AMOUNT)).collect();
    let five_times = notices.iter().flat_map(|notice| [notice; 5]);
    let answers = join_all(five_times.map(|notice| world.shop.tell(notice))).await;
    assert_eq!(answers, [204; 15]);
    assert_eq!(world.account().await, (3 * AMOUNT, vec![AMOUNT; 3]));
    // The trade of the first has paid, and pays no other: the channel hears a failure as often as it says so.
    let other = world.recharge("R-4").await;
    let mut reused = world.shop.notice(Kind::PaymentSucceeded, &other, AMOUNT);
    reused.channel_trade_no.clone_from(&notices[0].channel_trade_no);
    for _ in 0..2 {
        assert_eq!(world.shop.tell(&reused).await, 409);
    }
    assert_eq!(world.account().await, (3 * AMOUNT, vec![AMOUNT; 3]));
    world.settled(&numbers.iter().map(String::as_str).collect::<Vec<_>>()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_around_the_commit_neither_loses_nor_doubles_a_credit() {
    let mut world = World::start(1).await;
    let mut numbers = Vec::new();
    for (round, failpoint) in (1_i64..).zip(["facts::before_commit=return", "facts::after_commit=return"]) {
        let number = world.recharge(&format!("R-{round}")).await;
        let notice = world.shop.notice(Kind::PaymentSucceeded, &number, AMOUNT);
        let ingress = &mut world.pipeline.ingress[0];
        assert_eq!(ingress.terminate().await, Some(0), "{}", ingress.log());
        ingress.start_armed(failpoint).await;
        ingress.ready().await;
        let unheard = join_all((0..5).map(|_| world.shop.callback(&notice).send())).await;
        assert!(unheard.iter().all(Result::is_err), "{unheard:?}");
        let ingress = &mut world.pipeline.ingress[0];
        ingress.aborted().await;
        ingress.start();
        ingress.ready().await;

        join_all((0..5).map(|_| world.shop.tell_until_taken(&notice))).await;
        let credits = usize::try_from(round).expect("few");
        assert_eq!(world.account().await, (round * AMOUNT, vec![AMOUNT; credits]), "after {failpoint}");
        numbers.push(number);
    }
    world.settled(&numbers.iter().map(String::as_str).collect::<Vec<_>>()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_audit_names_the_account_whose_balance_was_changed_by_hand() {
    let world = World::start(1).await;
    let number = world.recharge("R-1").await;
    world.shop.tell_until_taken(&world.shop.notice(Kind::PaymentSucceeded, &number, AMOUNT)).await;
    world.settled(&[&number]).await;
    let sound = world.pipeline.payrelay(&["audit"]).await;
    assert!(sound.stdout.contains("ledger: balanced, 2 entries of CNY"), "{sound:?}");

    let url = world.pipeline.servers.database_url();
    let (client, connection) = tokio_postgres::connect(&url, NoTls).await.expect("a database");
    tokio::spawn(connection);
    let change =
        "UPDATE ledger.accounts SET balance_minor = balance_minor + $1 WHERE owner = 'user/m1/alice'";
    client.execute(change, &[&1_i64]).await.expect("a change");
    let found = world.pipeline.payrelay(&["audit", "--json"]).await;
    let audit: Value =
        serde_json::from_str(&found.stdout).unwrap_or_else(|error| panic!("{error}: {found:?}"));
    let finding = json!({ "kind": "balance_differs", "subject": "user/m1/alice", "currency": "CNY",
        "expected_minor": AMOUNT, "found_minor": AMOUNT + 1 });
    assert_eq!((found.code, &audit["ledger"]["findings"]), (Some(1), &json!([finding])), "{found:?}");
    let told = world.pipeline.payrelay(&["audit"]).await;
    assert!(told.code == Some(1) && told.stdout.contains("user/m1/alice"), "{told:?}");
    assert!(told.stderr.contains("1 findings in the ledger"), "{told:?}");

    client.execute(change, &[&-1_i64]).await.expect("a change");
    until("a sound ledger", async || {
        let answer = world.pipeline.payrelay(&["audit"]).await;
        if answer.code == Some(0) { Ok(()) } else { Err(format!("{answer:?}")) }
    })
    .await;

    // What cannot be looked at is a finding, and takes nothing of the rest along.
    client.batch_execute("ALTER TABLE ledger.accounts RENAME TO elsewhere").await.expect("a change");
    let unchecked = world.pipeline.payrelay(&["audit"]).await;
    assert!(unchecked.code == Some(1) && unchecked.stdout.contains("ledger: NOT checked"), "{unchecked:?}");
    assert!(unchecked.stdout.contains("pay.success"), "{unchecked:?}");
}
