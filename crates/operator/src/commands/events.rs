//! `payrelay events republish`: what the audit calls missing goes into the ingress's outbox once more, and from there its usual
//! way. First what it would do, then, once agreed to, a little at a time.

use std::collections::HashSet;
use std::time::Duration;

use admin_api::contradiction::Operator;
use admin_api::republish::{Committed, Republish, Republished};
use clap::{Args, Subcommand};
use events::EventId;
use serde::Serialize;
use time::format_description::well_known::Rfc3339;
use tokio::time::{MissedTickBehavior, interval};
use uuid::Uuid;

use super::audit::{self, Missing, WindowOptions};
use super::notifications::{Rate, agree};
use crate::{
    admin::Admin,
    failure::{CommandResult, Failure},
    output,
};

/// How many orders a preview names.
const SHOWN: usize = 20;

/// What to do with events.
#[derive(Debug, Subcommand)]
pub(crate) enum EventsCommand {
    /// Publish again what the audit calls missing, after a preview.
    ///
    /// It may be interrupted and repeated: it skips what has arrived meanwhile, and consumers absorb duplicates.
    Republish(RepublishOptions),
}

/// What to publish again, and how fast.
#[derive(Debug, Args)]
pub(crate) struct RepublishOptions {
    /// Only these of the missing events.
    event_ids: Vec<Uuid>,
    #[command(flatten)]
    window: WindowOptions,
    /// How many a second, 1 to 1000.
    #[arg(long, value_name = "N/s", default_value = "100/s")]
    rate: Rate,
    /// Who wants it; the ingress logs it with each event.
    #[arg(long, value_name = "NAME", env = "USER")]
    by: Operator,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
}

/// What was found and done.
#[derive(Debug, Default, Serialize)]
struct Summary {
    missing: usize,
    /// Put into the outbox.
    queued: u64,
    /// In the outbox already.
    waiting: u64,
    /// Not at the ingress, or no more.
    unknown: Vec<EventId>,
    /// Whether there may be more than one run names.
    more: bool,
    /// Callbacks whose event is lost: it cannot be published again.
    callbacks_without_event: usize,
}

/// Runs the command.
pub(crate) async fn run(admin: &Admin, command: &EventsCommand, json: bool) -> CommandResult {
    let EventsCommand::Republish(options) = command;
    let Missing { mut events, more, eventless } = audit::missing(admin, &options.window).await?;
    let wanted: HashSet<_> = options.event_ids.iter().copied().collect();
    let known: HashSet<_> = events.iter().map(|(event, _)| event.event_id.0).collect();
    if let Some(other) = options.event_ids.iter().find(|id| !known.contains(id)) {
        let problem = "the audit of this window does not call it missing; see payrelay audit --json, or widen --from and --to";
        return Err(Failure::Findings(format!("event {other}: {problem}")));
    }
    events.retain(|(event, _)| wanted.is_empty() || wanted.contains(&event.event_id.0));
    let mut summary =
        Summary { missing: events.len(), more, callbacks_without_event: eventless, ..Summary::default() };
    describe(&events, options.rate)?;
    if !events.is_empty() {
        agree(options.yes, "nothing was published again")?;
        let events: Vec<_> = events.into_iter().map(|(event, _)| event).collect();
        send(admin, &events, options, &mut summary).await?;
    }
    report(&summary, json)
}

fn describe(events: &[(Committed, String)], rate: Rate) -> anyhow::Result<()> {
    let Some((oldest, _)) = events.first() else {
        output::progress("nothing is missing");
        return Ok(());
    };
    let count = u64::try_from(events.len()).unwrap_or(u64::MAX);
    output::progress(format!(
        "{count} events are missing, the oldest of {}; about {} s at {rate}",
        oldest.occurred_at.format(&Rfc3339)?,
        rate.time_for(count).as_secs(),
    ));
    for (event, order_no) in events.iter().take(SHOWN) {
        output::progress(format!("  {} order {order_no}", event.event_id));
    }
    if events.len() > SHOWN {
        output::progress(format!("  … and {} more", events.len() - SHOWN));
    }
    output::progress(
        "What waits in a long queue looks missing as well: see first that the consumers have caught up.",
    );
    Ok(())
}

async fn send(
    admin: &Admin,
    events: &[Committed],
    options: &RepublishOptions,
    summary: &mut Summary,
) -> CommandResult {
    let (size, pause): (u32, Duration) = options.rate.batches();
    let mut ticks = interval(pause);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for batch in events.chunks(size as usize) {
        ticks.tick().await;
        let body = Republish { events: batch.to_vec(), by: options.by.clone() };
        let Republished { queued, waiting, unknown } =
            admin.ingress.post("/admin/events/republish", &body).await?;
        summary.queued += queued;
        summary.waiting += waiting;
        summary.unknown.extend(unknown);
    }
    Ok(())
}

fn report(summary: &Summary, json: bool) -> CommandResult {
    let Summary { missing, queued, waiting, unknown, more, callbacks_without_event } = summary;
    if json {
        output::json(summary)?;
    } else {
        output::line(format!(
            "{queued} of {missing} events are in the outbox again, {waiting} waited there already; payrelay audit says when they \
             have arrived"
        ))?;
    }
    let mut open = Vec::new();
    if !unknown.is_empty() {
        open.push(format!("the ingress holds {} of them no more", unknown.len()));
    }
    if *more {
        open.push("there may be more: run it again".to_owned());
    }
    if *callbacks_without_event > 0 {
        open.push(format!(
            "{callbacks_without_event} callbacks have lost their event, which cannot be published again: see docs/runbook/audit.md"
        ));
    }
    if open.is_empty() { Ok(()) } else { Err(Failure::Findings(open.join("; "))) }
}
