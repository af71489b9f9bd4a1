//! Replicas behind a balancer are restarted in turn: no request is refused.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use channels::standard::Kind;
use scenarios::{Balancer, Options, Pipeline, Servers, Shop, http_client, signal, until};
use tokio::task::JoinSet;

/// Who sends callbacks at a time, and the pay orders of each.
const SENDERS: usize = 4;
const PAY_ORDERS: usize = 10;
/// Callbacks between two restarts.
const BETWEEN: usize = 100;

#[tokio::test(flavor = "multi_thread")]
async fn replicas_that_are_restarted_in_turn_refuse_no_callback() {
    let options = Options { replicas: 2, environment: vec![("PAYRELAY_DRAIN_DELAY_SECONDS", "5")] };
    let mut pipeline = Pipeline::start(Servers::shared(), options).await;
    let merchant = pipeline.add_merchant("m1", "http://127.0.0.1:9/").await;
    let balancer = Balancer::start(&pipeline.ingress).await;
    balancer.knows(2).await;
    let channel = Channel::start(&pipeline.shop(&merchant).through(&balancer)).await;
    channel.more(BETWEEN).await;

    for replica in 0..2 {
        let ingress = &mut pipeline.ingress[replica];
        signal(ingress.process().pid(), "TERM");
        says_draining(&ingress.admin_url).await;
        // It goes on to take what is sent to it, by whomever.
        let open = http_client().get(format!("{}/openapi.yaml", ingress.url)).send().await;
        assert_eq!(open.expect("an answer").headers()["connection"], "close");
        assert_eq!(ingress.ended().await, Some(0), "log: {}", ingress.log());
        channel.more(BETWEEN).await;
        ingress.start();
        ingress.ready().await;
        balancer.knows(2).await;
        channel.more(BETWEEN).await;
    }
    let refused = channel.finish().await;
    assert!(refused.is_empty(), "{} callbacks, as {:?}", refused.len(), &refused[..refused.len().min(3)]);
}

async fn says_draining(admin_url: &str) {
    until("replica that drains", async || {
        let answer = http_client().get(format!("{admin_url}/readyz")).send().await;
        let answer = answer.map_err(|error| error.to_string())?;
        let (status, body) = (answer.status().as_u16(), answer.text().await.unwrap_or_default());
        if status == 503 && body.contains("\"draining\":true") {
            Ok(())
        } else {
            Err(format!("{status} {body}"))
        }
    })
    .await;
}

/// Sends callbacks without a pause, each once. Those of a pay order that is paid already are acknowledged, too.
struct Channel {
    sent: Arc<AtomicUsize>,
    ended: Arc<AtomicBool>,
    senders: JoinSet<Vec<String>>,
}

impl Channel {
    async fn start(shop: &Shop) -> Self {
        let (sent, ended) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
        let mut senders = JoinSet::new();
        for sender in 0..SENDERS {
            let mut notices = Vec::new();
            for order in 0..PAY_ORDERS {
                let pay_order_no = shop.create_pay_order(&format!("{sender}-{order}"), 100).await;
                notices.push(shop.notice(Kind::PaymentSucceeded, &pay_order_no, 100));
            }
            let (shop, sent, ended) = (shop.clone(), Arc::clone(&sent), Arc::clone(&ended));
            senders.spawn(async move {
                let mut refused = Vec::new();
                for notice in notices.iter().cycle().take_while(|_| !ended.load(Ordering::Relaxed)) {
                    let answer = shop.callback(notice).send().await.expect("an answer of the balancer");
                    let status = answer.status();
                    if status != 204 {
                        refused.push(format!("{status}: {}", answer.text().await.unwrap_or_default()));
                    }
                    sent.fetch_add(1, Ordering::Relaxed);
                }
                refused
            });
        }
        Self { sent, ended, senders }
    }

    /// Waits until so many more have been sent.
    async fn more(&self, count: usize) {
        let wanted = self.sent.load(Ordering::Relaxed) + count;
        until("flow of callbacks", async || match self.sent.load(Ordering::Relaxed) {
            sent if sent >= wanted => Ok(()),
            sent => Err(format!("{sent} of {wanted}")),
        })
        .await;
    }

    /// Stops; what was answered otherwise than with success.
    async fn finish(mut self) -> Vec<String> {
        self.ended.store(true, Ordering::Relaxed);
        let mut refused = Vec::new();
        while let Some(sender) = self.senders.join_next().await {
            refused.extend(sender.expect("a sender"));
        }
        refused
    }
}
