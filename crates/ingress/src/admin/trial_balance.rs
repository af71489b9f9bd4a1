//! `GET /admin/trial-balance`: whether the books are sound.

use std::sync::Arc;

use axum::extract::State;
use events::trial_balance::TrialBalance;
use service::Problem;
use service::extract::Json;

use crate::app::{App, unavailable};

/// Of the ledger by itself; the audit of a window looks at the recharges.
pub(super) async fn trial_balance(State(app): State<Arc<App>>) -> Result<Json<TrialBalance>, Problem> {
    let client = app.database.client().await.map_err(unavailable)?;
    let trial = ledger::trial_balance(&client).await;
    Ok(Json(trial.map_err(|error| unavailable(error.into()))?))
}
