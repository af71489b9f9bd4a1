//! `/admin/contradictions`: payments that an order cannot take, and what operators decide about them.

use admin_api::contradiction::{Action, Contradiction, ContradictionsQuery, Resolve};
use axum::extract::State;
use runtime::ApiError;
use service::Problem;
use service::extract::{Json, Path, Query};
use storage::Database;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::store::contradictions::{self, Reason};

/// `GET /admin/contradictions?status=open|resolved|all&reason=&limit=`: the latest first.
pub(super) async fn list(
    State(database): State<Database>,
    Query(wanted): Query<ContradictionsQuery<Reason>>,
) -> Result<Json<Vec<Contradiction>>, ApiError> {
    Ok(Json(contradictions::list(&database, &wanted).await?))
}

/// `GET /admin/contradictions/{contradiction_id}`
pub(super) async fn show(
    State(database): State<Database>,
    Path(id): Path<Uuid>,
) -> Result<Json<Contradiction>, ApiError> {
    Ok(Json(find(&database, id).await?))
}

/// `POST /admin/contradictions/{contradiction_id}/resolve`: dismisses it, and can do no more. Idempotent.
pub(super) async fn resolve(
    State(database): State<Database>,
    Path(id): Path<Uuid>,
    Json(decision): Json<Resolve>,
) -> Result<Json<Contradiction>, ApiError> {
    if decision.action == Action::Accepted {
        return Err(not_acceptable(&find(&database, id).await?).into());
    }
    contradictions::dismiss(&database, id, &decision, OffsetDateTime::now_utc()).await?;
    let resolved = find(&database, id).await?;
    let (order_no, by) = (resolved.order_no.as_deref(), decision.by.as_str());
    tracing::info!(contradiction_id = %id, order_no, by, "contradiction dismissed");
    Ok(Json(resolved))
}

async fn find(database: &Database, id: Uuid) -> Result<Contradiction, ApiError> {
    let found = contradictions::find(database, id).await?;
    Ok(found.ok_or_else(|| Problem::not_found("there is no such contradiction"))?)
}

fn not_acceptable(known: &Contradiction) -> Problem {
    if let Some(resolution) = &known.resolution {
        let detail = "already resolved with another decision";
        let resolution = serde_json::json!(resolution);
        return Problem::conflict("already_resolved", detail).member("resolution", resolution);
    }
    let detail = if known.reason == Reason::OrderClosed.as_str() {
        "the order was closed unpaid and stays so: refund the payment at the channel, let the buyer order again, and dismiss this"
    } else {
        "another pay order has paid the order: refund this payment at the channel, and dismiss this"
    };
    Problem::conflict("not_acceptable", detail).member("reason", known.reason.as_str())
}
