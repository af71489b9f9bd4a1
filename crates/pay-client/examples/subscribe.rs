//! A downstream that sums up what each merchant has sold:
//! `AMQP_URL=amqp://… DATABASE_URL=postgres://… cargo run -p pay-client --example subscribe`
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::env;
use std::error::Error;
use std::io;

use deadpool_postgres::{Manager, Pool};
use pay_client::{
    CancellationToken, EventType, Handler, HandlerError, Received, RetryDelays, Subscriber, Verdict,
};
use tokio_postgres::NoTls;

const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS handled_events (event_key text PRIMARY KEY);
    CREATE TABLE IF NOT EXISTS sales (merchant_id text, currency text, amount_minor numeric NOT NULL, PRIMARY KEY (merchant_id, currency))";

struct Sales {
    database: Pool,
}

impl Handler for Sales {
    async fn handle(&self, batch: &[Received]) -> Result<Vec<Verdict>, HandlerError> {
        let away = |error| HandlerError::Outage(format!("no connection: {error}"));
        let mut connection = self.database.get().await.map_err(away)?;
        self.add(&mut connection, batch).await.map_err(|error| failed(&error))?;
        Ok(vec![Verdict::Done; batch.len()])
    }

    async fn ready(&self) -> bool {
        self.database.get().await.is_ok()
    }
}

impl Sales {
    async fn add(
        &self,
        connection: &mut tokio_postgres::Client,
        batch: &[Received],
    ) -> Result<(), tokio_postgres::Error> {
        // Sorted, so that two replicas never wait for each other's rows in a circle.
        let mut sorted: Vec<_> = batch.iter().collect();
        sorted.sort_by(|one, other| one.key.cmp(&other.key));
        let mut new = 0;
        let transaction = connection.transaction().await?;
        for Received { event, key, .. } in sorted {
            // The key and the effect are committed together: an event that comes again finds its key, and has no effect.
            let insert = "INSERT INTO handled_events VALUES ($1) ON CONFLICT DO NOTHING";
            if transaction.execute(insert, &[key]).await? == 0 {
                continue;
            }
            let add = "INSERT INTO sales VALUES ($1, $2, $3::bigint)
                ON CONFLICT (merchant_id, currency) DO UPDATE SET amount_minor = sales.amount_minor + excluded.amount_minor";
            let (merchant_id, amount) = (event.order.merchant_id.as_str(), event.order.amount);
            transaction.execute(add, &[&merchant_id, &amount.currency.code(), &amount.amount_minor]).await?;
            new += 1;
        }
        transaction.commit().await?;
        println!("{} events, {new} of them new", batch.len());
        Ok(())
    }
}

/// What the database answers to a statement is about this batch, and so is a value that its column does not take. That it
/// shuts down, is full or cannot be reached is about no event.
fn failed(error: &tokio_postgres::Error) -> HandlerError {
    let cause = error.source().and_then(|cause| cause.downcast_ref::<io::Error>());
    let is_away = match error.code() {
        Some(state) => ["08", "53", "57"].iter().any(|class| state.code().starts_with(class)),
        None => error.is_closed() || cause.is_some_and(|io| io.kind() != io::ErrorKind::InvalidInput),
    };
    if is_away { HandlerError::Outage(error.to_string()) } else { HandlerError::Rejected(error.to_string()) }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let manager = Manager::new(env::var("DATABASE_URL")?.parse()?, NoTls);
    let database = Pool::builder(manager).max_size(2).build()?;
    database.get().await?.batch_execute(TABLES).await?;

    let subscriber =
        Subscriber::new(&env::var("AMQP_URL")?, "sales", &[EventType::Success], &RetryDelays::default())?;
    let stop = CancellationToken::new();
    let running = tokio::spawn(subscriber.run(Sales { database }, stop.clone()));
    tokio::signal::ctrl_c().await?;
    stop.cancel();
    Ok(running.await?)
}
