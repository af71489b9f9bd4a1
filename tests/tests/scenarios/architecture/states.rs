//! The state machines that `ARCHITECTURE.md` draws are those of the code.
//!
//! The picture of the pay order is held here. Those of the order and the notification are held by tests of their own crates:
//! `crates/order-service/src/decide/tests/states.rs` and `crates/merchant-notifier/tests/notifier/states.rs`.

use std::collections::{BTreeMap, BTreeSet};

use devstack::testing::pictures::{Arrow, START, arrows};
use events::{
    ChannelAccount, Currency, Fact, FactKind, MerchantId, Money, OrderNo, PayOrder, PayOrderNo, Purpose,
    Status, Transition, transition,
};
use time::OffsetDateTime;

use super::workspace::{files, folder_of, member, read, root};

const TOTAL_MINOR: i64 = 100;
const PART_MINOR: i64 = 40;
const PAID_AT: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

#[test]
fn the_picture_of_the_pay_order_is_what_transition_does() {
    let stated = arrows_of_code(false);
    let mut expected = stated.clone();
    // What only an acceptance makes possible.
    for arrow in arrows_of_code(true).difference(&stated) {
        expected.insert(Arrow { cause: format!("accepted {}", arrow.cause), ..arrow.clone() });
    }
    expected.insert(Arrow::new(START, Status::NotCommit.as_str(), "created"));
    assert_eq!(arrows("### Pay order"), expected);
}

/// The places that write a status. Another one needs an arrow in a picture, and a test that holds it.
#[test]
fn no_other_statement_writes_a_status() {
    let mut found: BTreeMap<String, usize> = BTreeMap::new();
    for service in ["ingress", "order-service", "merchant-notifier"] {
        for file in files(&folder_of(member(service)).join("src/store")) {
            let path = file.strip_prefix(root()).expect("a file of the workspace").display().to_string();
            let count = read(&file).matches("SET status = ").count();
            if count > 0 && !path.contains("/tests/") {
                found.insert(path, count);
            }
        }
    }
    let expected = [
        ("crates/ingress/src/store/pay_orders.rs", 1),
        ("crates/merchant-notifier/src/store/attempts.rs", 2),
        ("crates/merchant-notifier/src/store/endpoints.rs", 2),
        ("crates/merchant-notifier/src/store/retries.rs", 1),
        ("crates/order-service/src/store/applying.rs", 1),
        ("crates/order-service/src/store/orders.rs", 1),
    ];
    assert_eq!(found, expected.map(|(path, count)| (path.to_owned(), count)).into());
}

/// Every step of every fact on a pay order of every status.
fn arrows_of_code(accepted: bool) -> BTreeSet<Arrow> {
    let mut arrows = BTreeSet::new();
    for status in Status::ALL {
        for (cause, kind) in kinds() {
            let before = pay_order(status);
            let fact = Fact {
                kind,
                account: Some(before.channel.clone()),
                amount: Some(before.amount),
                channel_trade_no: Some("T1".to_owned()),
                accepted,
            };
            let Transition::Applied(steps) = transition(&before, &fact) else { continue };
            let mut from = status;
            for step in steps {
                let to = step.order.status;
                arrows.insert(Arrow::new(from.as_str(), to.as_str(), cause));
                from = to;
            }
        }
    }
    arrows
}

fn kinds() -> Vec<(&'static str, FactKind)> {
    let mut kinds = vec![
        ("submitted", FactKind::Submitted),
        ("succeeded", FactKind::Succeeded { paid_at: PAID_AT }),
        ("failed", FactKind::Failed),
        ("closed", FactKind::Closed),
    ];
    for amount_minor in [PART_MINOR, TOTAL_MINOR - PART_MINOR, TOTAL_MINOR] {
        let refunded = FactKind::Refunded { refunded_minor: amount_minor, refunded_at: PAID_AT };
        let part = FactKind::PartRefunded { refund_no: "R1".to_owned(), amount_minor, refunded_at: PAID_AT };
        kinds.extend([("refunded", refunded), ("refunded", part)]);
    }
    kinds
}

fn pay_order(status: Status) -> PayOrder {
    let refunded_minor = match status {
        Status::PartiallyRefunded => PART_MINOR,
        Status::TradeRefunded => TOTAL_MINOR,
        _ => 0,
    };
    PayOrder {
        pay_order_no: PayOrderNo::parse("P1").expect("a number"),
        merchant_id: MerchantId::parse("m1").expect("a merchant"),
        order_no: OrderNo::parse("10001").expect("a number"),
        purpose: Purpose::Order,
        amount: Money::new(TOTAL_MINOR, Currency::parse("CNY").expect("a currency")),
        channel: ChannelAccount::parse("main").expect("an account"),
        status,
        version: 1,
        refunded_minor,
        channel_trade_no: status.is_paid().then(|| "T1".to_owned()),
        paid_at: status.is_paid().then_some(PAID_AT),
        subject: None,
        notify_url: None,
        attach: None,
    }
}
