//! `payrelay contradictions`: facts of channels that cannot be true together with what the ingress knows.

use serde_json::Value;

use crate::{admin::Admin, failure::Outcome, output};

/// Lists the newest contradictions.
pub(crate) async fn list(admin: &Admin, limit: u32, json: bool) -> Outcome {
    let found: Vec<Value> =
        admin.ingress.get("/admin/contradictions", &[("limit", limit.to_string())]).await?;
    if json {
        return Ok(output::json(&found)?);
    }
    let rows = found.iter().map(|row| {
        let text = |field: &str| output::cell(&row[field]);
        [
            text("last_seen_at"),
            text("order_no"),
            text("pay_order_no"),
            text("reason"),
            text("channel_trade_no"),
            text("count"),
        ]
    });
    Ok(output::table(["LAST SEEN", "ORDER", "PAY ORDER", "REASON", "CHANNEL TRADE", "SEEN"], rows)?)
}
