//! `payrelay notifications`: what merchants were told or are still to be told, and sending again what was parked.

mod retry;

pub(super) use retry::{Rate, agree};

use clap::{
    Args, Subcommand,
    builder::{PossibleValuesParser, TypedValueParser},
};
use events::MerchantId;
use serde_json::Value;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use uuid::Uuid;

use crate::{admin::Admin, arguments::parse_when, failure::CommandResult, output};

const STATUSES: [&str; 7] =
    ["PENDING", "DELIVERED", "PARKED", "no_endpoint", "endpoint_disabled", "attempts_exhausted", "gone"];

/// What to do with notifications.
#[derive(Debug, Subcommand)]
pub(crate) enum NotificationsCommand {
    /// List the newest notifications.
    List {
        #[command(flatten)]
        filter: Filter,
        /// How many at most.
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
    },
    /// Show one notification and every attempt at it.
    Show {
        /// Its id, which merchants see as `webhook-id`.
        notification_id: Uuid,
    },
    /// Send again, with a fresh ladder of attempts, what was parked.
    ///
    /// What was delivered meanwhile is never sent again. It may be interrupted, repeated and run from two terminals.
    Retry(retry::Retry),
}

/// Which notifications are meant.
#[derive(Debug, Args)]
pub(crate) struct Filter {
    /// Of one merchant only.
    #[arg(long, value_name = "ID")]
    merchant: Option<MerchantId>,
    /// Of one status only, or parked for one reason only.
    #[arg(long, ignore_case = true, value_parser = status())]
    status: Option<&'static str>,
    /// Made since then: in RFC 3339, or as `2h` for two hours ago (s, m, h, d).
    #[arg(long, value_name = "TIME", value_parser = parse_when)]
    since: Option<OffsetDateTime>,
    /// Made before then, likewise.
    #[arg(long, value_name = "TIME", value_parser = parse_when)]
    until: Option<OffsetDateTime>,
}

fn status() -> impl TypedValueParser<Value = &'static str> {
    PossibleValuesParser::new(STATUSES).try_map(|given: String| {
        let known = STATUSES.into_iter().find(|status| status.eq_ignore_ascii_case(&given));
        known.ok_or("expected a status")
    })
}

impl Filter {
    /// The parameters of the admin HTTP.
    fn parameters(&self) -> anyhow::Result<Vec<(&'static str, String)>> {
        let time = |time: Option<OffsetDateTime>| time.map(|time| time.format(&Rfc3339)).transpose();
        let all = [
            ("merchant_id", self.merchant.as_ref().map(ToString::to_string)),
            ("status", self.status.map(str::to_owned)),
            ("since", time(self.since)?),
            ("until", time(self.until)?),
        ];
        Ok(all.into_iter().filter_map(|(name, value)| Some((name, value?))).collect())
    }
}

/// Runs the command.
pub(crate) async fn run(admin: &Admin, command: NotificationsCommand, json: bool) -> CommandResult {
    match command {
        NotificationsCommand::List { filter, limit } => list(admin, &filter, limit, json).await,
        NotificationsCommand::Show { notification_id } => show(admin, notification_id, json).await,
        NotificationsCommand::Retry(retry) => retry::run(admin, &retry, json).await,
    }
}

async fn list(admin: &Admin, filter: &Filter, limit: u32, json: bool) -> CommandResult {
    let mut query = filter.parameters()?;
    query.push(("limit", limit.to_string()));
    let found: Vec<Value> = admin.notifier.get("/admin/notifications", &query).await?;
    if json {
        return Ok(output::json(&found)?);
    }
    let header = [
        "NOTIFICATION",
        "MERCHANT",
        "ORDER",
        "TYPE",
        "STATUS",
        "REASON",
        "ATTEMPTS",
        "CREATED",
        "NEXT ATTEMPT",
    ];
    let fields = [
        "notification_id",
        "merchant_id",
        "order_no",
        "type",
        "status",
        "reason",
        "attempts",
        "created_at",
        "next_attempt_at",
    ];
    Ok(output::table(header, found.iter().map(|row| fields.map(|field| output::cell(&row[field]))))?)
}

async fn show(admin: &Admin, id: Uuid, json: bool) -> CommandResult {
    let shown: Value = admin.notifier.get(&format!("/admin/notifications/{id}"), &[]).await?;
    if json {
        return Ok(output::json(&shown)?);
    }
    for (name, value) in shown.as_object().into_iter().flatten().filter(|(name, _)| *name != "history") {
        output::line(format!("{:<18}{}", name.replace('_', " "), output::cell(value)))?;
    }
    let Some(history) = shown["history"].as_array().filter(|history| !history.is_empty()) else {
        return Ok(output::line("no attempt is on record")?);
    };
    output::line("")?;
    let header = ["ATTEMPT", "TIME", "STATUS", "DURATION", "ERROR", "DETAIL", "RESPONSE"];
    let rows = history.iter().map(|attempt| {
        let text = |field: &str| output::cell(&attempt[field]);
        let duration = format!("{} ms", text("duration_ms"));
        let [number, at, status] = ["attempt", "started_at", "http_status"].map(text);
        let [error, detail, response] = ["error", "error_detail", "response"].map(text);
        [number, at, status, duration, error, detail, response]
    });
    Ok(output::table(header, rows)?)
}
