use serde_json::Value;

use super::*;

const VECTORS: &str = include_str!("../../tests/vectors/alipay.json");
/// 1024 bits: a key that is right but for its length.
const SHORT: &str = "MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQC5n248W7cTc3Ww6i8oRuFK/svEPNtoGgXnC2Hjx3MS69w658shoKNibaE\
    R5PUnKAq3/AC9UmCXXpoaEdb5IEiqfoXc+1O61FOMynvTYW5rSlTK6CXYd0DU0Wts2ARrFSKOCbIj82Zd/Jj4MuKbvo8fi5SiHklhuq9YuZuwc2GmVQIDAQAB";
/// Of Curve25519, in a `SubjectPublicKeyInfo` as well.
const ED25519: &str = "MCowBQYDK2VwAyEAAH+UxJLnRmVi2xkDonZfCEu/8603gELDcQ66GMm6wpI=";

fn config(field: &str) -> String {
    let vectors: Value = serde_json::from_str(VECTORS).expect("the vectors are JSON");
    vectors["config"][field].as_str().expect("it is a text").to_owned()
}

fn refusal(text: &str) -> RsaKeyError {
    text.parse::<RsaPublicKey>().expect_err("it is no public key")
}

#[test]
fn what_one_key_signs_it_alone_verifies() {
    let public: RsaPublicKey = config("alipay_public_key_pem").parse().unwrap();
    let mine: RsaSigningKey = config("TEST_ONLY_signing_private_key_pkcs8_pem").parse().unwrap();
    let other: RsaSigningKey = config("TEST_ONLY_other_private_key_pkcs8_pem").parse().unwrap();
    let sign = |key: &RsaSigningKey| STANDARD.decode(key.sign(b"a=b").unwrap()).unwrap();
    assert!(public.verifies(b"a=b", &sign(&mine)));
    assert!(!public.verifies(b"a=c", &sign(&mine)));
    assert!(!public.verifies(b"a=b", &sign(&other)));
    assert!(!public.verifies(b"a=b", &sign(&mine)[1..]));
    assert!(!public.verifies(b"a=b", b""));
}

#[test]
fn a_key_comes_as_pem_or_as_base64() {
    let pem = config("alipay_public_key_pem");
    let base64 = config("alipay_public_key_spki_base64");
    let key: RsaPublicKey = pem.parse().unwrap();
    let (head, tail) = base64.split_at(64);
    for text in [base64.clone(), format!("  {head}\r\n{tail}\n"), pem.replace('\n', "\r\n")] {
        assert_eq!(text.parse::<RsaPublicKey>().unwrap(), key, "{text}");
    }
    assert_eq!(RsaPublicKey::from_spki_der(&STANDARD.decode(&base64).unwrap()).unwrap(), key);
    assert_eq!(format!("{key:?}"), "RsaPublicKey(2048 bits)");
}

#[test]
fn what_is_no_usable_public_key_is_refused_by_what_it_is() {
    let private = config("TEST_ONLY_signing_private_key_pkcs8_pem");
    let message = refusal(&private).to_string();
    assert_eq!(message, "expected PEM of a PUBLIC KEY, got one of a \"PRIVATE KEY\"");
    let unlabelled: String = private.lines().filter(|line| !line.starts_with('-')).collect();
    assert_eq!(refusal(&unlabelled), NOT_PUBLIC);
    for text in ["", "AAAA", ED25519] {
        assert_eq!(refusal(text), NOT_PUBLIC, "{text}");
    }
    for text in
        ["key", "-----BEGIN PUBLIC KEY-----", "-----BEGIN PUBLIC KEY-----\nAAA\n-----END PUBLIC KEY-----"]
    {
        assert_eq!(refusal(text), RsaKeyError::NotText { expected: PUBLIC_LABEL }, "{text}");
    }
    assert_eq!(refusal(SHORT), RsaKeyError::WrongLength { bits: 1024 });
}

#[test]
fn an_exponent_or_a_modulus_that_no_key_has_is_refused() {
    let der = STANDARD.decode(config("alipay_public_key_spki_base64")).unwrap();
    let with = |at: usize, byte: u8| {
        let mut changed = der.clone();
        let last = changed.len() - 1;
        changed[last - at] = byte;
        RsaPublicKey::from_spki_der(&changed)
    };
    assert!(with(0, 3).is_ok());
    assert_eq!(with(0, 0).unwrap_err(), NOT_PUBLIC, "an even exponent");
    // Before the exponent stand its tag and length (5 bytes in all) and the last byte of the modulus.
    assert_eq!(with(5, 0).unwrap_err(), NOT_PUBLIC, "an even modulus");
    let longer: Vec<u8> = der.iter().copied().chain([0]).collect();
    assert_eq!(RsaPublicKey::from_spki_der(&longer).unwrap_err(), NOT_PUBLIC);
}

#[test]
fn a_private_key_is_not_told() {
    let pem = config("TEST_ONLY_signing_private_key_pkcs8_pem");
    let key: RsaSigningKey = pem.parse().unwrap();
    assert_eq!(format!("{key:?}"), "RsaSigningKey(***)");
    let wrong = config("alipay_public_key_pem").parse::<RsaSigningKey>().unwrap_err();
    assert_eq!(wrong, RsaKeyError::WrongLabel { expected: PRIVATE_LABEL, actual: PUBLIC_LABEL.to_owned() });
    assert_eq!("AAAA".parse::<RsaSigningKey>().unwrap_err(), NOT_PRIVATE);
}
