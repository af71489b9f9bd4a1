//! The shape in which every service reports what it holds, so that `payrelay audit` can compare them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::{EventId, EventType, digest::IdSetDigest};

/// Where an event stands in a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Ingress: committed with its transition, not confirmed by the broker yet.
    Committed,
    /// Ingress: confirmed by the broker.
    Published,
    /// Consumers: handled, with an effect.
    Applied,
    /// Consumers: handled before under another event id.
    Duplicate,
    /// Order service: of a purpose that it does not keep.
    NotMine,
    /// Notifier: acknowledged by the merchant.
    Notified,
    /// Notifier: waiting for its next attempt.
    Pending,
    /// Consumers: dead-lettered or given up, with a reason.
    Parked,
}

/// Events of one minute, type and stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bucket {
    /// The minute of the events' own `occurred_at`.
    #[serde(with = "time::serde::rfc3339")]
    pub minute: OffsetDateTime,
    /// Their type.
    #[serde(rename = "type")]
    pub event_type: EventType,
    /// Where they stand.
    pub stage: Stage,
    /// Whether another publisher than the ingress made them: these the ingress never committed.
    pub upstream: bool,
    /// How many.
    pub count: u64,
    /// The digest of their ids, sixteen hexadecimal digits.
    pub digest: String,
}

/// What a service answers on `GET /admin/audit`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The start of the window, inclusive.
    #[serde(with = "time::serde::rfc3339")]
    pub from: OffsetDateTime,
    /// The end of the window, exclusive.
    #[serde(with = "time::serde::rfc3339")]
    pub to: OffsetDateTime,
    /// What happened in it.
    pub buckets: Vec<Bucket>,
}

/// One event as a service's store knows it.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// The event's id.
    pub event_id: EventId,
    /// Its own time.
    pub occurred_at: OffsetDateTime,
    /// Its type.
    pub event_type: EventType,
    /// Where it stands; every service reports an event at one stage only, the furthest.
    pub stage: Stage,
    /// Whether another publisher than the ingress made it: its `cloudEvents_source` is not [`SOURCE`](crate::SOURCE).
    pub upstream: bool,
}

impl Report {
    /// Sums entries into buckets, sorted by minute, type, stage and origin.
    pub fn new(from: OffsetDateTime, to: OffsetDateTime, entries: impl IntoIterator<Item = Entry>) -> Self {
        let mut sums: BTreeMap<_, (u64, IdSetDigest)> = BTreeMap::new();
        for entry in entries {
            let minute = start_of_minute(entry.occurred_at);
            let (count, digest) =
                sums.entry((minute, entry.event_type, entry.stage, entry.upstream)).or_default();
            *count += 1;
            digest.add(entry.event_id);
        }
        let buckets = sums.into_iter().map(|((minute, event_type, stage, upstream), (count, digest))| {
            Bucket { minute, event_type, stage, upstream, count, digest: digest.to_hex() }
        });
        Self { from, to, buckets: buckets.collect() }
    }

    /// How many events stand at `stage`.
    pub fn count(&self, stage: Stage) -> u64 {
        self.buckets.iter().filter(|bucket| bucket.stage == stage).map(|bucket| bucket.count).sum()
    }
}

fn start_of_minute(time: OffsetDateTime) -> OffsetDateTime {
    let utc = time.to_offset(time::UtcOffset::UTC);
    utc - time::Duration::seconds(utc.second().into()) - time::Duration::nanoseconds(utc.nanosecond().into())
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn entries_are_summed_by_minute_type_and_stage() {
        let entry = |occurred_at, stage| Entry {
            event_id: EventId::generate(),
            occurred_at,
            event_type: EventType::Success,
            stage,
            upstream: false,
        };
        let report = Report::new(
            datetime!(2026-01-01 00:00 UTC),
            datetime!(2026-01-02 00:00 UTC),
            [
                entry(datetime!(2026-01-01 00:00:59.9 UTC), Stage::Committed),
                entry(datetime!(2026-01-01 00:00:00 UTC), Stage::Committed),
                entry(datetime!(2026-01-01 00:01:00 UTC), Stage::Committed),
                entry(datetime!(2026-01-01 00:01:00 UTC), Stage::Published),
            ],
        );
        let counts: Vec<_> = report.buckets.iter().map(|bucket| bucket.count).collect();
        assert_eq!(counts, [2, 1, 1]);
        assert_eq!(report.buckets[0].minute, datetime!(2026-01-01 00:00 UTC));
        assert_eq!(report.count(Stage::Committed), 3);
    }
}
