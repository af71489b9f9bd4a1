//! What is seen in the end: orders, pay orders, webhooks, dead letters.

use std::collections::{BTreeMap, HashMap};

use anyhow::{Context, Result, bail, ensure};
use futures_util::{StreamExt, TryStreamExt, stream};
use reqwest::{RequestBuilder, StatusCode};
use scenarios::{ORDER_API_TOKEN, Received};
use serde_json::Value;

use crate::caller::{Patience, Reply, ask};
use crate::history::{
    Evidence, History, Payment, Seen, SeenDeadLetter, SeenOrder, SeenPayOrder, SeenWebhook, Source,
};
use crate::world::World;

/// How many orders are fetched at once.
const FETCHES: usize = 16;
/// The most that `payrelay dlq show` shows: of one queue and reason, more than half an hour provokes.
const MOST_DEAD_LETTERS: usize = 1_000;

/// Everything that is to be seen.
pub(crate) async fn collect(world: &World, history: &History) -> Result<Evidence> {
    let orders = look(world, history.payments.iter()).await?;
    let dead_letters = dead_letters(world).await?;
    Ok(Evidence { orders, dead_letters, forged: world.sandbox.refused() })
}

/// What is to be seen of these payments, and of orders that merchants were told of and that are nobody's.
pub(crate) async fn look(
    world: &World,
    payments: impl Iterator<Item = &Payment>,
) -> Result<BTreeMap<String, Seen>> {
    let mut told: HashMap<String, Vec<SeenWebhook>> = HashMap::new();
    for received in world.sandbox.verified() {
        told.entry(received.order_no().to_owned()).or_default().push(webhook(&received));
    }
    let books = stream::iter(payments.map(|payment| fetch(world, payment))).buffered(FETCHES);
    let mut orders: BTreeMap<_, _> = books.try_collect::<Vec<_>>().await?.into_iter().collect();
    for (order_no, webhooks) in told {
        orders.entry(order_no).or_default().webhooks = webhooks;
    }
    Ok(orders)
}

async fn fetch(world: &World, payment: &Payment) -> Result<(String, Seen)> {
    let shop = world.shop(&payment.merchant_id);
    let path = format!("/v1/orders/{}/{}", payment.merchant_id, payment.order_no);
    let order = get(|| shop.http.get(shop.order_service(&path)).bearer_auth(ORDER_API_TOKEN)).await?;
    let pay_order = match (&payment.pay_order_no, payment.source) {
        (Some(number), Source::Channel) => {
            let path = format!("/v1/pay-orders/{number}");
            get(|| shop.http.get(shop.ingress(&path)).bearer_auth(&shop.merchant.api_key)).await?
        }
        _ => None,
    };
    let seen = Seen {
        order: order.as_ref().map(seen_order),
        pay_order: pay_order.map(|shown| SeenPayOrder {
            status: text(&shown["status"]),
            refunded_minor: shown["refunded_minor"].as_i64().unwrap_or_default(),
        }),
        webhooks: Vec::new(),
    };
    Ok((payment.order_no.clone(), seen))
}

/// `None` where it is not there.
async fn get(request: impl Fn() -> RequestBuilder) -> Result<Option<Value>> {
    match ask(Patience::LONG, request).await {
        Reply::Done(body) => Ok(Some(body)),
        Reply::Refused(StatusCode::NOT_FOUND, _) => Ok(None),
        other => bail!("looking at what was paid: {other:?}"),
    }
}

fn seen_order(order: &Value) -> SeenOrder {
    let parts = order["sub_orders"].as_array().into_iter().flatten();
    SeenOrder {
        status: text(&order["status"]),
        refunded_minor: order["refunded_minor"].as_i64().unwrap_or_default(),
        paid_by: order["payment"]["pay_order_no"].as_str().map(str::to_owned),
        split_minor: parts.map(|part| part["amount_minor"].as_i64().unwrap_or_default()).collect(),
    }
}

fn webhook(received: &Received) -> SeenWebhook {
    let data = &received.body["data"];
    let number = |name: &str| data[name].as_i64().unwrap_or_default();
    SeenWebhook {
        id: received.webhook_id.clone(),
        pay_order_no: text(&data["pay_order_no"]),
        event_type: received.event_type().to_owned(),
        refunded_minor: number("refunded_minor"),
        amount_minor: number("amount_minor"),
        version: number("version"),
        is_acknowledged: received.is_acknowledged(),
        at: received.at,
    }
}

/// All dead letters of all queues.
pub(crate) async fn dead_letters(world: &World) -> Result<Vec<SeenDeadLetter>> {
    let queues = world.payrelay_json(&["dlq", "list"]).await?;
    let mut letters = Vec::new();
    for queue in queues.as_array().context("a list of dead-letter queues")? {
        let name = text(&queue["queue"]);
        for reason in queue["reasons"].as_object().into_iter().flatten().map(|(reason, _)| reason) {
            let limit = MOST_DEAD_LETTERS.to_string();
            let show = ["dlq", "show", &name, "--reason", reason, "--limit", &limit];
            let shown = world.payrelay_json(&show).await?;
            let shown = shown.as_array().context("a list of dead letters")?;
            ensure!(
                shown.len() < MOST_DEAD_LETTERS,
                "{name} holds too many dead letters to look at all: {reason}"
            );
            letters.extend(shown.iter().map(|letter| SeenDeadLetter {
                queue: name.clone(),
                message_id: text(&letter["properties"]["message_id"]),
                reason: reason.clone(),
            }));
        }
    }
    Ok(letters)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
