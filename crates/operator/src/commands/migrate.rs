//! `payrelay migrate`: brings the schemas of all services up to date, before new services start.

use crate::{
    failure::{Failure, Outcome},
    output,
};

/// Migrates every schema in the database of `PAYRELAY_DATABASE_URL`.
pub(crate) async fn run() -> Outcome {
    service::tls::install();
    let mut loader = service::Loader::from_env();
    let url = loader.secret("PAYRELAY_DATABASE_URL");
    loader.finish().map_err(|errors| Failure::Usage(errors.to_string()))?;
    let database = storage::Database::connect(url.expose(), "payrelay migrate", 2)
        .map_err(|error| Failure::Usage(error.to_string()))?;
    for (schema, migrated) in [
        ("pay", ingress::migrate(&database).await),
        ("orders", order_service::store::migrate(&database).await),
        ("notify", merchant_notifier::store::migrate(&database).await),
    ] {
        match migrated {
            Ok(()) => output::line(format!("schema {schema} is up to date"))?,
            Err(error) if error.is_outage() => {
                return Err(Failure::Unreachable(format!(
                    "schema {schema}: {error}; check PAYRELAY_DATABASE_URL"
                )));
            }
            Err(error) => return Err(Failure::Findings(format!("schema {schema}: {error}"))),
        }
    }
    Ok(())
}
