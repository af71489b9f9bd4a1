//! What is malformed is told without being quoted: a password may stand in any setting, file and argument.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use scenarios::{Answer, run_program};

/// Stands in every malformed thing, and must stand in nothing that is printed.
const MARK: &str = "hunter2";
const SERVICES: [&str; 3] = ["ingress", "order-service", "merchant-notifier"];
/// Each begins another way and is refused by another library.
const FORMS: [&str; 14] = [
    "hunter2-in-place-of-a-value",
    "postgres://pay:hunter2@db:hunter2/pay?hunter2=hunter2",
    "postgres://db/pay?sslmode=hunter2&application_name=a@hunter2",
    "amqp://pay:hunter2@[::1]:5672/hunter2?heartbeat=hunter2",
    "http://pay:hunter2@localhost:99999/?token=hunter2",
    "data:hunter2",
    "whsec_hunter2",
    "/hunter2/hunter2",
    "-----BEGIN PRIVATE KEY-----\nhunter2\n",
    "{\"hunter2\": \"hunter2\"",
    "info,ingress=hunter2",
    "5s,hunter2",
    "10.0.0.0/8,hunter2",
    "a \"hunter2\" \\ of\tmany 'quotes'",
];

fn assert_untold(what: &str, answer: &Answer) {
    for told in [&answer.stdout, &answer.stderr] {
        let line = told.lines().find(|line| line.contains(MARK));
        assert_eq!(line, None, "{what} is quoted: {told}");
        assert!(!told.contains("panicked"), "{what}: {told}");
    }
}

/// The settings that the page on configuration explains, and each as a file.
fn settings() -> Vec<String> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/configuration.md");
    let page = fs::read_to_string(page).expect("a page on configuration");
    let words = page.split(|char: char| !char.is_ascii_uppercase() && char != '_');
    let mut names: Vec<_> = words.filter(|word| word.starts_with("PAYRELAY_")).map(str::to_owned).collect();
    names.sort();
    names.dedup();
    assert!(names.iter().any(|name| name == "PAYRELAY_DATABASE_CA_FILE"), "{names:?}");
    let files: Vec<_> =
        names.iter().filter(|name| !name.ends_with("_FILE")).map(|name| format!("{name}_FILE")).collect();
    names.into_iter().chain(files).collect()
}

#[tokio::test]
async fn no_setting_is_quoted() {
    let settings = settings();
    let folder = tempfile::tempdir().expect("a folder");
    for (number, form) in FORMS.iter().enumerate() {
        let file = folder.path().join(number.to_string());
        fs::write(&file, form).expect("a file");
        let file = file.display().to_string();
        // Each setting by itself, by a file, and what names a file by one that holds the same.
        let by_value: Vec<_> = settings
            .iter()
            .filter(|name| !name.ends_with("_FILE"))
            .map(|name| (name.as_str(), *form))
            .collect();
        let by_file: Vec<_> = settings
            .iter()
            .filter(|name| name.ends_with("_FILE"))
            .map(|name| (name.as_str(), file.as_str()))
            .collect();
        let misnamed: Vec<_> = by_file.iter().map(|(name, _)| (*name, *form)).collect();
        for environment in [by_value, by_file, misnamed] {
            for service in SERVICES {
                let answer = run_program(service, &[], &environment).await;
                assert_eq!(answer.code, Some(78), "{form}: {answer:?}");
                assert_untold(&format!("{form} in {environment:?} of {service}"), &answer);
            }
            for arguments in [
                &["migrate"][..],
                &["dlq", "list"],
                &["topology", "check"],
                &["doctor"],
                &["audit"],
                &["--help"],
            ] {
                let answer = run_program("payrelay", arguments, &environment).await;
                assert_untold(&format!("{form} in {environment:?} of payrelay {arguments:?}"), &answer);
            }
        }
    }
}

/// Valid for all services, on servers that are not there.
fn valid() -> BTreeMap<&'static str, &'static str> {
    BTreeMap::from([
        ("PAYRELAY_DATABASE_URL", "postgres://pay:hunter2@127.0.0.1:1/pay"),
        ("PAYRELAY_AMQP_URL", "amqp://pay:hunter2@127.0.0.1:1"),
        ("PAYRELAY_ADMIN_TOKEN", "hunter2"),
        ("PAYRELAY_ORDER_API_TOKEN", "hunter2"),
        ("PAYRELAY_MASTER_KEY", "aHVudGVyMmh1bnRlcjJodW50ZXIyaHVudGVyMmh1bnQ="),
        ("PAYRELAY_HTTP_ADDR", "127.0.0.1:0"),
        ("PAYRELAY_ADMIN_ADDR", "127.0.0.1:0"),
    ])
}

#[tokio::test]
async fn no_url_is_quoted_that_begins_well() {
    for (name, url) in [
        ("PAYRELAY_DATABASE_URL", "postgres://pay:hunter2@db:hunter2/pay"),
        ("PAYRELAY_DATABASE_URL", "postgres://pay:hunter2@db/pay?hunter2=hunter2"),
        ("PAYRELAY_DATABASE_URL", "postgres://pay:hunter2@db/pay?hunter2"),
        ("PAYRELAY_DATABASE_URL", "postgres://pay:hunter2@db/pay?sslmode=prefer"),
        ("PAYRELAY_DATABASE_URL", "postgres://db/pay?sslmode=hunter2"),
        ("PAYRELAY_DATABASE_URL", "postgres:///pay?password=hunter2"),
        ("PAYRELAY_DATABASE_URL", "postgres://pay:hunter2@db/pay?sslrootcert=hunter2"),
        ("PAYRELAY_DATABASE_URL", "host=db password='hunter2"),
        ("PAYRELAY_DATABASE_URL", "host=db hunter2=hunter2"),
        ("PAYRELAY_AMQP_URL", "amqp://pay:hunter2@mq:hunter2"),
        ("PAYRELAY_AMQP_URL", "amqp://pay:hun%ffhunter2@mq"),
        ("PAYRELAY_AMQP_URL", "amqp://pay:hunter2@mq?heartbeat=hunter2"),
        ("PAYRELAY_AMQP_URL", "amqp://pay:hunter2@mq?auth_mechanism=hunter2"),
        ("PAYRELAY_AMQP_URL", "amqps://pay:hunter2@mq?certfile=hunter2"),
        ("PAYRELAY_AMQP_URL", "amqps://pay:hunter2@mq?cacertfile=hunter2"),
    ] {
        let mut environment = valid();
        environment.insert(name, url);
        let environment: Vec<_> = environment.into_iter().collect();
        for service in SERVICES {
            let answer = run_program(service, &[], &environment).await;
            assert!(answer.code.is_some_and(|code| code != 0), "{url}: {answer:?}");
            assert_untold(url, &answer);
        }
        let arguments = if name == "PAYRELAY_DATABASE_URL" { &["migrate"][..] } else { &["dlq", "list"] };
        let answer = run_program("payrelay", arguments, &environment).await;
        assert_eq!(answer.code, Some(2), "{answer:?}");
        assert_untold(url, &answer);
    }
    let mut environment = valid();
    environment.insert("PAYRELAY_MANAGEMENT_URL", "http://pay:hunter2@mq:hunter2");
    let answer = run_program("ingress", &[], &environment.into_iter().collect::<Vec<_>>()).await;
    assert_eq!(answer.code, Some(78), "{answer:?}");
    assert_untold("the management URL", &answer);
}

#[tokio::test]
async fn no_channels_file_is_quoted() {
    let folder = tempfile::tempdir().expect("a folder");
    let request = folder.path().join("request.json");
    fs::write(&request, "{\"headers\": {\"a\": \"b\"}, \"body_base64\": \"e30=\"}").expect("a file");
    let strange = folder.path().join("strange.json");
    fs::write(&strange, "{\"headers\": \"hunter2\", \"body_base64\": \"hunter2\"}").expect("a file");
    let file = folder.path().join("channels.toml");
    let path = file.display().to_string();
    let channels = [
        "[a]\nkind = \"standard\"\nsecret = hunter2\n",
        "[a]\nkind = \"standard\"\nsecret = \"hunter2\n",
        "[a]\nkind = \"standard\"\nsecret = \"hunter2\"\n",
        "[a]\nkind = \"standard\"\nsecret = \"whsec_hunter2\"\n",
        "[a]\nkind = \"standard\"\nsecret_file = \"hunter2\"\n",
        "[a]\nkind = \"standard\"\nsecret = [\"hunter2\", 1]\n",
        "[a]\nkind = \"standard\"\nsecret = \"\\hunter2\"\n",
        "[a]\nkind = \"hunter2 whsec\"\n",
        "[a]\nkind = \"standard\"\nsecret\n= \"hunter2\"\n",
        "[a]\nsecret = 'x'\nsecret = 'hunter2'\n",
        "[a]\nkind = \"stripe\"\nsecret = \"whsec_hunter2\"\nlivemode = \"hunter2\"\n",
        "[a]\nkind = \"wechatpay\"\napi_v3_key = \"hunter2\"\n",
        "[a]\nkind = \"alipay\"\napp_id = \"x\"\npublic_key = \"hunter2\"\n",
        "[a]\nkind = \"alipay\"\npublic_key = \"\"\"-----BEGIN hunter2\nhunter2\"\"\"\n",
        "secret = \"hunter2\"\n",
        "[a\nhunter2",
        "{\"secret\": \"hunter2\"}",
    ];
    for text in channels {
        fs::write(&file, text).expect("a file");
        let mut environment = valid();
        environment.insert("PAYRELAY_CHANNELS_FILE", &path);
        let environment: Vec<_> = environment.into_iter().collect();
        let answer = run_program("ingress", &[], &environment).await;
        assert_eq!(answer.code, Some(78), "{text}: {answer:?}");
        assert_untold(text, &answer);
        let request = request.display().to_string();
        let arguments = ["callback", "check", "--channels", &path, "--account", "a", &request];
        let answer = run_program("payrelay", &arguments, &[]).await;
        assert_eq!(answer.code, Some(2), "{text}: {answer:?}");
        assert_untold(text, &answer);
    }
    fs::write(&file, "[a]\nkind = \"standard\"\nsecret = \"whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD\"\n")
        .expect("a file");
    let strange = strange.display().to_string();
    let answer =
        run_program("payrelay", &["callback", "check", "--channels", &path, "--account", "a", &strange], &[])
            .await;
    assert_eq!(answer.code, Some(2), "{answer:?}");
    assert_untold("a request", &answer);
}

#[tokio::test]
async fn no_argument_is_quoted() {
    let environment = [
        ("PAYRELAY_ADMIN_TOKEN", "hunter2"),
        ("PAYRELAY_INGRESS_ADMIN_URL", "http://admin:hunter2@127.0.0.1:1/?token=hunter2"),
        ("PAYRELAY_ORDER_SERVICE_ADMIN_URL", "http://admin:hunter2@127.0.0.1:1/?token=hunter2"),
        ("PAYRELAY_NOTIFIER_ADMIN_URL", "hunter2"),
        ("PAYRELAY_MANAGEMENT_URL", "http://admin:hunter2@127.0.0.1:1/hunter2"),
        ("PAYRELAY_ALLOWED_WEBHOOK_CIDRS", "hunter2"),
        ("USER", "hunter2"),
    ];
    for form in FORMS {
        for arguments in [
            &[form][..],
            &["migrate", form],
            &["trace", form],
            &["merchant", "show", form],
            &["merchant", "rotate-key", "m1", "--overlap", form],
            &["merchant", "add", "m1", "--ack", form],
            &["dlq", "replay", form],
            &["dlq", "replay", "trade.pay.success.queue", "--rate", form],
            &["audit", "--from", form],
            &["notifications", "list", "--limit", form],
            &["contradictions", "show", form],
            &["webhook", "check", form],
            &["webhook", "check", "https://shop.example", "--ip", form],
            &["callback", "check", "--channels", form, "--account", form, form],
            &["dev", "--database-url", form, "--amqp-url", form],
            &["doctor", "--management-url", form],
            &["--ingress-admin-url", form, "audit"],
            &["demo", "--payments", form],
        ] {
            let answer = run_program("payrelay", arguments, &environment).await;
            assert!(answer.code.is_some_and(|code| code != 0), "{arguments:?}: {answer:?}");
            assert_untold(&format!("{arguments:?}"), &answer);
        }
    }
    for command in [
        &[][..],
        &["merchant"],
        &["webhook", "check"],
        &["doctor"],
        &["contradictions", "resolve"],
        &["dev"],
        &["audit"],
    ] {
        for help in ["--help", "-h"] {
            let answer = run_program("payrelay", &[command, &[help]].concat(), &environment).await;
            assert_eq!(answer.code, Some(0), "{answer:?}");
            assert_untold("the environment", &answer);
        }
    }
    for command in [&["merchant", "list"][..], &["audit"], &["notifications", "list"], &["doctor"]] {
        let answer = run_program("payrelay", command, &environment).await;
        assert!(answer.code.is_some_and(|code| code != 0), "{answer:?}");
        assert_untold("an address", &answer);
    }
}
