use admin_api::audit::Span;
use events::EventId;
use time::macros::datetime;
use uuid::Uuid;

use super::*;

const NOON: OffsetDateTime = datetime!(2026-01-01 12:00 UTC);

fn report(held: &[(EventId, Stage, bool)]) -> AuditReport {
    let mut report = AuditReport::new(Span { from: NOON, to: NOON + time::Duration::HOUR });
    report.buckets = held
        .iter()
        .map(|(id, stage, upstream)| Bucket {
            minute: NOON,
            event_type: EventType::Success,
            stage: *stage,
            upstream: *upstream,
            count: 1,
            digest: [*id].into_iter().collect(),
        })
        .collect();
    report
}

fn compare(
    ingress: &[(EventId, Stage, bool)],
    order_service: &[(EventId, Stage, bool)],
    notifier: &[(EventId, Stage, bool)],
) -> Comparison {
    let mut comparison = Comparison::default();
    comparison.add(&Reports {
        ingress: report(ingress),
        order_service: report(order_service),
        notifier: report(notifier),
    });
    comparison
}

fn published(
    id: EventId,
    order_service: &[(EventId, Stage, bool)],
    notifier: &[(EventId, Stage, bool)],
) -> Comparison {
    compare(&[(id, Stage::Published, false)], order_service, notifier)
}

fn stages(comparison: &Comparison) -> Vec<&'static str> {
    comparison.gaps.iter().map(|gap| gap.stage).collect()
}

fn looks(comparison: &Comparison) -> Vec<Look> {
    comparison.looks.iter().map(|(look, ..)| *look).collect()
}

#[test]
fn complete_where_every_stage_holds_the_same_ids() {
    let id = EventId(Uuid::now_v7());
    let done = published(id, &[(id, Stage::Applied, false)], &[(id, Stage::Notified, false)]);
    assert_eq!((stages(&done), looks(&done)), (vec![], vec![]));
    let parked = published(id, &[(id, Stage::Parked, false)], &[(id, Stage::Parked, false)]);
    assert_eq!(stages(&parked), [""; 0]);
    assert_eq!(looks(&parked), [Look::Parked(Consumer::OrderService), Look::Parked(Consumer::Notifier)]);
}

#[test]
fn what_waits_to_be_published_is_a_gap() {
    let id = EventId(Uuid::now_v7());
    let waiting = compare(&[(id, Stage::Committed, false)], &[], &[]);
    let gaps: Vec<_> = waiting.gaps.iter().map(|gap| (gap.stage, gap.committed, gap.found)).collect();
    assert_eq!(gaps, [("published", 1, 0), ("applied", 1, 0), ("notified", 1, 0)]);
    assert_eq!(looks(&waiting), [Look::Everything]);
    assert_eq!(waiting.rows[0].committed, 1);
}

#[test]
fn a_missing_a_pending_and_a_foreign_event_are_gaps() {
    let (id, other) = (EventId(Uuid::now_v7()), EventId(Uuid::now_v7()));
    let missing = published(id, &[], &[(id, Stage::Notified, false)]);
    assert_eq!((stages(&missing), looks(&missing)), (vec!["applied"], vec![Look::Everything]));
    let pending = published(id, &[(id, Stage::Applied, false)], &[(id, Stage::Pending, false)]);
    assert_eq!((stages(&pending), looks(&pending)), (vec!["notified"], vec![Look::Pending]));
    let same_count = published(id, &[(other, Stage::Applied, false)], &[(id, Stage::Notified, false)]);
    assert_eq!((stages(&same_count), looks(&same_count)), (vec!["applied"], vec![Look::Everything]));
    let never_committed = compare(&[], &[], &[(id, Stage::Notified, false)]);
    assert_eq!(stages(&never_committed), ["notified"]);
}

#[test]
fn events_of_other_publishers_have_a_column_of_their_own() {
    let (id, other) = (EventId(Uuid::now_v7()), EventId(Uuid::now_v7()));
    let both = published(
        id,
        &[(id, Stage::Applied, false), (other, Stage::Applied, true)],
        &[(id, Stage::Notified, false), (other, Stage::Parked, true)],
    );
    assert_eq!((stages(&both), looks(&both)), (vec![], vec![]));
    assert_eq!((both.rows[0].applied, both.rows[0].upstream, both.rows[0].parked), (1, 1, 0));
}

#[test]
fn what_is_too_young_is_counted_and_not_judged() {
    let (done, waiting) = (EventId(Uuid::now_v7()), EventId(Uuid::now_v7()));
    let mut comparison = Comparison::default();
    comparison.add_young(&Reports {
        ingress: report(&[(done, Stage::Published, false), (waiting, Stage::Committed, false)]),
        order_service: report(&[(done, Stage::Applied, false)]),
        notifier: report(&[(done, Stage::Notified, false)]),
    });
    assert_eq!((comparison.settling, stages(&comparison), looks(&comparison)), (1, vec![], vec![]));
    assert_eq!(comparison.rows[0].committed, 2);
}
