use time::macros::datetime;
use uuid::Uuid;

use super::*;

const NOON: OffsetDateTime = datetime!(2026-01-01 12:00 UTC);
const RETRIES: Duration = Duration::from_secs(60);

fn entry(event_id: EventId, stage: Stage) -> Entry {
    Entry {
        event_id,
        occurred_at: NOON,
        stage,
        upstream: false,
        merchant_id: Some("m1".to_owned()),
        order_no: Some("O-1".to_owned()),
        pay_order_no: None,
        reason: None,
        detail: None,
        queue: None,
        attempts: None,
        next_attempt_at: None,
    }
}

fn held(ingress: Stage, order_service: Vec<Entry>, notifier: Vec<Entry>, id: EventId) -> HeldEvents {
    let mut committed = entry(id, ingress);
    committed.pay_order_no = Some("P1".to_owned());
    HeldEvents { ingress: Some(vec![committed]), order_service, notifier }
}

fn judged(held: &HeldEvents, after: Duration) -> Vec<(EventStanding, &'static str, String)> {
    let findings = judge(EventType::Success, held, NOON + after, RETRIES);
    assert!(findings.iter().all(|finding| finding.order_no.as_deref() == Some("O-1")));
    findings.into_iter().map(|finding| (finding.stage, finding.service, finding.why)).collect()
}

#[test]
fn what_is_everywhere_is_no_finding() {
    let id = EventId(Uuid::now_v7());
    for (applied, notified) in [(Stage::Applied, Stage::Notified), (Stage::NotMine, Stage::Duplicate)] {
        let held = held(Stage::Published, vec![entry(id, applied)], vec![entry(id, notified)], id);
        assert_eq!(judged(&held, RETRIES), []);
    }
}

#[test]
fn what_is_in_the_outbox_is_one_finding() {
    let id = EventId(Uuid::now_v7());
    let mut held = held(Stage::Committed, vec![], vec![], id);
    let [(EventStanding::NotPublished, "ingress", why)] = &judged(&held, Duration::from_secs(180))[..] else {
        panic!("not published");
    };
    assert_eq!(why, "in the outbox for 3 min");
    for committed in held.ingress.iter_mut().flatten() {
        (committed.attempts, committed.next_attempt_at) = (Some(4), Some(NOON));
    }
    let (_, _, why) = judged(&held, RETRIES).remove(0);
    assert!(
        why.contains("4 times") && why.contains("pay.success") && why.contains("2026-01-01T12:00:00Z"),
        "{why}"
    );
}

#[test]
fn what_was_published_is_retrying_first_and_then_missing() {
    let id = EventId(Uuid::now_v7());
    let held = held(Stage::Published, vec![], vec![entry(id, Stage::Notified)], id);
    let standing = |after| {
        let found = judged(&held, after);
        found.iter().map(|(standing, service, _)| (*standing, *service)).collect::<Vec<_>>()
    };
    assert_eq!(standing(RETRIES), [(EventStanding::Retrying, "order-service")]);
    assert_eq!(standing(RETRIES + Duration::from_secs(1)), [(EventStanding::Missing, "order-service")]);
}

#[test]
fn what_nobody_committed_is_unexpected_unless_only_a_part_was_asked_for() {
    let (id, other) = (EventId(Uuid::now_v7()), EventId(Uuid::now_v7()));
    let applied = vec![entry(id, Stage::Applied), entry(other, Stage::Applied)];
    let mut held = held(Stage::Published, applied, vec![entry(id, Stage::Notified)], id);
    let found = judged(&held, RETRIES);
    assert_eq!((found.len(), found[0].0, found[0].1), (1, EventStanding::Unexpected, "order-service"));
    held.ingress = None;
    assert_eq!(judged(&held, RETRIES), []);
}

#[test]
fn what_waits_or_was_given_up_says_why() {
    let id = EventId(Uuid::now_v7());
    let pending = Entry {
        attempts: Some(2),
        next_attempt_at: Some(NOON + Duration::from_secs(90)),
        ..entry(id, Stage::Pending)
    };
    let letter = Entry {
        reason: Some("attempts_exhausted".to_owned()),
        detail: Some("unknown_order".to_owned()),
        queue: Some("trade.pay.success.queue".to_owned()),
        attempts: Some(4),
        ..entry(id, Stage::Parked)
    };
    let found = judged(&held(Stage::Published, vec![letter.clone()], vec![pending], id), RETRIES);
    let whys: Vec<_> = found.iter().map(|(standing, _, why)| (*standing, why.as_str())).collect();
    assert_eq!(
        whys,
        [
            (
                EventStanding::DeadLetter,
                "trade.pay.success.queue.dlq: attempts_exhausted: unknown_order (4 attempts)"
            ),
            (EventStanding::Pending, "2 failed attempts, next 2026-01-01T12:01:30Z"),
        ]
    );
    let given_up =
        HeldEvents { notifier: vec![Entry { queue: None, detail: None, ..letter }], ..HeldEvents::default() };
    assert_eq!(
        judged(&given_up, RETRIES),
        [(EventStanding::Parked, "merchant-notifier", "attempts_exhausted (4 attempts)".to_owned())]
    );
}

#[test]
fn a_finding_names_what_any_service_knows() {
    let id = EventId(Uuid::now_v7());
    let parked = Entry { reason: Some("gone".to_owned()), ..entry(id, Stage::Parked) };
    let held = held(Stage::Published, vec![entry(id, Stage::Applied)], vec![parked], id);
    let findings = judge(EventType::Success, &held, NOON, RETRIES);
    assert_eq!(findings[0].pay_order_no.as_deref(), Some("P1"));
}

#[test]
fn a_webhook_is_due_from_its_time_on() {
    let mut pending = entry(EventId(Uuid::now_v7()), Stage::Pending);
    pending.attempts = Some(2);
    for (next, expected) in [
        (None, "2 failed attempts, due"),
        (Some(NOON - Duration::from_secs(1)), "2 failed attempts, due since 2026-01-01T11:59:59Z"),
        (Some(NOON), "2 failed attempts, due since 2026-01-01T12:00:00Z"),
        (Some(NOON + Duration::from_secs(1)), "2 failed attempts, next 2026-01-01T12:00:01Z"),
    ] {
        pending.next_attempt_at = next;
        assert_eq!(standing(&pending, NOON), Some((EventStanding::Pending, expected.to_owned())));
    }
}

#[test]
fn each_standing_is_missing_explained_or_on_its_way() {
    for (standing, name, is_missing, is_explained) in [
        (EventStanding::EventMissing, "event missing", true, false),
        (EventStanding::NotPublished, "not published", false, false),
        (EventStanding::Retrying, "retrying", false, false),
        (EventStanding::Missing, "missing", true, false),
        (EventStanding::Unexpected, "unexpected", true, false),
        (EventStanding::Pending, "pending", false, false),
        (EventStanding::Parked, "parked", false, true),
        (EventStanding::DeadLetter, "dead letter", false, true),
    ] {
        assert_eq!((standing.is_missing(), standing.is_explained()), (is_missing, is_explained), "{name}");
        assert_eq!(standing.name(), name);
        assert_eq!(serde_json::to_value(standing).unwrap(), name.replace(' ', "_"));
    }
}
