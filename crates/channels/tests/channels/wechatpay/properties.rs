//! Whatever comes in: no panic, and nothing changed is taken.

use std::sync::LazyLock;

use channels::wechatpay::{Kind, Notice, Signer, seal, sign, simulate};
use channels::{Callback, CallbackRefusal, ChannelSet};
use events::{FactKind, Money, PayOrderNo, to_micros};
use proptest::prelude::*;
use time::macros::datetime;
use time::{Duration, OffsetDateTime};

use super::support::{NOW, account, paid, signer, verify, verify_raw};

static ACCOUNT: LazyLock<ChannelSet> = LazyLock::new(account);
static SIGNER: LazyLock<Signer> = LazyLock::new(signer);

/// Until a day before the last one of the calendar, for Beijing is ahead of UTC.
fn any_time() -> impl Strategy<Value = OffsetDateTime> {
    let last_second = datetime!(9999-12-30 23:59:59 UTC).unix_timestamp();
    (0..=last_second, 0..1_000_000_000_i64).prop_map(|(seconds, nanoseconds)| {
        OffsetDateTime::UNIX_EPOCH + Duration::seconds(seconds) + Duration::nanoseconds(nanoseconds)
    })
}

fn any_notice() -> impl Strategy<Value = Notice> {
    let kind = prop_oneof![
        Just(Kind::Transaction { trade_state: "SUCCESS".to_owned() }),
        ("[!-~]{1,128}", 1..=i64::MAX)
            .prop_map(|(refund_id, amount_minor)| Kind::Refund { refund_id, amount_minor }),
    ];
    (kind, "[A-Za-z0-9_.:@-]{1,64}", "[!-~]{1,128}", 0..=i64::MAX, any_time()).prop_map(
        |(kind, pay_order_no, transaction_id, amount_minor, at)| Notice {
            kind,
            pay_order_no: PayOrderNo::parse(pay_order_no).expect("it is valid"),
            transaction_id,
            total: Money { amount_minor, ..paid().total },
            at,
        },
    )
}

proptest! {
    // A signature costs a millisecond.
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_the_channel_tells_is_what_is_read(notice in any_notice(), id in "[!-~]{1,255}") {
        let verdict = verify(&ACCOUNT, &simulate(&notice, &id, &SIGNER, NOW).unwrap());
        let Ok(Callback::Fact(stated)) = verdict else {
            return Err(TestCaseError::fail(format!("{verdict:?} for {notice:?}")));
        };
        let at = to_micros(notice.at);
        let kind = match notice.kind {
            Kind::Transaction { .. } => FactKind::Succeeded { paid_at: at },
            Kind::Refund { refund_id, amount_minor } => {
                FactKind::PartRefunded { refund_no: refund_id, amount_minor, refunded_at: at }
            }
        };
        prop_assert_eq!(stated.dedupe_id, id);
        prop_assert_eq!(stated.pay_order_no, notice.pay_order_no);
        prop_assert_eq!(stated.fact.kind, kind);
        prop_assert_eq!(stated.fact.amount, Some(notice.total));
        prop_assert_eq!(stated.fact.channel_trade_no, Some(notice.transaction_id));
    }

    #[test]
    fn a_flipped_bit_anywhere_is_refused(header in 0..5_usize, at: prop::sample::Index, bit in 0..8_u8) {
        let sent = simulate(&paid(), "EV-1", &SIGNER, NOW).unwrap();
        let mut parts = [&sent.timestamp, &sent.nonce, &sent.serial, &sent.signature, &sent.body]
            .map(|part| part.clone().into_bytes());
        let part = &mut parts[header];
        let at = at.index(part.len());
        part[at] ^= 1 << bit;
        let [timestamp, nonce, serial, signature, body] = parts;
        let texts = [timestamp, nonce, serial, signature].map(|part| String::from_utf8_lossy(&part).into_owned());
        // The number of a key is the same in either case.
        prop_assume!(!texts[2].eq_ignore_ascii_case(&sent.serial) || header != 2);
        let names = ["wechatpay-timestamp", "wechatpay-nonce", "wechatpay-serial", "wechatpay-signature"];
        let headers: Vec<_> = names.into_iter().zip(texts.iter().map(String::as_str)).collect();
        let verdict = verify_raw(&ACCOUNT, &headers, &body, NOW);
        prop_assert!(verdict.as_ref().is_err_and(|refusal| !refusal.is_authentic()), "{:?}", verdict);
    }

    #[test]
    fn arbitrary_requests_are_refused_without_a_panic(
        headers: Vec<(String, String)>,
        values: [String; 5],
        body: Vec<u8>,
    ) {
        let names = [
            "wechatpay-timestamp", "wechatpay-nonce", "wechatpay-serial", "wechatpay-signature", "wechatpay-signature-type",
        ];
        let mut pairs: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        pairs.extend(names.into_iter().zip(values.iter().map(String::as_str)));
        let verdict = verify_raw(&ACCOUNT, &pairs, &body, NOW);
        prop_assert!(verdict.as_ref().is_err_and(|refusal| !refusal.is_authentic()), "{:?}", verdict);
    }

    #[test]
    fn arbitrary_signed_bodies_are_judged_without_a_panic(body: String) {
        let verdict = verify(&ACCOUNT, &sign(body, &SIGNER, NOW).unwrap());
        prop_assert!(matches!(verdict, Err(CallbackRefusal::Unreadable { .. })), "{:?}", verdict);
    }

    #[test]
    fn arbitrary_resources_are_judged_without_a_panic(
        algorithm in "AEAD_AES_256_GCM|\\PC{0,20}",
        ciphertext in "[A-Za-z0-9+/=]{0,80}|\\PC{0,20}",
        nonce in "[a-z0-9]{12}|\\PC{0,14}",
        associated_data: Option<String>,
    ) {
        let body = serde_json::json!({"id": "EV-1", "event_type": "REFUND.SUCCESS", "resource": {
            "algorithm": algorithm, "ciphertext": ciphertext, "nonce": nonce, "associated_data": associated_data,
        }});
        let verdict = verify(&ACCOUNT, &sign(body.to_string(), &SIGNER, NOW).unwrap());
        prop_assert!(verdict.as_ref().is_err_and(CallbackRefusal::is_authentic), "{:?}", verdict);
    }

    /// Plaintexts of the right shape with wild values, to get behind the JSON parser.
    #[test]
    fn wild_values_are_judged_without_a_panic(
        event_type in "(TRANSACTION|REFUND)[.]SUCCESS",
        state in "SUCCESS|REFUND|PAYERROR|[A-Z]{0,10}",
        total: i64,
        refund: i64,
        number in "\\PC{0,140}",
        time in "[0-9]{4}-(0[1-9]|1[0-2])-[0-3][1-8]T[01][0-9]:[0-5][0-9]:[0-6][0-9]([.][0-9]{1,12})?(Z|[+-][01][0-9]:[0-5][0-9])",
    ) {
        let plaintext = serde_json::json!({
            "mchid": SIGNER.mchid, "appid": SIGNER.appid, "out_trade_no": "P1", "transaction_id": number,
            "trade_state": state, "refund_id": number, "refund_status": "SUCCESS", "success_time": time,
            "amount": {"total": total, "refund": refund, "currency": "CNY"},
        });
        let sealed = seal((&event_type, &plaintext.to_string()), "EV-1", &SIGNER, NOW).unwrap();
        match verify(&ACCOUNT, &sealed) {
            Ok(Callback::Fact(stated)) => prop_assert!(stated.fact.amount.unwrap().amount_minor >= 0),
            Ok(Callback::Ignored { .. }) | Err(CallbackRefusal::Unreadable { .. }) => {}
            other => return Err(TestCaseError::fail(format!("{other:?}"))),
        }
    }
}
