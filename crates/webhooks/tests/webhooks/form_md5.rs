//! The forms of Jeepay-kind gateways: signatures that their own code made, and what spoils them.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde::Deserialize;
use webhooks::KeyError;
use webhooks::form_md5::{Key, SIGN, sign, verify};

#[derive(Deserialize)]
struct Vectors {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    secret: String,
    params: BTreeMap<String, String>,
    sign: String,
    expected_sign: Option<String>,
    valid: bool,
}

fn cases() -> Vec<Case> {
    let vectors: Vectors = serde_json::from_str(include_str!("../vectors/jeepay_notify.json")).expect("JSON");
    vectors.cases
}

fn key(text: &str) -> Key {
    text.parse().expect("a key")
}

#[test]
fn forms_of_the_vectors_are_signed_and_judged_as_they_say() {
    let cases = cases();
    assert_eq!(cases.len(), 3);
    for case in cases {
        let mut form: Vec<(String, String)> = case.params.into_iter().collect();
        let signature = sign(&form, &key(&case.secret));
        assert_eq!(signature, case.expected_sign.unwrap_or_else(|| case.sign.clone()), "{}", case.name);
        form.push((SIGN.to_owned(), case.sign));
        assert_eq!(verify(&form, &key(&case.secret)), case.valid, "{}", case.name);
    }
}

#[test]
fn a_form_with_no_signature_or_with_two_is_not_believed() {
    let key = key("test_app_secret_0001");
    let signature = sign(&[("state", "2")], &key);
    assert!(verify(&[("state", "2"), (SIGN, &signature)], &key));
    assert!(!verify(&[("state", "2")], &key));
    assert!(!verify(&[("state", "2"), (SIGN, &signature), (SIGN, &signature)], &key));
    assert!(!verify(&[("state", "2"), (SIGN, &signature.to_lowercase())], &key));
    assert!(!verify(&[("state", "2"), (SIGN, "")], &key));
}

#[test]
fn a_key_is_a_text_of_some_length_and_never_shown() {
    for (text, actual) in [("seven77".to_owned(), 7), ("k".repeat(257), 257)] {
        assert_eq!(text.parse::<Key>().unwrap_err(), KeyError::WrongLength { expected: "8 to 256", actual });
    }
    let generated = Key::generate([7; 32]);
    assert_eq!(generated.expose(), "whmd5_BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc");
    assert_eq!(format!("{generated:?}"), "Key(…)");
}

/// Names as merchants know them: letters and digits, no two alike but for their case.
fn any_form() -> impl Strategy<Value = BTreeMap<String, String>> {
    proptest::collection::btree_map("[a-z][a-z0-9]{0,8}", ".{1,20}", 1..12)
        .prop_filter("no signature yet", |form| !form.contains_key(SIGN))
}

proptest! {
    #[test]
    fn the_order_of_the_fields_and_empty_ones_do_not_matter(form in any_form(), random: [u8; 32]) {
        let key = Key::generate(random);
        let fields: Vec<_> = form.iter().collect();
        let mut other: Vec<_> = fields.iter().rev().copied().collect();
        let (name, empty) = ("emptyField".to_owned(), String::new());
        other.push((&name, &empty));
        prop_assert_eq!(sign(&fields, &key), sign(&other, &key));
    }

    #[test]
    fn any_other_value_fails(form in any_form(), random: [u8; 32], at: prop::sample::Index, value in ".{0,20}") {
        let key = Key::generate(random);
        let mut fields: Vec<_> = form.into_iter().collect();
        let signature = sign(&fields, &key);
        let at = at.index(fields.len());
        prop_assume!(fields[at].1 != value);
        fields[at].1 = value;
        fields.push((SIGN.to_owned(), signature));
        prop_assert!(!verify(&fields, &key));
    }
}
