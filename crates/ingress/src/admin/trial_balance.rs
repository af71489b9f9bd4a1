//! `GET /admin/trial-balance`: whether the books are sound.

use std::sync::Arc;

use axum::extract::State;
use events::trial_balance::TrialBalance;
use service::Problem;
use service::extract::Json;

use crate::app::{App, unavailable};
use crate::store::recharges;

/// Of the ledger by itself, and of the recharges whose money it keeps.
pub(super) async fn trial_balance(State(app): State<Arc<App>>) -> Result<Json<TrialBalance>, Problem> {
    let client = app.database.client().await.map_err(unavailable)?;
    let ledger = ledger::trial_balance(&client).await;
    let mut trial = ledger.map_err(|error| unavailable(error.into()))?;
    trial.findings.extend(recharges::differing(&client).await.map_err(unavailable)?);
    Ok(Json(trial))
}
