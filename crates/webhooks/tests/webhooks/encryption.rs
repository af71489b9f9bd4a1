//! Encrypted data: opened by its key alone, and by nothing of ours.

use aes_gcm::aead::{Aead as _, KeyInit as _, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use webhooks::KeyError;
use webhooks::encryption::{ALGORITHM, EncryptedResource, EncryptionError, Key};

#[test]
fn a_merchant_opens_it_with_any_aes_gcm() {
    let key = Key::generate([7; 32]);
    let resource = key.seal("支付".as_bytes(), "msg_1", 42).unwrap();
    let text = key.expose();
    let bytes = STANDARD.decode(text.strip_prefix("whenc_").unwrap()).unwrap();
    let cipher = Aes256Gcm::new_from_slice(&bytes).unwrap();
    let ciphertext = STANDARD.decode(&resource.ciphertext).unwrap();
    let nonce = Nonce::try_from(resource.nonce.as_bytes()).unwrap();
    let payload = Payload { msg: &ciphertext, aad: b"msg_1" };
    assert_eq!(cipher.decrypt(&nonce, payload).unwrap(), "支付".as_bytes());
    assert_eq!((resource.algorithm.as_str(), resource.associated_data.as_str()), (ALGORITHM, "msg_1"));
}

/// Made by another implementation, the Python package `cryptography`.
#[test]
fn it_is_what_others_make_of_the_same_key_and_nonce() {
    let resource = Key::generate([7; 32]).seal("支付".as_bytes(), "msg_1", 42).unwrap();
    assert_eq!(
        (resource.nonce.as_str(), resource.ciphertext.as_str()),
        ("L!!!!!!!!!!!", "sgDjzx9fAyZfpSEU2LlpvCAJOUJI+Q==")
    );
}

#[test]
fn what_was_changed_or_is_another_thing_does_not_open() {
    let key = Key::generate([7; 32]);
    let sealed = key.seal(b"data", "msg_1", 42).unwrap();
    let other = key.seal(b"datb", "msg_1", 42).unwrap();
    for (resource, error) in [
        (EncryptedResource { algorithm: "AES".to_owned(), ..sealed.clone() }, EncryptionError::Malformed),
        (EncryptedResource { nonce: "short".to_owned(), ..sealed.clone() }, EncryptionError::Malformed),
        (EncryptedResource { ciphertext: "*".to_owned(), ..sealed.clone() }, EncryptionError::Malformed),
        (EncryptedResource { ciphertext: String::new(), ..sealed.clone() }, EncryptionError::WrongKey),
        (EncryptedResource { nonce: "012345678901".to_owned(), ..sealed.clone() }, EncryptionError::WrongKey),
        (
            EncryptedResource { associated_data: "msg_2".to_owned(), ..sealed.clone() },
            EncryptionError::WrongKey,
        ),
        (
            EncryptedResource {
                ciphertext: format!("{}{}", &other.ciphertext[..8], &sealed.ciphertext[8..]),
                ..sealed.clone()
            },
            EncryptionError::WrongKey,
        ),
    ] {
        assert_eq!(key.open(&resource).unwrap_err(), error, "{resource:?}");
    }
    assert_eq!(Key::generate([8; 32]).open(&sealed).unwrap_err(), EncryptionError::WrongKey);
}

#[test]
fn a_key_has_32_bytes_and_is_never_shown() {
    for (text, error) in [
        (
            "whsec_BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=",
            KeyError::UnknownPrefix { expected: "whenc_" },
        ),
        ("whenc_BwcH", KeyError::WrongLength { expected: "32", actual: 3 }),
        ("whenc_*", KeyError::NotBase64),
    ] {
        assert_eq!(text.parse::<Key>().unwrap_err(), error);
    }
    assert_eq!(format!("{:?}", Key::generate([7; 32])), "Key(whenc_…)");
}

proptest! {
    #[test]
    fn what_is_sealed_opens(random: [u8; 32], data: Vec<u8>, associated_data: String, number: u128) {
        let key: Key = Key::generate(random).expose().parse().unwrap();
        let resource = key.seal(&data, &associated_data, number).unwrap();
        let json = serde_json::to_string(&resource).unwrap();
        prop_assert!(json.contains(&resource.nonce), "the nonce stands in JSON as it is");
        let read: EncryptedResource = serde_json::from_str(&json).unwrap();
        prop_assert_eq!(&**key.open(&read).unwrap(), &data[..]);
    }

    #[test]
    fn another_number_makes_another_nonce(one in 0..1_u128 << 78, other in 0..1_u128 << 78) {
        prop_assume!(one != other);
        let key = Key::generate([7; 32]);
        prop_assert_ne!(key.seal(b"", "", one).unwrap().nonce, key.seal(b"", "", other).unwrap().nonce);
    }
}
