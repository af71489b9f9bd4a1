use proptest::prelude::*;

use super::*;

const NOW: i64 = 1_767_225_600;
const HOUR: u32 = 3600;

fn keyring(signature: Signature) -> Keyring {
    let mut keyring = Keyring::default();
    keyring.fit(Format::Standard, Some(signature), None);
    keyring
}

fn signing(keyring: &Keyring, now: i64) -> Vec<String> {
    keyring.secrets(now).map(|secret| secret.expose().to_string()).collect()
}

fn versions(keyring: &Keyring, now: i64) -> Vec<Version> {
    keyring.secrets(now).map(Secret::version).collect()
}

#[test]
fn a_new_endpoint_gets_one_secret_and_the_same_again_changes_nothing() {
    let mut keyring = Keyring::default();
    let fresh = keyring.fit(Format::Standard, None, None);
    assert_eq!(vec![fresh.secret.unwrap().to_string()], signing(&keyring, NOW));
    assert_eq!((keyring.signature(), keyring.public_key()), (Signature::V1, None));
    let text = keyring.to_text();
    for signature in [None, Some(Signature::V1)] {
        let again = keyring.fit(Format::Standard, signature, Some(false));
        assert!(!again.changed && again.secret.is_none() && again.encryption_key.is_none());
    }
    assert_eq!(keyring.to_text(), text);
}

#[test]
fn signatures_are_added_and_dropped_and_only_what_the_merchant_needs_is_told() {
    let mut keyring = keyring(Signature::V1);
    let first = signing(&keyring, NOW);
    let both = keyring.fit(Format::Standard, Some(Signature::Both), None);
    assert!(both.changed && both.secret.is_none(), "the private key stays here, and the secret was told");
    assert_eq!(versions(&keyring, NOW), [Version::V1a, Version::V1]);
    assert!(keyring.public_key().unwrap().starts_with("whpk_"));
    keyring.fit(Format::Standard, Some(Signature::V1a), None);
    assert_eq!((versions(&keyring, NOW), keyring.signature()), (vec![Version::V1a], Signature::V1a));
    let back = keyring.fit(Format::Standard, Some(Signature::V1), None).secret.unwrap();
    assert_ne!(first, [back.to_string()], "what was dropped does not come back");
    assert_eq!((signing(&keyring, NOW), keyring.public_key()), (vec![back.to_string()], None));
}

#[test]
fn after_a_rotation_both_sign_the_new_one_first_until_the_overlap_is_over() {
    let mut keyring = keyring(Signature::V1);
    let old = signing(&keyring, NOW);
    let new = keyring.rotate(Format::Standard, NOW, HOUR).unwrap().secret.unwrap().to_string();
    let end = NOW + i64::from(HOUR);
    assert_eq!(signing(&keyring, NOW), [new.clone(), old[0].clone()]);
    assert_eq!(signing(&keyring, end - 1).len(), 2);
    assert_eq!(keyring.earlier_until(NOW), Some(end));
    assert_eq!((signing(&keyring, end), keyring.earlier_until(end)), (vec![new], None));
}

#[test]
fn both_signatures_rotate_together() {
    let mut keyring = keyring(Signature::Both);
    let public_key = keyring.public_key();
    keyring.rotate(Format::Standard, NOW, HOUR).unwrap();
    assert_eq!(versions(&keyring, NOW), [Version::V1, Version::V1a, Version::V1, Version::V1a]);
    assert_ne!(keyring.public_key(), public_key);
    assert_eq!(keyring.signature(), Signature::Both);
}

#[test]
fn no_more_than_three_secrets_sign_at_once() {
    for signature in [Signature::V1, Signature::V1a, Signature::Both] {
        let mut keyring = keyring(signature);
        keyring.rotate(Format::Standard, NOW, 2 * HOUR).unwrap();
        keyring.rotate(Format::Standard, NOW + 1, HOUR).unwrap();
        let before = keyring.to_text();
        let ends_at = NOW + 1 + i64::from(HOUR);
        let refused = keyring.rotate(Format::Standard, NOW + 2, 3 * HOUR);
        assert_eq!(
            refused.err(),
            Some(TooManySecrets { ends_at }),
            "an overlap is shortened, never prolonged"
        );
        assert_eq!(keyring.to_text(), before);
        let mut later = keyring.clone();
        assert!(later.rotate(Format::Standard, ends_at, HOUR).is_ok(), "the first two have ended");
        keyring.rotate(Format::Standard, NOW + 2, 0).unwrap();
        let alone = if signature == Signature::Both { 2 } else { 1 };
        assert_eq!(signing(&keyring, NOW + 2).len(), alone, "without an overlap the others end");
    }
}

#[test]
fn whatever_answers_are_lost_the_last_secret_that_was_told_goes_on_for_its_overlap() {
    for signature in [Signature::V1, Signature::V1a, Signature::Both] {
        let mut keyring = keyring(signature);
        let told = signing(&keyring, NOW);
        keyring.rotate(Format::Standard, NOW, HOUR).unwrap();
        keyring.rotate(Format::Standard, NOW + 1, HOUR).unwrap();
        for _ in 0..4 {
            let lost = signing(&keyring, NOW + 2);
            assert!(keyring.rotate(Format::Standard, NOW + 2, HOUR).is_err(), "it is full");
            let fresh = keyring.replace_last(NOW + 2).unwrap();
            assert_eq!((fresh.changed, fresh.secret.is_some()), (true, signature != Signature::V1a));
            let signs = signing(&keyring, NOW + 2);
            assert_eq!(signs.len(), lost.len());
            assert!(lost[..told.len()].iter().all(|secret| !signs.contains(secret)), "the last ones end");
            assert!(lost[told.len()..].iter().all(|secret| signs.contains(secret)), "all others stay");
            assert_eq!(keyring.signature(), signature);
        }
        let until = NOW + i64::from(HOUR);
        assert!(told.iter().all(|secret| signing(&keyring, until - 1).contains(secret)));
        assert!(!told.iter().any(|secret| signing(&keyring, until).contains(secret)), "and no longer");
    }
}

#[test]
fn the_only_secret_is_never_replaced() {
    let mut keyring = keyring(Signature::V1);
    assert!(keyring.replace_last(NOW).is_none());
    keyring.rotate(Format::Standard, NOW, HOUR).unwrap();
    let present = signing(&keyring, NOW + i64::from(HOUR));
    assert!(keyring.replace_last(NOW + i64::from(HOUR)).is_none(), "the earlier one has ended");
    assert_eq!(signing(&keyring, NOW + i64::from(HOUR)), present);

    // A signature that was added since the rotation was told, or shown, and has no earlier secret.
    keyring.rotate(Format::Standard, NOW + 1, 2 * HOUR).unwrap();
    keyring.fit(Format::Standard, Some(Signature::Both), None);
    let public_key = keyring.public_key();
    assert!(keyring.replace_last(NOW + 2).unwrap().secret.is_some());
    assert_eq!(keyring.public_key(), public_key);
}

#[test]
fn a_form_has_one_key_and_keeps_the_others_for_a_way_back() {
    let mut keyring = keyring(Signature::V1);
    let secrets = signing(&keyring, NOW);
    let form = keyring.fit(Format::FormMd5, None, None).secret.unwrap();
    assert_eq!(keyring.form_key().unwrap().expose(), form.as_str());
    assert!(!keyring.fit(Format::FormMd5, None, None).changed);
    let rotated = keyring.rotate(Format::FormMd5, NOW, HOUR).unwrap().secret.unwrap();
    assert_eq!(keyring.form_key().unwrap().expose(), rotated.as_str());
    assert_ne!(form, rotated);
    assert!(!keyring.fit(Format::Standard, None, None).changed);
    assert_eq!(signing(&keyring, NOW), secrets);
}

#[test]
fn an_encryption_key_is_made_rotated_and_taken_away() {
    let mut keyring = keyring(Signature::V1);
    assert!(keyring.rotate_encryption().is_none());
    let first = keyring.fit(Format::Standard, None, Some(true)).encryption_key.unwrap();
    assert!(!keyring.fit(Format::Standard, None, Some(true)).changed);
    assert_eq!(keyring.encryption_key().unwrap().expose(), first);
    let second = keyring.rotate_encryption().unwrap().encryption_key.unwrap();
    assert_eq!(keyring.encryption_key().unwrap().expose(), second);
    assert_ne!(first, second);
    assert!(keyring.fit(Format::Standard, None, Some(false)).changed);
    assert!(keyring.encryption_key().is_none());
}

#[test]
fn an_older_release_signs_with_what_the_merchant_knows_only_where_it_sends_what_is_wanted() {
    let mut plain = keyring(Signature::Both);
    plain.rotate(Format::Standard, NOW, HOUR).unwrap();
    let newest = signing(&plain, NOW)[0].clone();
    assert_eq!(*plain.for_older_releases(Format::Standard).to_text(), newest);
    let mut encrypted = plain.clone();
    encrypted.fit(Format::Standard, None, Some(true));
    for (keyring, format) in
        [(plain, Format::FormMd5), (encrypted, Format::Standard), (keyring(Signature::V1a), Format::Standard)]
    {
        let older = keyring.for_older_releases(format).to_text();
        assert!(older.starts_with("whsec_") && !keyring.to_text().contains(older.as_str()));
    }
}

#[test]
fn what_is_no_keyring_is_refused_and_none_is_ever_shown() {
    let secret = keyring(Signature::V1).to_text();
    for text in
        ["x", "whsec_", "whmd5_", "whenc_AAAA", &format!("{}  12", *secret), &format!("{} soon", *secret)]
    {
        assert_eq!(Keyring::from_text(text).err(), Some(MalformedKeyring), "{text}");
    }
    assert_eq!(format!("{:?}", keyring(Signature::Both)), "Keyring(…)");
}

proptest! {
    #[test]
    fn a_keyring_is_read_as_it_was_written(
        signature in prop::sample::select(vec![Signature::V1, Signature::V1a, Signature::Both]),
        overlaps in proptest::collection::vec(0..2 * HOUR, 0..4),
        form: bool,
        encrypted: bool,
    ) {
        let mut keyring = keyring(signature);
        for overlap in overlaps {
            let _ = keyring.rotate(Format::Standard, NOW, overlap);
        }
        keyring.fit(if form { Format::FormMd5 } else { Format::Standard }, None, Some(encrypted));
        let read = Keyring::from_text(&keyring.to_text()).unwrap();
        prop_assert_eq!(read.to_text(), keyring.to_text());
        prop_assert_eq!(signing(&read, NOW), signing(&keyring, NOW));
        prop_assert_eq!(read.form_key().is_some(), form);
        prop_assert_eq!(read.encryption_key().is_some(), encrypted);
    }
}
