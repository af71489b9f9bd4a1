//! `GET /admin/trial-balance`: whether the books are sound.

use std::sync::Arc;

use admin_api::trial_balance::TrialBalance;
use axum::extract::State;
use runtime::ApiError;
use service::Problem;
use service::extract::Json;

use crate::state::App;

/// Of the ledger by itself; the audit of a window looks at the recharges.
///
/// It reads everything, so one is made at a time, as a task of its own: when nobody waits for it any more it goes on to its end,
/// instead of giving a connection back to the pool on which its statements still run.
pub(super) async fn trial_balance(State(app): State<Arc<App>>) -> Result<Json<TrialBalance>, ApiError> {
    let turn = Arc::clone(&app.trial_balance_lock).lock_owned().await;
    let made = tokio::spawn(async move {
        let _turn = turn;
        let client = app.database.client().await?;
        ledger::trial_balance(&client).await
    });
    match made.await {
        Ok(trial) => Ok(Json(trial?)),
        Err(error) => {
            tracing::error!(%error, "the trial balance ended early");
            Err(Problem::internal().into())
        }
    }
}
