//! The functions that cargo-fuzz runs, on known good inputs and on those changed a little.

#[expect(unreachable_pub, reason = "it is public where the fuzz targets use it")]
#[path = "../../../fuzz/src/callbacks.rs"]
mod callbacks;
#[expect(unreachable_pub, reason = "it is public where the fuzz targets use it")]
#[path = "../../../fuzz/src/mutated.rs"]
mod mutated;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use channels::{Callback, CallbackRefusal};
use proptest::prelude::*;
use serde_json::{Value, json};

use mutated::mutated;

/// The bodies of all cases of vectors.
fn bodies(vectors: &str) -> Vec<Vec<u8>> {
    let vectors: Value = serde_json::from_str(vectors).expect("the vectors are JSON");
    let cases = vectors["cases"].as_array().expect("there are cases");
    let body =
        |case: &Value| STANDARD.decode(case["request"]["body_base64"].as_str().expect("it has a body"));
    cases.iter().map(|case| body(case).expect("it is base64")).collect()
}

fn alipay() -> Vec<Vec<u8>> {
    bodies(include_str!("vectors/alipay.json"))
}

fn stripe() -> Vec<Vec<u8>> {
    bodies(include_str!("vectors/stripe.json"))
}

fn standard() -> Vec<Vec<u8>> {
    let body = |kind: &str, status: &str| {
        json!({"type": kind, "timestamp": "2026-01-01T00:00:00Z", "data": {"pay_order_no": "P1", "channel_trade_no": "T1",
            "amount_minor": 1999, "currency": "CNY", "status": status, "success_time": "2026-01-01T00:00:00Z",
            "refunded_minor": 500}})
    };
    [("payment.succeeded", "SUCCESS"), ("refund.succeeded", "REFUNDED"), ("payment.closed", "CLOSED")]
        .map(|(kind, status)| body(kind, status).to_string().into_bytes())
        .to_vec()
}

fn wechatpay() -> Vec<Vec<u8>> {
    let time = "2026-01-01T08:00:00+08:00";
    let paid = json!({"mchid": "M1", "appid": "A1", "out_trade_no": "P1", "transaction_id": "T1", "trade_state": "SUCCESS",
        "success_time": time, "amount": {"total": 1999, "payer_total": 1899, "currency": "CNY"}});
    let refunded = json!({"mchid": "M1", "out_trade_no": "P1", "transaction_id": "T1", "refund_id": "R1",
        "refund_status": "SUCCESS", "success_time": time, "amount": {"total": 1999, "refund": 500}});
    vec![
        format!("TRANSACTION.SUCCESS\n{paid}").into_bytes(),
        format!("REFUND.SUCCESS\n{refunded}").into_bytes(),
    ]
}

fn files() -> Vec<Vec<u8>> {
    let example = include_str!("../../../deploy/channels/channels.toml");
    // Each comment becomes a line of its account, be it one or not.
    [example.to_owned(), example.replace("\n# ", "\n")].map(String::into_bytes).to_vec()
}

/// How many of these state something of a pay order: the functions must get as far as the parsers.
fn facts(corpus: &[Vec<u8>], verdict: impl Fn(&[u8]) -> Option<Result<Callback, CallbackRefusal>>) -> usize {
    corpus.iter().filter(|data| matches!(verdict(data), Some(Ok(Callback::Fact(_))))).count()
}

#[test]
fn the_functions_get_as_far_as_the_parsers() {
    // All but those that are ignored, of another application, or of no amount.
    assert_eq!(facts(&alipay(), callbacks::alipay), 10);
    // All but one of another type and one of a failed attempt.
    assert_eq!(facts(&stripe(), |data| Some(callbacks::stripe(data))), 10);
    assert_eq!(facts(&standard(), callbacks::standard), 3);
    assert_eq!(facts(&wechatpay(), callbacks::wechatpay), 2);
    assert_eq!(callbacks::channels_file(&files()[0]).unwrap(), ["standard_dev"]);
}

proptest! {
    #[test]
    fn alipay_bears_anything(data in mutated(alipay())) {
        let _ = callbacks::alipay(&data);
    }

    #[test]
    fn stripe_bears_anything(data in mutated(stripe())) {
        let _ = callbacks::stripe(&data);
    }

    #[test]
    fn standard_bears_anything(data in mutated(standard())) {
        let _ = callbacks::standard(&data);
    }

    #[test]
    fn wechatpay_bears_anything(data in mutated(wechatpay())) {
        let _ = callbacks::wechatpay(&data);
    }

    #[test]
    fn the_channels_file_bears_anything(data in mutated(files())) {
        let _ = callbacks::channels_file(&data);
    }
}
