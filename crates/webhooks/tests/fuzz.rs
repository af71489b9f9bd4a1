//! The functions that cargo-fuzz runs, on known good inputs and on those changed a little.

#[expect(unreachable_pub, reason = "it is public where the fuzz targets use it")]
#[path = "../../../fuzz/src/mutated.rs"]
mod mutated;
#[expect(unreachable_pub, reason = "it is public where the fuzz targets use it")]
#[path = "../../../fuzz/src/signatures.rs"]
mod signatures;

use proptest::prelude::*;
use webhooks::{Secret, sign};

use mutated::mutated;

const NOW: i64 = 1_767_225_600;

fn webhooks() -> Vec<Vec<u8>> {
    let sent = |secret: Secret| {
        let signature = sign(&[secret], "evt_1", NOW, b"{\"type\":\"ping\"}").expect("it can be signed");
        format!("evt_1\n{NOW}\n{signature}\n{{\"type\":\"ping\"}}").into_bytes()
    };
    vec![sent(Secret::generate([1; 32])), sent(Secret::generate_ed25519([1; 32]))]
}

fn keys() -> Vec<Vec<u8>> {
    let secrets = [Secret::generate([1; 32]), Secret::generate_ed25519([1; 32])];
    let texts = secrets.iter().flat_map(|secret| [secret.expose(), secret.verifying_key().expose()]);
    texts.map(|text| text.as_bytes().to_vec()).collect()
}

#[test]
fn the_functions_take_what_is_good() {
    assert!(webhooks().iter().all(|data| signatures::webhook(data) == Ok(())));
    assert!(keys().iter().all(|data| signatures::key(data)));
}

proptest! {
    #[test]
    fn verifying_bears_anything(data in mutated(webhooks())) {
        let _ = signatures::webhook(&data);
    }

    #[test]
    fn keys_bear_anything(data in mutated(keys())) {
        signatures::key(&data);
    }
}
