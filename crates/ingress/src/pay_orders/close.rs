//! `POST /v1/pay-orders/{pay_order_no}/close`

use std::sync::Arc;

use axum::extract::State;
use events::{Fact, FactKind, PayOrderNo, Status, to_micros};
use runtime::ApiError;
use service::extract::{Json, Path};
use service::{Problem, TraceParent};
use time::OffsetDateTime;

use super::not_found;
use super::view::PayOrderView;
use crate::api_keys::Caller;
use crate::facts::Job;
use crate::state::App;
use crate::store::pay_orders::{self, Wanted};
use crate::trace_context::TraceContext;

/// Refuses new payments from now on. What may still be under way at a channel has the grace to arrive, then the pay order is
/// closed; one paid from a balance is closed at once.
pub(crate) async fn close(
    State(app): State<Arc<App>>,
    Caller(merchant_id): Caller,
    Path(number): Path<PayOrderNo>,
    parent: TraceParent,
) -> Result<Json<PayOrderView>, ApiError> {
    let now = to_micros(OffsetDateTime::now_utc());
    let requested = {
        // Given back at once: who waits for the writer with a connection in hand may keep it from getting one.
        let client = app.database.client().await?;
        pay_orders::request_close(&client, &merchant_id, &number, now).await?
    };
    let stored = match requested {
        Some(stored) if !stored.order.channel.is_balance() => stored,
        requested => {
            if requested.is_some() {
                let trace = TraceContext { parent, state: None };
                let fact = Fact::own(FactKind::Closed);
                let job = Job { pay_order_no: number.clone(), fact, trace, callback: None };
                let submitted = app.facts.submit(job).await;
                submitted.map_err(|_| {
                    Problem::unavailable("the close may not have been written; send it again")
                })?;
            }
            let wanted = Wanted::PayOrder(number);
            let client = app.database.client().await?;
            let found = pay_orders::find(&client, &merchant_id, &wanted).await?;
            found.ok_or_else(not_found)?
        }
    };
    if stored.order.status.is_paid() {
        let detail = "the buyer has paid; a paid pay order can only be refunded";
        return Err(Problem::conflict("already_paid", detail)
            .member("status", Status::as_str(stored.order.status))
            .into());
    }
    Ok(Json(PayOrderView::new(stored, app.close_grace, now)))
}
