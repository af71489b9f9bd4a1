//! PostgreSQL alone: every row that a payment writes in its life, in the services' own tables, in batches of 200 over a few
//! connections. Nothing is read.

mod rows;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures_util::try_join;
use tokio::task::JoinSet;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Statement, Transaction};

use super::{Cost, Extent, Meter};
use crate::machine::{Machine, connect};
use crate::process::program;
use crate::seed;
use rows::Rows;

const DATABASE: &str = "limits";
const BATCH: usize = 200;
const CONNECTIONS: usize = 4;
/// So many are made ready for each second; when they are used up, the measurement ends.
const fn ready_per_s(extent: Extent) -> usize {
    match extent {
        Extent::Whole => 40_000,
        Extent::Accepted => 100_000,
    }
}

/// One partition for all days: rows of today and of tomorrow, if the bench runs over midnight.
const PARTITIONS: [&str; 5] =
    ["pay.callbacks", "pay.events", "orders.handled", "notify.attempts", "notify.handled"];

/// The statements of a connection, in the order of a payment's life.
struct Statements {
    callbacks: Statement,
    pay_orders: Statement,
    events: Statement,
    outbox: Statement,
    publish: Statement,
    orders: Statement,
    sub_orders: Statement,
    order_handled: Statement,
    notifications: Statement,
    notify_handled: Statement,
    deliver: Statement,
    attempts: Statement,
}

/// Writes for `duration`.
pub(super) async fn measure(machine: &Machine, extent: Extent, duration: Duration) -> Result<Cost> {
    let payments = ready_per_s(extent) * usize::try_from(duration.as_secs().max(1))?;
    let url = machine.fresh_database(DATABASE).await?;
    prepare(&url, extent, payments).await?;
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        let client = connect(&url).await?;
        let statements = Statements::prepare(&client).await?;
        connections.push((client, statements));
    }
    let next = Arc::new(AtomicUsize::new(0));
    let meter = Meter::start(machine.groups()?, "postgresql")?;
    let deadline = Instant::now() + duration;
    let mut writers = JoinSet::new();
    for (mut client, statements) in connections {
        let next = Arc::clone(&next);
        writers.spawn(async move {
            while Instant::now() < deadline {
                let first = next.fetch_add(BATCH, Ordering::Relaxed);
                if first + BATCH > payments {
                    break;
                }
                statements.live(&mut client, extent, &Rows::of(first..first + BATCH)).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(ended) = writers.join_next().await {
        ended.context("a writer panicked")??;
    }
    let cost = meter.stop(next.load(Ordering::Relaxed).min(payments))?;
    machine.drop_database(DATABASE).await?;
    Ok(cost)
}

/// The services' own tables, and the rows that are there before a payment.
async fn prepare(url: &str, extent: Extent, payments: usize) -> Result<()> {
    let mut migrate = tokio::process::Command::new(program("payrelay")?);
    let output = migrate.arg("migrate").env("PAYRELAY_DATABASE_URL", url).output().await?;
    ensure!(output.status.success(), "migrate: {}", String::from_utf8_lossy(&output.stderr));
    let client = connect(url).await?;
    for table in PARTITIONS {
        client.batch_execute(&format!("CREATE TABLE {table}_all PARTITION OF {table} DEFAULT")).await?;
    }
    seed::pay_orders(&client, &(0..payments)).await?;
    if extent == Extent::Whole {
        seed::orders(&client, &(0..payments)).await?;
    }
    seed::settle(&client, &["pay.pay_orders", "orders.orders"]).await
}

impl Statements {
    async fn prepare(client: &Client) -> Result<Self> {
        let prepare = |sql| client.prepare(sql);
        Ok(Self {
            callbacks: prepare(rows::CALLBACKS).await?,
            pay_orders: prepare(rows::PAY_ORDERS).await?,
            events: prepare(rows::EVENTS).await?,
            outbox: prepare(rows::OUTBOX).await?,
            publish: prepare(rows::PUBLISH).await?,
            orders: prepare(rows::ORDERS).await?,
            sub_orders: prepare(rows::SUB_ORDERS).await?,
            order_handled: prepare(rows::ORDER_HANDLED).await?,
            notifications: prepare(rows::NOTIFICATIONS).await?,
            notify_handled: prepare(rows::NOTIFY_HANDLED).await?,
            deliver: prepare(rows::DELIVER).await?,
            attempts: prepare(rows::ATTEMPTS).await?,
        })
    }

    /// The lives of a batch of payments, one transaction for each of their stages, its statements travelling together.
    async fn live(&self, client: &mut Client, extent: Extent, rows: &Rows) -> Result<()> {
        let tx = client.transaction().await?;
        let (.., pending) = try_join!(
            write(&tx, &self.callbacks, rows.callbacks()),
            write(&tx, &self.pay_orders, rows.pay_orders()),
            write(&tx, &self.events, rows.events()),
            outbox(&tx, &self.outbox, rows),
        )?;
        tx.commit().await?;

        client.execute(&self.publish, &[&pending]).await?;
        if extent == Extent::Accepted {
            return Ok(());
        }

        let tx = client.transaction().await?;
        try_join!(
            write(&tx, &self.orders, rows.orders()),
            write(&tx, &self.sub_orders, rows.sub_orders()),
            write(&tx, &self.order_handled, rows.handled()),
        )?;
        tx.commit().await?;

        let tx = client.transaction().await?;
        try_join!(
            write(&tx, &self.notifications, rows.notifications()),
            write(&tx, &self.notify_handled, rows.handled()),
        )?;
        tx.commit().await?;

        let tx = client.transaction().await?;
        try_join!(write(&tx, &self.deliver, rows.ids()), write(&tx, &self.attempts, rows.ids()))?;
        tx.commit().await?;
        Ok(())
    }
}

async fn write<const N: usize>(
    tx: &Transaction<'_>,
    statement: &Statement,
    columns: [&(dyn ToSql + Sync); N],
) -> Result<(), tokio_postgres::Error> {
    tx.execute(statement, &columns).await.map(drop)
}

/// The ids of the rows of the outbox.
async fn outbox(
    tx: &Transaction<'_>,
    statement: &Statement,
    rows: &Rows,
) -> Result<Vec<i64>, tokio_postgres::Error> {
    tx.query(statement, &rows.outbox()).await?.iter().map(|row| row.try_get(0)).collect()
}
