//! Comparing the sums of the services, minute by minute.

use std::collections::{BTreeMap, BTreeSet};

use admin_api::audit::{AuditReport, Bucket, Eventless, Stage};
use admin_api::digest::IdSetDigest;
use admin_api::trial_balance::LedgerFinding;
use events::EventType;
use serde::Serialize;
use time::OffsetDateTime;

/// What the three services report of the same window.
#[derive(Debug)]
pub(super) struct Reports {
    pub(super) ingress: AuditReport,
    pub(super) order_service: AuditReport,
    pub(super) notifier: AuditReport,
}

impl Reports {
    /// How many events the ingress has committed.
    pub(super) fn committed(&self) -> u64 {
        self.ingress.buckets.iter().map(|bucket| bucket.count).sum()
    }
}

/// One event type over the whole window.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Row {
    #[serde(rename = "type")]
    pub(super) event_type: EventType,
    pub(super) committed: u64,
    pub(super) published: u64,
    /// Handled by the order service: applied, found applied before, or not its own.
    pub(super) applied: u64,
    pub(super) notified: u64,
    /// Waiting for an attempt at the merchant's webhook.
    pub(super) pending: u64,
    /// Parked by the order service or by the notifier, with a reason.
    pub(super) parked: u64,
    /// Handled by the order service, though the ingress never committed them: from other publishers.
    pub(super) upstream: u64,
}

/// A stage that lacks, or has too much of, what the ingress committed in one minute.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Gap {
    #[serde(with = "time::serde::rfc3339")]
    pub(super) minute: OffsetDateTime,
    #[serde(rename = "type")]
    pub(super) event_type: EventType,
    pub(super) stage: &'static str,
    pub(super) committed: u64,
    pub(super) found: u64,
}

/// A minute of one type.
pub(super) type Key = (OffsetDateTime, EventType);

/// Which consumer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Consumer {
    OrderService,
    Notifier,
}

/// What there is to look at in a minute. What may be wrong comes before what is explained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Look {
    /// The services do not hold the same events, or not all are published.
    Everything,
    /// All hold the same, and some are still to be notified.
    Pending,
    /// All hold the same, and one has parked some.
    Parked(Consumer),
}

/// How many recharges are named at most.
const MAX_RECHARGES: usize = 1_000;

/// The comparison of a window, piece by piece.
#[derive(Debug)]
pub(super) struct Comparison {
    pub(super) rows: [Row; 4],
    pub(super) gaps: Vec<Gap>,
    /// Where the events themselves are to be asked for, what may be wrong first, then by time.
    pub(super) looks: BTreeSet<(Look, OffsetDateTime, EventType)>,
    /// Callbacks that left no event.
    pub(super) eventless: Vec<Eventless>,
    /// Recharges that the ledger does not hold as their pay orders stand.
    pub(super) recharges: Vec<LedgerFinding>,
    /// Events that are not everywhere, and too young to be looked at.
    pub(super) settling: u64,
}

impl Default for Comparison {
    fn default() -> Self {
        let row = |event_type| Row {
            event_type,
            committed: 0,
            published: 0,
            applied: 0,
            notified: 0,
            pending: 0,
            parked: 0,
            upstream: 0,
        };
        Self {
            rows: EventType::ALL.map(row),
            gaps: Vec::new(),
            looks: BTreeSet::new(),
            eventless: Vec::new(),
            recharges: Vec::new(),
            settling: 0,
        }
    }
}

impl Comparison {
    /// Compares by digests, not by counts alone, and adds up.
    pub(super) fn add(&mut self, reports: &Reports) {
        self.sum(reports);
        self.eventless.extend_from_slice(&reports.ingress.eventless);
        let held = HeldEvents::of(reports);
        for key in held.keys() {
            let of = |sums: &Sums| sums.get(&key).copied().unwrap_or_default();
            let committed = of(&held.committed);
            for (stage, sums) in
                [("published", &held.published), ("applied", &held.applied), ("notified", &held.notified)]
            {
                let found = of(sums);
                if found != committed {
                    let (minute, event_type) = key;
                    let (committed, found) = (committed.0, found.0);
                    self.gaps.push(Gap { minute, event_type, stage, committed, found });
                }
            }
            let (minute, event_type) = key;
            let same =
                [&held.published, &held.applied, &held.received].iter().all(|sums| of(sums) == committed);
            let looks = if same {
                [
                    (of(&held.notified) != committed).then_some(Look::Pending),
                    held.parked_orders.contains_key(&key).then_some(Look::Parked(Consumer::OrderService)),
                    held.parked_notifications.contains_key(&key).then_some(Look::Parked(Consumer::Notifier)),
                ]
            } else {
                [Some(Look::Everything), None, None]
            };
            self.looks.extend(looks.into_iter().flatten().map(|look| (look, minute, event_type)));
        }
    }

    /// Adds up events that may still be under way.
    pub(super) fn add_young(&mut self, reports: &Reports) {
        self.sum(reports);
        self.eventless.extend_from_slice(&reports.ingress.eventless);
        let held = HeldEvents::of(reports);
        for (key, (committed, _)) in &held.committed {
            let arrived = [&held.published, &held.applied, &held.notified]
                .map(|sums| sums.get(key).copied().unwrap_or_default().0);
            let everywhere = arrived.into_iter().min().unwrap_or_default();
            self.settling += committed.saturating_sub(everywhere);
        }
    }

    fn sum(&mut self, reports: &Reports) {
        let room = MAX_RECHARGES.saturating_sub(self.recharges.len());
        // Paid in one piece and posted in the next, it is told twice.
        let news = reports.ingress.recharges.iter().filter(|found| !self.recharges.contains(found));
        let news: Vec<_> = news.take(room).cloned().collect();
        self.recharges.extend(news);
        for row in &mut self.rows {
            let count = |report: &AuditReport, wanted: &dyn Fn(&Bucket) -> bool| -> u64 {
                let buckets = report.buckets.iter();
                let wanted = buckets.filter(|bucket| bucket.event_type == row.event_type && wanted(bucket));
                wanted.map(|bucket| bucket.count).sum()
            };
            let own = |report: &AuditReport, stages: &[Stage]| {
                count(report, &|bucket| !bucket.upstream && stages.contains(&bucket.stage))
            };
            let Reports { ingress, order_service, notifier } = reports;
            let (committed, published) =
                (own(ingress, &[Stage::Committed, Stage::Published]), own(ingress, &[Stage::Published]));
            let applied = own(order_service, &[Stage::Applied, Stage::Duplicate, Stage::NotMine]);
            let notified = own(notifier, &[Stage::Notified, Stage::Duplicate]);
            let pending = own(notifier, &[Stage::Pending]);
            let parked = own(order_service, &[Stage::Parked]) + own(notifier, &[Stage::Parked]);
            let upstream = count(order_service, &|bucket| bucket.upstream);
            row.committed += committed;
            row.published += published;
            row.applied += applied;
            row.notified += notified;
            row.pending += pending;
            row.parked += parked;
            row.upstream += upstream;
        }
    }
}

type Sums = BTreeMap<Key, (u64, IdSetDigest)>;

/// Which of our own events each stage holds, as sums.
struct HeldEvents {
    /// The ingress reports each event at its furthest stage: what is published was committed.
    committed: Sums,
    published: Sums,
    /// Known to the order service.
    applied: Sums,
    /// Known to the notifier.
    received: Sums,
    /// Of these, what waits for nothing any more.
    notified: Sums,
    parked_orders: Sums,
    parked_notifications: Sums,
}

impl HeldEvents {
    fn of(reports: &Reports) -> Self {
        let Reports { ingress, order_service, notifier } = reports;
        Self {
            committed: sums(ingress, |_| true),
            published: sums(ingress, |stage| stage == Stage::Published),
            applied: sums(order_service, |_| true),
            received: sums(notifier, |_| true),
            notified: sums(notifier, |stage| stage != Stage::Pending),
            parked_orders: sums(order_service, |stage| stage == Stage::Parked),
            parked_notifications: sums(notifier, |stage| stage == Stage::Parked),
        }
    }

    fn keys(&self) -> BTreeSet<Key> {
        let all = [&self.committed, &self.applied, &self.received];
        all.into_iter().flat_map(|sums| sums.keys().copied()).collect()
    }
}

/// Count and digest per minute and type of our own events at the stages chosen.
fn sums(report: &AuditReport, at: impl Fn(Stage) -> bool) -> Sums {
    let mut sums = Sums::new();
    for bucket in report.buckets.iter().filter(|bucket| !bucket.upstream && at(bucket.stage)) {
        let (count, digest) = sums.entry((bucket.minute, bucket.event_type)).or_default();
        *count += bucket.count;
        *digest = digest.union(bucket.digest);
    }
    sums
}

#[cfg(test)]
mod tests;
