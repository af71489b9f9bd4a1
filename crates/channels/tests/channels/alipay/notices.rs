//! What each notice states.

use channels::alipay::sign;
use channels::{Callback, CallbackOutcome, CallbackRefusal, CallbackRequest, ChannelSet, unbooked};
use events::{ChannelAccount, ContradictionReason, Fact, FactKind, PayOrderNo};
use time::Duration;
use time::macros::datetime;

use super::{NOW, channels, config, notice, send, signer, stated, verify};

/// The parameters of a success, some of them changed; an empty value takes one away.
fn with<'a>(changes: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let usual = [
        ("notify_type", "trade_status_sync"),
        ("notify_id", "N1"),
        ("notify_time", "2026-01-01 08:00:01"),
        ("charset", "utf-8"),
        ("app_id", "2021000000000001"),
        ("seller_id", "2088100000000001"),
        ("out_trade_no", "P1"),
        ("trade_no", "T1"),
        ("trade_status", "TRADE_SUCCESS"),
        ("subject", "茶 & more"),
        ("total_amount", "19.99"),
        ("gmt_payment", "2026-01-01 07:59:58"),
    ];
    let kept = usual.into_iter().filter(|(name, _)| !changes.iter().any(|(changed, _)| changed == name));
    kept.chain(changes.iter().copied().filter(|(_, value)| !value.is_empty())).collect()
}

fn body(changes: &[(&str, &str)]) -> String {
    sign(&with(changes), &signer("utf-8").key).expect("it can be signed").body
}

fn kind(changes: &[(&str, &str)]) -> FactKind {
    stated(&body(changes)).fact.kind
}

fn refusal(body: &str) -> CallbackRefusal {
    verify(body.as_bytes()).expect_err("it is wrong")
}

#[test]
fn a_success_states_who_paid_what_and_when_in_utc() {
    let stated = stated(&body(&[]));
    assert_eq!((stated.dedupe_id.as_str(), stated.pay_order_no.as_str()), ("N1", "P1"));
    let expected = Fact {
        kind: FactKind::Succeeded { paid_at: datetime!(2025-12-31 23:59:58 UTC) },
        account: Some(ChannelAccount::parse("alipay_main").unwrap()),
        amount: Some(notice("", None).total),
        channel_trade_no: Some("T1".to_owned()),
        accepted: false,
    };
    assert_eq!(stated.fact, expected);
    assert_eq!(kind(&[("trade_status", "TRADE_FINISHED")]), expected.kind);
    let without = kind(&[("gmt_payment", "")]);
    assert_eq!(without, FactKind::Succeeded { paid_at: datetime!(2026-01-01 00:00:01 UTC) });
}

#[test]
fn refunds_are_told_from_successes_and_closes() {
    let refunded = |refunded_minor| FactKind::Refunded {
        refunded_minor,
        refunded_at: datetime!(2026-01-02 00:00:00.5 UTC),
    };
    let at = ("gmt_refund", "2026-01-02 08:00:00.500");
    assert_eq!(kind(&[("refund_fee", "5.00"), at, ("out_biz_no", "R1")]), refunded(500));
    assert_eq!(kind(&[("refund_fee", "7.5"), at, ("trade_status", "TRADE_FINISHED")]), refunded(750));
    // Without a time of its own it is the notice's.
    let of_notice =
        FactKind::Refunded { refunded_minor: 500, refunded_at: datetime!(2026-01-01 00:00:01 UTC) };
    assert_eq!(kind(&[("refund_fee", "5.00")]), of_notice);
    // All went back.
    let closed = ("trade_status", "TRADE_CLOSED");
    assert_eq!(kind(&[closed, at]), refunded(1999));
    assert_eq!(kind(&[closed, at, ("refund_fee", "19.99")]), refunded(1999));
    assert_eq!(kind(&[at, ("refund_fee", "19.99")]), refunded(1999));
    // Nothing went back.
    assert_eq!(kind(&[closed]), FactKind::Closed);
    assert_eq!(kind(&[closed, ("refund_fee", "0.00")]), FactKind::Closed);
    assert_eq!(kind(&[("refund_fee", "0.00")]), kind(&[]));
}

#[test]
fn what_is_half_a_refund_is_not_taken_for_a_payment() {
    for (changes, part) in [
        (vec![("gmt_refund", "2026-01-02 08:00:00")], "refund_fee: required with TRADE_SUCCESS"),
        (vec![("out_biz_no", "R1"), ("refund_fee", "0.00")], "refund_fee: required with TRADE_SUCCESS"),
        (
            vec![("trade_status", "TRADE_CLOSED"), ("refund_fee", "5.00")],
            "TRADE_CLOSED gives all of 19.99 CNY back, got 5.00 CNY",
        ),
        // The signature does not tell where a value ends.
        (vec![("receipt_amount", "19.99&refund_fee=5.00")], "refund_fee: stands inside of another value"),
        (vec![("body", "x&gmt_refund=2026-01-02 08:00:00")], "gmt_refund: stands inside"),
        (vec![("passback_params", "a&out_biz_no=7")], "out_biz_no: stands inside"),
        (vec![("passback_params", "a&out_biz_no=7"), ("refund_fee", "5.00")], "out_biz_no: stands inside"),
    ] {
        let refusal = refusal(&body(&changes));
        assert_eq!(refusal.code(), "unreadable", "{changes:?}");
        assert!(refusal.to_string().contains(part), "{changes:?}: {refusal}");
    }
}

#[test]
fn no_parameter_hides_in_the_name_of_another() {
    let refund = body(&[("trade_status", "TRADE_CLOSED"), ("refund_fee", "19.99"), ("refund_more", "x")]);
    assert!(matches!(stated(&refund).fact.kind, FactKind::Refunded { .. }));
    // The bytes that are signed stay the same.
    let hidden =
        refund.replace("refund_fee=19.99", "").replace("refund_more=", "refund_fee%3D19.99%26refund_more=");
    assert_ne!(hidden, refund);
    let refusal = refusal(&hidden);
    assert!(refusal.to_string().contains("& or ="), "{refusal}");
}

#[test]
fn a_name_that_is_read_stands_in_no_other_value() {
    for name in [
        "notify_id",
        "app_id",
        "notify_type",
        "seller_id",
        "trade_status",
        "total_amount",
        "trade_no",
        "out_trade_no",
        "gmt_payment",
        "notify_time",
    ] {
        let refusal = refusal(&body(&[("passback_params", &format!("a&{name}=1"))]));
        assert_eq!(refusal.code(), "unreadable", "{name}");
        assert!(refusal.to_string().contains(&format!("{name}: stands inside")), "{refusal}");
        // Nor is another name, or the name alone, any harm.
        for harmless in [format!("a&my_{name}=1"), format!("a&{name}"), format!("{name}=1")] {
            assert_eq!(kind(&[("passback_params", &harmless)]), kind(&[]), "{harmless}");
        }
    }
}

#[test]
fn a_refund_may_have_its_names_in_parameters_of_the_merchant() {
    let passback = ("passback_params", "a&out_biz_no=7&refund_fee=1.00&gmt_refund=now");
    let refund =
        [("refund_fee", "5.00"), ("gmt_refund", "2026-01-02 08:00:00"), ("out_biz_no", "R1"), passback];
    assert_eq!(kind(&refund), kind(&refund[..3]));
    for absent in 0..3 {
        let mut half = refund.to_vec();
        let (name, _) = half.remove(absent);
        assert!(refusal(&body(&half)).to_string().contains(&format!("{name}: stands inside")), "{name}");
    }
}

#[test]
fn what_is_no_result_is_acknowledged_and_ignored() {
    for (changes, part) in [
        (("trade_status", "WAIT_BUYER_PAY"), "not paid yet"),
        (("notify_type", "dut_user_sign"), "no out_trade_no"),
    ] {
        // Of agreements and the like, which no pay order is concerned by.
        let nameless = if changes.0 == "notify_type" { ("out_trade_no", "") } else { ("body", "x") };
        let Ok(Callback::Ignored { dedupe_id, reason }) = verify(body(&[changes, nameless]).as_bytes())
        else {
            panic!("{changes:?} is not ignored")
        };
        assert_eq!(dedupe_id, "N1");
        assert!(reason.contains(part), "{reason}");
    }
}

#[test]
fn a_notice_of_another_type_about_a_pay_order_is_not_passed_over() {
    for (number, expected) in [("P1", Some("P1")), ("a b", None)] {
        let changes = [("notify_type", "refund_status_sync"), ("out_trade_no", number)];
        let verdict = verify(body(&changes).as_bytes());
        let Ok(Callback::Unbooked { dedupe_id, pay_order_no, code, reason }) = verdict else {
            panic!("{verdict:?}")
        };
        assert_eq!((dedupe_id.as_str(), code), ("N1", unbooked::UNKNOWN_EVENT));
        assert_eq!(pay_order_no.as_ref().map(PayOrderNo::as_str), expected);
        assert!(reason.contains("refund_status_sync"), "{reason}");
    }
}

#[test]
fn a_notice_of_another_account_is_refused_by_name() {
    for (field, code) in [("app_id", "app_id_mismatch"), ("seller_id", "seller_id_mismatch")] {
        let refusal = refusal(&body(&[(field, "2021999999999999")]));
        assert_eq!((refusal.code(), refusal.is_authentic()), (code, true));
        assert!(refusal.to_string().contains("2021999999999999"), "{refusal}");
    }
}

#[test]
fn a_wrong_or_missing_field_is_named() {
    for (field, values) in [
        ("notify_id", vec!["", "a b", "消息"]),
        ("app_id", vec![""]),
        ("seller_id", vec![""]),
        ("out_trade_no", vec!["", "a b"]),
        ("trade_no", vec!["", "a\u{0}b"]),
        ("trade_status", vec!["", "TRADE_PENDING", "trade_success"]),
        ("total_amount", vec!["", "19.990", "-1.00", "1e2", "１.00", "92233720368547758.08"]),
        ("gmt_payment", vec!["2026-01-01T08:00:00", "2026-13-01 08:00:00", "1969-12-31 08:00:00", "now"]),
        ("refund_fee", vec!["5.001", "+5"]),
    ] {
        for value in values {
            let refusal = refusal(&body(&[(field, value)]));
            assert!(
                refusal.is_authentic() && refusal.to_string().contains(field),
                "{field} = {value}: {refusal}"
            );
            let amount = ["total_amount", "refund_fee"].contains(&field) && !value.is_empty();
            assert_eq!(refusal.code() == "bad_amount_format", amount, "{field} = {value}: {refusal}");
        }
    }
}

#[test]
fn only_sha_256_is_taken_whatever_the_form_says() {
    let body = body(&[]);
    for (sign_type, expected) in [("RSA", false), ("rsa2", false), ("", false), ("RSA2", true)] {
        let posted = body.replace("sign_type=RSA2", &format!("sign_type={sign_type}"));
        let verdict = verify(posted.as_bytes());
        assert_eq!(verdict.is_ok(), expected, "{sign_type}: {verdict:?}");
        assert!(expected || matches!(verdict, Err(CallbackRefusal::BadSignature { .. })), "{verdict:?}");
    }
    assert!(
        verify(body.replace("&sign_type=RSA2", "").as_bytes()).is_ok(),
        "RSA2 is what it is without a word"
    );
}

#[test]
fn a_form_that_can_be_read_in_two_ways_is_refused() {
    let body = body(&[]);
    for (changed, part) in [
        (format!("{body}&total_amount=0.01"), "twice"),
        (format!("total_amount=19.99&{body}"), "twice"),
        (format!("{body}&total%5Famount=19.99"), "twice"),
        (format!("{body}&extra"), "changed on the way"),
        (format!("{body}&=x"), "changed on the way"),
        (format!("{body}&x=%"), "hexadecimal"),
        (format!("{body}&x=%4"), "hexadecimal"),
        (format!("{body}&x=%+4"), "hexadecimal"),
        (format!("{body}&x=%GG"), "hexadecimal"),
        (format!("{body}&x=y"), "changed on the way"),
    ] {
        let refusal = refusal(&changed);
        assert_eq!(refusal.code(), "bad_signature", "{changed}");
        assert!(refusal.to_string().contains(part), "{changed}: {refusal}");
    }
    assert_eq!(refusal(""), CallbackRefusal::MissingSign);
    assert_eq!(refusal("sign="), CallbackRefusal::MissingSign);
}

#[test]
fn what_is_decoded_once_is_not_decoded_again() {
    let body = body(&[("subject", "100%26total_amount%3D0.01")]);
    assert_eq!(stated(&body).fact.amount.unwrap().amount_minor, 1999);
}

#[test]
fn the_signature_is_over_the_bytes_of_the_charset() {
    for charset in ["utf-8", "UTF-8", "GBK", "gb2312", "GB18030"] {
        let sent = send(&notice("TRADE_SUCCESS", None), charset);
        assert_eq!(stated(&sent.body).fact.kind, FactKind::Succeeded { paid_at: NOW }, "{charset}");
        let chinese = if charset.to_ascii_lowercase().starts_with("gb") { "%B2%E2" } else { "%E6%B5%8B" };
        assert!(sent.body.contains(chinese), "{charset}: {}", sent.body);
        // Sent in UTF-8 although the other is what was signed.
        let in_utf8 = sent.body.replace("%B2%E2%CA%D4", "%E6%B5%8B%E8%AF%95");
        assert_eq!(stated(&in_utf8), stated(&sent.body), "{charset}");
    }
    // The bytes of one charset are not those of another.
    let utf8 = send(&notice("TRADE_SUCCESS", None), "utf-8").body;
    let gbk = utf8.replace("%E6%B5%8B%E8%AF%95", "%B2%E2%CA%D4");
    assert!(gbk != utf8 && refusal(&gbk).code() == "bad_signature");
    let refusal = refusal(&body(&[("charset", "latin1")]));
    assert!(
        matches!(&refusal, CallbackRefusal::Unreadable { detail } if detail.contains("latin1")),
        "{refusal}"
    );
}

#[test]
fn there_is_no_time_after_which_a_notice_is_too_old() {
    let config = config();
    let channels = channels(&config.app_id, &config.seller_id, &[&config.alipay_public_key_pem]);
    let account = channels.account("alipay_main").unwrap();
    let body = body(&[]);
    for now in [NOW - Duration::weeks(520), NOW + Duration::weeks(520)] {
        assert!(account.verify(&CallbackRequest { headers: &[], body: body.as_bytes() }, now).is_ok());
    }
}

#[test]
fn any_key_of_a_rotation_fits_and_others_do_not() {
    let config = config();
    let (mine, other) = (config.alipay_public_key_spki_base64.as_str(), other_public_key());
    let body = body(&[]);
    for (keys, expected) in [(vec![other, mine], true), (vec![mine], true), (vec![other], false)] {
        let channels = channels(&config.app_id, &config.seller_id, &keys);
        let account = channels.account("alipay_main").unwrap();
        let verdict = account.verify(&CallbackRequest { headers: &[], body: body.as_bytes() }, NOW);
        assert_eq!(verdict.is_ok(), expected, "{verdict:?}");
    }
}

/// Of the official notice.
fn other_public_key() -> &'static str {
    let (_, rest) = super::VECTORS.split_once("official_trade_status_sync").expect("it is there");
    let (_, rest) = rest.split_once("\"alipay_public_key_spki_base64\": \"").expect("it has a key");
    rest.split('"').next().expect("it ends")
}

#[test]
fn the_channels_file_names_what_is_missing() {
    let errors = ChannelSet::parse("[a]\nkind = 'alipay'\nalipay_public_key = 'x'\nseller_id = ''\n", |_| {
        Err(std::io::ErrorKind::NotFound.into())
    })
    .unwrap_err()
    .to_string();
    for part in [
        "[a] app_id: missing",
        "[a] seller_id: expected a text, got an empty one",
        "[a] alipay_public_key: expected a public key (-----BEGIN PUBLIC KEY-----) in PEM, or its base64",
    ] {
        assert!(errors.contains(part), "{part}: {errors}");
    }
    let private = config().signing_key_pem;
    let errors = ChannelSet::parse(
        &format!("[a]\nkind = 'alipay'\napp_id = '1'\nseller_id = '2'\nalipay_public_key = '''{private}'''"),
        |_| Err(std::io::ErrorKind::NotFound.into()),
    )
    .unwrap_err()
    .to_string();
    assert!(errors.contains("got a private key") && !errors.contains("MIIE"), "{errors}");
}

#[test]
fn every_outcome_has_its_answer() {
    let config = config();
    let channels = channels(&config.app_id, &config.seller_id, &[&config.alipay_public_key_pem]);
    let account = channels.account("alipay_main").unwrap();
    let forged = CallbackRefusal::MissingSign;
    for (outcome, expected) in [
        (CallbackOutcome::Accepted, (200, "success")),
        (CallbackOutcome::Duplicate, (200, "success")),
        (CallbackOutcome::Ignored, (200, "success")),
        (CallbackOutcome::Refused(&forged), (200, "failure")),
        (CallbackOutcome::Contradiction(ContradictionReason::AmountMismatch), (200, "failure")),
        (CallbackOutcome::UnknownPayOrder, (200, "failure")),
        (CallbackOutcome::NotPersisted, (503, "failure")),
    ] {
        let answer = account.answer(&outcome);
        assert_eq!((answer.status, answer.body.as_str()), expected, "{outcome:?}");
        assert_eq!(answer.content_type, Some("text/plain"), "{outcome:?}");
    }
}
