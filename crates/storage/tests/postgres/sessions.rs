//! Sessions that cannot work any more, and those that cannot work at all.

use storage::{Client, Database, Error};

use crate::Fixture;

async fn pid(client: &Client) -> i32 {
    client.query_one("SELECT pg_backend_pid()", &[]).await.expect("an answer").get(0)
}

/// A session that has a plan. Held, for any test in this process may make the pool suspect it.
async fn used(fixture: &Fixture, database: &Database) -> Client {
    fixture.execute("CREATE TABLE IF NOT EXISTS t (id int, name text); TRUNCATE t").await;
    let client = database.client().await.expect("a connection");
    read(&client).await.expect("an answer");
    client
}

async fn read(client: &Client) -> Result<(), Error> {
    let statement = client.prepare_cached("SELECT name FROM t").await?;
    client.query(&statement, &[]).await?;
    Ok(())
}

async fn write(database: &Database) -> Result<(), Error> {
    database
        .transaction(|tx| {
            Box::pin(async move {
                let statement = tx.prepare_cached("SELECT name FROM t").await?;
                tx.query(&statement, &[]).await?;
                let statement = tx.prepare_cached("INSERT INTO t (id) VALUES (1)").await?;
                tx.execute(&statement, &[]).await?;
                Ok(())
            })
        })
        .await
}

/// What spoils a session, and whether that takes a statement of its own.
const SPOILERS: [(&str, &str); 3] = [
    ("25006", "SET default_transaction_read_only = on"),
    ("0A000", "ALTER TABLE t ALTER COLUMN name TYPE varchar(200)"),
    ("26000", "DEALLOCATE ALL"),
];

#[tokio::test]
async fn a_transaction_in_a_spoiled_session_is_repeated_in_another() {
    for (code, spoil) in SPOILERS {
        let fixture = Fixture::new();
        let database = Database::connect(fixture.server.url(), "storage-test", 1).unwrap();
        let client = used(&fixture, &database).await;
        let before = pid(&client).await;
        client.batch_execute(spoil).await.unwrap();
        drop(client);
        write(&database).await.unwrap_or_else(|error| panic!("{code}: {error}"));
        assert_eq!(fixture.count("SELECT count(*) FROM t").await, 1, "{code}: once");
        assert_ne!(pid(&database.client().await.unwrap()).await, before, "{code}");
    }
}

#[tokio::test]
async fn a_single_statement_fails_once_and_the_next_attempt_has_another_session() {
    for (code, spoil) in SPOILERS {
        let fixture = Fixture::new();
        let database = Database::connect(fixture.server.url(), "storage-test", 2).unwrap();
        let client = used(&fixture, &database).await;
        let before = pid(&client).await;
        client.batch_execute(spoil).await.unwrap();
        let failed = async {
            read(&client).await?;
            Ok::<_, Error>(client.batch_execute("INSERT INTO t (id) VALUES (1)").await?)
        };
        let error = failed.await.unwrap_err();
        assert_eq!(error.code().map(tokio_postgres::error::SqlState::code), Some(code), "{error}");
        assert!(error.is_outage() && !error.is_misconfigured(), "{error}");
        drop(client);
        let client = database.client().await.unwrap();
        assert_ne!(pid(&client).await, before, "{code}");
        read(&client).await.unwrap();
        client.batch_execute("INSERT INTO t (id) VALUES (1)").await.unwrap();
    }
}

#[tokio::test]
async fn a_read_only_server_is_an_outage_until_it_takes_writes() {
    let fixture = Fixture::new();
    let database = Database::connect(fixture.server.url(), "storage-test", 2).unwrap();
    // Held, as above.
    let standing = database.client().await.unwrap();
    let name = fixture.server.name();
    fixture.execute(&format!("ALTER DATABASE {name} SET default_transaction_read_only = on")).await;
    // The session that stands does not know yet.
    standing.batch_execute("SET default_transaction_read_only = on").await.unwrap();
    drop(standing);
    for _ in 0..2 {
        let error = database.ping().await.unwrap_err();
        assert!(error.is_outage() && !error.is_misconfigured(), "{error}");
        assert!(error.to_string().contains("read-only"), "{error}");
    }
    // Whoever repairs it may say otherwise.
    let url = format!("{}?options=-c%20default_transaction_read_only%3Doff", fixture.server.url());
    let repairing = Database::connect(&url, "storage-test", 1).unwrap().client().await.unwrap();
    repairing.batch_execute(&format!("ALTER DATABASE {name} RESET ALL")).await.unwrap();
    database.ping().await.unwrap();
}

#[tokio::test]
async fn a_database_that_is_not_utf8_is_refused() {
    let fixture = Fixture::new();
    let latin = format!("{}_latin", fixture.server.name());
    let create =
        format!("CREATE DATABASE {latin} ENCODING 'LATIN1' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'");
    fixture.execute(&create).await;
    let url = fixture.server.url().replace(fixture.server.name(), &latin);
    let error = Database::connect(&url, "storage-test", 1).unwrap().client().await.expect_err("refused");
    assert!(error.is_misconfigured(), "{error}");
    assert!(error.to_string().contains("LATIN1") && error.to_string().contains("UTF8"), "{error}");
    fixture.execute(&format!("DROP DATABASE {latin} WITH (FORCE)")).await;
}

#[tokio::test]
async fn options_of_the_url_hold_but_for_what_statements_rely_on() {
    let fixture = Fixture::new();
    let options =
        "-c%20statement_timeout%3D45000%20-c%20TimeZone%3DAsia/Shanghai%20-c%20client_encoding%3DLATIN1";
    let url = format!("{}?options={options}", fixture.server.url());
    let database = Database::connect(&url, "storage-test", 1).unwrap();
    let client = database.client().await.unwrap();
    for (setting, expected) in
        [("statement_timeout", "45s"), ("timezone", "UTC"), ("client_encoding", "UTF8"), ("jit", "off")]
    {
        let value: String = client.query_one(&format!("SHOW {setting}"), &[]).await.unwrap().get(0);
        assert_eq!(value, expected, "{setting}");
    }
    drop(client);
    assert_eq!(database.checkup(&[]).await.unwrap().differing_settings, [""; 0]);

    let spoiled = database.client().await.unwrap();
    spoiled.batch_execute("SET timezone = 'Asia/Shanghai'; SET jit = on").await.unwrap();
    drop(spoiled);
    let told = database.checkup(&[]).await.unwrap().differing_settings;
    assert_eq!(told, ["TimeZone is Asia/Shanghai, expected UTC", "jit is on, expected off"]);
}
