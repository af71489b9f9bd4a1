//! The shapes in which every service reports what it holds, so that `payrelay audit` can compare them: sums by minute, and
//! the events themselves of the minutes that differ.

use std::{iter, str::FromStr};

use events::{EventId, EventType};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use time::{Duration, OffsetDateTime, UtcOffset};
use uuid::Uuid;

use crate::{digest::IdSetDigest, trial_balance::LedgerFinding};

/// Where an event stands in a service. Every service reports an event at one stage only, the furthest.
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

/// A text that names no stage.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("stage: expected one of committed, published, applied, …, got {0:?}")]
pub struct UnknownStage(pub String);

impl Stage {
    /// Every stage.
    pub const ALL: [Self; 8] = [
        Self::Committed,
        Self::Published,
        Self::Applied,
        Self::Duplicate,
        Self::NotMine,
        Self::Notified,
        Self::Pending,
        Self::Parked,
    ];

    /// The name in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Committed => "committed",
            Self::Published => "published",
            Self::Applied => "applied",
            Self::Duplicate => "duplicate",
            Self::NotMine => "not_mine",
            Self::Notified => "notified",
            Self::Pending => "pending",
            Self::Parked => "parked",
        }
    }
}

impl FromStr for Stage {
    type Err = UnknownStage;

    fn from_str(text: &str) -> Result<Self, UnknownStage> {
        let found = Self::ALL.into_iter().find(|stage| stage.as_str() == text);
        found.ok_or_else(|| UnknownStage(text.to_owned()))
    }
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
    /// The digest of their ids.
    pub digest: IdSetDigest,
}

/// A callback that changed its pay order and left no event: what it said will reach nobody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Eventless {
    /// When it came.
    #[serde(with = "time::serde::rfc3339")]
    pub received_at: OffsetDateTime,
    /// The channel account.
    pub account: String,
    /// Its pay order.
    pub pay_order_no: String,
    /// Whose it is; `None` if there is no such pay order.
    pub merchant_id: Option<String>,
    /// Its order; `None` if there is no such pay order.
    pub order_no: Option<String>,
}

/// What a service answers on `GET /admin/audit`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditReport {
    /// The start of the window, inclusive.
    #[serde(with = "time::serde::rfc3339")]
    pub from: OffsetDateTime,
    /// The end of the window, exclusive.
    #[serde(with = "time::serde::rfc3339")]
    pub to: OffsetDateTime,
    /// What happened in it.
    pub buckets: Vec<Bucket>,
    /// Ingress: callbacks without the event that was committed with them, the oldest first, not endlessly many.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub eventless: Vec<Eventless>,
    /// Ingress: recharges that are not in the ledger as their pay orders stand, not endlessly many.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recharges: Vec<LedgerFinding>,
}

/// One event as a service knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its id.
    pub event_id: EventId,
    /// Its own time.
    #[serde(with = "time::serde::rfc3339")]
    pub occurred_at: OffsetDateTime,
    /// Where it stands.
    pub stage: Stage,
    /// Whether another publisher than the ingress made it.
    pub upstream: bool,
    /// Whose order.
    pub merchant_id: Option<String>,
    /// Which order.
    pub order_no: Option<String>,
    /// Which pay order, where the service knows it.
    pub pay_order_no: Option<String>,
    /// Why it is parked, a word.
    pub reason: Option<String>,
    /// Why it is parked, in words.
    pub detail: Option<String>,
    /// The queue that it was dead-lettered from, if it was.
    pub queue: Option<String>,
    /// How often it was tried: published and returned, handled, or sent.
    pub attempts: Option<i32>,
    /// When it is tried again.
    #[serde(with = "time::serde::rfc3339::option")]
    pub next_attempt_at: Option<OffsetDateTime>,
}

/// What a service answers on `GET /admin/audit/events`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// By their time and id.
    pub events: Vec<Entry>,
    /// Whether there are more: those after the last one here.
    pub more: bool,
}

/// A stretch of the events' own time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Inclusive.
    pub from: OffsetDateTime,
    /// Exclusive.
    pub to: OffsetDateTime,
}

/// The query of `GET /admin/audit`.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// Inclusive; by default a day before `to`.
    #[serde(default, with = "time::serde::rfc3339::option")]
    pub from: Option<OffsetDateTime>,
    /// Exclusive; by default now.
    #[serde(default, with = "time::serde::rfc3339::option")]
    pub to: Option<OffsetDateTime>,
}

/// The query of `GET /admin/audit/events`: events of one type, page by page.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventsQuery {
    /// Inclusive; the time of the last event of the page before, if `after` is given.
    #[serde(with = "time::serde::rfc3339")]
    pub from: OffsetDateTime,
    /// Exclusive.
    #[serde(with = "time::serde::rfc3339")]
    pub to: OffsetDateTime,
    /// Their type.
    #[serde(rename = "type")]
    pub event_type: EventType,
    /// Of the events at `from` only those whose id is greater.
    #[serde(default)]
    pub after: Option<Uuid>,
    /// Only those at this stage. The ingress gives all.
    #[serde(default)]
    pub stage: Option<Stage>,
}

/// A window that cannot be reported.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("from, to: expected from before to and at most {} hours between, got {from} to {to}", max.whole_hours())]
pub struct InvalidSpan {
    max: Duration,
    from: OffsetDateTime,
    to: OffsetDateTime,
}

impl Span {
    /// The widest window of sums; wider ones are asked for piece by piece.
    const MAX_SUMMED: Duration = Duration::days(31);
    /// The widest window of events.
    const MAX_LISTED: Duration = Duration::days(1);

    fn new(from: OffsetDateTime, to: OffsetDateTime, max: Duration) -> Result<Self, InvalidSpan> {
        // In UTC, a time of the last day there is may be none.
        let utc = |time: OffsetDateTime| time.checked_to_offset(UtcOffset::UTC);
        match (utc(from), utc(to)) {
            (Some(from), Some(to)) if from < to && to - from <= max => Ok(Self { from, to }),
            _ => Err(InvalidSpan { max, from, to }),
        }
    }

    /// Cuts it at every whole `length`, which divides the day, so that no minute is in two pieces.
    pub fn pieces(self, length: Duration) -> impl Iterator<Item = Self> {
        let mut from = self.from;
        iter::from_fn(move || {
            let into = from.unix_timestamp().rem_euclid(length.whole_seconds().max(1));
            let whole = from - Duration::seconds(into) - Duration::nanoseconds(from.nanosecond().into());
            let end = whole.checked_add(length).unwrap_or(self.to);
            let piece = Self { from, to: self.to.min(end) };
            from = piece.to;
            (piece.from < piece.to).then_some(piece)
        })
    }
}

impl Window {
    /// The window that is meant `now`.
    pub fn span(self, now: OffsetDateTime) -> Result<Span, InvalidSpan> {
        let to = self.to.unwrap_or(now);
        Span::new(self.from.unwrap_or(to - Duration::days(1)), to, Span::MAX_SUMMED)
    }
}

impl EventsQuery {
    /// How many events a page holds at most.
    pub const PAGE: i64 = 2_000;

    /// The window that the events are of.
    pub fn span(&self) -> Result<Span, InvalidSpan> {
        Span::new(self.from, self.to, Span::MAX_LISTED)
    }
}

impl Page {
    /// A page of what a statement found that was limited to one more than [`EventsQuery::PAGE`].
    pub fn new(mut events: Vec<Entry>) -> Self {
        let page = usize::try_from(EventsQuery::PAGE).unwrap_or(usize::MAX);
        let more = events.len() > page;
        events.truncate(page);
        Self { events, more }
    }
}

impl AuditReport {
    /// An empty report of a window.
    pub fn new(span: Span) -> Self {
        Self {
            from: span.from,
            to: span.to,
            buckets: Vec::new(),
            eventless: Vec::new(),
            recharges: Vec::new(),
        }
    }

    /// How many events stand at `stage`.
    pub fn count(&self, stage: Stage) -> u64 {
        self.buckets.iter().filter(|bucket| bucket.stage == stage).map(|bucket| bucket.count).sum()
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn a_window_is_cut_at_whole_pieces_and_nothing_is_left_out() {
        let span =
            Span { from: datetime!(2026-01-01 00:05:30.5 UTC), to: datetime!(2026-01-01 00:30:00.1 UTC) };
        let pieces: Vec<_> = span.pieces(Duration::minutes(10)).collect();
        let ends: Vec<_> = pieces.iter().map(|piece| piece.to).collect();
        let whole = [10, 20, 30].map(|minute| datetime!(2026-01-01 00:00 UTC) + Duration::minutes(minute));
        assert_eq!(ends, [&whole[..], &[span.to]].concat());
        assert_eq!(pieces[0].from, span.from);
        assert!(pieces.windows(2).all(|pair| pair[0].to == pair[1].from));
    }

    #[test]
    fn a_window_has_a_beginning_before_its_end_and_is_bounded() {
        let now = datetime!(2026-01-01 12:00 UTC);
        let span = |from, to| Window { from, to }.span(now);
        assert_eq!(span(None, None), Ok(Span { from: now - Duration::days(1), to: now }));
        assert!(span(Some(now), Some(now)).is_err());
        let error = span(Some(now - Duration::days(32)), None).unwrap_err().to_string();
        assert!(error.contains("744 hours") && error.contains("2025"), "{error}");
    }

    #[test]
    fn the_end_of_the_calendar_is_no_panic() {
        let now = datetime!(2026-01-01 12:00 UTC);
        let last = datetime!(9999-12-31 23:59:59 UTC);
        let span = Window { from: None, to: Some(last) }.span(now).unwrap();
        assert_eq!(span.pieces(Duration::HOUR).last().map(|piece| piece.to), Some(last));
        let beyond = datetime!(9999-12-31 23:59:59 -1);
        assert!(Window { from: None, to: Some(beyond) }.span(now).is_err());
    }

    #[test]
    fn events_of_a_day_can_be_listed_at_once_and_no_more() {
        let from = datetime!(2026-01-01 12:00 UTC);
        let wanted = |to| EventsQuery { from, to, event_type: EventType::Success, after: None, stage: None };
        let day = Span { from, to: from + Duration::DAY };
        assert_eq!(wanted(day.to).span(), Ok(day));
        assert!(wanted(day.to + Duration::NANOSECOND).span().is_err());
    }

    #[test]
    fn a_report_counts_the_events_of_one_stage() {
        let minute = datetime!(2026-01-01 12:00 UTC);
        let bucket = |stage, count| {
            let (event_type, digest) = (EventType::Success, IdSetDigest::default());
            Bucket { minute, event_type, stage, upstream: false, count, digest }
        };
        let mut report = AuditReport::new(Span { from: minute, to: minute + Duration::MINUTE });
        report.buckets = vec![bucket(Stage::Applied, 2), bucket(Stage::Parked, 5), bucket(Stage::Applied, 9)];
        let counts = [Stage::Applied, Stage::Parked, Stage::Pending].map(|stage| report.count(stage));
        assert_eq!(counts, [11, 5, 0]);
    }

    #[test]
    fn a_page_tells_whether_there_is_one_more_event() {
        let entry = Entry {
            event_id: EventId(Uuid::nil()),
            occurred_at: datetime!(2026-01-01 12:00 UTC),
            stage: Stage::Committed,
            upstream: false,
            merchant_id: None,
            order_no: None,
            pay_order_no: None,
            reason: None,
            detail: None,
            queue: None,
            attempts: None,
            next_attempt_at: None,
        };
        let full = usize::try_from(EventsQuery::PAGE).unwrap();
        for (found, kept, more) in [(0, 0, false), (full, full, false), (full + 1, full, true)] {
            let page = Page::new(vec![entry.clone(); found]);
            assert_eq!((page.events.len(), page.more), (kept, more));
        }
    }

    #[test]
    fn the_name_of_a_stage_is_the_one_in_json() {
        for stage in Stage::ALL {
            assert_eq!(serde_json::to_string(&stage).unwrap(), format!("\"{}\"", stage.as_str()));
            assert_eq!(stage.as_str().parse(), Ok(stage));
        }
    }
}
