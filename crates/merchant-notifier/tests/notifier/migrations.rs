//! The schema from each state in which a database of an earlier release may be, on every supported server.

use merchant_notifier::store::{self, SCHEMA};
use refinery::{Migration, Runner, Target};
use storage::Database;

mod embedded {
    refinery::embed_migrations!("migrations");
}

/// The function as V1 wrote it: its body depends on the row type of the table.
const DEPENDENT: &str = "
CREATE OR REPLACE FUNCTION notify.hold_reason(endpoint notify.endpoints, own_url text) RETURNS text
    LANGUAGE sql IMMUTABLE
    RETURN CASE WHEN NOT endpoint.enabled THEN 'endpoint_disabled'
                WHEN coalesce(own_url, endpoint.url) IS NULL THEN 'no_endpoint' END";
/// A body that is kept as text depends on nothing.
const INDEPENDENT: &str = "
CREATE OR REPLACE FUNCTION notify.hold_reason(endpoint notify.endpoints, own_url text) RETURNS text
    LANGUAGE sql IMMUTABLE AS $$ SELECT 'before' $$";
const DEPENDENT_FUNCTIONS: &str = "
SELECT count(*) FROM pg_proc WHERE pronamespace = 'notify'::regnamespace AND prosqlbody IS NOT NULL";
const ENDPOINTS: &str = "
INSERT INTO notify.endpoints (merchant_id, url, enabled, secret)
VALUES ('off', 'http://m', false, ''), ('nowhere', NULL, true, ''), ('on', 'http://m', true, '')";
const HELD: &str = "
SELECT string_agg(coalesce(notify.hold_reason(e, NULL), 'sent'), ' ' ORDER BY merchant_id DESC) FROM notify.endpoints e";

struct Server {
    database: Database,
    _server: devstack::testing::Database,
}

impl Server {
    /// A new database with the migrations up to `version`.
    async fn at(version: i32) -> Self {
        let server = tokio::task::spawn_blocking(devstack::testing::Database::create).await.unwrap();
        let database = Database::connect(server.url(), "test", 4).unwrap();
        let earlier = Runner::new(embedded::migrations::runner().get_migrations());
        database.migrate(SCHEMA, earlier.set_target(Target::Version(version))).await.unwrap();
        Self { database, _server: server }
    }

    async fn execute(&self, statement: &str) {
        self.database.client().await.unwrap().batch_execute(statement).await.unwrap();
    }

    /// Migrates as the service does, and looks at what the function says.
    async fn arrives(&self) {
        store::migrate(&self.database).await.unwrap();
        let client = self.database.client().await.unwrap();
        let dependent: i64 = client.query_one(DEPENDENT_FUNCTIONS, &[]).await.unwrap().get(0);
        assert_eq!(dependent, 0, "functions whose bodies depend on tables");
        let newest = embedded::migrations::runner().get_migrations().iter().map(Migration::version).max();
        let reached = "SELECT max(version) FROM notify.schema_history";
        assert_eq!(client.query_one(reached, &[]).await.unwrap().get::<_, Option<i32>>(0), newest);
        client.batch_execute(ENDPOINTS).await.unwrap();
        let held: String = client.query_one(HELD, &[]).await.unwrap().get(0);
        assert_eq!(held, "sent endpoint_disabled no_endpoint");
    }
}

#[tokio::test]
async fn a_new_database_gets_every_migration() {
    Server::at(0).await.arrives().await;
}

#[tokio::test]
async fn a_database_in_which_the_formats_were_refused_gets_the_rest() {
    for version in 1..=4 {
        Server::at(version).await.arrives().await;
    }
}

#[tokio::test]
async fn a_database_with_the_formats_gets_an_independent_function() {
    let server = Server::at(4).await;
    // As an older server took them: there V5 came to a table with a function that depends on it.
    server.execute(INDEPENDENT).await;
    let formats = Runner::new(embedded::migrations::runner().get_migrations());
    server.database.migrate(SCHEMA, formats.set_target(Target::Version(5))).await.unwrap();
    server.execute(DEPENDENT).await;
    server.arrives().await;
}
