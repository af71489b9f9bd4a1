//! The examples of one language, with what they need to run.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use devstack::testing::compilers::{self, Compiled};
use devstack::testing::interpreters::{self, Interpreter};
use devstack::testing::{Database, Vhost};
use scenarios::{DEFAULT_MERCHANT, Process, until};
use tempfile::TempDir;
use tokio_postgres::NoTls;

use super::{AMOUNT_MINOR, output, root};

/// Beside the example.
const JAVA_LIBRARIES: [&str; 7] = [
    "amqp-client",
    "jackson-annotations",
    "jackson-core",
    "jackson-databind",
    "postgresql",
    "slf4j-api",
    "slf4j-simple",
];
const GO_LIBRARIES: [&str; 3] =
    ["github.com/rabbitmq/amqp091-go", "github.com/lib/pq", "google.golang.org/protobuf"];
const SCHEMA: &str = "pay/v1/pay_event.proto";

pub(super) struct Example {
    programs: Programs,
    /// The consumer's queue.
    pub(super) queue: &'static str,
    sales: Sales,
    pub(super) orders: Orders,
    folder: TempDir,
}

enum Programs {
    Python(Interpreter),
    Node(Interpreter),
    Java(Compiled),
    Go(Compiled),
}

/// Where the consumer keeps what it has seen.
enum Sales {
    Sqlite(PathBuf),
    Postgres(Database),
}

/// How the example tells and hears of orders.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Orders {
    /// By events, in protobuf and in JSON; bare order numbers are passed over.
    Events,
    /// By their numbers: the publisher sends nothing else, and the consumer takes bare ones, too, and events in JSON.
    Numbers,
}

impl Example {
    /// Makes the classes of the schema as well, as the README says.
    pub(super) fn python() -> Option<Self> {
        let interpreter = interpreters::python(&root().join("deploy/examples/python/requirements.txt"))?;
        let folder = tempfile::tempdir().expect("a temporary directory");
        let mut protoc = interpreter.run(["-m", "grpc_tools.protoc", "-I"]);
        protoc.arg(root().join("proto")).arg("--python_out").arg(folder.path()).arg(SCHEMA);
        let made = protoc.output().expect("python");
        assert!(made.status.success(), "{made:?}");
        Some(Self {
            programs: Programs::Python(interpreter),
            queue: "sales-python.pay.success.queue",
            sales: Sales::Sqlite(folder.path().join("sales.db")),
            orders: Orders::Events,
            folder,
        })
    }

    pub(super) fn node() -> Option<Self> {
        let interpreter = interpreters::node(&root().join("deploy/examples/node/package.json"))?;
        let queue = "sales-node.pay.success.queue";
        Some(Self::with_postgres(Programs::Node(interpreter), queue, Orders::Events))
    }

    pub(super) fn java() -> Option<Self> {
        let compiled = compilers::java(&root().join("deploy/examples/java"), &JAVA_LIBRARIES)?;
        let queue = "sales-java.pay.success.queue";
        Some(Self::with_postgres(Programs::Java(compiled), queue, Orders::Numbers))
    }

    pub(super) fn go() -> Option<Self> {
        let (sources, schemas) = (root().join("deploy/examples/go"), root().join("proto"));
        let compiled = compilers::go(&sources, &GO_LIBRARIES, &schemas, SCHEMA)?;
        let queue = "sales-go.pay.success.queue";
        Some(Self::with_postgres(Programs::Go(compiled), queue, Orders::Events))
    }

    fn with_postgres(programs: Programs, queue: &'static str, orders: Orders) -> Self {
        let folder = tempfile::tempdir().expect("a temporary directory");
        Self { programs, queue, sales: Sales::Postgres(Database::create()), orders, folder }
    }

    /// The order number of this name, such as `P-1`, as the example can read it.
    pub(super) fn order_no(&self, name: &str) -> String {
        match self.orders {
            Orders::Events => name.to_owned(),
            Orders::Numbers => {
                let (letter, number) = name.split_once('-').expect("a letter and a number");
                let letter = u32::from(letter.chars().next().expect("a letter"));
                (letter * 1000 + number.parse::<u32>().expect("a number")).to_string()
            }
        }
    }

    /// As a user who has no other rights than the README lists.
    pub(super) fn consumer(&self, vhost: &Vhost) -> Process {
        let mut command = self.command("consume");
        match (&self.programs, &self.sales) {
            (_, Sales::Sqlite(file)) => command.arg(file).env("PYTHONPATH", self.folder.path()),
            (Programs::Java(_), Sales::Postgres(database)) => {
                command.arg(DEFAULT_MERCHANT).env("JDBC_URL", jdbc_url(database))
            }
            (Programs::Go(_), Sales::Postgres(database)) => {
                command.env("DATABASE_URL", format!("{}?sslmode=disable", database.url()))
            }
            (_, Sales::Postgres(database)) => {
                command.arg(root().join("proto").join(SCHEMA)).env("DATABASE_URL", database.url())
            }
        };
        let ours = r"^(pay\.direct$|sales-)";
        command.env("AMQP_URL", vhost.narrowed([ours, r"^(sales-|amq\.default$)", ours]));
        Process::spawn(&mut command, &self.folder.path().join("consumer.log"))
    }

    /// Runs the publisher to its end, with the rights that the README lists.
    pub(super) async fn publish(&self, vhost: &Vhost, order_no: &str) -> Output {
        let mut command = self.command("publish");
        match self.orders {
            Orders::Events => command.args([DEFAULT_MERCHANT, order_no, &AMOUNT_MINOR.to_string()]),
            Orders::Numbers => command.arg(order_no),
        };
        let direct = r"^pay\.direct$";
        command.env("AMQP_URL", vhost.narrowed([direct, direct, "^$"]));
        output(command).await
    }

    /// A command that runs `publish` or `consume`.
    fn command(&self, name: &str) -> Command {
        let script = |file: &str| root().join("deploy/examples").join(file);
        match &self.programs {
            Programs::Python(python) => python.script(&script(&format!("python/{name}.py"))),
            Programs::Node(node) => node.script(&script(&format!("node/{name}.js"))),
            Programs::Java(compiled) => {
                compiled.program(if name == "publish" { "Publish" } else { "Consume" })
            }
            Programs::Go(compiled) => compiled.program(name),
        }
    }

    /// What the consumer has summed up for the merchant; 0 before it has anything.
    async fn sold(&self) -> i64 {
        let sum = match self.orders {
            Orders::Events => format!(
                "SELECT amount_minor FROM sales WHERE merchant_id = '{DEFAULT_MERCHANT}' AND currency = 'CNY'"
            ),
            Orders::Numbers => format!(
                "SELECT sum(payments) * {AMOUNT_MINOR} AS amount_minor FROM orders WHERE status = 'PAID'"
            ),
        };
        match &self.sales {
            Sales::Sqlite(file) => {
                let Programs::Python(python) = &self.programs else { panic!("SQLite without Python") };
                let code = "import sqlite3, sys; print(*(sqlite3.connect(sys.argv[1]).execute(sys.argv[2]).fetchone() or [0]))";
                let mut command = python.run(["-c", code]);
                command.arg(file).arg(sum);
                let printed = output(command).await.stdout;
                String::from_utf8(printed).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
            }
            Sales::Postgres(database) => {
                let (client, connection) =
                    tokio_postgres::connect(database.url(), NoTls).await.expect("a connection");
                tokio::spawn(connection);
                let sum = format!("SELECT coalesce(sum(amount_minor), 0)::bigint FROM ({sum}) sold");
                client.query_one(&sum, &[]).await.map_or(0, |row| row.get(0))
            }
        }
    }

    pub(super) async fn has_sold(&self, payments: i64) {
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

/// The form that Java's driver knows.
fn jdbc_url(database: &Database) -> String {
    let (user, place) = database.url().trim_start_matches("postgres://").split_once('@').expect("a user");
    format!("jdbc:postgresql://{place}?user={user}")
}
