//! Whatever comes in: no panic, no change on the way, and what is signed is what is read.

use channels::Callback;
use channels::stripe::{Kind, Notice, sign, simulate};
use channels::unbooked::REFUND_FAILED;
use events::{Currency, FactKind, Money, PayOrderNo};
use proptest::prelude::*;
use time::macros::datetime;
use time::{Duration, OffsetDateTime};

use super::{NOW, NUMBER, notice, secret, verify};

fn any_notice() -> impl Strategy<Value = Notice> {
    let last_second = datetime!(9999-12-31 23:59:59 UTC).unix_timestamp();
    let codes = vec!["USD", "CNY", "JPY", "MGA", "ISK", "UGX", "KWD"];
    (
        prop::sample::select(Kind::ALL.to_vec()),
        "[A-Za-z0-9_.:@-]{1,64}",
        "pi_[!-~]{1,100}",
        (0..=1_000_000_000_i64, 0..=1_000_000_000_i64, prop::sample::select(codes)),
        0..=last_second,
        "(paid|unpaid|failed|canceled)",
    )
        .prop_map(
            |(kind, pay_order_no, payment_intent, (amount, refunded, code), at, payment_status)| {
                let currency = Currency::parse(code).expect("it is listed");
                // What every unit of Stripe's can state.
                let hundreds = |minor: i64| minor - minor % 100;
                // What names a session's pay order must look like a number of payrelay's.
                let is_session = kind.as_str().starts_with("checkout");
                // Only refunds fail or are cancelled.
                let payment_status =
                    if is_session && payment_status != "paid" { "unpaid".to_owned() } else { payment_status };
                let pay_order_no = if is_session { NUMBER.to_owned() } else { pay_order_no };
                Notice {
                    kind,
                    pay_order_no: PayOrderNo::parse(pay_order_no).expect("it is valid"),
                    payment_intent,
                    amount: Money::new(hundreds(amount), currency),
                    at: OffsetDateTime::UNIX_EPOCH + Duration::seconds(at),
                    payment_status,
                    refunded_minor: (kind == Kind::ChargeRefunded).then(|| hundreds(refunded)),
                }
            },
        )
}

proptest! {
    #[test]
    fn what_stripe_tells_is_what_is_read(notice in any_notice(), event_id in "evt_[!-~]{1,200}") {
        let sent = simulate(&notice, &event_id, &secret(), NOW).unwrap();
        let verdict = verify(&sent.headers(), sent.body.as_bytes());
        let at = notice.at;
        let expected = match notice.kind {
            Kind::PaymentIntentPaymentFailed
            | Kind::RefundFailed
            | Kind::RefundUpdated
            | Kind::ChargeRefundUpdated => None,
            Kind::CheckoutSessionCompleted if notice.payment_status != "paid" => None,
            Kind::CheckoutSessionAsyncPaymentFailed => Some(FactKind::Failed),
            Kind::ChargeRefunded => {
                Some(FactKind::Refunded { refunded_minor: notice.refunded_minor.unwrap(), refunded_at: at })
            }
            _ => Some(FactKind::Succeeded { paid_at: at }),
        };
        let is_failed = ["failed", "canceled"].contains(&notice.payment_status.as_str());
        match (verdict, expected) {
            (Ok(Callback::Unbooked { dedupe_id, code, .. }), None) => {
                prop_assert_eq!((dedupe_id.as_str(), code), (event_id.as_str(), REFUND_FAILED));
                prop_assert!(notice.kind == Kind::RefundFailed || is_failed);
            }
            (Ok(Callback::Ignored { dedupe_id, .. }), None) => prop_assert_eq!(dedupe_id, event_id),
            (Ok(Callback::Fact(stated)), Some(kind)) => {
                prop_assert_eq!(stated.dedupe_id, event_id);
                prop_assert_eq!(stated.pay_order_no, notice.pay_order_no);
                prop_assert_eq!(stated.fact.kind, kind);
                prop_assert_eq!(stated.fact.amount, Some(notice.amount));
                prop_assert_eq!(stated.fact.channel_trade_no, Some(notice.payment_intent));
            }
            (verdict, _) => prop_assert!(false, "{verdict:?} for {}", sent.body),
        }
    }

    #[test]
    fn a_flipped_bit_is_never_accepted(at: prop::sample::Index, bit in 0..8_u32, in_header: bool) {
        let sent = simulate(&notice(Kind::PaymentIntentSucceeded), "evt_1", &secret(), NOW).unwrap();
        let (mut header, mut body) = (sent.signature.into_bytes(), sent.body.into_bytes());
        let bytes = if in_header { &mut header } else { &mut body };
        let at = at.index(bytes.len());
        bytes[at] ^= 1_u8 << bit;
        // A header that is no text does not come as far as here.
        let Ok(header) = String::from_utf8(header) else { return Ok(()) };
        let verdict = verify(&[("stripe-signature", &header)], &body);
        prop_assert!(verdict.as_ref().is_err_and(|refusal| !refusal.is_authentic()), "{verdict:?}");
    }

    #[test]
    fn arbitrary_input_is_refused_without_a_panic(
        header in prop_oneof![any::<String>(), "t=[0-9]{0,20},v[01]=[0-9a-f]{0,64}(,v1=[0-9a-f]{64}){0,3}"],
        body: Vec<u8>,
    ) {
        let verdict = verify(&[("stripe-signature", &header)], &body);
        prop_assert!(verdict.as_ref().is_err_and(|refusal| !refusal.is_authentic()), "{verdict:?}");
    }

    #[test]
    fn authentic_nonsense_is_read_without_a_panic(body in "[{}\\[\\]\":,a-z0-9_. -]{0,200}") {
        let sent = sign(body, &secret(), NOW);
        let verdict = verify(&sent.headers(), sent.body.as_bytes());
        prop_assert!(verdict.as_ref().is_err_and(|refusal| refusal.code() == "unreadable"), "{verdict:?}");
    }
}
