use proptest::prelude::*;
use serde::Deserialize;

use super::*;

const VECTORS: &str = include_str!("../../../../events/tests/vectors/money.json");

#[derive(Deserialize)]
struct Vectors {
    stripe_zero_decimal: Vec<Currency>,
    stripe_vs_iso: Vec<Deviation>,
    iso_exponent_3: Vec<Currency>,
}

#[derive(Deserialize)]
struct Deviation {
    currency: Currency,
    iso: u8,
    stripe_api: u32,
}

fn vectors() -> Vectors {
    serde_json::from_str(VECTORS).expect("the vectors are JSON")
}

fn money(amount: i64, code: &str) -> Option<i64> {
    to_money(amount, Currency::parse(code).expect("it is listed")).ok().map(|money| money.amount_minor)
}

#[test]
fn every_deviation_of_the_vectors_is_known() {
    let vectors = vectors();
    assert_eq!(vectors.stripe_vs_iso.len(), 4, "the vectors are incomplete");
    for Deviation { currency, iso, stripe_api } in vectors.stripe_vs_iso {
        assert_eq!((currency.exponent(), decimals(currency)), (iso, stripe_api), "{currency}");
    }
    for currency in vectors.stripe_zero_decimal {
        // UGX is listed without decimals, and sent with two all the same.
        let expected = if currency.code() == "UGX" { 2 } else { 0 };
        assert_eq!(decimals(currency), expected, "{currency}");
    }
    assert!(vectors.iso_exponent_3.iter().all(|currency| zeros(*currency) == 1));
}

#[test]
fn amounts_are_turned_exactly_or_not_at_all() {
    for (amount, code, minor) in [
        (1999, "USD", Some(1999)),
        (0, "USD", Some(0)),
        (500, "JPY", Some(500)),
        (500, "MGA", Some(50_000)),
        (50_000, "ISK", Some(500)),
        (50_001, "ISK", None),
        (50_010, "ISK", None),
        (50_000, "UGX", Some(500)),
        (99, "UGX", None),
        (5120, "KWD", Some(5120)),
        (5124, "KWD", None),
        (-1, "USD", None),
        (i64::MAX, "USD", Some(i64::MAX)),
        (i64::MAX, "MGA", None),
        (i64::MIN, "ISK", None),
    ] {
        assert_eq!(money(amount, code), minor, "{amount} {code}");
    }
    let currency = Currency::parse("MGA").unwrap();
    assert_eq!(
        from_money(Money::new(1, currency)),
        Err(UnitError::Inexact { currency, zeros: 2, amount: 1 })
    );
}

proptest! {
    #[test]
    fn what_stripe_takes_comes_back(
        amount in 0..=i64::MAX,
        code in prop::sample::select(vec!["USD", "JPY", "MGA", "ISK", "UGX", "KWD", "CLF"]),
    ) {
        let money = Money::new(amount, Currency::parse(code).unwrap());
        if let Ok(sent) = from_money(money) {
            prop_assert_eq!(to_money(sent, money.currency), Ok(money));
        }
        if let Ok(money) = to_money(amount, money.currency) {
            prop_assert_eq!(from_money(money), Ok(amount));
        }
    }
}
