//! Whatever comes in: no panic, no change on the way, and what is signed is what is read.

use channels::alipay::{Notice, simulate};
use channels::{Callback, CallbackRefusal};
use events::{Currency, FactKind, Money, PayOrderNo};
use proptest::prelude::*;
use time::macros::datetime;
use time::{Duration, OffsetDateTime};

use super::{NOW, notice, send, signer, verify};

fn any_notice() -> impl Strategy<Value = Notice> {
    let statuses = vec!["TRADE_SUCCESS", "TRADE_FINISHED", "TRADE_CLOSED", "WAIT_BUYER_PAY"];
    let last_second = (datetime!(9999-12-31 15:59:59 UTC) - OffsetDateTime::UNIX_EPOCH).whole_seconds();
    (
        prop::sample::select(statuses),
        "[A-Za-z0-9_.:@-]{1,64}",
        "[!-~]{1,128}",
        "[ -~一-龥]{0,40}",
        (0..=i64::MAX, 0..=i64::MAX),
        0..=last_second,
    )
        .prop_map(|(trade_status, pay_order_no, trade_no, subject, (total, refunded), at)| Notice {
            trade_status: trade_status.to_owned(),
            pay_order_no: PayOrderNo::parse(pay_order_no).expect("it is valid"),
            trade_no,
            subject,
            total: Money::new(total, Currency::parse("CNY").expect("it is listed")),
            at: OffsetDateTime::UNIX_EPOCH + Duration::seconds(at),
            refunded_minor: match trade_status {
                "TRADE_CLOSED" => (refunded % 2 == 0).then_some(total),
                _ => (refunded % 3 == 0).then_some(refunded),
            }
            .filter(|refunded| *refunded > 0),
        })
}

proptest! {
    #[test]
    fn what_a_channel_tells_is_what_is_read(
        notice in any_notice(),
        notify_id in "[!-~]{1,255}",
        charset in prop::sample::select(vec!["utf-8", "GBK", "GB18030"]),
    ) {
        let sent = simulate(&notice, &notify_id, &signer(charset), NOW).unwrap();
        let verdict = verify(sent.body.as_bytes());
        let expected = match (notice.trade_status.as_str(), notice.refunded_minor) {
            ("WAIT_BUYER_PAY", _) => {
                let ignored = matches!(&verdict, Ok(Callback::Ignored { dedupe_id, .. }) if *dedupe_id == notify_id);
                prop_assert!(ignored, "{verdict:?}");
                return Ok(());
            }
            (_, Some(refunded_minor)) => FactKind::Refunded { refunded_minor, refunded_at: notice.at },
            ("TRADE_CLOSED", None) => FactKind::Closed,
            (_, None) => FactKind::Succeeded { paid_at: notice.at },
        };
        let Ok(Callback::Fact(stated)) = verdict else {
            return Err(TestCaseError::fail(format!("{verdict:?} for {}", sent.body)));
        };
        prop_assert_eq!(stated.dedupe_id, notify_id);
        prop_assert_eq!(stated.pay_order_no, notice.pay_order_no);
        prop_assert_eq!(stated.fact.kind, expected);
        prop_assert_eq!(stated.fact.amount, Some(notice.total));
        prop_assert_eq!(stated.fact.channel_trade_no, Some(notice.trade_no));
    }

    /// The case of an escape's digits is all that may change: what they mean does not.
    #[test]
    fn a_flipped_bit_is_never_accepted(at: prop::sample::Index, bit in 0..8_u32) {
        let body = send(&notice("TRADE_SUCCESS", None), "utf-8").body;
        let mut flipped = body.clone().into_bytes();
        let at = at.index(flipped.len());
        flipped[at] ^= 1_u8 << bit;
        let digit_of_escape = flipped[at].is_ascii_hexdigit() && body[..at].bytes().rev().take(2).any(|byte| byte == b'%');
        let same = digit_of_escape && flipped[at].eq_ignore_ascii_case(&body.as_bytes()[at]);
        let verdict = verify(&flipped);
        if same {
            prop_assert_eq!(verdict, verify(body.as_bytes()));
        } else {
            prop_assert!(verdict.as_ref().is_err_and(|refusal| !refusal.is_authentic()), "{verdict:?}");
        }
    }

    #[test]
    fn arbitrary_bytes_are_refused_without_a_panic(body: Vec<u8>) {
        let verdict = verify(&body);
        prop_assert!(verdict.as_ref().is_err_and(|refusal| !refusal.is_authentic()), "{verdict:?}");
    }

    #[test]
    fn arbitrary_forms_are_refused_without_a_panic(
        pairs in prop::collection::vec(("(sign|sign_type|charset|app_id|[a-z_]{0,8})", "(RSA2|gbk|%[0-9a-fA-F]{2}|[ -~]{0,20})"), 0..12),
    ) {
        let body = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&");
        let verdict = verify(body.as_bytes());
        prop_assert!(verdict.as_ref().is_err_and(|refusal: &CallbackRefusal| !refusal.is_authentic()), "{verdict:?}");
    }
}
