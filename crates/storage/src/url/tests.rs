use std::path::Path;

use super::*;

fn encrypted(text: &str) -> Option<bool> {
    parse(text).unwrap_or_else(|error| panic!("{text}: {error}")).encrypted
}

fn password(text: &str) -> String {
    String::from_utf8(parse(text).unwrap().config.get_password().unwrap().to_vec()).unwrap()
}

#[test]
fn sslmode_is_read_in_both_forms() {
    for (text, expected) in [
        ("postgres://db/pay", None),
        ("postgres://db/pay?sslmode=disable", Some(false)),
        ("postgres://db/pay?sslmode=require", Some(true)),
        ("postgres://db/pay?sslmode=verify-ca&application_name=x", Some(true)),
        ("postgresql://pay:x@db:1/pay?application_name=x&sslmode=verify-full", Some(true)),
        ("postgres://db?ssl%6Dode=%72equire", Some(true)),
        ("postgres://db/pay?ssl=true", Some(true)),
        ("postgres://db/pay?sslmode=disable&ssl=true", Some(false)),
        // The last one holds, as for libpq.
        ("postgres://db/pay?sslmode=disable&sslmode=require", Some(true)),
        ("postgres://db/pay?sslmode=require&sslmode=disable", Some(false)),
        ("host=db sslmode=verify-full dbname=pay", Some(true)),
        ("host = db sslmode = 'require'", Some(true)),
        ("  sslmode=disable host=db  ", Some(false)),
        ("host=db sslmode=requir\\e", Some(true)),
        ("host=db password='sslmode=require'", None),
        ("host=db password='it\\'s sslmode=require' sslmode=disable", Some(false)),
    ] {
        assert_eq!(encrypted(text), expected, "{text}");
    }
}

#[test]
fn a_password_is_no_place_for_options() {
    assert_eq!(password("postgres://pay:sslmode=verify-ca@db/pay"), "sslmode=verify-ca");
    assert_eq!(
        password("postgres://pay:a%3Fsslmode=verify-full@db/pay?sslmode=require"),
        "a?sslmode=verify-full"
    );
    assert_eq!(password("host=db password='a sslmode=verify-full' user=pay"), "a sslmode=verify-full");
    assert_eq!(password("host=db user=pay password=a\\ b"), "a b");
    assert_eq!(password("postgres://pay:a/b?c@db/pay"), "a/b?c");
    assert_eq!(encrypted("postgres://pay:sslmode=verify-ca@db/pay"), None);
    // The driver would take everything before the @ for user and password, and go on without TLS.
    let ambiguous = parse("postgres://db/pay?sslmode=require&application_name=a@b").unwrap_err();
    assert!(ambiguous.contains("percent-encoded"), "{ambiguous}");
}

#[test]
fn files_are_read_in_both_forms() {
    let named = |text| parse(text).unwrap().files;
    let url = named("postgres://db/pay?sslrootcert=/etc/my%20ca.pem&sslcert=c.pem&sslkey=k.pem");
    assert_eq!(url.ca.as_deref(), Some(Path::new("/etc/my ca.pem")));
    assert_eq!(url.client, Some(ClientFiles { cert: "c.pem".into(), key: "k.pem".into() }));
    assert_eq!(named("host=db sslrootcert='/etc/my ca.pem' sslcert=c.pem sslkey=k.pem"), url);
    assert_eq!(encrypted("postgres://db/pay?sslrootcert=ca.pem"), Some(true));
    let system = parse("postgres://db/pay?sslrootcert=system").unwrap();
    assert_eq!((system.encrypted, system.files), (Some(true), TlsFiles::default()));
}

#[test]
fn what_is_wrong_is_told_and_nothing_quoted() {
    for (text, expected) in [
        ("postgres://pay:hunter2@db/pay?sslmode=prefer", "sslmode=prefer"),
        ("postgres://pay:hunter2@db/pay?sslmode=allow", "sslmode=allow"),
        ("postgres://pay:hunter2@db/pay?sslmode=hunter2", "verify-full"),
        ("postgres://pay:hunter2@db/pay?sslmode=", "verify-full"),
        ("postgres://pay:hunter2@db/pay?ssl=hunter2", "expected true"),
        ("postgres://pay:hunter2@db/pay?sslcert=c.pem", "both or none"),
        ("host=db password=hunter2 sslkey=c.pem", "both or none"),
        ("postgres://pay:hunter2@db:hunter2/pay", "the value of port"),
        ("postgres://db/pay?hunter2=x", "not known"),
        ("postgres://pay:hun?ter=hunter2@db/pay", "before its @"),
        ("postgres://pay:x@hunter2@db/pay?hunter2", "no value"),
        ("postgres://pay:#hunter2@db:x/pay", "the value of port"),
        ("postgres:///pay?password=hunter2", "no host"),
        ("password=hunter2", "no host"),
        ("host=db password='hunter2", "does not end"),
        ("hunter2", "expected postgres://"),
        ("mysql://pay:hunter2@db/pay", "expected postgres://"),
        ("mysql://pay:hunter2@db/pay?hunter2=1", "expected postgres://"),
        ("host=db hunter2=x", "not known"),
        ("postgres://pay:hunter2@db/pay?target_session_attrs=hunter2", "target_session_attrs"),
    ] {
        let error = parse(text).map(|_| ()).expect_err(text);
        assert!(
            error.contains(expected) && !error.contains("hunter2") && !error.contains("ter2"),
            "{text}: {error}"
        );
    }
}
