//! Schemas beside other releases: newer migrations, changed ones, and what no later migration can alter.

use devstack::testing::Database;
use scenarios::{Answer, Options, Pipeline, Servers, run_program};
use tokio_postgres::NoTls;

const SCHEMAS: [&str; 3] = ["pay", "orders", "notify"];
/// Bodies that the server keeps parsed depend on every column and row type that they use, and so do views: newer servers
/// refuse to alter such a table.
const DEPENDENT: &str = "
SELECT coalesce(string_agg(name, ', '), 'none') FROM (
    SELECT proname AS name, pronamespace AS namespace FROM pg_proc WHERE prosqlbody IS NOT NULL
    UNION ALL SELECT relname, relnamespace FROM pg_class WHERE relkind IN ('v', 'm')
) kept JOIN pg_namespace n ON n.oid = namespace WHERE nspname IN ('pay', 'ledger', 'orders', 'notify')";

async fn migrate(url: &str) -> Answer {
    run_program("payrelay", &["migrate"], &[("PAYRELAY_DATABASE_URL", url)]).await
}

async fn client(url: &str) -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.expect("a connection");
    tokio::spawn(connection);
    client
}

/// A migration of the next release, in every schema.
async fn add_newer(client: &tokio_postgres::Client) {
    for schema in SCHEMAS {
        let newer = format!(
            "INSERT INTO {schema}.schema_history \
             SELECT max(version) + 1, 'newer', max(applied_on), '1' FROM {schema}.schema_history"
        );
        client.batch_execute(&newer).await.expect("a migration");
    }
}

#[tokio::test]
async fn nothing_that_is_migrated_keeps_a_table_from_being_altered() {
    let database = Database::create();
    assert_eq!(migrate(database.url()).await.code, Some(0));
    let client = client(database.url()).await;
    let dependent: String = client.query_one(DEPENDENT, &[]).await.expect("functions and views").get(0);
    assert_eq!(dependent, "none");
}

#[tokio::test(flavor = "multi_thread")]
async fn services_start_beside_newer_migrations_and_never_beside_changed_ones() {
    let mut pipeline = Pipeline::start(Servers::shared(), Options::default()).await;
    let url = pipeline.servers.database_url();
    let client = client(&url).await;
    add_newer(&client).await;
    for service in pipeline.services() {
        assert_eq!(service.terminate().await, Some(0));
        service.start();
    }
    for service in pipeline.services() {
        service.ready().await;
    }
    assert_eq!(migrate(&url).await.code, Some(0));

    for schema in SCHEMAS {
        let changed = format!("UPDATE {schema}.schema_history SET checksum = '1' WHERE version = 1");
        client.batch_execute(&changed).await.expect("a change");
        let answer = migrate(&url).await;
        assert_ne!(answer.code, Some(0), "{answer:?}");
        assert!(answer.stderr.contains(schema) && answer.stderr.contains("V1__"), "{answer:?}");
        client
            .batch_execute(&format!("DELETE FROM {schema}.schema_history WHERE version = 1"))
            .await
            .expect("a change");
        assert_ne!(migrate(&url).await.code, Some(0), "a migration that newer ones have passed over");
        client.batch_execute(&format!("DROP SCHEMA {schema} CASCADE")).await.expect("a new start");
        if schema == "pay" {
            client.batch_execute("DROP SCHEMA ledger CASCADE").await.expect("a new start");
        }
        assert_eq!(migrate(&url).await.code, Some(0));
    }
}
