//! What one shopper does about one order.

use std::time::Duration;

use channels::standard::{Kind, Notice};
use rand::RngExt;
use rand::rngs::StdRng;
use scenarios::{ORDER_API_TOKEN, Shop};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::caller::{Patience, Reply, ask};
use crate::history::{Call, Fact, Outcome, Payment, Poison, Source};
use crate::plan::MERCHANTS;
use crate::upstream::{self, Publisher};
use crate::world::World;

const TRADE_DEAD: &str = "trade.pay.success.queue.dlq";
const MERCHANT_DEAD: &str = "merchant.pay.success.queue.dlq";
/// One caller in so many gives up early.
const GIVE_UP: u32 = 6;

/// Runs one of the scripts, chosen by chance, to its end.
pub(crate) async fn run(
    world: &World,
    publisher: &Publisher,
    index: u64,
    random: &mut StdRng,
) -> (Option<Payment>, Option<Poison>) {
    let choice = random.random_range(0..100);
    let is_rare = random.random();
    let source = match choice {
        0 if is_rare => Source::Stranger,
        1 if is_rare => return (None, Some(poison(publisher, random).await)),
        2..14 => Source::Upstream,
        _ => Source::Channel,
    };
    let shop = &world.shops[random.random_range(0..MERCHANTS.len())];
    let payment = Payment {
        source,
        merchant_id: shop.merchant.id.clone(),
        order_no: format!("CH-{index}"),
        pay_order_no: None,
        amount_minor: 1_000 + i64::try_from(index).unwrap_or_default(),
        calls: Vec::new(),
        trouble: Vec::new(),
    };
    let mut script = Script { shop, payment, random };
    let poison = match source {
        Source::Stranger => Some(script.stranger(publisher).await),
        Source::Upstream => {
            if script.create_order().await {
                script.upstream(publisher).await;
            }
            None
        }
        Source::Channel => {
            if script.create_order().await && script.create_pay_order().await {
                script.channel(choice).await;
            }
            None
        }
    };
    (Some(script.payment), poison)
}

async fn poison(publisher: &Publisher, random: &mut StdRng) -> Poison {
    let message = upstream::poison();
    let outcome = publisher.publish(patience(random), &message).await;
    let expected = vec![(TRADE_DEAD, "undecodable"), (MERCHANT_DEAD, "undecodable")];
    Poison { message_id: message.id, outcome, expected }
}

fn patience(random: &mut StdRng) -> Patience {
    if random.random_ratio(1, GIVE_UP) {
        Patience::attempts(random.random_range(1..3))
    } else {
        Patience::LONG
    }
}

struct Script<'a> {
    shop: &'a Shop,
    payment: Payment,
    random: &'a mut StdRng,
}

impl Script<'_> {
    async fn create_order(&mut self) -> bool {
        let (amount, shop) = (self.payment.amount_minor, self.shop);
        let item = |sku: &str, price_minor: i64, shop_id: &str| json!({"sku": sku, "quantity": 1, "price_minor": price_minor, "shop_id": shop_id, "warehouse_id": "w1"});
        let order = json!({
            "order_no": self.payment.order_no, "merchant_id": shop.merchant.id, "buyer_id": "b1", "amount_minor": amount,
            "currency": "CNY", "items": [item("tea", amount / 3, "s1"), item("cup", amount - amount / 3, "s2")],
        });
        let request =
            || shop.http.post(shop.order_service("/v1/orders")).bearer_auth(ORDER_API_TOKEN).json(&order);
        let reply = ask(patience(self.random), request).await;
        self.done(reply, "the order").is_some()
    }

    async fn create_pay_order(&mut self) -> bool {
        let shop = self.shop;
        let pay_order = json!({
            "order_no": self.payment.order_no, "amount_minor": self.payment.amount_minor, "currency": "CNY",
            "channel": scenarios::CHANNEL,
        });
        let request = || {
            shop.http
                .post(shop.ingress("/v1/pay-orders"))
                .bearer_auth(&shop.merchant.api_key)
                .json(&pay_order)
        };
        let reply = ask(patience(self.random), request).await;
        let created = self.done(reply, "the pay order");
        self.payment.pay_order_no =
            created.and_then(|created| created["pay_order_no"].as_str().map(str::to_owned));
        self.payment.pay_order_no.is_some()
    }

    /// The answer; what was refused is noted.
    fn done(&mut self, reply: Reply, what: &str) -> Option<Value> {
        match reply {
            Reply::Done(body) => return Some(body),
            Reply::Refused(status, text) => {
                self.payment.trouble.push(format!("{what} was refused: {status}: {text}"));
            }
            Reply::None => {}
        }
        None
    }

    /// Callbacks of every kind.
    async fn channel(&mut self, choice: u32) {
        let amount = self.payment.amount_minor;
        let (some, more) = (Fact::Refund(amount / 4), Fact::Refund(amount / 2));
        match choice {
            14..24 => self.at_once([Fact::Success, Fact::Success]).await,
            24..32 => self.one_by_one(&[Fact::Success, Fact::Success], true).await,
            32..42 => self.one_by_one(&[some, Fact::Success], false).await,
            42..52 => self.one_by_one(&[Fact::Success, some, more], false).await,
            52..55 => self.one_by_one(&[Fact::Success, some, Fact::Refund(amount)], true).await,
            55..63 => self.one_by_one(&[Fact::Failure, Fact::Success], false).await,
            63..67 => self.one_by_one(&[Fact::Success, Fact::Failure], true).await,
            67..70 => self.one_by_one(&[Fact::Failure], false).await,
            70..75 => self.one_by_one(&[Fact::Close], false).await,
            75..80 => self.at_once([Fact::Success, Fact::Close]).await,
            _ => self.one_by_one(&[Fact::Success], false).await,
        }
    }

    async fn one_by_one(&mut self, facts: &[Fact], pausing: bool) {
        for (index, fact) in facts.iter().enumerate() {
            if pausing && index > 0 {
                sleep(Duration::from_millis(self.random.random_range(300..2_000))).await;
            }
            let patience = patience(self.random);
            let outcome = self.tell(*fact, patience).await;
            self.payment.calls.push(Call { fact: *fact, outcome });
        }
    }

    async fn at_once(&mut self, facts: [Fact; 2]) {
        let patience = [patience(self.random), patience(self.random)];
        let outcomes = tokio::join!(self.tell(facts[0], patience[0]), self.tell(facts[1], patience[1]));
        for (fact, outcome) in facts.into_iter().zip([outcomes.0, outcomes.1]) {
            self.payment.calls.push(Call { fact, outcome });
        }
    }

    /// Tells one fact; every repetition goes to the other replica.
    async fn tell(&self, fact: Fact, patience: Patience) -> Outcome {
        let (shop, number) = (self.shop, self.payment.pay_order_no.as_deref().unwrap_or_default());
        let Some(notice) = self.notice(fact) else {
            let path = format!("/v1/pay-orders/{number}/close");
            let request = || shop.http.post(shop.ingress(&path)).bearer_auth(&shop.merchant.api_key);
            return ask(patience, request).await.outcome();
        };
        ask(patience, || shop.callback(&notice)).await.outcome()
    }

    /// What a channel says; a close is not the channel's.
    fn notice(&self, fact: Fact) -> Option<Notice> {
        let (kind, refunded_minor) = match fact {
            Fact::Success => (Kind::PaymentSucceeded, None),
            Fact::Failure => (Kind::PaymentFailed, None),
            Fact::Refund(refunded_minor) => (Kind::RefundSucceeded, Some(refunded_minor)),
            Fact::Close => return None,
        };
        let number = self.payment.pay_order_no.as_deref()?;
        Some(Notice { refunded_minor, ..self.shop.notice(kind, number, self.payment.amount_minor) })
    }

    /// An event of another publisher, sometimes twice.
    async fn upstream(&mut self, publisher: &Publisher) {
        let payment = &self.payment;
        let message = upstream::success(&payment.merchant_id, &payment.order_no, payment.amount_minor);
        self.payment.pay_order_no = Some(upstream::pay_order_no(&payment.order_no));
        for _ in 0..self.random.random_range(1..=2) {
            let outcome = publisher.publish(patience(self.random), &message).await;
            self.payment.calls.push(Call { fact: Fact::Success, outcome });
        }
    }

    /// The same about an order that there is not.
    async fn stranger(&mut self, publisher: &Publisher) -> Poison {
        let payment = &self.payment;
        let message = upstream::success(&payment.merchant_id, &payment.order_no, payment.amount_minor);
        self.payment.pay_order_no = Some(upstream::pay_order_no(&payment.order_no));
        let outcome = publisher.publish(patience(self.random), &message).await;
        self.payment.calls.push(Call { fact: Fact::Success, outcome: outcome.clone() });
        Poison { message_id: message.id, outcome, expected: vec![(TRADE_DEAD, "attempts_exhausted")] }
    }
}
