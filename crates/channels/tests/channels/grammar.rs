//! What the specifications of headers and bodies allow passes, and what they do not is refused by its true reason.

use channels::{
    Account, Callback, CallbackRefusal, CallbackRequest, ChannelSet, Headers, MAX_BODY_BYTES, alipay,
    standard, stripe,
};
use events::{Currency, FactKind, Money, PayOrderNo};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::macros::datetime;

const NOW: OffsetDateTime = datetime!(2026-01-01 00:00 UTC);
const STANDARD: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const STRIPE: &str = "whsec_test_secret";
const NUMBER: &str = "P202601010004";

fn vectors(text: &str) -> Value {
    serde_json::from_str(text).expect("the vectors are JSON")
}

fn alipay_config() -> Value {
    vectors(include_str!("../vectors/alipay.json"))["config"].take()
}

fn channels() -> ChannelSet {
    let config = alipay_config();
    let text = format!(
        "[standard]\nkind = 'standard'\nsecret = '{STANDARD}'\n[stripe]\nkind = 'stripe'\nsecret = '{STRIPE}'\n\
         [alipay]\nkind = 'alipay'\napp_id = {}\nseller_id = {}\nalipay_public_key = {}\n",
        config["app_id"], config["seller_id"], config["alipay_public_key_spki_base64"]
    );
    ChannelSet::parse(&text, |_| Err(std::io::ErrorKind::NotFound.into())).expect("the file is right")
}

fn verify(account: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<Callback, CallbackRefusal> {
    let channels = channels();
    let account: &Account = channels.account(account).expect("the account");
    let headers = Headers::of(headers.iter().map(|(name, value)| (*name, value.as_bytes())));
    account.verify(&CallbackRequest { headers: &headers.pairs(), body }, NOW)
}

/// What came of it: a fact, or the code and the words.
fn told(verdict: &Result<Callback, CallbackRefusal>) -> (&str, String) {
    match verdict {
        Ok(callback @ Callback::Fact(_)) => ("fact", format!("{callback:?}")),
        Ok(Callback::Ignored { reason, .. }) => ("ignored", reason.clone()),
        Ok(Callback::Unbooked { code, reason, .. }) => (code, reason.clone()),
        Err(refusal) => (refusal.code(), refusal.to_string()),
    }
}

fn standard_body() -> Value {
    json!({"type": "payment.succeeded", "timestamp": "2026-01-01T00:00:00Z", "data": {"pay_order_no": NUMBER,
        "channel_trade_no": "T1", "amount_minor": 1999, "currency": "CNY", "status": "SUCCESS", "success_time": "2025-12-31T23:59:58Z"}})
}

fn standard(body: &str) -> Result<Callback, CallbackRefusal> {
    let sent = standard::sign(body.to_owned(), "evt_1", &STANDARD.parse().expect("a secret"), NOW)
        .expect("it is signed");
    verify("standard", &sent.headers(), sent.body.as_bytes())
}

#[test]
fn json_is_read_as_widely_as_it_is_written() {
    let body = standard_body().to_string();
    let expected = standard(&body).expect("it is right");
    for written in [
        format!("\u{feff}{body}"),
        format!(" \r\n\t{body}\n"),
        body.replace("1999", "1999.0"),
        body.replace("1999", "1.999e3"),
        body.replace("1999", "19990E-1"),
        body.replace("\"status\"", "\"refunded_minor\":null,\"status\""),
        body.replace("\"status\"", "\"more\":[{}],\"status\""),
        body.replace("P2026", "\\u0050202\\u0036"),
    ] {
        assert_eq!(standard(&written).as_ref(), Ok(&expected), "{written}");
    }
    for (written, words) in [
        (body.replace("1999", "19.99"), "expected a whole number"),
        (body.replace("1999", "\"1999\""), "expected a whole number"),
        (body.replace("\"status\"", "\"amount_minor\":1,\"status\""), "duplicate field `amount_minor`"),
        (body.replace("\"SUCCESS\"", "null"), "invalid type: null"),
        (String::new(), "EOF"),
    ] {
        let verdict = standard(&written);
        let (code, said) = told(&verdict);
        assert!(code == "unreadable" && said.contains(words), "{written}: {said}");
    }
}

#[test]
fn times_are_rfc_3339_in_every_form() {
    let paid_at = |written: &str| {
        let mut body = standard_body();
        body["data"]["success_time"] = json!(written);
        match standard(&body.to_string()) {
            Ok(Callback::Fact(stated)) => match stated.fact.kind {
                FactKind::Succeeded { paid_at } => Ok(paid_at),
                other => panic!("{other:?}"),
            },
            Ok(other) => panic!("{other:?}"),
            Err(refusal) => Err(refusal.to_string()),
        }
    };
    let expected = datetime!(2025-12-31 23:59:58 UTC);
    for written in [
        "2025-12-31T23:59:58Z",
        "2025-12-31t23:59:58z",
        "2025-12-31T23:59:58.000000000Z",
        "2026-01-01T07:59:58+08:00",
        "2025-12-31T23:59:58-00:00",
        "2025-12-31T00:29:58.0-23:30",
    ] {
        assert_eq!(paid_at(written), Ok(expected), "{written}");
    }
    assert_eq!(paid_at("2025-12-31T23:59:58.1234567Z").map(OffsetDateTime::nanosecond), Ok(123_456_000));
    for written in [
        "2025-12-31",
        "2025-12-31T23:59:58",
        "2025-12-31T23:59:58+0800",
        "1767225598",
        "2025-13-31T23:59:58Z",
    ] {
        assert!(paid_at(written).is_err(), "{written}");
    }
}

#[test]
fn a_stripe_signature_is_a_list_as_http_has_them() {
    let secret = STRIPE.parse().expect("a secret");
    let body =
        "{\"id\":\"evt_1\",\"type\":\"customer.created\",\"created\":1767225600,\"data\":{\"object\":{}}}";
    let sent = stripe::sign(body.to_owned(), &secret, NOW);
    let (time, v1) = sent.signature.split_once(',').expect("two parts");
    let verdict = |lines: &[&str]| {
        let lines: Vec<_> = lines.iter().map(|line| ("Stripe-Signature", *line)).collect();
        let verdict = verify("stripe", &lines, body.as_bytes());
        let (code, said) = told(&verdict);
        (code.to_owned(), said)
    };
    for lines in [
        vec![sent.signature.as_str()],
        vec![&format!("{time}, {v1}")],
        vec![&format!(" {time} ,\t{v1} ,")],
        vec![&format!(",,{v1},,{time}")],
        vec![time, v1],
        vec![&format!("{time},v2=abc,next,v0=00,v1=00,{v1}")],
    ] {
        assert_eq!(verdict(&lines).0, "ignored", "{lines:?}");
    }
    for (header, code, words) in [
        (v1.to_owned(), "malformed_header", "t=…"),
        (format!("{time},{time},{v1}"), "malformed_header", "several are ambiguous"),
        (format!("t=soon,{v1}"), "malformed_header", "digits"),
        (time.to_owned(), "no_v1_signature", "version"),
        (format!("{time},{}", "v1=00,".repeat(17)), "malformed_header", "at most 16"),
        ("\u{fffd}".to_owned(), "malformed_header", "t=…"),
    ] {
        let (got, said) = verdict(&[&header]);
        assert!(got == code && said.contains(words), "{header}: {got}, {said}");
    }
}

#[test]
fn standard_headers_are_read_by_their_specification() {
    let body = standard_body().to_string();
    let sent = standard::sign(body.clone(), "evt_1", &STANDARD.parse().expect("a secret"), NOW)
        .expect("it is signed");
    let headers = sent.headers();
    let with = |name: &str, value: &str| {
        let changed = headers.iter().map(|(known, old)| (*known, if *known == name { value } else { *old }));
        let verdict = verify("standard", &changed.collect::<Vec<_>>(), body.as_bytes());
        let (code, said) = told(&verdict);
        (code.to_owned(), said)
    };
    let signature = headers.iter().find(|(name, _)| *name == "webhook-signature").expect("it is there").1;
    for list in [
        format!("v1,AAAA {signature}"),
        format!("  v1a,AAAA  {signature}\t v2,xyz nonsense"),
        format!("{signature}, v1,AAAA"),
    ] {
        assert_eq!(with("webhook-signature", &list).0, "fact", "{list}");
    }
    for (name, value, code, words) in [
        ("webhook-signature", "v2,AAAA", "no_v1_signature", "version"),
        ("webhook-signature", "v1,@@", "bad_signature", "no signature matches"),
        ("webhook-timestamp", "1767225600.5", "malformed_header", "digits"),
        ("webhook-timestamp", "1767225600, 1767225600", "malformed_header", "digits"),
        ("webhook-id", "a.b", "malformed_header", "dot"),
        ("webhook-id", "", "malformed_header", "1 to 255"),
    ] {
        let (got, said) = with(name, value);
        assert!(got == code && said.contains(words), "{name}: {value}: {got}, {said}");
    }
}

#[test]
fn a_form_is_read_as_browsers_read_it() {
    let config = alipay_config();
    let text = |field: &str| config[field].as_str().expect("a text").to_owned();
    let signer = |charset: &str| alipay::Signer {
        app_id: text("app_id"),
        seller_id: text("seller_id"),
        key: text("TEST_ONLY_signing_private_key_pkcs8_pem").parse().expect("a key"),
        charset: charset.to_owned(),
    };
    let notice = alipay::Notice {
        trade_status: "TRADE_SUCCESS".to_owned(),
        pay_order_no: PayOrderNo::parse(NUMBER).expect("a number"),
        trade_no: "T1".to_owned(),
        subject: "测试 A+B".to_owned(),
        total: Money::new(1999, Currency::parse("CNY").expect("it is listed")),
        at: NOW,
        refunded_minor: None,
    };
    for charset in ["utf-8", "UTF8", "GBK", "gb2312", "gb_2312-80", "x-gbk", "CP936", "GB18030"] {
        let body = alipay::simulate(&notice, "N1", &signer(charset), NOW).expect("it is signed").body;
        let lines = body.replace("sign=", "sign=%0D%0A");
        let turned: Vec<_> = body.split('&').rev().collect();
        let (lower, turned) = (body.replace("%2B", "%2b"), turned.join("&"));
        for body in
            [&body, &format!("{body}&"), &format!("&&{}", body.replace('&', "&&")), &lines, &lower, &turned]
        {
            let verdict = verify("alipay", &[], body.as_bytes());
            assert_eq!(told(&verdict).0, "fact", "{charset}: {body}: {verdict:?}");
        }
    }
    let body = alipay::simulate(&notice, "N1", &signer("utf-8"), NOW).expect("it is signed").body;
    for (body, code, words) in [
        (format!("{body}&x"), "bad_signature", "changed on the way"),
        (format!("{body}&sign="), "bad_signature", "twice"),
        (format!("{body}&x=%zz"), "bad_signature", "hexadecimal"),
        (body.replace("sign_type=RSA2", "sign_type=RSA"), "bad_signature", "expected RSA2, got \"RSA\""),
        (body.replace("sign=", "sign=@"), "bad_signature", "expected base64"),
        ("{\"sign\":\"\"}".to_owned(), "missing_sign", "sign"),
    ] {
        let verdict = verify("alipay", &[], body.as_bytes());
        let (got, said) = told(&verdict);
        assert!(got == code && said.contains(words), "{body}: {got}, {said}");
    }
}

#[test]
fn what_is_too_large_or_encoded_is_refused_by_that_before_anything_else() {
    let full = vec![b' '; MAX_BODY_BYTES];
    let over = vec![b' '; MAX_BODY_BYTES + 1];
    for account in ["standard", "stripe", "alipay"] {
        assert_ne!(verify(account, &[], &full), Err(CallbackRefusal::BodyTooLarge), "{account}");
        assert_eq!(verify(account, &[], &over), Err(CallbackRefusal::BodyTooLarge), "{account}");
        for (coding, refused) in
            [("gzip", true), ("br, gzip", true), ("identity", false), ("Identity", false), ("", false)]
        {
            let verdict = verify(account, &[("Content-Encoding", coding)], b"{}");
            assert_eq!(
                matches!(verdict, Err(CallbackRefusal::ContentEncoding { .. })),
                refused,
                "{account}: {coding}"
            );
        }
        let channels = channels();
        let account = channels.account(account).expect("the account");
        for (refusal, status) in [
            (CallbackRefusal::BodyTooLarge, 413),
            (CallbackRefusal::ContentEncoding { coding: "gzip".to_owned() }, 415),
        ] {
            let answer = account.answer(&channels::CallbackOutcome::Refused(&refusal));
            assert_eq!((answer.status, answer.content_type), (status, Some("application/problem+json")));
            assert!(answer.body.contains(refusal.code()), "{}", answer.body);
        }
    }
}

#[test]
fn wechatpay_names_what_is_wrong_with_its_headers() {
    let config = vectors(include_str!("../vectors/wechatpay_v3.json"))["config"].take();
    let (serial, pem) =
        config["platform_certificates"].as_object().and_then(|all| all.iter().next()).expect("a certificate");
    let text = format!(
        "[w]\nkind = 'wechatpay'\nmchid = {}\nappid = {}\napi_v3_key = {}\ncertificate = {pem}\n",
        config["mchid"], config["appid"], config["apiv3_key"]
    );
    let channels =
        ChannelSet::parse(&text, |_| Err(std::io::ErrorKind::NotFound.into())).expect("the file is right");
    let now = NOW.unix_timestamp().to_string();
    let usual = [
        (wechatpay_header("timestamp"), now.as_str()),
        (wechatpay_header("nonce"), "n"),
        (wechatpay_header("serial"), serial.as_str()),
        (wechatpay_header("signature"), "AAAA"),
    ];
    for (name, value, code, words) in [
        ("timestamp", "soon", "malformed_header", "digits"),
        ("nonce", "a b", "malformed_header", "visible ASCII"),
        ("signature", "@", "bad_signature", "expected base64"),
        ("signature", "AAAA", "bad_signature", "not made by the key"),
        ("signature-type", "WECHATPAY2-SM2-WITH-SM3", "unsupported_signature_type", "SM2"),
    ] {
        let name = wechatpay_header(name);
        let mut headers: Vec<_> = usual.iter().filter(|(known, _)| *known != name).cloned().collect();
        headers.push((name.clone(), value));
        let headers = Headers::of(headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())));
        let verdict = channels
            .account("w")
            .expect("it")
            .verify(&CallbackRequest { headers: &headers.pairs(), body: b"{}" }, NOW);
        let (got, said) = told(&verdict);
        assert!(got == code && said.contains(words), "{name}: {value}: {got}, {said}");
    }
    // A serial number is one however it is written.
    for written in [serial.to_ascii_lowercase(), format!("00{serial}")] {
        let headers: Vec<_> = usual
            .iter()
            .map(|(name, value)| {
                (name.as_str(), if name.ends_with("serial") { written.as_str() } else { *value })
            })
            .collect();
        let verdict = channels
            .account("w")
            .expect("it")
            .verify(&CallbackRequest { headers: &headers, body: b"{}" }, NOW);
        assert_eq!(told(&verdict).0, "bad_signature", "{written}");
    }
}

fn wechatpay_header(name: &str) -> String {
    format!("wechatpay-{name}")
}
