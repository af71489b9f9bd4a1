use refinery::{Migration, Runner};
use storage::{Database, Error};

use crate::Fixture;

const CREATE: (&str, &str) = ("V1__create", "CREATE TABLE \"pay\".t (id int)");
const FILL: (&str, &str) = ("V2__fill", "INSERT INTO pay.t VALUES (1)");

fn runner(migrations: &[(&str, &str)]) -> Runner {
    let migrations: Vec<_> =
        migrations.iter().map(|(name, sql)| Migration::unapplied(name, sql).expect("a valid name")).collect();
    Runner::new(&migrations)
}

#[tokio::test]
async fn a_second_run_applies_only_what_is_new() {
    let fixture = Fixture::new();
    fixture.database.migrate("pay", runner(&[CREATE])).await.unwrap();
    fixture.database.migrate("pay", runner(&[CREATE])).await.unwrap();
    fixture.database.migrate("pay", runner(&[CREATE, FILL])).await.unwrap();
    assert_eq!(fixture.count("SELECT count(*) FROM pay.t").await, 1);
    assert_eq!(fixture.count("SELECT count(*) FROM pay.schema_history").await, 2);
}

#[tokio::test]
async fn replicas_that_start_together_migrate_once() {
    let fixture = Fixture::new();
    let slow = ("V3__slow", "SELECT pg_sleep(0.2)");
    let replicas = (0..4).map(|_| {
        let replica = Database::connect(fixture.server.url(), "replica", 1).expect("a valid URL");
        tokio::spawn(async move { replica.migrate("pay", runner(&[CREATE, FILL, slow])).await })
    });
    for replica in replicas.collect::<Vec<_>>() {
        replica.await.unwrap().unwrap();
    }
    assert_eq!(fixture.count("SELECT count(*) FROM pay.t").await, 1);
}

#[tokio::test]
async fn schemas_keep_histories_of_their_own() {
    let fixture = Fixture::new();
    fixture.database.migrate("pay", runner(&[CREATE])).await.unwrap();
    fixture
        .database
        .migrate("orders", runner(&[("V1__create", "CREATE TABLE orders.t (id int)")]))
        .await
        .unwrap();
    assert_eq!(fixture.count("SELECT count(*) FROM orders.schema_history").await, 1);
}

#[tokio::test]
async fn a_broken_or_edited_migration_is_told_and_leaves_nothing_behind() {
    let fixture = Fixture::new();
    let broken = ("V1__create", "CREATE TABLE pay.t (id int); SELECT * FROM no_such_table");
    let error = fixture.database.migrate("pay", runner(&[broken])).await.unwrap_err();
    assert!(matches!(&error, Error::Migration { schema, .. } if schema == "pay"), "{error}");
    assert!(error.to_string().contains("no_such_table") && !error.is_outage(), "{error}");

    fixture.database.migrate("pay", runner(&[CREATE])).await.unwrap();
    let edited = ("V1__create", "CREATE TABLE pay.t (id bigint)");
    let error = fixture.database.migrate("pay", runner(&[edited])).await.unwrap_err();
    assert!(matches!(error, Error::Migration { .. }), "{error}");
}

#[tokio::test]
async fn without_a_server_it_is_an_outage() {
    let away = Database::connect("postgres://pay@127.0.0.1:1/pay", "storage-test", 1).unwrap();
    let error = away.migrate("pay", runner(&[CREATE])).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable(_)), "{error}");
}
