//! `payrelay trace`: every step of one order, from its callback to the attempts at its webhooks.

use admin_api::trace::{Trace, TraceStep};
use events::OrderNo;
use serde_json::Value;
use time::{OffsetDateTime, macros::format_description};

use crate::{
    admin::{Admin, AdminClient},
    failure::{CommandResult, Failure},
    output,
};

/// Prints what all services know of the order, in the order of time.
pub(crate) async fn run(admin: &Admin, order_no: &OrderNo, json: bool) -> CommandResult {
    let trace = collect(admin, order_no).await?;
    if trace.steps.is_empty() {
        return Err(Failure::Findings(format!("no service knows an order {order_no}")));
    }
    if json {
        return Ok(output::json(&trace)?);
    }
    let start = trace.steps.first().map_or(OffsetDateTime::UNIX_EPOCH, |step| step.at);
    let rows = trace.steps.into_iter().map(|step| {
        let since = (step.at - start).whole_milliseconds();
        [clock_time(step.at), format!("+{since} ms"), step.service, step.step, in_words(&step.detail)]
    });
    Ok(output::table(["TIME (UTC)", "SINCE", "SERVICE", "STEP", "DETAIL"], rows)?)
}

async fn collect(admin: &Admin, order_no: &OrderNo) -> Result<Trace, Failure> {
    let steps = async |client: &AdminClient| -> Result<Vec<TraceStep>, Failure> {
        let trace: Option<Trace> = client.find(&format!("/admin/trace/{order_no}"), &[]).await?;
        Ok(trace.map(|trace| trace.steps).unwrap_or_default())
    };
    let mut all = steps(&admin.ingress).await?;
    all.extend(steps(&admin.order_service).await?);
    all.extend(steps(&admin.notifier).await?);
    all.sort_by_key(|step| step.at);
    Ok(Trace { steps: all })
}

fn clock_time(time: OffsetDateTime) -> String {
    let format = format_description!("[year]-[month]-[day] [hour]:[minute]:[second].[subsecond digits:3]");
    time.format(format).unwrap_or_else(|_| time.to_string())
}

/// `name=value` pairs instead of JSON, which people read badly.
fn in_words(detail: &Value) -> String {
    let Value::Object(fields) = detail else { return detail.to_string() };
    let words = fields.iter().filter(|(_, value)| !value.is_null()).map(|(name, value)| match value {
        Value::String(text) => format!("{name}={text}"),
        other => format!("{name}={other}"),
    });
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use time::macros::datetime;

    use super::*;

    #[test]
    fn details_read_as_pairs_and_times_to_the_millisecond() {
        assert_eq!(in_words(&json!({"a": 1, "b": "x", "c": null})), "a=1 b=x");
        assert_eq!(clock_time(datetime!(2026-01-02 03:04:05.006_7 UTC)), "2026-01-02 03:04:05.006");
    }
}
