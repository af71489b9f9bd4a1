//! A pipeline in which services die, and what must be true of it in the end.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use channels::standard::Kind;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties};
use scenarios::{
    Load, Options, Payment, Pipeline, Reply, Sandbox, Servers, Service, Shop, check, run_program, signal,
    until,
};
use serde_json::Value;

use super::Point;

/// Quick at first. The last ones outlast the death of a process, so that no order is given up before it is made.
const RETRY_DELAYS: &str = "300ms,600ms,1s,3s,10s,20s";
/// The queues that poison comes to.
const QUEUES: [&str; 2] = ["trade.pay.success.queue", "merchant.pay.success.queue"];
/// Payments made before a drain, and after a service has come back.
const PAYMENTS: usize = 8;

/// A pipeline and everybody around it.
pub(super) struct Stage {
    pub(super) pipeline: Pipeline,
    pub(super) shop: Shop,
    sandbox: Sandbox,
    payments: Vec<Payment>,
    /// The bodies that no consumer can decode.
    poisons: BTreeSet<String>,
    /// The last version seen of every order.
    versions: BTreeMap<String, i64>,
    channel: Channel,
    _connection: Connection,
}

impl Stage {
    pub(super) async fn start() -> Self {
        let sandbox = Sandbox::start().await;
        let environment = vec![("PAYRELAY_RETRY_DELAYS", RETRY_DELAYS)];
        let pipeline =
            Pipeline::start(Servers::shared(), Options { environment, ..Options::default() }).await;
        let merchant = pipeline.add_merchant("m1", &sandbox.url("m1")).await;
        sandbox.register(&merchant);
        sandbox.reply("m1", Reply::SometimesFails);
        let url = pipeline.servers.amqp_url();
        let connection =
            Connection::connect(&url, ConnectionProperties::default()).await.expect("a connection");
        let channel = connection.create_channel().await.expect("a channel");
        channel.confirm_select(ConfirmSelectOptions::default()).await.expect("confirms");
        for queue in QUEUES {
            until(queue, async || pipeline.servers.vhost().queue_depth(queue).ok_or(String::new())).await;
        }
        let shop = pipeline.shop(&merchant);
        let (payments, poisons, versions) = Default::default();
        Self { pipeline, shop, sandbox, payments, poisons, versions, channel, _connection: connection }
    }

    /// Lets a service abort at this point while payments go on, among them one whose order is made only later and one message
    /// that is no event. Then starts it again, and lets payments go on.
    pub(super) async fn play(&mut self, select: fn(&mut Pipeline) -> &mut Service, point: &Point) {
        let (name, failpoint) = match point {
            Point::InFlow(name, passes) => (*name, format!("{name}={passes}*off->return")),
            Point::Draining(name) => (*name, format!("{name}=return")),
        };
        let service = select(&mut self.pipeline);
        assert_eq!(service.terminate().await, Some(0), "exit code before {name}; log: {}", service.log());
        service.start_armed(&failpoint).await;
        let early = self.shop.clone();
        let late = tokio::spawn(async move { pay_early(&early, format!("{name}-early")).await });
        let mut load = Load::start(&self.shop, name);
        self.poison(name).await;
        if matches!(point, Point::Draining(_)) {
            let service = select(&mut self.pipeline);
            service.ready().await;
            load.more(PAYMENTS).await;
            signal(service.process().pid(), "TERM");
        }
        let service = select(&mut self.pipeline);
        service.aborted().await;
        service.start();
        service.ready().await;

        let early = late.await.expect("a payment");
        self.shop.create_order(&early.order_no, early.amount_minor).await;
        load.more(PAYMENTS).await;
        let mut payments = load.finish().await;
        payments.push(early);
        self.versions_grow(&payments).await;
        self.payments.extend(payments);
    }

    /// Waits until all has settled, and looks at everything.
    pub(super) async fn settled(mut self) {
        check::complete(&self.sandbox, &self.shop, &self.payments).await;
        self.poison_is_all_that_is_dead().await;
        check::settled(&self.pipeline, &self.sandbox, &self.shop, &self.payments).await;
        let payments = std::mem::take(&mut self.payments);
        self.versions_grow(&payments).await;
        for payment in &payments {
            let effects = i64::try_from(payment.event_types().len()).expect("few");
            assert_eq!(self.versions[&payment.order_no], 1 + effects, "one effect an event: {payment:?}");
            self.versions_of_webhooks_follow_one_another(payment);
        }
    }

    /// Publishes what no consumer can decode to all queues of successes.
    async fn poison(&mut self, name: &str) {
        let body = format!("poison {name}");
        let properties =
            BasicProperties::default().with_delivery_mode(2).with_content_type("application/protobuf".into());
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let published = self.channel.basic_publish(
            "pay.direct".into(),
            "pay.success".into(),
            options,
            body.as_bytes(),
            properties,
        );
        let confirmed = published.await.expect("a publish").await.expect("a confirm");
        assert!(matches!(confirmed, Confirmation::Ack(None)), "{confirmed:?}");
        self.poisons.insert(body);
    }

    /// A copy may be there twice, if the process died before it acknowledged the original.
    async fn poison_is_all_that_is_dead(&self) {
        for queue in QUEUES {
            let dead = until(&format!("poison in the dead letters of {queue}"), async || {
                let letters = dead_letters(&self.pipeline, queue).await;
                let found = letters.iter().map(body).collect::<BTreeSet<_>>();
                if found.is_superset(&self.poisons) { Ok(letters) } else { Err(format!("{found:?}")) }
            })
            .await;
            for letter in &dead {
                assert!(self.poisons.contains(&body(letter)), "{letter}");
                assert_eq!(letter["reason"], "undecodable", "{letter}");
            }
        }
    }

    async fn versions_grow(&mut self, payments: &[Payment]) {
        let payments: Vec<_> = payments.iter().collect();
        for order in check::orders(&self.shop, &payments).await {
            let (order_no, version) = (order["order_no"].as_str(), order["version"].as_i64());
            let (order_no, version) = order_no.zip(version).unwrap_or_else(|| panic!("{order}"));
            let before = self.versions.insert(order_no.to_owned(), version);
            assert!(before.is_none_or(|before| before <= version), "{before:?}, then {order}");
        }
    }

    /// The first event of a pay order has the version after that of its creation, and so on.
    fn versions_of_webhooks_follow_one_another(&self, payment: &Payment) {
        let received = self.sandbox.received_of(&payment.order_no);
        for (event_type, expected) in payment.event_types().iter().zip(2..) {
            let of_type = received.iter().filter(|received| received.event_type() == *event_type);
            let versions: BTreeSet<_> =
                of_type.map(|received| received.body["data"]["version"].as_i64()).collect();
            assert_eq!(versions, BTreeSet::from([Some(expected)]), "{event_type} of {payment:?}");
        }
    }
}

/// Pays an order that the order service does not know yet.
async fn pay_early(shop: &Shop, order_no: String) -> Payment {
    let amount_minor = 1999;
    let pay_order_no = shop.create_pay_order(&order_no, amount_minor).await;
    shop.tell_until_taken(&shop.notice(Kind::PaymentSucceeded, &pay_order_no, amount_minor)).await;
    Payment { order_no, pay_order_no, amount_minor, refunded_minor: 0 }
}

/// All dead letters of a queue.
pub(super) async fn dead_letters(pipeline: &Pipeline, queue: &str) -> Vec<Value> {
    let arguments = ["dlq", "show", queue, "--limit", "1000", "--json"];
    let shown =
        run_program("payrelay", &arguments, &[("PAYRELAY_AMQP_URL", &pipeline.servers.amqp_url())]).await;
    shown.json().as_array().expect("a list").clone()
}

fn body(letter: &Value) -> String {
    let encoded = letter["body_base64"].as_str().unwrap_or_default();
    String::from_utf8(STANDARD.decode(encoded).expect("base64")).expect("text")
}
