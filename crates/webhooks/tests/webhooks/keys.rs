//! What is taken for a key, and that none is ever printed.

use webhooks::{KeyError, Secret, VerifyingKey};

const WHSEC: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const WHSK: &str =
    "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==";
const WHPK: &str = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=";

fn secret_error(text: &str) -> KeyError {
    text.parse::<Secret>().expect_err("not a key of this side")
}

fn verifying_error(text: &str) -> KeyError {
    text.parse::<VerifyingKey>().expect_err("not a key of this side")
}

#[test]
fn the_prefix_decides_which_side_a_key_is_for() {
    for text in ["", "C2FVsBQIhrscChlQIMV+b5sSYspob7oD", "WHSEC_C2FVsBQIhrscChlQIMV+b5sSYspob7oD", WHPK] {
        assert_eq!(secret_error(text), KeyError::UnknownPrefix { expected: "whsec_ or whsk_" });
    }
    assert_eq!(verifying_error(WHSK), KeyError::UnknownPrefix { expected: "whsec_ or whpk_" });
}

#[test]
fn a_symmetric_key_has_24_to_64_bytes() {
    for (text, actual) in [
        ("whsec_".to_owned(), 0),
        (format!("whsec_{}AAA=", "A".repeat(28)), 23),
        (format!("whsec_{}", "A".repeat(88)), 66),
    ] {
        assert_eq!(secret_error(&text), KeyError::WrongLength { expected: "24 to 64", actual });
        assert_eq!(verifying_error(&text), KeyError::WrongLength { expected: "24 to 64", actual });
    }
    for fitting in [format!("whsec_{}", "A".repeat(32)), format!("whsec_{}AA==", "A".repeat(84))] {
        assert_eq!(*fitting.parse::<Secret>().unwrap().expose(), fitting);
    }
}

#[test]
fn base64_is_padded_and_canonical() {
    for text in
        ["whsec_*", "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7o", "whsec_ C2FVsBQIhrscChlQIMV+b5sSYspob7oD"]
    {
        assert_eq!(secret_error(text), KeyError::NotBase64, "{text}");
    }
}

#[test]
fn an_ed25519_secret_is_a_pair_that_belongs_together_or_a_seed() {
    let seed = Secret::generate_ed25519([7; 32]);
    let text = seed.expose();
    let wrong_half = format!("{}{}", &WHSK[..60], &text[60..]);
    assert_eq!(secret_error(&wrong_half), KeyError::NotEd25519);
    assert_eq!(secret_error("whsk_AAAA"), KeyError::WrongLength { expected: "32 or 64", actual: 3 });

    let from_seed: Secret = "whsk_BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=".parse().unwrap();
    assert_eq!(from_seed.expose(), text);
}

#[test]
fn a_weak_or_broken_public_key_is_refused() {
    let identity = "whpk_AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    assert_eq!(verifying_error(identity), KeyError::NotEd25519);
    assert_eq!(verifying_error("whpk_AAAA"), KeyError::WrongLength { expected: "32", actual: 3 });
}

#[test]
fn debug_shows_the_kind_only() {
    let secrets = [WHSEC, WHSK].map(|text| text.parse::<Secret>().unwrap());
    let keys = [WHSEC, WHPK].map(|text| text.parse::<VerifyingKey>().unwrap());
    assert_eq!(format!("{secrets:?}"), "[Secret(whsec_…), Secret(whsk_…)]");
    assert_eq!(format!("{keys:?}"), "[VerifyingKey(whsec_…), VerifyingKey(whpk_…)]");
}
