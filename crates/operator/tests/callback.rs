//! `payrelay callback check`, run as integrators run it, over the vectors of every kind of channel.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

const WECHATPAY: &str = include_str!("../../channels/tests/vectors/wechatpay_v3.json");
const ALIPAY: &str = include_str!("../../channels/tests/vectors/alipay.json");
const STRIPE: &str = include_str!("../../channels/tests/vectors/stripe.json");
const STANDARD: &str = include_str!("../../webhooks/tests/vectors/standard_webhooks.json");

/// A folder with a channels file, for one account `a`, and with requests.
struct Bench(TempDir);

/// What the program ended with and printed.
struct Ended {
    code: i32,
    printed: Value,
    errors: String,
}

impl Bench {
    fn new(fields: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("channels.toml"), format!("[a]\n{fields}")).expect("a file");
        Self(folder)
    }

    /// Checks `request` with further arguments.
    fn check(&self, request: &Value, more: &[&str]) -> Ended {
        let file = self.0.path().join("request.json");
        fs::write(&file, request.to_string()).expect("a file");
        self.check_file(&file, "a", more)
    }

    fn check_file(&self, request: &Path, account: &str, more: &[&str]) -> Ended {
        let channels = self.0.path().join("channels.toml");
        let mut command = Command::new(env!("CARGO_BIN_EXE_payrelay"));
        command.args(["callback", "check", "--account", account, "--channels"]);
        let output =
            command.args([channels.as_os_str(), OsStr::new(request)]).args(more).env_clear().output();
        let output = output.expect("the program runs");
        let printed = String::from_utf8(output.stdout).expect("text");
        Ended {
            code: output.status.code().expect("an exit code"),
            printed: if printed.is_empty() {
                Value::Null
            } else {
                serde_json::from_str(&printed).expect("JSON")
            },
            errors: String::from_utf8(output.stderr).expect("text"),
        }
    }
}

fn parsed(vectors: &str) -> Value {
    serde_json::from_str(vectors).expect("the vectors are right")
}

fn cases(vectors: &Value) -> &[Value] {
    vectors["cases"].as_array().expect("cases")
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_else(|| panic!("{field} in {value}"))
}

/// The verdict, that the exit code goes with it, and the answer's status.
fn assert_verdict(name: &str, ended: &Ended, (accepted, reason): (bool, &str)) {
    let Ended { code, printed, errors } = ended;
    assert_eq!(
        (&printed["accepted"], &printed["reason"]),
        (&json!(accepted), &json!(reason)),
        "{name}: {printed}"
    );
    assert_eq!((*code, errors.is_empty()), (i32::from(!accepted), accepted), "{name}: {errors}");
    assert!(printed["answer"]["status"].is_u64(), "{name}: {printed}");
    assert!(accepted || reason.ends_with("_mismatch") || printed["fact"].is_null(), "{name}: {printed}");
}

/// Compares the fact with what the vectors say of it, as far as they do.
fn assert_states(name: &str, fact: &Value, normalized: &Value) {
    for (ours, theirs) in [
        ("pay_order_no", "pay_order_id"),
        ("channel_trade_no", "channel_txn"),
        ("dedupe_id", "dedupe_key"),
        ("amount_minor", "amount_minor"),
        ("currency", "currency"),
        ("refund_amount_minor", "refund_minor"),
        ("refunded_minor", "amount_refunded_minor"),
    ] {
        if let Some(expected) = normalized.get(theirs).filter(|_| !fact.is_null()) {
            assert_eq!(&fact[ours], expected, "{name}: {ours}: {fact}");
        }
    }
    let kind = match normalized["status"].as_str() {
        Some("SUCCEEDED") => json!("succeeded"),
        Some("CLOSED") => json!("closed"),
        Some("REFUNDED_PARTIAL") => json!("part_refunded"),
        Some("REFUND") => json!("refunded"),
        Some("PENDING" | "ATTEMPT_FAILED") => Value::Null,
        _ => return,
    };
    assert_eq!(fact["kind"], kind, "{name}: {fact}");
}

fn wechatpay() -> Bench {
    let config = &parsed(WECHATPAY)["config"];
    let pems = |field: &str| -> Vec<(String, String)> {
        let pems = config[field].as_object().expect("keys by name").iter();
        pems.map(|(name, pem)| (name.clone(), pem.as_str().expect("PEM").to_owned())).collect()
    };
    let (certificates, public_keys) = (pems("platform_certificates"), pems("platform_public_keys"));
    Bench::new(&format!(
        "kind = 'wechatpay'\nmchid = '{}'\nappid = '{}'\napi_v3_key = '{}'\ncertificate = {:?}\npublic_keys = {{ {} = {:?} }}\n",
        text(config, "mchid"),
        text(config, "appid"),
        text(config, "apiv3_key"),
        certificates[0].1,
        public_keys[0].0,
        public_keys[0].1
    ))
}

#[test]
fn wechatpay_cases_have_their_verdicts() {
    let (vectors, bench) = (parsed(WECHATPAY), wechatpay());
    assert_eq!(cases(&vectors).len(), 15);
    for case in cases(&vectors) {
        let (name, expect) = (text(case, "name"), &case["expect"]);
        let at = case["now"].to_string();
        let order = ["--at", &at, "--order-amount", "1999", "--order-currency", "CNY"];
        let ended = bench.check(&case["request"], &order);
        assert_verdict(name, &ended, (expect["accept"].as_bool().unwrap(), text(expect, "reason")));
        assert_states(name, &ended.printed["fact"], &expect["normalized"]);
        let answer = &ended.printed["answer"];
        assert_eq!(answer["status"], expect["http_status"], "{name}");
        assert_eq!(parsed(text(answer, "body")), expect["http_body"], "{name}");
    }
}

#[test]
fn alipay_cases_have_their_verdicts() {
    let vectors = parsed(ALIPAY);
    let config = &vectors["config"];
    let bench = Bench::new(&format!(
        "kind = 'alipay'\napp_id = '{}'\nseller_id = '{}'\nalipay_public_key = {:?}\n",
        text(config, "app_id"),
        text(config, "seller_id"),
        text(config, "alipay_public_key_pem")
    ));
    assert_eq!(cases(&vectors).len(), 13);
    for case in cases(&vectors) {
        let (name, expect) = (text(case, "name"), &case["expect"]);
        // Without a server nobody knows which pay orders there are, and what was said of them.
        let expected = match text(expect, "reason") {
            "order_not_found" | "duplicate" => (true, "ok"),
            reason => (expect["accept"].as_bool().unwrap(), reason),
        };
        let ended = bench.check(&case["request"], &["--order-amount", "1999", "--order-currency", "CNY"]);
        assert_verdict(name, &ended, expected);
        assert_states(name, &ended.printed["fact"], &expect["normalized"]);
        let answer = &ended.printed["answer"];
        let body = if expected.0 { "success" } else { text(expect, "http_body") };
        assert_eq!((&answer["status"], &answer["body"]), (&json!(200), &json!(body)), "{name}");
    }
}

#[test]
fn stripe_cases_have_their_verdicts() {
    let vectors = parsed(STRIPE);
    assert_eq!(cases(&vectors).len(), 12);
    for case in cases(&vectors) {
        let (name, expect) = (text(case, "name"), &case["expect"]);
        let bench = Bench::new(&format!(
            "kind = 'stripe'\nsecret = '{}'\nmetadata_key = 'pay_order_id'\n",
            text(case, "secret")
        ));
        let ended = bench.check(&case["request"], &["--at", &case["now"].to_string()]);
        assert_verdict(name, &ended, (expect["valid"].as_bool().unwrap(), text(expect, "reason")));
        assert_states(name, &ended.printed["fact"], &expect["normalized"]);
    }
}

/// The bodies of these vectors name the pay order otherwise than ours, so an authentic one gets as far as the parser.
#[test]
fn standard_cases_have_their_verdicts() {
    let vectors = parsed(STANDARD);
    assert_eq!(cases(&vectors).len(), 14);
    for case in cases(&vectors) {
        let (name, expect) = (text(case, "name"), &case["expect"]);
        let bench = Bench::new(&format!("kind = 'standard'\nsecrets = {}\n", case["receiver_secrets"]));
        let ended = bench.check(&case["request"], &["--at", &case["now"].to_string()]);
        let reason = match text(expect, "reason") {
            "ok" => "unreadable",
            reason => reason,
        };
        assert_verdict(name, &ended, (false, reason));
    }
}

#[test]
fn a_whole_case_brings_its_own_clock() {
    let (vectors, bench) = (parsed(WECHATPAY), wechatpay());
    let case = &cases(&vectors)[0];
    assert_verdict("the case's", &bench.check(case, &[]), (true, "ok"));
    assert_verdict("an explicit one", &bench.check(case, &["--at", "1767225900"]), (false, "expired"));
    assert_verdict("this machine's", &bench.check(&case["request"], &[]), (false, "expired"));
}

#[test]
fn amount_and_currency_are_compared_where_they_are_given() {
    let (vectors, bench) = (parsed(WECHATPAY), wechatpay());
    let case = |name: &str| cases(&vectors).iter().find(|case| case["name"] == name).expect("the case");
    let check = |name: &str, amount, currency| {
        bench.check(case(name), &["--order-amount", amount, "--order-currency", currency])
    };
    let name = "valid_cert_mode";
    assert_verdict("right", &check(name, "1999", "CNY"), (true, "ok"));
    assert_verdict("amount", &check(name, "2000", "CNY"), (false, "amount_mismatch"));
    assert_verdict("currency", &check(name, "1999", "USD"), (false, "currency_mismatch"));
    let mismatch = check("refund_success_event", "1", "CNY");
    assert_verdict("refund", &mismatch, (false, "amount_mismatch"));
    assert_eq!(
        mismatch.printed["fact"]["pay_order_no"], "P202601010001",
        "what is stated is shown all the same"
    );
}

#[test]
fn wrong_usage_and_wrong_files_are_told_apart_with_every_error() {
    let bench = wechatpay();
    let request = bench.0.path().join("request.json");
    let missing = bench.check_file(&request, "a", &[]);
    assert_eq!((missing.code, missing.printed), (2, Value::Null));
    assert!(missing.errors.contains("request.json"), "{}", missing.errors);

    fs::write(&request, "{}").unwrap();
    assert_eq!(bench.check_file(&request, "a", &[]).code, 2);
    fs::write(&request, "{\"headers\": {}, \"body_base64\": \"\"}").unwrap();
    let stranger = bench.check_file(&request, "b", &[]);
    assert_eq!(stranger.code, 2);
    assert!(stranger.errors.contains("\"b\"") && stranger.errors.contains("(a)"), "{}", stranger.errors);
    for wrong in [
        &["--order-amount", "1"][..],
        &["--order-currency", "CNY"],
        &["--order-amount", "0", "--order-currency", "CNY"],
        &["--order-amount", "1", "--order-currency", "cny"],
        &["--at", "soon"],
        &["--at", "99999999999999"],
    ] {
        assert_eq!(bench.check_file(&request, "a", wrong).code, 2, "{wrong:?}");
    }
    assert_verdict("no headers", &bench.check_file(&request, "a", &[]), (false, "missing_header"));

    let broken =
        Bench::new("kind = 'wechatpay'\nmchid = ''\ncertificate_file = 'none.pem'\n[b]\nkind = 'pigeon'\n");
    let ended = broken.check(&json!({"headers": {}, "body_base64": ""}), &[]);
    assert_eq!((ended.code, ended.printed), (2, Value::Null));
    for named in
        ["[a] mchid", "[a] appid", "[a] api_v3_key", "certificate_file: cannot read", "[b] kind", "pigeon"]
    {
        assert!(ended.errors.contains(named), "{named} in {}", ended.errors);
    }
}
