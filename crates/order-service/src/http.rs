//! The public HTTP: create, read and close orders.

use axum::extract::State;
use axum::http::{StatusCode, header::CONTENT_TYPE};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Router, http::HeaderValue};
use runtime::ApiError;
use service::extract::{Json, Path};
use service::http::{Limits, Listener, with_standard_layers};
use service::{Problem, Secret, auth};
use storage::Database;

use crate::order::{InvalidOrder, NewOrder, Order, OrderKey, OrderStatus};
use crate::store::orders;

/// 500 lines of an order with long labels.
const MAX_BODY_BYTES: usize = 512 * 1024;
const OPENAPI: &str = include_str!("../openapi.yaml");
const YAML: HeaderValue = HeaderValue::from_static("application/yaml");

/// `/v1/orders…` behind `token`, and `/openapi.yaml` for everybody.
pub(crate) fn router(database: Database, token: Secret) -> Router {
    let orders = Router::new()
        .route("/v1/orders", post(create))
        .route("/v1/orders/{merchant_id}/{order_no}", get(read))
        .route("/v1/orders/{merchant_id}/{order_no}/close", post(close))
        .with_state(database);
    let open = Router::new().route("/openapi.yaml", get(openapi));
    let limits = Limits { max_body_bytes: MAX_BODY_BYTES, ..Limits::default() };
    with_standard_layers(open.merge(auth::protect(orders, token)), Listener::Public, limits)
}

/// Idempotent by (`merchant_id`, `order_no`): 201 the first time, 200 when it is repeated, 409 with other content.
async fn create(
    State(database): State<Database>,
    Json(new): Json<NewOrder>,
) -> Result<(StatusCode, Json<Order>), ApiError> {
    new.check()?;
    let created = orders::create(&database, &new).await?;
    let order = find(&database, &new.key).await?;
    if order.content != new {
        let detail = format!("{} exists with other content", new.key);
        return Err(Problem::conflict("order_conflict", detail).into());
    }
    Ok((if created { StatusCode::CREATED } else { StatusCode::OK }, Json(order)))
}

impl From<InvalidOrder> for ApiError {
    fn from(invalid: InvalidOrder) -> Self {
        Problem::new(StatusCode::UNPROCESSABLE_ENTITY, invalid.code(), invalid.to_string()).into()
    }
}

async fn read(State(database): State<Database>, Path(key): Path<OrderKey>) -> Result<Json<Order>, ApiError> {
    find(&database, &key).await.map(Json)
}

/// Closes an order that awaits payment. Repeated, it gives the same answer; a paid order is left as it is.
async fn close(State(database): State<Database>, Path(key): Path<OrderKey>) -> Result<Json<Order>, ApiError> {
    if orders::close(&database, &key).await? {
        tracing::info!(merchant_id = %key.merchant_id, order_no = %key.order_no, "order closed");
    }
    let order = find(&database, &key).await?;
    if order.status != OrderStatus::Closed {
        return Err(Problem::conflict("already_paid", format!("{key} is {}", order.status)).into());
    }
    Ok(Json(order))
}

async fn openapi() -> impl IntoResponse {
    ([(CONTENT_TYPE, YAML)], OPENAPI)
}

async fn find(database: &Database, key: &OrderKey) -> Result<Order, ApiError> {
    let order = orders::find(database, key).await?;
    order.ok_or_else(|| Problem::not_found(format!("{key} does not exist")).into())
}
