//! Properties of signing and verifying, and agreement with the official crate.

use std::slice;

use proptest::prelude::*;
use webhooks::{Headers, Secret, SignError, TOLERANCE_SECONDS, VerifyError, VerifyingKey, sign, verify};

const NOW: i64 = 1_767_225_600;
const OFFICIAL_SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

fn any_secret() -> impl Strategy<Value = Secret> {
    (any::<bool>(), any::<[u8; 32]>()).prop_map(|(symmetric, random)| {
        if symmetric { Secret::generate(random) } else { Secret::generate_ed25519(random) }
    })
}

/// Visible ASCII without the dot, as the specification asks of an id.
fn any_id() -> impl Strategy<Value = String> {
    "[!-\\-/-~]{1,40}"
}

fn check(key: VerifyingKey, id: &str, signature: &str, body: &[u8], now: i64) -> Result<(), VerifyError> {
    let timestamp = NOW.to_string();
    let headers = Headers { id: Some(id), timestamp: Some(&timestamp), signature: Some(signature) };
    verify(&[key], &headers, body, now).map(drop)
}

proptest! {
    #[test]
    fn what_is_signed_verifies(secret in any_secret(), other in any_secret(), id in any_id(), body: Vec<u8>) {
        let signature = sign(&[other, secret.clone()], &id, NOW, &body).unwrap();
        prop_assert_eq!(check(secret.verifying_key(), &id, &signature, &body, NOW), Ok(()));
    }

    #[test]
    fn any_flipped_bit_of_the_body_fails(
        secret in any_secret(),
        mut body in proptest::collection::vec(any::<u8>(), 1..200),
        at: prop::sample::Index,
        bit in 0..8_u32,
    ) {
        let signature = sign(slice::from_ref(&secret), "msg_1", NOW, &body).unwrap();
        let at = at.index(body.len());
        body[at] ^= 1_u8 << bit;
        prop_assert_eq!(
            check(secret.verifying_key(), "msg_1", &signature, &body, NOW),
            Err(VerifyError::BadSignature)
        );
    }

    #[test]
    fn any_other_character_in_the_signature_fails(
        secret in any_secret(),
        at: prop::sample::Index,
        replacement in "[ -~]",
    ) {
        let signature = sign(slice::from_ref(&secret), "msg_1", NOW, b"{}").unwrap();
        let at = at.index(signature.len());
        prop_assume!(signature[at..=at] != replacement);
        let mut forged = signature;
        forged.replace_range(at..=at, &replacement);
        prop_assert!(check(secret.verifying_key(), "msg_1", &forged, b"{}", NOW).is_err(), "accepted");
    }

    #[test]
    fn another_id_or_another_key_fails(secret in any_secret(), other in any_secret()) {
        let signature = sign(slice::from_ref(&secret), "msg_1", NOW, b"{}").unwrap();
        prop_assert!(check(secret.verifying_key(), "msg_2", &signature, b"{}", NOW).is_err(), "accepted");
        prop_assert!(check(other.verifying_key(), "msg_1", &signature, b"{}", NOW).is_err(), "accepted");
    }

    #[test]
    fn arbitrary_input_is_refused_without_a_panic(id: String, timestamp: String, signature: String, body: Vec<u8>) {
        let keys = [Secret::generate([1; 32]).verifying_key(), Secret::generate_ed25519([1; 32]).verifying_key()];
        let headers = Headers { id: Some(&id), timestamp: Some(&timestamp), signature: Some(&signature) };
        prop_assert!(verify(&keys, &headers, &body, NOW).is_err());
    }

    #[test]
    fn arbitrary_text_is_parsed_or_refused_without_a_panic(text in "(wh(sec|sk|pk)_)?[a-zA-Z0-9+/]{0,90}={0,2}") {
        if let Ok(secret) = text.parse::<Secret>() {
            prop_assert_eq!(secret.expose().parse::<Secret>().unwrap().expose(), secret.expose());
        }
        if let Ok(key) = text.parse::<VerifyingKey>() {
            prop_assert_eq!(&*key.expose(), &text);
        }
    }

    #[test]
    fn the_official_crate_signs_alike(random: [u8; 32], id in any_id(), body: String) {
        let secret = Secret::generate(random);
        let official = standardwebhooks::Webhook::new(&secret.expose()).unwrap();
        prop_assert_eq!(
            sign(&[secret], &id, NOW, body.as_bytes()).unwrap(),
            official.sign(&id, NOW, body.as_bytes()).unwrap()
        );
    }

    #[test]
    fn the_clock_may_differ_by_the_tolerance_and_no_more(now in NOW - 400..NOW + 400) {
        let secret = Secret::generate([1; 32]);
        let signature = sign(slice::from_ref(&secret), "msg_1", NOW, b"{}").unwrap();
        let distance = now.abs_diff(NOW);
        let expected = match distance {
            0..=TOLERANCE_SECONDS => Ok(()),
            _ if now > NOW => Err(VerifyError::TooOld { age_seconds: distance }),
            _ => Err(VerifyError::TooNew { ahead_seconds: distance }),
        };
        prop_assert_eq!(check(secret.verifying_key(), "msg_1", &signature, b"{}", now), expected);
    }
}

#[test]
fn a_dot_cannot_move_from_the_id_into_the_body() {
    let secret: Secret = OFFICIAL_SECRET.parse().unwrap();
    for id in ["", "msg.1", "msg 1", "msg\n1", "消息", &"x".repeat(256)] {
        assert_eq!(sign(slice::from_ref(&secret), id, NOW, b"{}"), Err(SignError::InvalidId), "{id:?}");
        let refusal = check(secret.verifying_key(), id, "v1,AAAA", b"{}", NOW);
        let name = "webhook-id";
        assert!(matches!(refusal, Err(VerifyError::MalformedHeader { name: n, .. }) if n == name), "{id:?}");
    }
}

#[test]
fn a_timestamp_is_digits_only() {
    let keys = [OFFICIAL_SECRET.parse().unwrap()];
    for timestamp in ["", "+1767225600", "-1", "1767225600.0", " 1767225600", "99999999999999999999"] {
        let headers = Headers { id: Some("msg_1"), timestamp: Some(timestamp), signature: Some("v1,AAAA") };
        let refusal = verify(&keys, &headers, b"{}", NOW);
        let name = "webhook-timestamp";
        assert!(
            matches!(refusal, Err(VerifyError::MalformedHeader { name: n, .. }) if n == name),
            "{timestamp:?}"
        );
    }
}

#[test]
fn the_number_of_signatures_is_bounded() {
    let secret: Secret = OFFICIAL_SECRET.parse().unwrap();
    let good = sign(slice::from_ref(&secret), "msg_1", NOW, b"{}").unwrap();
    let behind = |others: usize| "v1,AAAA ".repeat(others) + &good;
    assert_eq!(check(secret.verifying_key(), "msg_1", &behind(15), b"{}", NOW), Ok(()));
    let refusal = check(secret.verifying_key(), "msg_1", &behind(16), b"{}", NOW);
    let name = "webhook-signature";
    assert!(matches!(refusal, Err(VerifyError::MalformedHeader { name: n, .. }) if n == name), "{refusal:?}");
    // Lines of the header that somebody has joined.
    assert_eq!(check(secret.verifying_key(), "msg_1", &format!("{good}, v1,AAAA"), b"{}", NOW), Ok(()));
}

#[test]
fn without_a_key_or_a_secret_nothing_passes() {
    assert_eq!(sign(&[], "msg_1", NOW, b"{}"), Err(SignError::NoSecret));
    let headers = Headers { id: Some("msg_1"), timestamp: Some("1767225600"), signature: Some("v1,AAAA") };
    assert_eq!(verify(&[], &headers, b"{}", NOW), Err(VerifyError::NoUsableSignature));
}
