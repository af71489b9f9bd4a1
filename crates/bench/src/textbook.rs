//! The baseline: the same job as tutorials do it. One transaction for each request, each message published and its confirm
//! awaited before the answer; consumers with one transaction and one acknowledgement for each message; webhooks posted from
//! within the consumer. It keeps to the same order (commit, then tell), verifies and signs as payrelay does, and runs as many
//! of each as keep the machine busy; it has no outbox, no retries, no dead letters and no audit.

mod consumers;
mod server;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use clap::Args;
use devstack::testing::free_port;
use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{Channel, ExchangeKind};
use messaging::{Broker, EXCHANGE};
use serde::{Deserialize, Serialize};
use storage::Database;
use webhooks::Secret;

use crate::book::Book;
use crate::figures::Figures;
use crate::machine::{Machine, connect, own_group};
use crate::measure;
use crate::merchant::Merchants;
use crate::output::progress;
use crate::payments::{CallbackMaker, MERCHANTS, sql};
use crate::plan::{Plan, Span, count};
use crate::process::{Process, program};
use crate::procfs::{Group, Measured};
use crate::seed;
use crate::subject::Subject;

/// More than it does in a second.
const MOST_ACCEPTED_PER_S: f64 = 10_000.0;
const MOST_END_TO_END_PER_S: f64 = 5_000.0;
/// About as many connections to the database as payrelay's services have together.
const DATABASE_CONNECTIONS: usize = 48;
const NAME: &str = "textbook";
const ORDER_QUEUE: &str = "textbook.orders";
const NOTIFY_QUEUE: &str = "textbook.notifications";
const ROUTING_KEY: &str = "textbook.paid";
const PAID_BETWEEN: &str = "SELECT count(*) FROM orders WHERE paid_at >= $1 AND paid_at < $2";
const SCHEMA: &str = include_str!("textbook/schema.sql");

/// How the baseline is run as a program of its own.
#[derive(Debug, Args)]
pub(crate) struct TextbookOptions {
    #[arg(long)]
    http: SocketAddr,
    #[arg(long)]
    database_url: String,
    #[arg(long)]
    amqp_url: String,
    #[arg(long)]
    channel_secret: String,
    /// Without it callbacks are accepted and published, and no more.
    #[arg(long)]
    consumers: bool,
}

/// What is published of a payment.
#[derive(Debug, Serialize, Deserialize)]
struct Paid {
    event_id: uuid::Uuid,
    merchant_id: String,
    order_no: String,
    pay_order_no: String,
    amount_minor: i64,
}

/// The program: serves until it is killed.
pub(crate) async fn run(options: TextbookOptions) -> Result<()> {
    let database = Database::connect(&options.database_url, NAME, DATABASE_CONNECTIONS)?;
    let broker = Broker::new(&options.amqp_url, NAME)?;
    let connection = broker.connect().await?;
    declare(&connection.create_channel().await?).await?;
    if options.consumers {
        consumers::start(&broker, &database).await?;
    }
    let secret: Secret = options.channel_secret.parse().context("--channel-secret")?;
    server::serve(options.http, database, &connection, secret).await
}

async fn declare(channel: &Channel) -> Result<()> {
    let durable = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
    channel.exchange_declare(EXCHANGE.into(), ExchangeKind::Direct, durable, FieldTable::default()).await?;
    for queue in [ORDER_QUEUE, NOTIFY_QUEUE] {
        let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        let mut arguments = FieldTable::default();
        arguments.insert("x-queue-type".into(), lapin::types::AMQPValue::LongString("quorum".into()));
        channel.queue_declare(queue.into(), durable, arguments).await?;
        let (options, arguments) = (QueueBindOptions::default(), FieldTable::default());
        channel.queue_bind(queue.into(), EXCHANGE.into(), ROUTING_KEY.into(), options, arguments).await?;
    }
    Ok(())
}

/// One round of everything.
pub(crate) async fn round(machine: &Machine, plan: &Plan) -> Result<Figures> {
    let mut figures = Figures::default();
    progress("textbook: acceptance");
    let Span { warm, measured } = plan.accept;
    let payments = count(MOST_ACCEPTED_PER_S, warm + measured);
    let textbook = Textbook::start(machine, payments, false).await?;
    let (accepted, _) = measure::accepted_per_second(&textbook.subject, 0..payments, plan.accept).await?;
    figures.set("textbook_accept_per_s", accepted);
    textbook.stop(machine).await?;

    progress("textbook: end to end");
    let Span { warm, measured } = plan.sustained;
    let (full, half) =
        (count(MOST_END_TO_END_PER_S, warm + measured), count(MOST_END_TO_END_PER_S / 2.0, plan.half_load));
    let textbook = Textbook::start(machine, full + half, true).await?;
    let sustained = measure::sustained(&textbook.subject, 0..full, plan.sustained).await?;
    figures.set("textbook_end_to_end_per_s", sustained.per_second);
    for (name, value) in sustained.figures.group("cpu_s_per_10k") {
        figures.set(format!("textbook_cpu_s_per_10k.{name}"), value);
    }
    for name in ["cpu_s_per_10k_in_all", "cpu_bound_per_s", "foreign_busy"] {
        figures.set(format!("textbook_{name}"), sustained.figures.get(name).unwrap_or_default());
    }
    progress("textbook: latencies at half of its load");
    let rate = sustained.per_second / 2.0;
    let range = sustained.next..sustained.next + count(rate, plan.half_load);
    figures.extend(measure::latencies(&textbook.subject, range, rate, "textbook_").await?);
    textbook.subject.book.check()?;
    textbook.stop(machine).await?;
    Ok(figures)
}

/// The running baseline.
struct Textbook {
    subject: Subject,
    process: Process,
    /// The endpoints, for as long as it runs.
    _merchants: Merchants,
}

impl Textbook {
    async fn start(machine: &Machine, payments: usize, consumers: bool) -> Result<Self> {
        let database_url = machine.fresh_database(NAME).await?;
        let amqp_url = machine.fresh_vhost(NAME).await?;
        let book = Arc::new(Book::open(payments));
        let merchants = Merchants::start(Arc::clone(&book)).await?;
        seed(&database_url, payments, &merchants).await?;
        let secret = Secret::generate(*b"the channel of all of the benchs");
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let mut command = Command::new(program("bench")?);
        command.args(["textbook", "--http", &address.to_string()]);
        command.args(["--database-url", &database_url, "--amqp-url", &amqp_url]);
        command.args(["--channel-secret", &secret.expose()]);
        if consumers {
            command.arg("--consumers");
        }
        let log: PathBuf = machine.directory().join("textbook.log");
        let mut process = Process::start(NAME, &mut command, &log)?;
        process.ready(&machine.http, &format!("http://{address}")).await?;
        let mut groups = machine.groups()?;
        groups.push(own_group());
        groups.push(Group { name: NAME, members: vec![Measured::Process(process.pid())] });
        let maker = CallbackMaker { host: address.to_string(), secret };
        let subject = Subject { address, maker, book, database_url, groups, paid_between: PAID_BETWEEN };
        Ok(Self { subject, process, _merchants: merchants })
    }

    async fn stop(self, machine: &Machine) -> Result<()> {
        drop(self.process);
        machine.drop_vhost(NAME).await?;
        machine.drop_database(NAME).await
    }
}

/// Tables, merchants with their secrets, and payments that wait.
async fn seed(database_url: &str, payments: usize, merchants: &Merchants) -> Result<()> {
    let client = connect(database_url).await?;
    client.batch_execute(SCHEMA).await?;
    for merchant in 0..MERCHANTS {
        let secret = Secret::generate([u8::try_from(merchant)?; 32]);
        merchants.register(merchant, secret.verifying_key());
        let insert = "INSERT INTO endpoints (merchant_id, url, secret) VALUES ($1, $2, $3)";
        let id = crate::payments::merchant_name(merchant);
        let inserted =
            client.execute(insert, &[&id, &merchants.url(merchant), &secret.expose().as_str()]).await?;
        ensure!(inserted == 1, "an endpoint was not written");
    }
    let rows = format!(
        "INSERT INTO pay_orders (pay_order_no, merchant_id, order_no, amount_minor)
        SELECT {number}, {merchant}, {order}, {amount} FROM generate_series(0, {last}) AS i;
        INSERT INTO orders (merchant_id, order_no, amount_minor, items)
        SELECT {merchant}, {order}, {amount}, {items} FROM generate_series(0, {last}) AS i",
        number = sql::PAY_ORDER_NO,
        merchant = sql::merchant_id(),
        order = sql::ORDER_NO,
        amount = sql::AMOUNT_MINOR,
        items = seed::ITEMS,
        last = payments - 1,
    );
    client.batch_execute(&rows).await?;
    seed::settle(&client, &["pay_orders", "orders"]).await
}
