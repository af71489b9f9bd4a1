//! The examples for Python and Node, run as their README says, against the real pipeline. Where an interpreter or its packages
//! are not to be had, a test says so and is skipped.

mod merchants;
mod shapes;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use devstack::testing::interpreters::{self, Interpreter};
use devstack::testing::{Database, Vhost};
use scenarios::{DEFAULT_MERCHANT, Options, Pipeline, Process, Sandbox, Servers, Shop, until};
use tempfile::TempDir;
use tokio_postgres::NoTls;

use crate::upstream::Publisher;

/// What every payment is over.
const AMOUNT_MINOR: i64 = 1999;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace")
}

/// The examples of one language, with what they need to run.
struct Example {
    interpreter: Interpreter,
    publish: PathBuf,
    consume: PathBuf,
    /// The consumer's queue.
    queue: &'static str,
    sales: Sales,
    folder: TempDir,
}

/// Where the consumer keeps what it has seen.
enum Sales {
    Sqlite(PathBuf),
    Postgres(Database),
}

impl Example {
    /// Makes the classes of the schema as well, as the README says.
    fn python() -> Option<Self> {
        let examples = root().join("deploy/examples/python");
        let interpreter = interpreters::python(&examples.join("requirements.txt"))?;
        let folder = tempfile::tempdir().expect("a temporary directory");
        let mut protoc = interpreter.run(["-m", "grpc_tools.protoc", "-I"]);
        protoc.arg(root().join("proto")).arg("--python_out").arg(folder.path()).arg("pay/v1/pay_event.proto");
        let made = protoc.output().expect("python");
        assert!(made.status.success(), "{made:?}");
        Some(Self {
            interpreter,
            publish: examples.join("publish.py"),
            consume: examples.join("consume.py"),
            queue: "sales-python.pay.success.queue",
            sales: Sales::Sqlite(folder.path().join("sales.db")),
            folder,
        })
    }

    fn node() -> Option<Self> {
        let examples = root().join("deploy/examples/node");
        Some(Self {
            interpreter: interpreters::node(&examples.join("package.json"))?,
            publish: examples.join("publish.js"),
            consume: examples.join("consume.js"),
            queue: "sales-node.pay.success.queue",
            sales: Sales::Postgres(Database::create()),
            folder: tempfile::tempdir().expect("a temporary directory"),
        })
    }

    /// As a user who has no other rights than the README lists.
    fn consumer(&self, vhost: &Vhost) -> Process {
        let mut command = self.interpreter.script(&self.consume);
        match &self.sales {
            Sales::Sqlite(file) => command.arg(file).env("PYTHONPATH", self.folder.path()),
            Sales::Postgres(database) => {
                command.arg(root().join("proto/pay/v1/pay_event.proto")).env("DATABASE_URL", database.url())
            }
        };
        let ours = r"^(pay\.direct$|sales-)";
        command.env("AMQP_URL", vhost.narrowed([ours, r"^(sales-|amq\.default$)", ours]));
        Process::spawn(&mut command, &self.folder.path().join("consumer.log"))
    }

    /// Runs the publisher to its end, with the rights that the README lists.
    async fn publish(&self, vhost: &Vhost, order_no: &str) -> Output {
        let mut command = self.interpreter.script(&self.publish);
        let direct = r"^pay\.direct$";
        command
            .args([DEFAULT_MERCHANT, order_no, &AMOUNT_MINOR.to_string()])
            .env("AMQP_URL", vhost.narrowed([direct, direct, "^$"]));
        output(command).await
    }

    /// What the consumer has summed up for the merchant; 0 before it has anything.
    async fn sold(&self) -> i64 {
        let sum = format!(
            "SELECT amount_minor FROM sales WHERE merchant_id = '{DEFAULT_MERCHANT}' AND currency = 'CNY'"
        );
        match &self.sales {
            Sales::Sqlite(file) => {
                let code = "import sqlite3, sys; print(*(sqlite3.connect(sys.argv[1]).execute(sys.argv[2]).fetchone() or [0]))";
                let mut command = self.interpreter.run(["-c", code]);
                command.arg(file).arg(sum);
                let printed = output(command).await.stdout;
                String::from_utf8(printed).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
            }
            Sales::Postgres(database) => {
                let (client, connection) =
                    tokio_postgres::connect(database.url(), NoTls).await.expect("a connection");
                tokio::spawn(connection);
                let row = client
                    .query_opt(&sum.replace("amount_minor FROM", "amount_minor::bigint FROM"), &[])
                    .await;
                row.ok().flatten().map_or(0, |row| row.get(0))
            }
        }
    }

    async fn has_sold(&self, payments: i64) {
        until(&format!("{payments} payments in {}", self.queue), async || {
            match self.sold().await / AMOUNT_MINOR {
                sold if sold == payments => Ok(()),
                sold => Err(format!("{sold}; log: {}", self.log())),
            }
        })
        .await;
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("consumer.log")).unwrap_or_default()
    }
}

async fn output(mut command: Command) -> Output {
    let run = tokio::task::spawn_blocking(move || command.output());
    run.await.expect("a thread").expect("an interpreter")
}

async fn depth(vhost: &Vhost, queue: &str, expected: u64) {
    until(&format!("{expected} in {queue}"), async || match vhost.queue_depth(queue) {
        Some(depth) if depth == expected => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
}

async fn start(sandbox: &Sandbox) -> (Pipeline, Shop) {
    let pipeline = Pipeline::start(Servers::shared(), Options::default()).await;
    let merchant = pipeline.add_merchant(DEFAULT_MERCHANT, &sandbox.url(DEFAULT_MERCHANT)).await;
    sandbox.register(&merchant);
    let shop = pipeline.shop(&merchant);
    (pipeline, shop)
}

#[tokio::test(flavor = "multi_thread")]
async fn python_publishes_safely_and_consumes_each_event_once() {
    if let Some(example) = Example::python() {
        publishes_safely_and_consumes_each_event_once(example).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn node_publishes_safely_and_consumes_each_event_once() {
    if let Some(example) = Example::node() {
        publishes_safely_and_consumes_each_event_once(example).await;
    }
}

async fn publishes_safely_and_consumes_each_event_once(example: Example) {
    let empty = Vhost::create();
    let nowhere = example.publish(&empty, "U-0").await;
    let said = String::from_utf8_lossy(&nowhere.stderr);
    assert!(!nowhere.status.success() && said.contains("not published"), "{nowhere:?}");

    let sandbox = Sandbox::start().await;
    let (pipeline, shop) = start(&sandbox).await;
    let vhost = pipeline.servers.vhost();
    let mut consumer = example.consumer(vhost);
    depth(vhost, example.queue, 0).await;

    // Payments of the pipeline, in protobuf, and of the example's own publisher, twice.
    shop.pay("P-1", AMOUNT_MINOR).await;
    shop.create_order("U-1", AMOUNT_MINOR).await;
    for _ in 0..2 {
        let published = example.publish(vhost, "U-1").await;
        assert!(published.status.success(), "{published:?}");
    }
    example.has_sold(2).await;
    until("payment of U-1", async || {
        let order = shop.order("U-1").await;
        if order["payment"]["pay_order_no"] == "UP-U-1" { Ok(()) } else { Err(order.to_string()) }
    })
    .await;
    until("webhook about U-1", async || sandbox.received_of("U-1").pop().ok_or("none".to_owned())).await;

    let publisher = Publisher::connect(&pipeline).await;
    shapes::all_are_taken_and_poison_goes_beside(&example, &shop, &publisher).await;
    shop.pay("P-2", AMOUNT_MINOR).await;
    let before = 3 + shapes::EVENTS;
    example.has_sold(before).await;

    // Killed while events come, and away while others do.
    for order in 3..20 {
        if order == 10 {
            scenarios::signal(consumer.pid(), "KILL");
            consumer.ended().await;
        }
        shop.pay(&format!("P-{order}"), AMOUNT_MINOR).await;
    }
    let _again = example.consumer(vhost);
    example.has_sold(before + 17).await;
    depth(vhost, example.queue, 0).await;
    example.has_sold(before + 17).await;
    assert_eq!(publisher.get(&format!("{}.dlq", example.queue)).await, None);
    refuses_nothing(&pipeline).await;
}

/// The doctor sees the bindings, and in none of them a queue that could stop everybody's publishes.
async fn refuses_nothing(pipeline: &Pipeline) {
    let answer = pipeline.payrelay(&["doctor", "--json"]).await;
    for code in ["foreign_queue_refuses", "bindings_unseen"] {
        assert!(answer.code.is_some_and(|code| code < 2) && !answer.stdout.contains(code), "{answer:?}");
    }
}
