//! The channels file: what is taken, and that every error is named at once.

use std::io;
use std::path::Path;

use channels::{CallbackRequest, ChannelSet, ConfigErrors};
use time::OffsetDateTime;
use time::macros::datetime;

const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const OTHER: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const PUBLIC: &str = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=";
const NOW: OffsetDateTime = datetime!(2026-01-01 00:00 UTC);

/// The files that the tests name.
fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    match path.to_str() {
        Some("keys/good") => Ok(format!("{OTHER}\n").into()),
        Some("keys/bad") => Ok("not-a-key".into()),
        Some("keys/mark") => Ok(format!("\u{feff}{OTHER}\r\n").into()),
        Some("keys/utf16") => {
            Ok([0xfeff].into_iter().chain(OTHER.encode_utf16()).flat_map(u16::to_le_bytes).collect())
        }
        _ => Err(io::ErrorKind::NotFound.into()),
    }
}

fn parse(text: &str) -> Result<ChannelSet, ConfigErrors> {
    ChannelSet::parse(text, read_file)
}

fn errors(text: &str) -> String {
    parse(text).expect_err("the file is wrong").to_string()
}

/// Whether the account takes what is signed with this secret.
fn accepts(channels: &ChannelSet, name: &str, secret: &str) -> bool {
    let secret = secret.parse().expect("the secret is right");
    let ping = "{\"type\":\"ping\"}".to_owned();
    let sent = channels::standard::sign(ping, "evt_1", &secret, NOW).expect("the id is right");
    let request = CallbackRequest { headers: &sent.headers(), body: sent.body.as_bytes() };
    channels.account(name).expect("the account is configured").verify(&request, NOW).is_ok()
}

#[test]
fn keys_come_by_value_by_file_or_as_lists() {
    let channels = parse(&format!(
        "[by_value]\nkind = 'standard'\nsecret = '{SECRET}'\n\
         [by_file]\nkind = 'standard'\nsecret_file = 'keys/good'\n\
         [rotating]\nkind = 'standard'\nsecrets = ['{PUBLIC}', '{SECRET}']\nsecret_files = ['keys/good']\n"
    ))
    .unwrap();
    let names = ["by_file", "by_value", "rotating"];
    assert_eq!(channels.names().collect::<Vec<_>>(), names);
    assert_eq!(names.map(|name| accepts(&channels, name, SECRET)), [false, true, true]);
    assert_eq!(names.map(|name| accepts(&channels, name, OTHER)), [true, false, true]);
    let account = channels.account("by_file").unwrap();
    assert_eq!((account.name().as_str(), account.kind()), ("by_file", "standard"));
    assert!(channels.account("nobody").is_none());
}

#[test]
fn sets_are_joined_and_the_later_holds() {
    let set = |account: &str, secret: &str| {
        parse(&format!("[{account}]\nkind = 'standard'\nsecret = '{secret}'\n")).unwrap()
    };
    let joined = set("a", SECRET).with(set("b", SECRET)).with(set("a", OTHER));
    assert_eq!(joined.names().collect::<Vec<_>>(), ["a", "b"]);
    assert!(accepts(&joined, "a", OTHER) && !accepts(&joined, "a", SECRET));
}

#[test]
fn an_empty_file_has_no_accounts() {
    assert_eq!(parse("# nothing yet\n").unwrap().names().count(), 0);
    assert_eq!(ChannelSet::default().names().count(), 0);
}

#[test]
fn all_errors_come_at_once_each_with_account_and_field() {
    let errors = errors(&format!(
        "loose = 1\n\
         ['a b']\nkind = 'standard'\nsecret = '{SECRET}'\n\
         [balance]\nkind = 'standard'\nsecret = '{SECRET}'\n\
         [keyless]\nkind = 'standard'\n\
         [kindless]\nsecret = '{SECRET}'\n\
         [kind_number]\nkind = 7\n\
         [lost]\nkind = 'standard'\nsecret_file = 'keys/none'\n\
         [right]\nkind = 'standard'\nsecret = '{SECRET}'\n\
         [strange]\nkind = 'paypal'\n\
         [typo]\nkind = 'standard'\nsecret = '{SECRET}'\nsecert = 'x'\n\
         [wrong]\nkind = 'standard'\nsecret = 'whsec_AAAA'\nsecrets = []\nsecret_file = 'keys/bad'\nsecret_files = [1]\n"
    ));
    let expected = [
        ("[a b] ", "letters, digits"),
        ("[balance] ", "reserved"),
        ("[keyless] secret: ", "missing; give secret, secrets, secret_file or secret_files"),
        ("[kind_number] kind: ", "got integer"),
        ("[kindless] kind: ", "missing; expected one of "),
        ("[loose] ", "expected a table of fields, got integer"),
        ("[lost] secret_file: ", "cannot read the file named there: entity not found"),
        ("[strange] kind: ", "got \"paypal\""),
        ("[typo] secert: ", "unknown field, expected one of kind, secret"),
        ("[wrong] secret: ", "24 to 64 bytes is needed, this one has 3"),
        ("[wrong] secrets: ", "expected a list of one or more strings"),
        ("[wrong] secret_file: ", "must begin with whsec_ or whpk_"),
        ("[wrong] secret_files: ", "expected a list of one or more strings"),
    ];
    let lines: Vec<&str> = errors.lines().collect();
    assert_eq!(lines.len(), expected.len(), "{errors}");
    for (start, part) in expected {
        assert!(
            lines.iter().any(|line| line.starts_with(start) && line.contains(part)),
            "{start}{part}: {errors}"
        );
    }
}

#[test]
fn no_error_and_no_debug_output_tells_a_secret() {
    let broken = errors(&format!("[a]\nkind = 'standard'\nsecret = '{SECRET}"));
    assert!(broken.starts_with("not TOML, line 3: ") && !broken.contains("C2FV"), "{broken}");
    let twice = errors(&format!("[a]\nsecret = '{SECRET}'\nsecret = '{SECRET}'"));
    assert!(twice.starts_with("not TOML, line 3: ") && !twice.contains("C2FV"), "{twice}");
    let short = errors(&format!("[a]\nkind = 'standard'\nsecret = '{}'", &SECRET[..20]));
    assert!(!short.contains("C2FV"), "{short}");

    let misplaced =
        errors(&format!("[a]\nkind = 'standard'\nsecret_file = '{SECRET}'\nsecret_files = ['{OTHER}']"));
    assert!(
        misplaced.starts_with("[a] secret_file: cannot read") && misplaced.lines().count() == 2,
        "{misplaced}"
    );
    assert!(!misplaced.contains("C2FV") && !misplaced.contains("MfKQ"), "{misplaced}");

    let channels = parse(&format!("[a]\nkind = 'standard'\nsecret = '{SECRET}'")).unwrap();
    assert!(!format!("{channels:?}").contains("C2FV"), "{channels:?}");
}

/// The example for deployment with the accounts that stand there as comments: such lines are `# name = value` and `# [name]`.
fn example() -> String {
    let is_field = |rest: &str| rest.split_once(" = ").is_some_and(|(name, _)| !name.contains(' '));
    let line = |line: &'static str| match line.strip_prefix("# ") {
        Some(rest) if rest.starts_with('[') || is_field(rest) => rest,
        _ => line,
    };
    include_str!("../../../../deploy/channels/channels.toml").lines().map(line).collect::<Vec<_>>().join("\n")
}

/// The files that the example names.
fn example_file(path: &Path) -> io::Result<Vec<u8>> {
    let vectors = |text| serde_json::from_str::<serde_json::Value>(text).expect("the vectors are JSON");
    let alipay = vectors(include_str!("../vectors/alipay.json"));
    let wechatpay = vectors(include_str!("../vectors/wechatpay_v3.json"));
    let certificates = wechatpay["config"]["platform_certificates"].as_object();
    let text = match path.to_str() {
        Some("alipay_main.alipay_public_key") => alipay["config"]["alipay_public_key_spki_base64"].as_str(),
        Some("stripe_main.secret") => Some("whsec_test_secret"),
        Some("wechatpay_main.api_v3_key") => Some("0123456789abcdef0123456789abcdef"),
        Some("wechatpay_main.certificate.pem") => certificates.and_then(|all| all.values().next()?.as_str()),
        Some("wechatpay_main.public_key.pem") => alipay["config"]["alipay_public_key_pem"].as_str(),
        _ => None,
    };
    text.map(Into::into).ok_or_else(|| io::ErrorKind::NotFound.into())
}

#[test]
fn every_kind_has_an_example_that_is_right() {
    let channels = ChannelSet::parse(&example(), example_file).unwrap();
    let kinds: Vec<_> = channels.names().map(|name| channels.account(name).unwrap().kind()).collect();
    assert_eq!(kinds, ["alipay", "standard", "stripe", "wechatpay"]);
}

#[test]
fn a_file_is_read_however_its_editor_has_written_it() {
    for file in ["keys/good", "keys/mark", "keys/utf16"] {
        let text = format!("\u{feff}[gateway]\r\nkind = 'standard'\r\nsecret_file = '{file}'\r\n");
        assert!(parse(&text).is_ok(), "{file}: {:?}", parse(&text).err());
    }
}

/// The bytes of a certificate file: PEM with a subject in GBK before it, and DER.
#[test]
fn a_certificate_is_read_as_pem_or_as_der() {
    let pem = include_str!("../vectors/certificate.pem");
    let der: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let der = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, der).expect("base64");
    let in_gbk = [b"Subject: CN=\xd6\xa7\xb8\xb6\xb1\xa6\r\n", pem.as_bytes()].concat();
    let text = "[ali]\nkind = 'alipay'\napp_id = '1'\nseller_id = '2'\nalipay_public_key_file = 'key.crt'\n";
    for bytes in [pem.as_bytes().to_vec(), in_gbk, der] {
        assert!(ChannelSet::parse(text, |_| Ok(bytes.clone())).is_ok());
    }
}
