//! `/admin/contradictions`: what channels state and cannot be true, and what operators decide about it.

use std::sync::Arc;

use admin_api::contradiction::{Contradiction, ContradictionsQuery, Resolve};
use axum::extract::State;
use events::ContradictionReason;
use runtime::ApiError;
use service::Problem;
use service::extract::{Json, Path, Query};
use uuid::Uuid;

use crate::facts::{self, DecisionRefusal};
use crate::state::App;
use crate::store::contradictions;
use crate::trace_context::TraceContext;

/// `GET /admin/contradictions?status=open|resolved|all&reason=&limit=`: the latest first.
pub(super) async fn list(
    State(app): State<Arc<App>>,
    Query(wanted): Query<ContradictionsQuery<ContradictionReason>>,
) -> Result<Json<Vec<Contradiction>>, ApiError> {
    let client = app.database.client().await?;
    Ok(Json(contradictions::list(&client, &wanted).await?))
}

/// `GET /admin/contradictions/{contradiction_id}`
pub(super) async fn show(
    State(app): State<Arc<App>>,
    Path(id): Path<Uuid>,
) -> Result<Json<Contradiction>, ApiError> {
    let client = app.database.client().await?;
    let found = contradictions::find(&client, id).await?;
    Ok(Json(found.ok_or(DecisionRefusal::Unknown)?.shown))
}

/// `POST /admin/contradictions/{contradiction_id}/resolve`: idempotent; another decision than the first is refused.
pub(super) async fn resolve(
    State(app): State<Arc<App>>,
    Path(id): Path<Uuid>,
    trace: TraceContext,
    Json(decision): Json<Resolve>,
) -> Result<Json<Contradiction>, ApiError> {
    let resolved = facts::resolve(&app.database, &app.signals, id, &decision, &trace).await?;
    tracing::info!(
        contradiction_id = %id, order_no = resolved.order_no, action = %decision.action, by = decision.by.as_str(),
        trace_id = trace.parent.trace_id(), "contradiction resolved"
    );
    Ok(Json(resolved))
}

impl From<DecisionRefusal> for ApiError {
    fn from(refusal: DecisionRefusal) -> Self {
        let said = refusal.to_string();
        let problem = match refusal {
            DecisionRefusal::Store(error) => return error.into(),
            DecisionRefusal::Unknown => Problem::not_found(said),
            DecisionRefusal::Otherwise(known) => Problem::conflict("already_resolved", said)
                .member("resolution", serde_json::json!(known.resolution)),
            DecisionRefusal::NotAcceptable(reason) => {
                Problem::conflict("not_acceptable", format!("{said}: {}", instead(reason)))
                    .member("reason", reason.as_str())
            }
            DecisionRefusal::OtherPayOrder(number) => {
                let detail = format!(
                    "{said}, active or paid: close it if it waits for its buyer; if it is paid, refund this one at the channel and dismiss this"
                );
                Problem::conflict("order_has_another_pay_order", detail)
                    .member("pay_order_no", number.as_str())
            }
            DecisionRefusal::StillContradicts(reason) => {
                Problem::conflict("still_contradicts", format!("{said}: {}", instead(reason)))
                    .member("reason", reason.as_str())
            }
        };
        problem.into()
    }
}

/// What to do about a contradiction that cannot be accepted.
const fn instead(reason: ContradictionReason) -> &'static str {
    match reason {
        ContradictionReason::AccountMismatch => {
            "ask the channel why another account took the payment, refund it there, and dismiss this"
        }
        ContradictionReason::CurrencyMismatch | ContradictionReason::AmountMismatch => {
            "refund what was paid at the channel, let the buyer pay the right amount, and dismiss this"
        }
        ContradictionReason::RefundExceedsTotal => {
            "settle with the channel what was refunded, and dismiss this"
        }
        ContradictionReason::SecondTrade => "refund the second trade at the channel, and dismiss this",
        ContradictionReason::TradeReused => {
            "ask the channel which of the two recharges the trade has paid, refund it there if it is this one, and dismiss this"
        }
        ContradictionReason::UnknownPayOrder => {
            "find out at the channel whose payment it is, refund it if it is nobody's, and dismiss this"
        }
        ContradictionReason::SuccessAfterClose => "refund it at the channel, and dismiss this",
    }
}
