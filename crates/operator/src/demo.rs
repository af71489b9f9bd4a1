//! `payrelay demo`: drives payments through the whole pipeline, disturbs it in every way that it must bear, and compares
//! what callers were told with what orders and merchants got.

mod checker;
mod drive;
mod plan;
mod sandbox;
mod summary;

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::Context;
use clap::Args;
use devstack::{Stack, StackOptions};
use events::MerchantId;
use futures_util::{StreamExt, TryStreamExt, stream};
use lapin::{BasicProperties, Confirmation, options::BasicPublishOptions, options::ConfirmSelectOptions};
use serde_json::Value;
use tokio::{sync::Notify, task::spawn_blocking, time::sleep};
use webhooks::VerifyingKey;

use self::{
    checker::Findings,
    drive::{Driver, Payment},
    plan::{MERCHANTS, PaymentPlan},
    sandbox::Sandbox,
    summary::Summary,
};
use crate::{
    admin::{Admin, http_client},
    commands::{
        audit,
        merchant::{self, AddMerchant, EndpointOptions},
    },
    failure::{CommandResult, Failure},
    output,
    pipeline::{Pipeline, Settings},
};

/// How many payments are made at once.
const CONCURRENCY: usize = 32;
/// How long the pipeline may go without any progress after the last payment.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(90);
/// How often progress is shown, and how often it is asked whether all has settled.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(1);
/// One message that cannot be decoded is parked by both consumers; one order that nobody knows by the order service.
const EXPECTED_PARKED: usize = 3;

/// How much to do.
#[derive(Debug, Args)]
pub(crate) struct DemoOptions {
    /// How many payments to make.
    #[arg(long, default_value_t = 2000, value_parser = clap::value_parser!(u32).range(100..=100_000))]
    payments: u32,
}

/// Runs the demo; it ends well only if nothing was lost or doubled.
pub(crate) async fn run(options: DemoOptions, json: bool) -> CommandResult {
    service::telemetry::init_from_env("off").map_err(|error| Failure::Usage(error.to_string()))?;
    output::progress("starting private PostgreSQL and RabbitMQ ...");
    let stack =
        spawn_blocking(|| Stack::start(&StackOptions::default())).await.map_err(anyhow::Error::from)?;
    let stack = Arc::new(stack.map_err(anyhow::Error::from)?);
    output::progress("starting ingress, order-service and merchant-notifier ...");
    let settings = Settings {
        is_private_database: true,
        is_private_broker: true,
        database_url: stack.postgres().database_url().into(),
        amqp_url: stack.rabbitmq().amqp_url().into(),
        management_url: Some(stack.rabbitmq().management_url().into()),
        retry_delays: Some("1s,2s,3s".to_owned()),
        notify_ladder: Some("500ms,1s,1s,2s,2s,3s,3s,5s,5s,10s".to_owned()),
        ..Settings::default()
    };
    let pipeline = Box::pin(Pipeline::start(&settings)).await?;
    let summary = tokio::select! {
        summary = play(&stack, &pipeline, options.payments as usize) => summary?,
        _ = tokio::signal::ctrl_c() => return Err(Failure::Findings("interrupted".to_owned())),
    };
    pipeline.stop().await?;
    summary.print(json)?;
    summary.verdict()
}

async fn play(stack: &Arc<Stack>, pipeline: &Pipeline, payments: usize) -> Result<Summary, Failure> {
    let started = Instant::now();
    let admin = pipeline.admin()?;
    let sandbox = Sandbox::start().await?;
    let api_keys = add_merchants(&admin, &sandbox).await?;
    let driver = Driver {
        http: http_client(Duration::from_secs(15))?,
        ingress_url: pipeline.ingress_url.clone(),
        order_service_url: pipeline.order_service_url.clone(),
        order_api_token: pipeline.order_api_token.clone(),
        account: pipeline.standard_account.to_string(),
        secret: pipeline.standard_secret.clone(),
    };
    let payments = drive(stack, &driver, &sandbox, &api_keys, payments).await?;
    let findings = settle(&admin, &driver, &sandbox, &payments).await?;
    let contradictions: Vec<Value> =
        admin.ingress.get("/admin/contradictions", &[("limit", "1000".to_owned())]).await?;
    Ok(Summary {
        findings,
        payments,
        parked: parked(&admin).await?,
        contradictions: contradictions.len(),
        audit_gaps: audit::strict(&admin).await?.open(),
        refused_while_down: sandbox.refused_while_down(),
        repeated_webhooks: sandbox.repeated(),
        forged_webhooks: sandbox.forged(),
        took: started.elapsed(),
    })
}

async fn add_merchants(admin: &Admin, sandbox: &Sandbox) -> Result<HashMap<&'static str, String>, Failure> {
    let mut api_keys = HashMap::new();
    for plan in MERCHANTS {
        let merchant = AddMerchant {
            merchant_id: MerchantId::parse(plan.id).map_err(anyhow::Error::from)?,
            name: None,
            endpoint: EndpointOptions {
                webhook_url: Some(sandbox.url(plan.id)),
                ..EndpointOptions::default()
            },
        };
        let merchant = merchant::add(admin, &merchant).await?;
        let secret = merchant.webhook_secret.context("a new merchant without a webhook secret")?;
        sandbox.register(plan.id, secret.parse::<VerifyingKey>().map_err(anyhow::Error::from)?);
        api_keys.insert(plan.id, merchant.api_key.context("a new merchant without an API key")?);
    }
    Ok(api_keys)
}

/// Makes all payments; in the middle RabbitMQ is killed and started again, and the merchant that was down recovers.
async fn drive(
    stack: &Arc<Stack>,
    driver: &Driver,
    sandbox: &Sandbox,
    api_keys: &HashMap<&'static str, String>,
    payments: usize,
) -> anyhow::Result<Vec<Payment>> {
    let plans = PaymentPlan::all(payments);
    let (total, done, halfway) = (plans.len(), AtomicUsize::new(0), Notify::new());
    let make_one = async |plan: PaymentPlan| {
        let payment = driver.pay(plan, &api_keys[plan.merchant.id]).await?;
        if done.fetch_add(1, Ordering::Relaxed) == total / 2 {
            halfway.notify_one();
        }
        anyhow::Ok(payment)
    };
    let make =
        stream::iter(plans.into_iter().map(make_one)).buffer_unordered(CONCURRENCY).try_collect::<Vec<_>>();
    let disturb = async {
        halfway.notified().await;
        // Not earlier: only then all queues surely stand, and each consumer gets its copy.
        publish_poison(&stack.rabbitmq().amqp_url()).await?;
        sandbox.recover();
        output::progress("killing RabbitMQ ...");
        let stack = stack.clone();
        spawn_blocking(move || stack.rabbitmq().kill().and_then(|()| stack.rabbitmq().start())).await??;
        output::progress("RabbitMQ is back");
        anyhow::Ok(())
    };
    let show = async {
        loop {
            sleep(PROGRESS_INTERVAL).await;
            output::progress(format!("{} of {total} payments made", done.load(Ordering::Relaxed)));
        }
    };
    tokio::select! {
        both = async { tokio::try_join!(make, disturb) } => Ok(both?.0),
        never = show => never,
    }
}

/// A message that nobody can decode, straight to the exchange, confirmed.
async fn publish_poison(amqp_url: &str) -> anyhow::Result<()> {
    let connection = messaging::Broker::new(amqp_url, "payrelay demo")?.connect().await?;
    let channel = connection.create_channel().await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    let properties =
        BasicProperties::default().with_content_type("application/protobuf".into()).with_delivery_mode(2);
    let mandatory = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    let confirm = channel
        .basic_publish(messaging::EXCHANGE.into(), "pay.success".into(), mandatory, b"poison", properties)
        .await?
        .await?;
    // A message that was returned is acknowledged, too, and carried by its confirm.
    anyhow::ensure!(confirm == Confirmation::Ack(None), "the poison message was not taken: {confirm:?}");
    Ok(())
}

/// Compares again and again until nothing is missing any more, or time is up.
async fn settle(
    admin: &Admin,
    driver: &Driver,
    sandbox: &Sandbox,
    payments: &[Payment],
) -> Result<Findings, Failure> {
    let mut deadline = Instant::now() + SETTLE_TIMEOUT;
    let mut fewest_missing = usize::MAX;
    loop {
        let findings = checker::check(driver, sandbox, payments).await?;
        let parked: usize = parked(admin).await?.values().sum();
        if findings.lost.len() < fewest_missing {
            fewest_missing = findings.lost.len();
            deadline = Instant::now() + SETTLE_TIMEOUT;
        }
        if (findings.lost.is_empty() && parked >= EXPECTED_PARKED) || Instant::now() > deadline {
            return Ok(findings);
        }
        output::progress(format!(
            "settling: {} of {} payments are not everywhere yet, {parked} messages parked",
            findings.lost.len(),
            findings.paid
        ));
        sleep(PROGRESS_INTERVAL).await;
    }
}

/// How many messages each consumer has parked, by reason.
async fn parked(admin: &Admin) -> Result<HashMap<String, usize>, Failure> {
    let mut reasons = HashMap::new();
    for client in [&admin.order_service, &admin.notifier] {
        let parked: Vec<Value> = client.get("/admin/parked", &[("limit", "1000".to_owned())]).await?;
        for message in parked {
            *reasons.entry(message["reason"].as_str().unwrap_or("?").to_owned()).or_default() += 1;
        }
    }
    Ok(reasons)
}
