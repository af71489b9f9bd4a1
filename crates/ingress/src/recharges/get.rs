//! `GET /v1/recharges/{recharge_no}`

use std::sync::Arc;

use axum::extract::State;
use events::RechargeNo;
use runtime::ApiError;
use service::Problem;
use service::extract::{Json, Path};
use time::OffsetDateTime;

use super::view::RechargeView;
use crate::api_keys::Caller;
use crate::state::App;
use crate::store::recharges;

pub(crate) async fn get(
    State(app): State<Arc<App>>,
    Caller(merchant_id): Caller,
    Path(recharge_no): Path<RechargeNo>,
) -> Result<Json<RechargeView>, ApiError> {
    let client = app.database.client().await?;
    let found = recharges::find(&client, &merchant_id, &recharge_no).await?;
    let recharge = found.ok_or_else(|| Problem::not_found("there is no such recharge"))?;
    Ok(Json(RechargeView::new(recharge, app.close_grace, OffsetDateTime::now_utc())))
}
