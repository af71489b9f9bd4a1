//! The fields of an account.

use std::io;
use std::path::Path;

use channels::ChannelSet;
use channels::wechatpay::simulate;

use super::support::{ACCOUNT, KEY_ID, NOW, fields, paid, signer, stated, vectors, verify};

/// The files that the tests name.
fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    let config = vectors().config;
    match path.to_str() {
        Some("certificate.pem") => {
            Ok(config.platform_certificates.into_values().next().expect("a key").into())
        }
        Some("public.pem") => Ok(config.platform_public_keys.into_values().next().expect("a key").into()),
        Some("api_v3_key") => Ok(format!("{}\n", config.apiv3_key).into()),
        _ => Err(io::ErrorKind::NotFound.into()),
    }
}

fn parse(fields: &str) -> Result<ChannelSet, Vec<String>> {
    ChannelSet::parse(&format!("[{ACCOUNT}]\nkind = 'wechatpay'\n{fields}"), read_file)
        .map_err(|errors| errors.0.iter().map(ToString::to_string).collect())
}

const REST: &str = "mchid = '1900000001'\nappids = ['wx0', 'wxd678efh567hg6787']\n";

#[test]
fn keys_come_by_value_or_by_file_one_or_several() {
    let by_certificate = simulate(&paid(), "EV-1", &signer(), NOW).unwrap();
    let mut signer = signer();
    signer.serial = KEY_ID.to_owned();
    signer.key = vectors().config.public_key_private_key.parse().unwrap();
    let by_public_key = simulate(&paid(), "EV-1", &signer, NOW).unwrap();

    let api_v3 = "api_v3_key_file = 'api_v3_key'\n";
    let certificate = format!("{REST}{api_v3}certificate_files = ['certificate.pem']\n");
    let public = format!("{REST}{api_v3}public_key_files = {{ {KEY_ID} = 'public.pem' }}\n");
    let other_key = "api_v3_key = 'ffffffffffffffffffffffffffffffff'\n";
    let rotating = format!("{certificate}public_key_files = {{ {KEY_ID} = 'public.pem' }}\n{other_key}");
    for (fields, certificate, public) in [
        (certificate, true, false),
        (public, false, true),
        (rotating, true, true),
        (fields(&vectors().config), true, true),
    ] {
        let channels = parse(&fields).unwrap();
        assert_eq!(verify(&channels, &by_certificate).is_ok(), certificate, "{fields}");
        assert_eq!(verify(&channels, &by_public_key).is_ok(), public, "{fields}");
        assert_eq!(channels.account(ACCOUNT).unwrap().kind(), "wechatpay");
    }
    let file = format!("{REST}{api_v3}certificate_file = 'certificate.pem'\n");
    stated(verify(&parse(&file).unwrap(), &by_certificate));
}

#[test]
fn every_error_comes_at_once() {
    let missing = parse("").unwrap_err();
    for field in ["public_keys: missing", "mchid: missing", "appid: missing", "api_v3_key: missing"] {
        assert!(missing.iter().any(|error| error.contains(field)), "{field}: {missing:?}");
    }
    assert_eq!(missing.len(), 4, "{missing:?}");

    let wrong = parse(
        "mchid = ''\nappid = 7\napi_v3_key = 'short'\ncertificate = 'no PEM'\ncertificate_files = ['none']\n\
         public_keys = { PUB_KEY_ID_1 = 'no key', PUB_KEY_ID_2 = 2 }\npublic_key_files = []\nmchID = '1'\n",
    )
    .unwrap_err();
    let expected = [
        "mchid: expected a text, got an empty one",
        "appid: expected a string, got integer",
        "api_v3_key: expected an APIv3 key of 32 bytes, this one has 5",
        "certificate: expected a certificate (-----BEGIN CERTIFICATE-----) in PEM",
        "certificate_files: cannot read the file named there",
        "public_keys: expected a public key (-----BEGIN PUBLIC KEY-----) in PEM",
        "public_keys: expected a table of one or more names and strings",
        "public_key_files: expected a table of one or more names and strings",
        "mchID: unknown field",
    ];
    for part in expected {
        assert!(wrong.iter().any(|error| error.contains(part)), "{part}: {wrong:#?}");
    }
    assert_eq!(wrong.len(), expected.len(), "{wrong:#?}");
}

#[test]
fn neither_errors_nor_debug_output_tell_a_key() {
    let config = vectors().config;
    let channels = parse(&fields(&config)).unwrap();
    assert!(!format!("{channels:?}{:?}", signer()).contains(&config.apiv3_key[..8]), "{channels:?}");
    let short = parse(&fields(&config).replace(&config.apiv3_key, &config.apiv3_key[..31])).unwrap_err();
    assert_eq!(
        short,
        [format!("[{ACCOUNT}] api_v3_key: expected an APIv3 key of 32 bytes, this one has 31")]
    );
}
