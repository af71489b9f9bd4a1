//! `payrelay migrate`: brings the schemas of all services up to date, before new services start.

use service::config::DatabaseSettings;

use crate::{
    failure::{CommandResult, Failure},
    output,
};

/// Migrates every schema in the database of `PAYRELAY_DATABASE_URL`.
pub(crate) async fn run() -> CommandResult {
    // For whose lock it waits is a warning.
    service::telemetry::init_from_env("warn").map_err(|error| Failure::Usage(error.to_string()))?;
    service::tls::install();
    let mut loader = service::Loader::from_env();
    let settings = DatabaseSettings::load(&mut loader);
    loader.finish().map_err(|errors| Failure::Usage(errors.to_string()))?;
    let database = runtime::connect_database(&settings, "payrelay migrate", 2)
        .map_err(|error| Failure::Usage(error.to_string()))?;
    told("pay", ingress::migrate(&database).await)?;
    told("orders", order_service::store::migrate(&database).await)?;
    told("notify", merchant_notifier::store::migrate(&database).await)
}

/// What came of one schema.
fn told(schema: &str, migrated: Result<(), storage::Error>) -> CommandResult {
    match migrated {
        Ok(()) => output::line(format!("schema {schema} is up to date")).map_err(Into::into),
        Err(error) if error.is_misconfigured() => {
            Err(service::StartRefusal(format!("schema {schema}: {error}")).into())
        }
        Err(error) if error.is_outage() => {
            Err(Failure::Unreachable(format!("schema {schema}: {error}; check PAYRELAY_DATABASE_URL")))
        }
        Err(error) => Err(Failure::Findings(format!("schema {schema}: {error}"))),
    }
}
