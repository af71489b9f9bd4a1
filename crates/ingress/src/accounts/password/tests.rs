use serde::Deserialize;

use super::*;

fn password(text: &str) -> PayPassword {
    serde_json::from_value(text.into()).unwrap()
}

#[test]
fn a_user_may_have_six_to_128_characters() {
    for good in ["123456", "密码密码密码", " x  y ", &"x".repeat(128)] {
        assert!(password(good).with_checked_length().is_ok(), "{good:?}");
    }
    for bad in ["", "12345", "密码密码密", &"é".repeat(129)] {
        let problem = password(bad).with_checked_length().unwrap_err();
        assert_eq!(problem.code, "invalid");
        assert!(
            problem.detail.contains("6 to 128") && problem.detail.starts_with("pay_password"),
            "{problem:?}"
        );
    }
}

#[test]
fn only_the_same_password_has_the_hash_which_tells_its_parameters() {
    let (hash, again) = (password("123456").hash().unwrap(), password("123456").hash().unwrap());
    assert_ne!(hash, again, "every hash has a salt of its own");
    assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
    assert!(
        password("123456").matches_hash(&hash).unwrap() && password("123456").matches_hash(&again).unwrap()
    );
    for other in ["1234567", "12345", "", "123456\0", "１２３４５６"] {
        assert!(!password(other).matches_hash(&hash).unwrap(), "{other:?}");
    }
}

/// From the tests of the reference implementation (P-H-C/phc-winner-argon2, `src/test.c`).
#[test]
fn a_hash_of_other_parameters_is_checked_by_them() {
    let hash = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
    assert!(password("password").matches_hash(hash).unwrap());
    assert!(!password("passwore").matches_hash(hash).unwrap());
}

#[test]
fn nobody_has_a_hash_that_takes_as_long_and_fits_no_password() {
    let parameters = |hash: &str| hash.rsplitn(3, '$').last().map(str::to_owned);
    assert_eq!(parameters(DUMMY_HASH), parameters(&password("123456").hash().unwrap()));
    assert!(!password("123456").matches_hash(DUMMY_HASH).unwrap());
}

#[test]
fn what_is_no_hash_is_an_error_and_no_wrong_password() {
    for broken in ["", "123456", "$argon2id$v=19$m=19456,t=2,p=1$"] {
        assert!(password("123456").matches_hash(broken).is_err(), "{broken:?}");
    }
}

#[test]
fn a_password_is_shown_nowhere() {
    #[derive(Debug, Deserialize)]
    struct Request {
        pay_password: PayPassword,
    }
    let read = |text: &str| serde_json::from_str::<Request>(text);
    let request = read(r#"{"pay_password": "987654"}"#).unwrap();
    assert!(request.pay_password.with_checked_length().is_ok());
    for shown in [
        format!("{:?}", read(r#"{"pay_password": "987654"}"#).unwrap()),
        read(r#"{"pay_password": 987654}"#).unwrap_err().to_string(),
        read(r#"{"pay_password": ["987654"]}"#).unwrap_err().to_string(),
    ] {
        assert!(!shown.contains("987654"), "{shown}");
        assert!(shown.contains("pay_password"), "{shown}");
    }
}
