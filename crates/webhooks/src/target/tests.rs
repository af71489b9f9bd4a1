use serde::Deserialize;

use super::*;

#[derive(Deserialize)]
struct Vectors {
    deny_ips: Vec<IpAddr>,
    allow_ips: Vec<IpAddr>,
    urls: Vec<UrlCase>,
    dns: Vec<DnsCase>,
}

#[derive(Deserialize)]
struct UrlCase {
    url: String,
    allow: bool,
    why: String,
}

#[derive(Deserialize)]
struct DnsCase {
    name: String,
    answers: Vec<Vec<IpAddr>>,
}

fn vectors() -> Vectors {
    serde_json::from_str(include_str!("../../tests/vectors/ssrf.json")).unwrap()
}

fn check(policy: &TargetPolicy, url: &str) -> Result<Reach, Forbidden> {
    policy.check_url(&Url::parse(url).unwrap())
}

#[test]
fn addresses_of_the_vectors_are_judged_as_they_say() {
    let policy = TargetPolicy::default();
    for address in vectors().deny_ips {
        assert_eq!(policy.check_answer(Reach::Public, &[address]), Err(Forbidden::Address(address)));
    }
    for address in vectors().allow_ips {
        assert_eq!(policy.check_answer(Reach::Public, &[address]), Ok(()), "{address}");
    }
}

#[test]
fn literal_hosts_are_judged_like_resolved_ones() {
    let policy = TargetPolicy::default();
    let url = |address: &IpAddr| match address {
        IpAddr::V4(address) => format!("https://{address}/"),
        IpAddr::V6(address) => format!("https://[{address}]/"),
    };
    for address in vectors().deny_ips {
        assert!(check(&policy, &url(&address)).is_err(), "{address}");
    }
    for address in vectors().allow_ips {
        assert_eq!(check(&policy, &url(&address)), Ok(Reach::Public), "{address}");
    }
}

#[test]
fn urls_of_the_vectors_are_judged_as_they_say() {
    for case in vectors().urls {
        let allowed = Url::parse(&case.url).is_ok_and(|url| TargetPolicy::default().check_url(&url).is_ok());
        assert_eq!(allowed, case.allow, "{}: {}", case.url, case.why);
    }
}

#[test]
fn one_denied_answer_spoils_a_lookup() {
    let policy = TargetPolicy::default();
    for case in vectors().dns {
        let verdicts: Vec<_> =
            case.answers.iter().map(|answer| policy.check_answer(Reach::Public, answer).is_ok()).collect();
        let expected: &[bool] = match case.name.as_str() {
            "rebind" => &[true, false],
            "mixed" => &[false],
            other => panic!("unknown case {other}"),
        };
        assert_eq!(verdicts, expected, "{}", case.name);
    }
    assert_eq!(policy.check_answer(Reach::Public, &[]), Err(Forbidden::NoAddress));
}

#[test]
fn names_of_machines_of_ours_are_refused_however_they_are_written() {
    for host in
        ["localhost.", "LOCALHOST", "a.b.localhost", "metadata.google.internal", "printer.local.", "redis"]
    {
        assert_eq!(
            check(&TargetPolicy::default(), &format!("https://{host}/")),
            Err(Forbidden::HostName),
            "{host}"
        );
    }
}

#[test]
fn allowed_networks_are_let_through_with_http_and_any_port() {
    let policy = TargetPolicy::new(vec!["127.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()]);
    for url in [
        "http://127.0.0.1:9999/",
        "http://[::ffff:127.0.0.1]:1/",
        "http://localhost:80/",
        "https://[fd00::1]/",
    ] {
        assert_eq!(check(&policy, url), Ok(Reach::AllowedOnly), "{url}");
    }
    // What breaks a rule may resolve to nothing but allowed networks.
    let (private, public): (IpAddr, IpAddr) = ("127.0.0.2".parse().unwrap(), "1.1.1.1".parse().unwrap());
    assert_eq!(policy.check_answer(Reach::AllowedOnly, &[private]), Ok(()));
    assert_eq!(policy.check_answer(Reach::AllowedOnly, &[private, public]), Err(Forbidden::Address(public)));
    assert_eq!(policy.check_answer(Reach::Public, &[private, public]), Ok(()));
    // And the rest of the private world stays denied.
    for url in ["http://10.0.0.1/", "http://1.1.1.1/", "https://user@127.0.0.1/", "ftp://127.0.0.1/"] {
        assert!(check(&policy, url).is_err(), "{url}");
    }
}

#[test]
fn a_url_that_no_attempt_would_call_is_refused_before_any_attempt() {
    let check = |url: &str| TargetPolicy::default().check_new(url);
    for url in ["https://shop.example/notify", "https://shop.example:8443/n?a=b", "https://1.1.1.1/#part"] {
        assert_eq!(check(url), Ok(()), "{url}");
    }
    let loopback = Forbidden::Address(IpAddr::V4(Ipv4Addr::LOCALHOST));
    for (url, why) in [
        ("http://shop.example/", Forbidden::Scheme),
        ("ftp://shop.example/", Forbidden::Scheme),
        ("mailto:shop@shop.example", Forbidden::Scheme),
        ("https://me@shop.example/", Forbidden::UserInfo),
        ("https://:secret@shop.example/", Forbidden::UserInfo),
        ("https://shop.example:0/", Forbidden::ZeroPort),
        ("https://shop.example:6379/", Forbidden::Port),
        ("https://LocalHost/", Forbidden::HostName),
        ("https://127.1/", loopback.clone()),
        ("https://0x7f000001/", loopback.clone()),
        ("https://2130706433/", loopback.clone()),
        ("https://017700000001/", loopback.clone()),
        ("https://127.0.0.1./", loopback),
        ("https://[::ffff:127.0.0.1]/", Forbidden::Address("::ffff:127.0.0.1".parse().unwrap())),
        ("https://[fe80::1]/", Forbidden::Address("fe80::1".parse().unwrap())),
        ("https://169.254.169.254/", Forbidden::Address("169.254.169.254".parse().unwrap())),
    ] {
        assert_eq!(check(url), Err(BadTarget::Forbidden(why)), "{url}");
    }
    for url in ["", "/notify", "shop.example/notify", "https://", "https://a b/", "https://1.2.3.4.5/"] {
        assert!(matches!(check(url), Err(BadTarget::NotAUrl(_))), "{url}");
    }
    let long = format!("https://shop.example/{}", "a".repeat(MAX_URL_BYTES));
    assert_eq!(check(&long), Err(BadTarget::TooLong(long.len())));
}

#[test]
fn nothing_connects_to_port_0_of_an_allowed_network_either() {
    let policy = TargetPolicy::new("127.0.0.0/8".parse::<Networks>().unwrap().0);
    for url in ["http://127.0.0.1:0/", "https://shop.example:0/"] {
        assert_eq!(check(&policy, url), Err(Forbidden::ZeroPort), "{url}");
    }
}

#[test]
fn a_url_may_have_2048_bytes_and_no_more() {
    let of =
        |bytes: usize| format!("https://shop.example/{}", "x".repeat(bytes - "https://shop.example/".len()));
    let policy = TargetPolicy::default();
    assert_eq!(policy.check_new(&of(2048)), Ok(()));
    assert_eq!(policy.check_new(&of(2049)), Err(BadTarget::TooLong(2049)));
}

#[test]
fn each_reason_has_a_name_for_programs() {
    let code = |url: &str| check(&TargetPolicy::default(), url).unwrap_err().code();
    for (url, expected) in [
        ("ftp://shop.example/", "scheme"),
        ("https://user@shop.example/", "user_info"),
        ("https://shop.example:444/", "port"),
        ("https://shop.example:0/", "port"),
        ("https://localhost/", "host_name"),
        ("https://127.0.0.1/", "address"),
    ] {
        assert_eq!(code(url), expected, "{url}");
    }
    assert_eq!(Forbidden::NoAddress.code(), "no_address");
}

#[test]
fn networks_are_divided_by_commas_and_none_may_be_wrong() {
    let networks = |text: &str| text.parse::<Networks>().map(|networks| networks.0.len());
    assert_eq!(networks(Networks::EXAMPLE), Ok(2));
    assert_eq!((networks(" "), networks("10.1.0.0/16 , fd00::/8")), (Ok(0), Ok(2)));
    assert!(networks("10.1.0.0/16,").is_err() && networks("10.1").is_err());
}
