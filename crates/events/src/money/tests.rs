use proptest::prelude::*;
use serde_json::Value;

use super::*;

fn vectors() -> Value {
    serde_json::from_str(include_str!("../../tests/vectors/money.json")).unwrap()
}

#[test]
fn exponents_follow_iso_4217() {
    let vectors = vectors();
    for (field, exponent) in [("iso_exponent_0", 0), ("iso_exponent_3", 3), ("iso_exponent_4", 4)] {
        for code in vectors[field].as_array().unwrap() {
            let currency = Currency::parse(code.as_str().unwrap()).unwrap();
            assert_eq!(currency.exponent(), exponent, "{currency}");
        }
    }
    let yuan = Currency::parse("CNY").unwrap();
    assert_eq!((yuan.exponent(), yuan.code()), (2, "CNY"));
}

#[test]
fn decimal_texts_are_read_exactly_or_refused() {
    let vectors = vectors();
    let cases = vectors["conversions"].as_array().unwrap();
    assert!(cases.len() > 20);
    for case in cases {
        let currency = Currency::parse(case["currency"].as_str().unwrap()).unwrap();
        let got = Money::parse_decimal(case["decimal"].as_str().unwrap(), currency);
        match case["error"].as_str() {
            None => assert_eq!(got.unwrap().amount_minor, case["minor"].as_i64().unwrap(), "{case}"),
            Some("too many decimals") => {
                assert!(matches!(got, Err(AmountError::TooManyDecimals { .. })), "{case}");
            }
            Some("overflow i64") => assert_eq!(got, Err(AmountError::Overflow), "{case}"),
            Some(_) => assert_eq!(got, Err(AmountError::BadFormat), "{case}"),
        }
    }
}

#[test]
fn codes_are_exact() {
    for code in ["", "cny", "CNY ", "XXX", "RMB", "CN"] {
        assert!(Currency::parse(code).is_err(), "{code:?}");
    }
}

#[test]
fn no_code_stands_in_two_tables() {
    let mut codes: Vec<_> = TABLES.iter().flat_map(|(_, codes)| codes.iter()).collect();
    let all = codes.len();
    codes.sort_unstable();
    codes.dedup();
    assert_eq!(codes.len(), all);
}

proptest! {
    #[test]
    fn what_is_printed_reads_back(minor in 0_i64.., index in 0_usize..4) {
        let currency = Currency::parse(["CNY", "JPY", "KWD", "CLF"][index]).unwrap();
        let money = Money::new(minor, currency);
        let text = money.to_string();
        let decimal = text.strip_suffix(&format!(" {currency}")).unwrap();
        prop_assert_eq!(Money::parse_decimal(decimal, currency).unwrap(), money);
    }

    #[test]
    fn any_text_is_read_or_refused(text in ".{0,40}") {
        let _ = Money::parse_decimal(&text, Currency::parse("CNY").unwrap());
    }
}
