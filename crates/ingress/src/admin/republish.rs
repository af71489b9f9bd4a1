//! `POST /admin/events/republish`

use std::sync::Arc;

use admin_api::republish::{MAX_EVENTS, Republish, Republished};
use axum::extract::State;
use events::to_micros;
use runtime::ApiError;
use service::Problem;
use service::extract::Json;

use crate::state::App;
use crate::store::republish;

/// Puts events into the outbox again, from where the relay publishes them as any other. What waits there already is left as it
/// is, so it may be repeated; consumers absorb what they have.
pub(super) async fn republish(
    State(app): State<Arc<App>>,
    Json(Republish { mut events, by }): Json<Republish>,
) -> Result<Json<Republished>, ApiError> {
    if events.is_empty() || events.len() > MAX_EVENTS {
        return Err(
            Problem::invalid(format!("events: expected 1 to {MAX_EVENTS}, got {}", events.len())).into()
        );
    }
    for event in &mut events {
        event.occurred_at = to_micros(event.occurred_at);
    }
    let wanted = &events;
    let queued =
        app.database.transaction(|tx| Box::pin(async move { republish::queue(&tx, wanted).await })).await;
    let queued = queued?;
    app.signals.outbox_filled();
    for (event_id, pay_order_no) in &queued.events {
        tracing::info!(%event_id, %pay_order_no, by = by.as_str(), "event goes into the outbox again");
    }
    Ok(Json(queued.answer))
}
