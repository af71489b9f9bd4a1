//! `payrelay contradictions`: what channels or upstreams state and cannot be true, and what is decided about it.

mod reason;

use admin_api::contradiction::{Action, Contradiction, Note, Operator, Resolve, Wants};
use clap::{Args, Subcommand};
use serde_json::Value;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use uuid::Uuid;

use self::reason::Reason;
use crate::{
    admin::{Admin, AdminClient},
    failure::{CommandResult, Failure},
    output,
};

const PATH: &str = "/admin/contradictions";

/// What to do with contradictions.
#[derive(Debug, Subcommand)]
pub(crate) enum ContradictionsCommand {
    /// List the contradictions of the ingress and of the order service, newest first.
    List {
        /// Those that nobody has resolved yet, those that somebody has, or both.
        #[arg(long, default_value = "open", value_parser = reason::status())]
        status: Wants,
        /// Of one reason only.
        #[arg(long, value_parser = reason::parser())]
        reason: Option<Reason>,
        /// How many at most.
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
    },
    /// Show what both sides say, and what was decided.
    Show {
        /// Its id, as it is listed.
        contradiction_id: Uuid,
    },
    /// Dismiss it, once it is settled elsewhere, or accept the payment.
    ///
    /// There is one decision for each, and it stands. The same one again changes nothing.
    Resolve {
        /// Its id, as it is listed.
        contradiction_id: Uuid,
        #[command(flatten)]
        decision: Decision,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Decision {
    /// Change nothing in payrelay.
    #[arg(long, required_unless_present = "accept", conflicts_with = "accept")]
    dismiss: bool,
    /// Book the payment and notify as for any other. Only for `success_after_close`.
    #[arg(long)]
    accept: bool,
    /// Why: what was found and done. At most 1024 bytes.
    #[arg(long, value_name = "TEXT")]
    note: Note,
    /// Who decides.
    #[arg(long, value_name = "NAME", env = "USER", hide_env_values = true)]
    by: Operator,
}

/// Runs the command.
pub(crate) async fn run(admin: &Admin, command: ContradictionsCommand, json: bool) -> CommandResult {
    match command {
        ContradictionsCommand::List { status, reason, limit } => {
            let found = list(admin, status, reason, limit).await?;
            if json { Ok(output::json(&found)?) } else { print_list(&found) }
        }
        ContradictionsCommand::Show { contradiction_id } => {
            let (_, found) = find(admin, contradiction_id).await?;
            if json { Ok(output::json(&found)?) } else { print(&found) }
        }
        ContradictionsCommand::Resolve { contradiction_id, decision } => {
            let Decision { accept, note, by, dismiss: _ } = decision;
            let action = if accept { Action::Accepted } else { Action::Dismissed };
            let (service, _) = find(admin, contradiction_id).await?;
            let path = format!("{PATH}/{contradiction_id}/resolve");
            let resolved: Contradiction = service.post(&path, &Resolve { action, note, by }).await?;
            if json { Ok(output::json(&resolved)?) } else { print(&resolved) }
        }
    }
}

async fn list(
    admin: &Admin,
    status: Wants,
    reason: Option<Reason>,
    limit: u32,
) -> Result<Vec<Contradiction>, Failure> {
    let mut query = vec![("status", reason::status_name(status).to_owned()), ("limit", limit.to_string())];
    query.extend(reason.map(|reason| ("reason", reason.name().to_owned())));
    let mut found = Vec::new();
    for service in services(admin) {
        if reason.is_none_or(|reason| reason.is_known_to(service)) {
            found.extend(service.get::<Vec<Contradiction>>(PATH, &query).await?);
        }
    }
    found.sort_by_key(|row| std::cmp::Reverse(row.last_seen_at));
    found.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    Ok(found)
}

/// The contradiction of this id, and the service that holds it.
async fn find(admin: &Admin, id: Uuid) -> Result<(&AdminClient, Contradiction), Failure> {
    for service in services(admin) {
        if let Some(found) = service.find(&format!("{PATH}/{id}"), &[]).await? {
            return Ok((service, found));
        }
    }
    Err(Failure::Findings(format!("there is no contradiction {id}")))
}

fn services(admin: &Admin) -> [&AdminClient; 2] {
    [&admin.ingress, &admin.order_service]
}

fn print_list(found: &[Contradiction]) -> CommandResult {
    let header = [
        "CONTRADICTION",
        "SOURCE",
        "REASON",
        "ORDER",
        "PAY ORDER",
        "CHANNEL TRADE",
        "SEEN",
        "LAST SEEN",
        "STATUS",
    ];
    let rows = found.iter().map(|row| {
        let text = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
        [
            row.contradiction_id.to_string(),
            row.source.clone(),
            row.reason.clone(),
            text(&row.order_no),
            text(&row.pay_order_no),
            text(&row.channel_trade_no),
            row.count.to_string(),
            instant(row.last_seen_at),
            row.resolution.as_ref().map_or("open", |resolution| resolution.action.as_str()).to_owned(),
        ]
    });
    Ok(output::table(header, rows)?)
}

fn print(row: &Contradiction) -> CommandResult {
    let value = serde_json::to_value(row).map_err(anyhow::Error::from)?;
    let of_both_sides = ["ours", "theirs", "resolution"];
    let fields = value.as_object().into_iter().flatten();
    for (name, value) in fields.filter(|(name, _)| !of_both_sides.contains(&name.as_str())) {
        output::line(format!("{:<18}{}", name.replace('_', " "), output::cell(value)))?;
    }
    output::line(format!("{:<18}{}", "ours", row.ours.as_ref().map_or_else(|| "-".to_owned(), in_words)))?;
    for stated in &row.theirs {
        output::line(format!("{:<18}{}", "theirs", in_words(stated)))?;
    }
    let Some(resolution) = &row.resolution else { return Ok(output::line("open")?) };
    let (action, by, at) = (resolution.action, &resolution.by, instant(resolution.at));
    output::line(format!("{:<18}by {by} at {at}: {}", action.as_str(), resolution.note))?;
    if row.last_seen_at > resolution.at {
        output::line("It came again since then, which changes nothing.")?;
    }
    Ok(())
}

/// `name=value` pairs, without what is not known.
fn in_words(facts: &Value) -> String {
    let known = facts.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null());
    let words: Vec<_> = known.map(|(name, value)| format!("{name}={}", output::cell(value))).collect();
    words.join(" ")
}

fn instant(time: OffsetDateTime) -> String {
    time.format(&Rfc3339).unwrap_or_else(|_| time.to_string())
}
