//! `payrelay audit`: what the ingress committed, set against what was published, applied and notified.
//!
//! Every service reports per minute and event type how many events it holds at which stage, with a digest of their ids
//! that does not depend on their order. Equal digests are equal sets; where they differ, something is missing.

use std::collections::BTreeMap;

use clap::Args;
use events::{
    EventType,
    audit::{Bucket, Report, Stage},
    digest::IdSetDigest,
};
use serde::Serialize;
use time::{Duration, OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    admin::{Admin, AdminClient},
    failure::{Failure, Outcome},
    output,
};

/// The window without `--from`.
const DEFAULT_WINDOW: Duration = Duration::hours(24);

/// The window to audit.
#[derive(Debug, Default, Args)]
pub(crate) struct Window {
    /// Its start, inclusive, in RFC 3339; a day before its end if left out.
    #[arg(long, value_parser = parse_time)]
    from: Option<OffsetDateTime>,
    /// Its end, exclusive, in RFC 3339; now if left out.
    #[arg(long, value_parser = parse_time)]
    to: Option<OffsetDateTime>,
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
    pub(crate) gaps: Vec<Gap>,
}

/// One event type over the whole window.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
struct Row {
    #[serde(rename = "type")]
    event_type: &'static str,
    committed: u64,
    published: u64,
    /// Handled by the order service: applied, found applied before, or not its own.
    applied: u64,
    notified: u64,
    /// Waiting for an attempt at the merchant's webhook.
    pending: u64,
    /// Parked by the order service or by the notifier, with a reason.
    parked: u64,
    /// Handled by the order service, though the ingress never committed them: from other publishers.
    upstream: u64,
}

/// A stage that lacks, or has too much of, what the ingress committed in one minute.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Gap {
    #[serde(with = "time::serde::rfc3339")]
    minute: OffsetDateTime,
    #[serde(rename = "type")]
    event_type: EventType,
    stage: &'static str,
    committed: u64,
    found: u64,
}

/// What the three services report.
pub(crate) struct Reports {
    ingress: Report,
    order_service: Report,
    notifier: Report,
}

/// Prints the audit of the window; findings are gaps.
pub(crate) async fn run(admin: &Admin, window: &Window, json: bool) -> Outcome {
    let audit = compare(&fetch(admin, window).await?);
    if json {
        output::json(&audit)?;
    } else {
        print(&audit)?;
    }
    match audit.gaps.len() {
        0 => Ok(()),
        gaps => Err(Failure::Findings(format!(
            "audit: {gaps} gaps; what is in flight closes by itself, what stays: payrelay trace ORDER_NO"
        ))),
    }
}

/// Asks all services for the same window.
pub(crate) async fn fetch(admin: &Admin, window: &Window) -> Result<Reports, Failure> {
    let to = window.to.unwrap_or_else(OffsetDateTime::now_utc);
    let from = window.from.unwrap_or(to - DEFAULT_WINDOW);
    if from >= to {
        return Err(Failure::Usage("audit: expected --from before --to".to_owned()));
    }
    let rfc3339 = |time: OffsetDateTime| time.format(&Rfc3339).map_err(anyhow::Error::from);
    let query = [("from", rfc3339(from)?), ("to", rfc3339(to)?)];
    let report = async |client: &AdminClient| client.get::<Report>("/admin/audit", &query).await;
    Ok(Reports {
        ingress: report(&admin.ingress).await?,
        order_service: report(&admin.order_service).await?,
        notifier: report(&admin.notifier).await?,
    })
}

/// Compares minute by minute, by digests and not by counts alone.
pub(crate) fn compare(reports: &Reports) -> Audit {
    // The ingress reports each event at its furthest stage: what is published was committed.
    let committed = sums(&reports.ingress, |_| true);
    let stages = [
        ("published", sums(&reports.ingress, |stage| matches!(stage, Stage::Published))),
        ("applied", sums(&reports.order_service, |_| true)),
        ("notified", sums(&reports.notifier, |stage| !matches!(stage, Stage::Pending))),
    ];
    let mut gaps = Vec::new();
    for (stage, found) in &stages {
        let minutes = committed.keys().chain(found.keys().filter(|key| !committed.contains_key(*key)));
        for key @ (minute, event_type) in minutes {
            let [committed, found] =
                [&committed, found].map(|sums| sums.get(key).copied().unwrap_or_default());
            if committed != found {
                let (minute, event_type) = (*minute, *event_type);
                gaps.push(Gap { minute, event_type, stage, committed: committed.0, found: found.0 });
            }
        }
    }
    let rows = EventType::ALL.into_iter().map(|event_type| row(reports, event_type)).collect();
    Audit { from: reports.ingress.from, to: reports.ingress.to, rows, gaps }
}

type Sums = BTreeMap<(OffsetDateTime, EventType), (u64, IdSetDigest)>;

/// Count and digest per minute and type of our own events at the stages chosen.
fn sums(report: &Report, at: impl Fn(Stage) -> bool) -> Sums {
    let mut sums = Sums::new();
    for bucket in report.buckets.iter().filter(|bucket| !bucket.upstream && at(bucket.stage)) {
        let (count, digest) = sums.entry((bucket.minute, bucket.event_type)).or_default();
        *count += bucket.count;
        *digest = digest.union(IdSetDigest::from_hex(&bucket.digest).unwrap_or_default());
    }
    sums
}

fn row(reports: &Reports, event_type: EventType) -> Row {
    let count = |report: &Report, wanted: &dyn Fn(&Bucket) -> bool| -> u64 {
        let buckets =
            report.buckets.iter().filter(|bucket| bucket.event_type == event_type && wanted(bucket));
        buckets.map(|bucket| bucket.count).sum()
    };
    let own = |report: &Report, stages: &[Stage]| {
        count(report, &|bucket| !bucket.upstream && stages.contains(&bucket.stage))
    };
    Row {
        event_type: event_type.as_str(),
        committed: own(&reports.ingress, &[Stage::Committed, Stage::Published]),
        published: own(&reports.ingress, &[Stage::Published]),
        applied: own(&reports.order_service, &[Stage::Applied, Stage::Duplicate, Stage::NotMine]),
        notified: own(&reports.notifier, &[Stage::Notified, Stage::Duplicate]),
        pending: own(&reports.notifier, &[Stage::Pending]),
        parked: own(&reports.order_service, &[Stage::Parked]) + own(&reports.notifier, &[Stage::Parked]),
        upstream: count(&reports.order_service, &|bucket| bucket.upstream),
    }
}

fn print(audit: &Audit) -> anyhow::Result<()> {
    let header = ["TYPE", "COMMITTED", "PUBLISHED", "APPLIED", "NOTIFIED", "PENDING", "PARKED", "UPSTREAM"];
    let rows = audit.rows.iter().map(|row| {
        let counts =
            [row.committed, row.published, row.applied, row.notified, row.pending, row.parked, row.upstream];
        let [committed, published, applied, notified, pending, parked, upstream] =
            counts.map(|count| count.to_string());
        [row.event_type.to_owned(), committed, published, applied, notified, pending, parked, upstream]
    });
    output::table(header, rows)?;
    for gap in &audit.gaps {
        let minute = gap.minute.format(&Rfc3339)?;
        let Gap { event_type, stage, committed, found, .. } = gap;
        output::line(format!("gap: {minute} {event_type}: {committed} committed, {found} {stage}"))?;
    }
    let [from, to] = [audit.from.format(&Rfc3339)?, audit.to.format(&Rfc3339)?];
    let verdict = if audit.gaps.is_empty() { "complete" } else { "NOT complete" };
    output::line(format!("audit: {verdict} from {from} to {to}"))
}

fn parse_time(text: &str) -> Result<OffsetDateTime, String> {
    OffsetDateTime::parse(text, &Rfc3339)
        .map_err(|_| "expected RFC 3339, such as 2026-01-01T00:00:00Z".to_owned())
}

#[cfg(test)]
mod tests {
    use events::{EventId, audit::Entry};
    use time::macros::datetime;

    use super::*;

    fn report(entries: &[(EventId, Stage, bool)]) -> Report {
        let entries = entries.iter().map(|(event_id, stage, upstream)| Entry {
            event_id: *event_id,
            occurred_at: datetime!(2026-01-01 12:00 UTC),
            event_type: EventType::Success,
            stage: *stage,
            upstream: *upstream,
        });
        Report::new(datetime!(2026-01-01 00:00 UTC), datetime!(2026-01-02 00:00 UTC), entries)
    }

    fn audit(
        order_service: &[(EventId, Stage, bool)],
        notifier: &[(EventId, Stage, bool)],
        id: EventId,
    ) -> Audit {
        compare(&Reports {
            ingress: report(&[(id, Stage::Published, false)]),
            order_service: report(order_service),
            notifier: report(notifier),
        })
    }

    #[test]
    fn complete_where_every_stage_holds_the_same_ids() {
        let id = EventId::generate();
        let done = audit(&[(id, Stage::Applied, false)], &[(id, Stage::Notified, false)], id);
        assert_eq!(done.gaps, []);
        let parked = audit(&[(id, Stage::Parked, false)], &[(id, Stage::Parked, false)], id);
        assert_eq!(parked.gaps, []);
    }

    #[test]
    fn what_waits_to_be_published_is_a_gap() {
        let id = EventId::generate();
        let waiting = compare(&Reports {
            ingress: report(&[(id, Stage::Committed, false)]),
            order_service: report(&[]),
            notifier: report(&[]),
        });
        let stages: Vec<_> = waiting.gaps.iter().map(|gap| (gap.stage, gap.committed, gap.found)).collect();
        assert_eq!(stages, [("published", 1, 0), ("applied", 1, 0), ("notified", 1, 0)]);
        assert_eq!(waiting.rows[0].committed, 1);
    }

    #[test]
    fn a_missing_a_pending_and_a_foreign_event_are_gaps() {
        let id = EventId::generate();
        let stages = |audit: Audit| audit.gaps.iter().map(|gap| gap.stage).collect::<Vec<_>>();
        assert_eq!(stages(audit(&[], &[(id, Stage::Notified, false)], id)), ["applied"]);
        assert_eq!(
            stages(audit(&[(id, Stage::Applied, false)], &[(id, Stage::Pending, false)], id)),
            ["notified"]
        );
        let other = EventId::generate();
        let same_count = audit(&[(other, Stage::Applied, false)], &[(id, Stage::Notified, false)], id);
        assert_eq!(stages(same_count), ["applied"]);
    }

    #[test]
    fn events_of_other_publishers_have_a_column_of_their_own() {
        let (id, other) = (EventId::generate(), EventId::generate());
        let both = audit(
            &[(id, Stage::Applied, false), (other, Stage::Applied, true)],
            &[(id, Stage::Notified, false), (other, Stage::Notified, true)],
            id,
        );
        assert_eq!(both.gaps, []);
        let row = both.rows.iter().find(|row| row.event_type == "pay.success").unwrap();
        assert_eq!((row.applied, row.upstream), (1, 1));
    }
}
