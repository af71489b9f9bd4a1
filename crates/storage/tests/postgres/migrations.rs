use std::sync::{Arc, Mutex};

use refinery::{Migration, Runner};
use storage::{Database, Error, Preparation};

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

/// What is logged while it lives, by this thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn start(&self) -> tracing::subscriber::DefaultGuard {
        let log = self.clone();
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || log.clone()).finish();
        tracing::subscriber::set_default(subscriber)
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().expect("no writer has panicked")).into_owned()
    }
}

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no writer has panicked").write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn waiting_for_a_lock_is_told_with_its_holder() {
    let fixture = Fixture::new();
    fixture.database.migrate("pay", runner(&[CREATE])).await.unwrap();
    let holder = Database::connect(fixture.server.url(), "who holds it", 1).unwrap();
    let holding = holder.client().await.unwrap();
    let waits: [(&str, &str, &str); 2] = [
        (
            "SELECT pg_advisory_lock(hashtextextended('payrelay.migrate.pay', 0))",
            "SELECT pg_advisory_unlock_all()",
            "the turn to migrate the schema pay",
        ),
        ("BEGIN; LOCK TABLE pay.t", "ROLLBACK", "a migration of the schema pay"),
    ];
    let log = Log::default();
    let _guard = log.start();
    for (number, (lock, free, what)) in waits.into_iter().enumerate() {
        holding.batch_execute(lock).await.unwrap();
        let alter = (format!("V{}__alter", number + 2), format!("ALTER TABLE pay.t ADD a{number} int"));
        let all = [CREATE, ("V2__alter", "ALTER TABLE pay.t ADD a0 int"), (&alter.0, &alter.1)];
        let migrated = fixture.database.migrate("pay", runner(&all[..number + 2]));
        let told = async {
            crate::eventually("it is told", async || {
                let text = log.text();
                text.contains(what) && text.matches("who holds it").count() > number
            })
            .await;
            holding.batch_execute(free).await.unwrap();
        };
        let (migrated, ()) = tokio::join!(migrated, told);
        migrated.unwrap();
    }
}

#[tokio::test]
async fn a_release_starts_beside_newer_migrations_if_its_own_are_unchanged() {
    let fixture = Fixture::new();
    let newer = ("V3__newer", "ALTER TABLE pay.t ADD COLUMN more int");
    fixture.database.migrate("pay", runner(&[CREATE, FILL, newer])).await.unwrap();
    fixture.database.migrate("pay", runner(&[CREATE, FILL])).await.unwrap();
    assert_eq!(fixture.count("SELECT count(*) FROM pay.schema_history").await, 3);

    let edited = ("V2__fill", "INSERT INTO pay.t VALUES (2)");
    let error = fixture.database.migrate("pay", runner(&[CREATE, edited])).await.unwrap_err();
    assert!(matches!(error, Error::Migration { .. }), "{error}");
    assert!(error.to_string().contains("V2__fill"), "{error}");
}

#[tokio::test]
async fn a_migration_that_newer_ones_have_passed_over_is_told() {
    let fixture = Fixture::new();
    let newer = ("V3__newer", "INSERT INTO pay.t VALUES (3)");
    fixture.database.migrate("pay", runner(&[CREATE, newer])).await.unwrap();
    for own in [&[CREATE, FILL][..], &[CREATE, FILL, newer]] {
        let error = fixture.database.migrate("pay", runner(own)).await.unwrap_err();
        assert!(matches!(error, Error::Migration { .. }), "{error}");
    }
    assert_eq!(fixture.count("SELECT count(*) FROM pay.t WHERE id = 1").await, 0);
}

#[tokio::test]
async fn a_preparation_runs_before_its_migration_and_never_after() {
    let fixture = Fixture::new();
    let prepared = [Preparation { before: 2, sql: "INSERT INTO pay.t VALUES (7)" }];
    let seven = "SELECT count(*) FROM pay.t WHERE id = 7";
    let migrate = async |migrations: &[_]| {
        fixture.database.migrate_prepared("pay", runner(migrations), &prepared).await.unwrap();
    };
    migrate(&[CREATE, ("V2__needs_it", "DELETE FROM pay.t WHERE id = 7; INSERT INTO pay.t VALUES (1)")])
        .await;
    assert_eq!((fixture.count(seven).await, fixture.count("SELECT count(*) FROM pay.t").await), (0, 1));
    migrate(&[CREATE, ("V2__needs_it", "DELETE FROM pay.t WHERE id = 7; INSERT INTO pay.t VALUES (1)")])
        .await;
    assert_eq!(fixture.count(seven).await, 0, "its migration is applied");

    let older = Fixture::new();
    older.database.migrate("pay", runner(&[CREATE])).await.unwrap();
    older.database.migrate_prepared("pay", runner(&[CREATE, FILL]), &prepared).await.unwrap();
    assert_eq!(older.count(seven).await, 1, "a database that stands before it is prepared as well");
}

#[tokio::test]
async fn without_a_server_it_is_an_outage() {
    let away = Database::connect("postgres://pay@127.0.0.1:1/pay", "storage-test", 1).unwrap();
    let error = away.migrate("pay", runner(&[CREATE])).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable(_)), "{error}");
}
