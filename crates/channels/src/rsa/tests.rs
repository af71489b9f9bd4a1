use serde_json::Value;

use super::*;

const VECTORS: &str = include_str!("../../tests/vectors/alipay.json");
/// 1024 bits: a key that is right but for its length.
const SHORT: &str = "MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQC5n248W7cTc3Ww6i8oRuFK/svEPNtoGgXnC2Hjx3MS69w658shoKNibaE\
    R5PUnKAq3/AC9UmCXXpoaEdb5IEiqfoXc+1O61FOMynvTYW5rSlTK6CXYd0DU0Wts2ARrFSKOCbIj82Zd/Jj4MuKbvo8fi5SiHklhuq9YuZuwc2GmVQIDAQAB";
/// Of Curve25519, in a `SubjectPublicKeyInfo` as well.
const ED25519: &str = "MCowBQYDK2VwAyEAAH+UxJLnRmVi2xkDonZfCEu/8603gELDcQ66GMm6wpI=";

/// A certificate with a key of 1024 bits.
const SHORT_CERTIFIED: &str = "MIIB9jCCAV+gAwIBAgIUK0TwmjdCVec++/hFUhftecStFNgwDQYJKoZIhvcNAQELBQAwDDEKMAgGA1UEAwwBdDAgFw0yNjExMzAx\
    NjUxNTdaGA8yMTI2MTEwNjE2NTE1N1owDDEKMAgGA1UEAwwBdDCBnzANBgkqhkiG9w0BAQEFAAOBjQAwgYkCgYEA4p271gS7v+Ce\
    qMs0NtmY9I8x8NbPo7czxaGfsiihPH8UvOrxC4dKU/lm6+x9evuqzetw0xuOeu/J34ojX5X5uARy2ocC6Mclpuks9AJwLMSimEVF\
    nFLH0y8Eg/IksabTSLhEv/6fljg2HUUI1YRP2aJbPEmwK+aEerQ+qpwgzdcCAwEAAaNTMFEwHQYDVR0OBBYEFB/T+zp14mkGGj7Q\
    cvd70gO+bC4RMB8GA1UdIwQYMBaAFB/T+zp14mkGGj7Qcvd70gO+bC4RMA8GA1UdEwEB/wQFMAMBAf8wDQYJKoZIhvcNAQELBQAD\
    gYEAD1ehgDEfXZobE9LXoBC80FJBeO5QnHfx2TQZZjGKZqB90ZxaHqpHr1S1TJU+BoBoZ2CYVmP4m0mx4SlK4dZwEIJ6jjHo7I4O\
    vX0QZRilpjbHq3SLMtLcZqbEZLUDKUlaRoxpXDpCdysktqa63RK9Rt9yMQg0yY322ruipKAeCek=";

/// The key of `certificate.pem`.
const CERTIFIED: &str = "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAxRKxGHOnTpuWMb7CiobUBREzh6QfkYS2G/PSG8zTpFOGzHYzq+AGvAzZ\
    TFIJbZe0JMzL7hmbMBAheqNPDTjTKhRU6+x5s2DduTPn4T0VjT4vA3f/B+w3zKwgpXyrcEjDd1ufCG20kzK5/7xUuftu+iMjSRy3\
    RpuLEoQbR2/P6bJmK93KZKDCoIn/gEuSX9wdo90P62uaivoIMUz0GD49AAzoO5cXr1UFipu7yUxamN0DWZAFjxQYmx4klgDh+csc\
    K9neUR8XPQSo5EUI4DpJQzirj6QNfxGrhZBMtF5/Z2WdjkLQSf4nX0eS1VBfa1u/eDMAW/63wDcuvZ2mIaCyQwIDAQAB";

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
fn a_key_comes_as_pem_or_as_base64_in_lines_of_any_length() {
    let pem = config("alipay_public_key_pem");
    let base64 = config("alipay_public_key_spki_base64");
    let key: RsaPublicKey = pem.parse().unwrap();
    let (head, tail) = base64.split_at(76);
    let framed = |body: &str| format!("-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----\n");
    for text in [
        base64.clone(),
        format!("  {head}\r\n{tail}\n"),
        format!("\u{feff}{base64}"),
        pem.replace('\n', "\r\n"),
        pem.replace('\n', "\r"),
        pem.replace('\n', " \t\n"),
        pem.replace('\n', " "),
        pem.replace('\n', ""),
        format!("\u{feff}{pem}"),
        framed(&base64),
        framed(&format!("{head}\n{tail}")),
        framed(&format!("\n  {head}\n\n\t{tail}\n")),
        format!("# production\nSubject: 支付宝\n\n{pem}and after it"),
        format!("{pem}{}", framed("AAAA")),
        format!("-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n{pem}"),
    ] {
        assert_eq!(text.parse::<RsaPublicKey>(), Ok(key.clone()), "{text}");
    }
    assert_eq!(RsaPublicKey::from_spki_der(&STANDARD.decode(&base64).unwrap()).unwrap(), key);
    assert_eq!(format!("{key:?}"), "RsaPublicKey(2048 bits)");
}

#[test]
fn a_key_comes_as_pkcs_1_as_well() {
    let der = STANDARD.decode(config("alipay_public_key_spki_base64")).unwrap();
    let key = RsaPublicKey::from_spki_der(&der).unwrap();
    // The bits of the key stand at the end of a SubjectPublicKeyInfo, behind 24 bytes of what they are.
    let pkcs1 = STANDARD.encode(&der[24..]);
    for text in
        [pkcs1.clone(), format!("-----BEGIN RSA PUBLIC KEY-----\n{pkcs1}\n-----END RSA PUBLIC KEY-----")]
    {
        assert_eq!(text.parse::<RsaPublicKey>(), Ok(key.clone()), "{text}");
    }
}

#[test]
fn a_certificate_is_taken_for_its_key_and_the_first_of_several_counts() {
    let certificate = include_str!("../../tests/vectors/certificate.pem");
    let issuer = include_str!("../../tests/vectors/issuer.pem");
    let key = RsaPublicKey::from_spki_der(&STANDARD.decode(CERTIFIED).unwrap()).unwrap();
    let base64: String = certificate.lines().filter(|line| !line.starts_with('-')).collect();
    for text in [
        certificate.to_owned(),
        base64.clone(),
        format!("{certificate}{issuer}"),
        format!("Certificate:\n    Data:\n{certificate}{issuer}"),
        certificate.replace("CERTIFICATE", "X509 CERTIFICATE"),
    ] {
        assert_eq!(text.parse::<RsaPublicKey>(), Ok(key.clone()), "{text}");
        let read: RsaCertificate = text.parse().unwrap();
        assert_eq!((read.key, read.serial.as_str()), (key.clone(), "12AB34"), "{text}");
    }
    let other: RsaPublicKey = format!("{issuer}{certificate}").parse().unwrap();
    assert_ne!(other, key);
}

#[test]
fn what_is_no_usable_public_key_is_refused_by_what_it_is() {
    let private = config("TEST_ONLY_signing_private_key_pkcs8_pem");
    let pem = config("alipay_public_key_pem");
    let unlabelled: String = private.lines().filter(|line| !line.starts_with('-')).collect();
    for text in [private.clone(), unlabelled.clone(), private.replace("PRIVATE", "RSA PRIVATE")] {
        let error = refusal(&text);
        assert_eq!(error, RsaKeyError::Private { expected: PUBLIC });
        assert!(!error.to_string().contains(&unlabelled[..8]), "{error}");
    }
    assert_eq!(refusal("AAAA"), NOT_PUBLIC);
    assert_eq!(refusal(ED25519), RsaKeyError::OtherAlgorithm { oid: "1.3.101.112".to_owned() });
    for text in ["", " \n", "\u{feff}"] {
        assert_eq!(refusal(text), RsaKeyError::Empty { expected: PUBLIC }, "{text:?}");
    }
    assert_eq!(refusal("key"), RsaKeyError::NotText { expected: PUBLIC });
    let cut = pem.split("-----END").next().unwrap();
    for text in [cut, "-----BEGIN PUBLIC KEY-----", &pem.replace("-----END PUBLIC", "-----END PRIVATE")] {
        assert_eq!(refusal(text), RsaKeyError::NoEnd, "{text}");
    }
    for text in ["-----BEGIN PUBLIC KEY-----\nAAA\n-----END PUBLIC KEY-----", &pem.replace("MII", "M*I")] {
        assert_eq!(refusal(text), RsaKeyError::NotBase64, "{text}");
    }
    assert_eq!(refusal(&pem.replace('\n', "\\n")), RsaKeyError::EscapedLines);
    let actual = "CERTIFICATE REQUEST".to_owned();
    assert_eq!(
        refusal(&pem.replace("PUBLIC KEY", "CERTIFICATE REQUEST")),
        RsaKeyError::WrongLabel { expected: PUBLIC, actual }
    );
    assert_eq!(refusal(SHORT), RsaKeyError::WrongLength { bits: 1024 });
}

#[test]
fn what_is_no_certificate_is_refused_by_what_it_is() {
    let error = |text: &str| text.parse::<RsaCertificate>().expect_err("it is no certificate");
    let pem = config("alipay_public_key_pem");
    let actual = "PUBLIC KEY".to_owned();
    assert_eq!(error(&pem), RsaKeyError::WrongLabel { expected: CERTIFICATE, actual });
    let private = config("TEST_ONLY_signing_private_key_pkcs8_pem");
    assert_eq!(error(&private), RsaKeyError::Private { expected: CERTIFICATE });
    let unlabelled: String = private.lines().filter(|line| !line.starts_with('-')).collect();
    assert_eq!(error(&unlabelled), RsaKeyError::Private { expected: CERTIFICATE });
    assert_eq!(error(&config("alipay_public_key_spki_base64")), NOT_CERTIFICATE);
    assert_eq!(error("no PEM"), RsaKeyError::NotText { expected: CERTIFICATE });
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
    assert_eq!(wrong, RsaKeyError::WrongLabel { expected: PRIVATE, actual: PUBLIC_LABEL.to_owned() });
    let encrypted = pem.replacen('\n', "\nProc-Type: 4,ENCRYPTED\n", 1);
    assert_eq!(encrypted.parse::<RsaSigningKey>().unwrap_err(), RsaKeyError::Encrypted);
    assert_eq!("AAAA".parse::<RsaSigningKey>().unwrap_err(), NOT_PRIVATE);
}

#[test]
fn a_certificate_is_refused_for_its_key() {
    let short = SHORT_CERTIFIED.parse::<RsaCertificate>().unwrap_err();
    assert_eq!(short, RsaKeyError::WrongLength { bits: 1024 });

    let pem = include_str!("../../tests/vectors/certificate.pem");
    let base64: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let mut der = STANDARD.decode(base64).unwrap();
    let exponent = der.windows(5).position(|bytes| bytes == [2, 3, 1, 0, 1]).expect("65537");
    assert!(RsaCertificate::from_der(&der).is_ok());
    der[exponent + 4] = 0;
    assert_eq!(RsaCertificate::from_der(&der).unwrap_err(), NOT_CERTIFICATE, "an even exponent");
}

#[test]
fn bits_are_counted_from_the_first_that_is_set() {
    for (number, expected) in
        [(&[][..], 0), (&[1], 1), (&[0x80], 8), (&[0xFF], 8), (&[1, 0, 1], 17), (&[1, 0, 0, 0, 1], 33)]
    {
        assert_eq!(bits(number), expected, "{number:x?}");
    }
}
