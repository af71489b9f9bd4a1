//! `payrelay audit --watch`: one audit after another, for Prometheus.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use admin_api::audit::Span;
use axum::{Router, http::header::CONTENT_TYPE, routing::get};
use clap::Args;
use futures_util::future::OptionFuture;
use metrics::gauge;
use serde::Serialize;
use service::{Shutdown, http, telemetry};
use time::OffsetDateTime;
use tokio::time::sleep;

use super::{Audit, Plan, audit, metric_table, parse_span, rfc3339, with_ledger};
use crate::{
    admin::Admin,
    failure::{CommandResult, Failure},
    output,
};

/// What every round looks at. A full day in every round would read everything again and again.
const RECENT: time::Duration = time::Duration::minutes(10);
/// How often the rest of the window is looked at, and the ledger.
const WHOLE_EVERY: Duration = Duration::from_secs(600);
/// Between two rounds.
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);
/// How long the listener may take to end.
const GRACE: Duration = Duration::from_secs(2);
/// The media type of the Prometheus text format.
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// How to watch.
#[derive(Debug, Args)]
pub(super) struct WatchOptions {
    /// Audit again and again until Ctrl-C or SIGTERM, one line each time. The last ten minutes every time, the whole window
    /// and the ledger every ten minutes.
    #[arg(long, conflicts_with_all = ["from", "to"])]
    pub(super) watch: bool,
    /// How long to wait between two audits.
    #[arg(long, value_parser = parse_span, default_value = "30s", requires = "watch")]
    interval: Duration,
    /// How far back to look.
    #[arg(long, value_parser = parse_span, default_value = "24h", requires = "watch")]
    window: Duration,
    /// Answer /metrics here, as 0.0.0.0:9090.
    #[arg(long, value_name = "ADDR", requires = "watch")]
    listen: Option<SocketAddr>,
}

/// What a round comes to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Totals {
    committed: u64,
    /// What nobody can find.
    missing: u64,
    /// What is still to be published, handled or notified.
    pending: u64,
    /// What is parked with a reason.
    parked: u64,
    settling: u64,
    /// What is wrong with the ledger.
    ledger: u64,
    /// The time of the oldest event that is missing or pending.
    oldest: Option<OffsetDateTime>,
}

/// A round as it is printed.
#[derive(Debug, Serialize)]
struct Round {
    #[serde(with = "time::serde::rfc3339")]
    at: OffsetDateTime,
    committed: u64,
    missing: u64,
    pending: u64,
    parked: u64,
    settling: u64,
    ledger: u64,
    oldest_seconds: i64,
}

/// How long events may be on their way.
#[derive(Debug, Clone, Copy)]
pub(super) struct AllowedTime {
    /// Before they count as pending.
    pub(super) settle: Duration,
    /// In retry queues.
    pub(super) retries: Duration,
}

/// Audits until a signal. A round that fails is told, and the next one tries again.
pub(super) async fn run(
    admin: &Admin,
    options: &WatchOptions,
    allowed: AllowedTime,
    json: bool,
) -> CommandResult {
    telemetry::metrics();
    metric_table::describe_metrics();
    let shutdown = Shutdown::on_signals(Duration::ZERO, GRACE).map_err(anyhow::Error::from)?;
    let server = match options.listen {
        Some(addr) => {
            let listener = http::bind(addr).await.map_err(anyhow::Error::from)?;
            let routes = Router::new().route("/metrics", get(exported));
            let routes = http::with_standard_layers(routes, http::Listener::Admin, http::Limits::default());
            let patience = http::Patience::default();
            Some(http::serve(listener, routes, patience, http::Stop::at(shutdown.soft.clone())))
        }
        None => None,
    };
    let watching = async {
        let watched = shutdown.soft.run_until_cancelled(watch(admin, options, allowed, json)).await;
        shutdown.soft.cancel();
        watched
    };
    let serving = shutdown.until_hard(OptionFuture::from(server));
    tokio::join!(watching, serving).0.unwrap_or(Ok(()))
}

/// Ends only with an error that will not pass.
async fn watch(admin: &Admin, options: &WatchOptions, allowed: AllowedTime, json: bool) -> CommandResult {
    let mut watcher = Watcher { admin, window: options.window, allowed, before: None };
    loop {
        match watcher.round().await {
            Ok(round) => {
                round.export();
                round.print(json)?;
            }
            Err(failure @ Failure::Usage(_)) => return Err(failure),
            Err(failure) => output::progress(format!("audit: {failure}")),
        }
        sleep(options.interval.max(SHORTEST_PAUSE)).await;
    }
}

struct Watcher<'a> {
    admin: &'a Admin,
    window: Duration,
    allowed: AllowedTime,
    /// What lies before the part that every round looks at: where that begins, when it was looked at, what was found.
    before: Option<(OffsetDateTime, Instant, Totals)>,
}

impl Watcher<'_> {
    async fn round(&mut self) -> Result<Round, Failure> {
        let now = OffsetDateTime::now_utc();
        let (boundary, before) = match self.before {
            Some((boundary, at, before)) if at.elapsed() < WHOLE_EVERY => (boundary, before),
            _ => {
                let boundary = now - RECENT;
                // Nothing, if the window is that short.
                let from = boundary.min(now - self.window);
                let plan = self.plan(Span { from, to: boundary }, boundary);
                let before = Totals::of(&with_ledger(self.admin, plan).await?);
                self.before = Some((boundary, Instant::now(), before));
                (boundary, before)
            }
        };
        let span = Span { from: boundary.max(now - self.window), to: now };
        let recent = audit(self.admin, self.plan(span, now - self.allowed.settle)).await?;
        Ok(Round::new(now, before.and(Totals::of(&recent))))
    }

    fn plan(&self, span: Span, settled: OffsetDateTime) -> Plan {
        Plan { span, settled, retries: self.allowed.retries }
    }
}

impl Totals {
    fn of(audit: &Audit) -> Self {
        let ledger = u64::try_from(audit.ledger_findings()).unwrap_or(u64::MAX);
        let mut totals = Self { settling: audit.settling, ledger, ..Self::default() };
        for row in &audit.rows {
            totals.committed += row.committed;
            totals.parked += row.parked;
        }
        for finding in audit.findings.iter().filter(|finding| !finding.stage.is_explained()) {
            *(if finding.stage.is_missing() { &mut totals.missing } else { &mut totals.pending }) += 1;
            totals.oldest = earlier(totals.oldest, Some(finding.occurred_at));
        }
        totals
    }

    fn and(self, other: Self) -> Self {
        Self {
            committed: self.committed + other.committed,
            missing: self.missing + other.missing,
            pending: self.pending + other.pending,
            parked: self.parked + other.parked,
            settling: self.settling + other.settling,
            ledger: self.ledger + other.ledger,
            oldest: earlier(self.oldest, other.oldest),
        }
    }
}

fn earlier(one: Option<OffsetDateTime>, other: Option<OffsetDateTime>) -> Option<OffsetDateTime> {
    one.into_iter().chain(other).min()
}

impl Round {
    fn new(at: OffsetDateTime, totals: Totals) -> Self {
        let Totals { committed, missing, pending, parked, settling, ledger, oldest } = totals;
        let oldest_seconds = oldest.map_or(0, |oldest| (at - oldest).whole_seconds());
        Self { at, committed, missing, pending, parked, settling, ledger, oldest_seconds }
    }

    #[expect(clippy::cast_precision_loss, reason = "counts and seconds of a gauge")]
    fn export(&self) {
        gauge!("payrelay_audit_missing").set(self.missing as f64);
        gauge!("payrelay_audit_pending").set(self.pending as f64);
        gauge!("payrelay_audit_parked").set(self.parked as f64);
        gauge!("payrelay_audit_ledger_findings").set(self.ledger as f64);
        gauge!("payrelay_audit_oldest_seconds").set(self.oldest_seconds as f64);
        gauge!("payrelay_audit_last_round_timestamp_seconds").set(self.at.unix_timestamp() as f64);
    }

    fn print(&self, json: bool) -> anyhow::Result<()> {
        if json {
            return output::json(self);
        }
        let Self { committed, missing, pending, parked, settling, ledger, oldest_seconds, .. } = self;
        output::line(format!(
            "{} {committed} committed, {missing} missing, {pending} pending, {parked} parked, {settling} settling, \
             {ledger} wrong in the ledger, oldest {oldest_seconds} s",
            rfc3339(self.at.replace_nanosecond(0).unwrap_or(self.at))?
        ))
    }
}

async fn exported() -> ([(axum::http::HeaderName, &'static str); 1], String) {
    ([(CONTENT_TYPE, PROMETHEUS)], telemetry::render())
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn the_parts_of_a_window_add_up() {
        let old = datetime!(2026-01-01 00:00 UTC);
        let before = Totals { committed: 2, missing: 1, oldest: Some(old), ..Totals::default() };
        let recent = Totals {
            committed: 3,
            pending: 1,
            oldest: Some(old + time::Duration::MINUTE),
            ..Totals::default()
        };
        let round = Round::new(old + time::Duration::HOUR, before.and(recent));
        assert_eq!((round.committed, round.missing, round.pending), (5, 1, 1));
        assert_eq!(round.oldest_seconds, 3600);
        assert_eq!(Round::new(old, Totals::default()).oldest_seconds, 0);
    }
}
