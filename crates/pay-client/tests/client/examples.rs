use std::path::PathBuf;
use std::process::Stdio;

use devstack::testing::Database;
use pay_client::{EventType, Publisher};
use tokio::process::{Child, Command};
use tokio_postgres::NoTls;

use crate::support::{Fixture, connected, event, until};

/// A program of `examples`, with this broker.
fn example(name: &str, fixture: &Fixture) -> Command {
    // Cargo puts examples beside the folder of the test programs.
    let tests = std::env::current_exe().unwrap();
    let program: PathBuf = tests.parent().unwrap().with_file_name("examples").join(name);
    assert!(
        program.is_file(),
        "{} is missing: run `cargo build -p pay-client --examples`",
        program.display()
    );
    let mut command = Command::new(program);
    command.env("AMQP_URL", fixture.vhost.amqp_url()).kill_on_drop(true).stdin(Stdio::null());
    command
}

fn subscribe(fixture: &Fixture, database: &Database) -> Child {
    example("subscribe", fixture).env("DATABASE_URL", database.url()).stdout(Stdio::null()).spawn().unwrap()
}

/// Killed in the middle and started again, the subscriber counts each sale once, however often it was published.
#[tokio::test]
async fn the_examples_publish_and_count_each_sale_once() {
    let fixture = Fixture::new().await;
    let database = tokio::task::spawn_blocking(Database::create).await.unwrap();
    let nobody = example("publish", &fixture).args(["m1", "0", "1999"]).output().await.unwrap();
    assert!(!nobody.status.success() && String::from_utf8_lossy(&nobody.stderr).contains("no queue"));

    let mut subscriber = subscribe(&fixture, &database);
    let (sales, connection) = tokio_postgres::connect(database.url(), NoTls).await.unwrap();
    tokio::spawn(connection);
    let sum = "SELECT amount_minor::bigint FROM sales WHERE merchant_id = 'm1' AND currency = 'CNY'";
    let sold = async || sales.query_opt(sum, &[]).await.ok().flatten().map_or(0, |row| row.get::<_, i64>(0));
    // The first one waits for the subscriber's queue.
    let publish = async |order_no: &str| {
        let told = until("a publish", async || {
            let published =
                example("publish", &fixture).args(["m1", order_no, "1999"]).output().await.unwrap();
            published.status.success().then_some(published)
        })
        .await;
        assert!(String::from_utf8_lossy(&told.stdout).starts_with("published "));
    };
    publish("1").await;
    publish("1").await;
    publish("2").await;
    until("two sales", async || (sold().await == 2 * 1999).then_some(())).await;

    let publisher = connected(Publisher::new(fixture.vhost.amqp_url(), "billing").unwrap()).await;
    let more: Vec<_> = (3..=200).map(|order| event(EventType::Success, &order.to_string())).collect();
    assert!(publisher.publish_all(&more).await.iter().all(Result::is_ok));
    subscriber.kill().await.unwrap();
    assert!(publisher.publish_all(&more).await.iter().all(Result::is_ok));
    publish("201").await;
    let _restarted = subscribe(&fixture, &database);
    until("all sales", async || {
        assert!(sold().await <= 201 * 1999, "a sale was counted twice");
        (sold().await == 201 * 1999).then_some(())
    })
    .await;
    until("an empty queue", async || {
        (fixture.vhost.queue_depth("sales.pay.success.queue") == Some(0)).then_some(())
    })
    .await;
    assert_eq!(sold().await, 201 * 1999);
}

/// A value that the table does not take has no SQLSTATE, for the client refuses it: an attempt is counted all the same, or the
/// event would come again for ever.
#[tokio::test]
async fn what_the_database_cannot_hold_is_counted_and_no_outage() {
    let fixture = Fixture::new().await;
    let database = tokio::task::spawn_blocking(Database::create).await.unwrap();
    let (client, connection) = tokio_postgres::connect(database.url(), NoTls).await.unwrap();
    tokio::spawn(connection);
    let other = "CREATE TABLE sales (merchant_id uuid, currency text, amount_minor numeric, PRIMARY KEY (merchant_id, currency))";
    client.batch_execute(other).await.unwrap();
    let _subscriber = subscribe(&fixture, &database);
    let publisher = Publisher::new(fixture.vhost.amqp_url(), "billing").unwrap();
    let event = event(EventType::Success, "1");
    until("a publish", async || publisher.publish(&event).await.ok()).await;
    until("an attempt that was counted", async || {
        let waits = |queue| fixture.vhost.queue_depth(queue).is_some_and(|depth| depth > 0);
        ["pay.retry.5s", "pay.retry.30s"].into_iter().any(waits).then_some(())
    })
    .await;
}
