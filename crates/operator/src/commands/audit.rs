//! `payrelay audit`: what the ingress committed, set against what was published, applied and notified.
//!
//! Every service reports per minute and event type how many events it holds at which stage, with a digest of their ids
//! that does not depend on their order. Equal digests are equal sets; only where they differ are the events themselves
//! asked for, and named with the stage at which each stands, and why. Beside that, the ingress says whether its ledger is sound.

mod compare;
mod events;
mod judge;
pub(crate) mod metric_table;
mod print;
mod watch;

use std::collections::BTreeMap;
use std::time::Duration;

use admin_api::audit::{AuditReport, Span};
use admin_api::republish::Committed;
use admin_api::trial_balance::TrialBalance;
use clap::Args;
use serde::Serialize;
use service::Loader;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use self::compare::{Comparison, Gap, Reports, Row};
use self::judge::{AuditFinding, EventStanding};
use self::watch::WatchOptions;
use crate::{
    admin::{Admin, AdminClient},
    arguments::{parse_duration, parse_when},
    failure::{CommandResult, Failure},
    output,
};

/// The window without `--from`.
const DEFAULT_WINDOW: time::Duration = time::Duration::hours(24);
/// How much one request asks for, so that it is answered in time.
const PIECE: time::Duration = time::Duration::HOUR;
/// The same while much happens.
const BUSY_PIECE: time::Duration = time::Duration::minutes(10);
/// How many events in a second are much.
const BUSY: u64 = 200;
/// An event takes milliseconds from the commit to the merchant, and seconds when everything restarts.
const DEFAULT_SETTLE: Duration = Duration::from_secs(10);

/// What to audit.
#[derive(Debug, Args)]
pub(crate) struct AuditOptions {
    #[command(flatten)]
    window: WindowOptions,
    #[command(flatten)]
    watch: WatchOptions,
}

/// Of which time.
#[derive(Debug, Args)]
pub(crate) struct WindowOptions {
    /// The start of the window, inclusive, in RFC 3339 or as 2h ago; a day before its end if left out.
    #[arg(long, value_parser = parse_when)]
    from: Option<OffsetDateTime>,
    /// Its end, exclusive; now if left out. Everything before it must have arrived.
    #[arg(long, value_parser = parse_when)]
    to: Option<OffsetDateTime>,
    /// How long events may be under way before they are looked at, without `--to`; 10s if left out.
    #[arg(long, value_parser = parse_span, conflicts_with = "to")]
    settle: Option<Duration>,
}

/// One audit: of which window, and what is expected of it.
#[derive(Debug, Clone, Copy)]
struct Plan {
    span: Span,
    /// What is younger may still be under way.
    settled: OffsetDateTime,
    /// How long an event may wait in retry queues.
    retries: Duration,
}

/// What all services together hold of a window.
#[derive(Debug, Serialize)]
pub(crate) struct Audit {
    #[serde(with = "time::serde::rfc3339")]
    from: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    to: OffsetDateTime,
    rows: Vec<Row>,
    /// The minutes in which a stage does not hold what it should.
    gaps: Vec<Gap>,
    /// What has not gone all the way, event by event.
    findings: Vec<AuditFinding>,
    /// Whether there is more to find: only so many are named.
    more: bool,
    /// Events too young to be looked at that have not gone all the way.
    settling: u64,
    /// What is wrong with the ledger: with recharges of the window, and, unless it is a part of a window, with all else of all times.
    ledger: TrialBalance,
    /// Why the trial balance was not made. The rest of the audit stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    ledger_unchecked: Option<String>,
}

impl Audit {
    /// What nobody has explained: findings that are not parked with a reason, gaps that were not looked into, and whatever is
    /// wrong with the ledger.
    pub(crate) fn open(&self) -> usize {
        let open = self.findings.iter().filter(|finding| !finding.stage.is_explained()).count();
        self.ledger_findings() + if open == 0 { self.gaps.len() } else { open }
    }

    /// A ledger that was not looked at is one, too.
    fn ledger_findings(&self) -> usize {
        self.ledger.findings.len() + usize::from(self.ledger_unchecked.is_some())
    }
}

/// Prints the audit of the window; findings are what is not explained. With `--watch` it goes on until a signal.
pub(crate) async fn run(admin: &Admin, options: &AuditOptions, json: bool) -> CommandResult {
    let retries = retries()?;
    let settle = options.window.settle.unwrap_or(DEFAULT_SETTLE);
    if options.watch.watch {
        return watch::run(admin, &options.watch, watch::AllowedTime { settle, retries }, json).await;
    }
    let plan = plan(&options.window, OffsetDateTime::now_utc(), settle, retries)?;
    let audit = with_ledger(admin, plan).await?;
    if json {
        output::json(&audit)?;
    } else {
        print::print(&audit)?;
    }
    match (audit.open(), audit.ledger_findings()) {
        (0, _) => Ok(()),
        (open, ledger) if open == ledger => Err(Failure::Findings(format!(
            "audit: {ledger} findings in the ledger, of which none goes away by itself: see docs/runbook/ledger.md"
        ))),
        (open, _) => Err(Failure::Findings(format!(
            "audit: {open} findings; what is in flight arrives by itself, what stays: payrelay trace ORDER_NO"
        ))),
    }
}

/// What is published and at no consumer after all retries.
pub(crate) struct Missing {
    /// Each event once, the oldest first, with its order.
    pub(crate) events: Vec<(Committed, String)>,
    /// Whether there may be more: only so much is named at once.
    pub(crate) more: bool,
    /// How many callbacks have lost their event: nobody can publish it again.
    pub(crate) eventless: usize,
}

/// Audits the window and names what is missing in it.
pub(crate) async fn missing(admin: &Admin, options: &WindowOptions) -> Result<Missing, Failure> {
    let settle = options.settle.unwrap_or(DEFAULT_SETTLE);
    let audit = audit(admin, plan(options, OffsetDateTime::now_utc(), settle, retries()?)?).await?;
    let eventless =
        audit.findings.iter().filter(|finding| finding.stage == EventStanding::EventMissing).count();
    let missing = audit.findings.into_iter().filter(|finding| finding.stage == EventStanding::Missing);
    let events: BTreeMap<_, _> = missing
        .filter_map(|finding| {
            let event = Committed { occurred_at: finding.occurred_at, event_id: finding.event_id? };
            Some((event, finding.order_no.unwrap_or_else(|| "-".to_owned())))
        })
        .collect();
    Ok(Missing { events: events.into_iter().collect(), more: audit.more, eventless })
}

/// Audits the last day, up to this moment: whatever has not arrived is a finding.
pub(crate) async fn strict(admin: &Admin) -> Result<Audit, Failure> {
    let to = OffsetDateTime::now_utc();
    let span = Span { from: to - DEFAULT_WINDOW, to };
    with_ledger(admin, Plan { span, settled: to, retries: retries()? }).await
}

fn plan(
    options: &WindowOptions,
    now: OffsetDateTime,
    settle: Duration,
    retries: Duration,
) -> Result<Plan, Failure> {
    let to = options.to.unwrap_or(now);
    let from = options.from.unwrap_or(to - DEFAULT_WINDOW);
    if from >= to {
        return Err(Failure::Usage("audit: expected --from before --to".to_owned()));
    }
    let settled = if options.to.is_some() { to } else { now - settle };
    Ok(Plan { span: Span { from, to }, settled, retries })
}

/// A duration of a month at most.
fn parse_span(text: &str) -> Result<Duration, String> {
    let longest = Duration::from_secs(31 * 24 * 3600);
    let duration = parse_duration(text)?;
    if duration <= longest { Ok(duration) } else { Err("expected at most 31d".to_owned()) }
}

/// How long all retries of a message take, by `PAYRELAY_RETRY_DELAYS`.
fn retries() -> Result<Duration, Failure> {
    let mut loader = Loader::from_env();
    let delays = runtime::config::retry_delays(&mut loader);
    loader.finish().map_err(|errors| Failure::Usage(errors.to_string()))?;
    Ok(delays.iter().sum())
}

/// The audit of a window, and the trial balance.
async fn with_ledger(admin: &Admin, plan: Plan) -> Result<Audit, Failure> {
    let mut audit = audit(admin, plan).await?;
    match admin.ingress.get::<TrialBalance>("/admin/trial-balance", &[]).await {
        Ok(trial) => {
            audit.ledger.currencies = trial.currencies;
            audit.ledger.findings.splice(0..0, trial.findings);
        }
        Err(failure) => audit.ledger_unchecked = Some(failure.to_string()),
    }
    Ok(audit)
}

async fn audit(admin: &Admin, plan: Plan) -> Result<Audit, Failure> {
    let mut comparison = Comparison::default();
    let middle = plan.settled.clamp(plan.span.from, plan.span.to);
    let (mut rest, mut length) = (Span { to: middle, ..plan.span }, PIECE);
    while let Some(piece) = rest.pieces(length).next() {
        let reports = reports(admin, piece).await?;
        comparison.add(&reports);
        let seconds = (piece.to - piece.from).whole_seconds().unsigned_abs().max(1);
        length = if reports.committed() / seconds < BUSY { PIECE } else { BUSY_PIECE };
        rest.from = piece.to;
    }
    for piece in (Span { from: middle, ..plan.span }).pieces(PIECE) {
        comparison.add_young(&reports(admin, piece).await?);
    }
    let judged = Span { to: middle, ..plan.span };
    let (findings, more) = events::findings(admin, judged, &mut comparison, plan.retries).await?;
    let Comparison { rows, gaps, settling, recharges, .. } = comparison;
    let ledger = TrialBalance { currencies: Vec::new(), findings: recharges };
    let Span { from, to } = plan.span;
    Ok(Audit { from, to, rows: rows.into(), gaps, findings, more, settling, ledger, ledger_unchecked: None })
}

/// Asks the ingress first: what it holds must have arrived at the others. What arrives there in between is no contradiction,
/// for the ingress is asked once more before an event is called unexpected.
async fn reports(admin: &Admin, span: Span) -> Result<Reports, Failure> {
    let query = [("from", rfc3339(span.from)?), ("to", rfc3339(span.to)?)];
    let report = async |client: &AdminClient| client.get::<AuditReport>("/admin/audit", &query).await;
    Ok(Reports {
        ingress: report(&admin.ingress).await?,
        order_service: report(&admin.order_service).await?,
        notifier: report(&admin.notifier).await?,
    })
}

fn rfc3339(time: OffsetDateTime) -> anyhow::Result<String> {
    Ok(time.format(&Rfc3339)?)
}
