use super::*;
use crate::fixtures::event;

#[test]
fn parts_of_a_snapshot_are_judged_to_the_last_unit() {
    let refunded = |status, refunded_minor| {
        let mut refund = event();
        refund.event_type = EventType::Refunded;
        (refund.order.status, refund.order.refunded_minor) = (status, refunded_minor);
        refund.check()
    };
    for refunded_minor in [1, 1998] {
        assert!(refunded(Status::PartiallyRefunded, refunded_minor).is_ok(), "{refunded_minor}");
    }
    for refunded_minor in [0, 1999, 2000] {
        assert!(refunded(Status::PartiallyRefunded, refunded_minor).is_err(), "{refunded_minor}");
    }
    assert!(refunded(Status::TradeRefunded, 1999).is_ok() && refunded(Status::TradeRefunded, 1998).is_err());

    let of_version = |version| {
        let mut first = event();
        first.order.version = version;
        first.check()
    };
    assert!(of_version(1).is_ok() && of_version(0).is_err());
}

#[test]
fn each_refund_is_a_fact_of_its_own_and_any_other_result_is_one() {
    let mut refund = event();
    refund.order.refunded_minor = 500;
    assert_eq!(refund.key().seq, 0, "a success");
    refund.event_type = EventType::Refunded;
    assert_eq!(refund.key().seq, 500);
}

#[test]
fn an_event_of_the_day_after_tomorrow_is_refused() {
    let event = event();
    assert!(event.check_clock(event.occurred_at - PayEvent::MAX_AHEAD).is_ok());
    assert!(event.check_clock(event.occurred_at - PayEvent::MAX_AHEAD - time::Duration::SECOND).is_err());
}
