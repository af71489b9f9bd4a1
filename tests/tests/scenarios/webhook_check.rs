//! `payrelay webhook check`: every case of the vectors, judged by the program.

use futures_util::{StreamExt, stream};
use scenarios::{Answer, run_program};
use serde_json::Value;

const VECTORS: &str = include_str!("../../../crates/webhooks/tests/vectors/ssrf.json");
const PUBLIC: &str = "93.184.216.34";
/// Programs that run at a time.
const AT_ONCE: usize = 4;

async fn check(arguments: &[&str], allowed: &str) -> Answer {
    let arguments = [&["webhook", "check"], arguments].concat();
    run_program("payrelay", &arguments, &[("PAYRELAY_ALLOWED_WEBHOOK_CIDRS", allowed)]).await
}

/// A URL, the addresses that its host is to have, and whether it would be called.
type Case = (String, Vec<String>, bool);

fn texts(value: &Value) -> Vec<String> {
    value.as_array().expect("a list").iter().map(|text| text.as_str().expect("text").to_owned()).collect()
}

fn cases() -> Vec<Case> {
    let vectors: Value = serde_json::from_str(VECTORS).expect("JSON");
    let merchant = || "https://merchant.example/notify".to_owned();
    let mut cases = Vec::new();
    for (list, allowed) in [("deny_ips", false), ("allow_ips", true)] {
        for address in texts(&vectors[list]) {
            let literal = if address.contains(':') { format!("[{address}]") } else { address.clone() };
            cases.push((format!("https://{literal}/"), Vec::new(), allowed));
            cases.push((merchant(), vec![address], allowed));
        }
    }
    for case in vectors["urls"].as_array().expect("URLs") {
        let (url, allowed) =
            (case["url"].as_str().expect("a URL"), case["allow"].as_bool().expect("a verdict"));
        cases.push((url.to_owned(), vec![PUBLIC.to_owned()], allowed));
    }
    for case in vectors["dns"].as_array().expect("names") {
        let allowed: &[bool] = match case["name"].as_str() {
            Some("rebind") => &[true, false],
            Some("mixed") => &[false],
            other => panic!("unknown case {other:?}"),
        };
        let answers = case["answers"].as_array().expect("answers");
        assert_eq!(answers.len(), allowed.len());
        cases.extend(
            answers.iter().zip(allowed).map(|(answer, allowed)| (merchant(), texts(answer), *allowed)),
        );
    }
    cases
}

#[tokio::test(flavor = "multi_thread")]
async fn every_case_of_the_vectors_is_judged_by_the_program_as_it_says() {
    let cases = cases();
    assert!(cases.len() > 100, "{}", cases.len());
    let judged = stream::iter(cases).map(|(url, addresses, allowed)| async move {
        let mut arguments = vec![url.as_str(), "--json"];
        arguments.extend(addresses.iter().flat_map(|address| ["--ip", address]));
        let answer = check(&arguments, "").await;
        assert_eq!(answer.code, Some(i32::from(!allowed)), "{url} {addresses:?}: {answer:?}");
        let told: Value = serde_json::from_str(&answer.stdout).expect("JSON");
        assert_eq!((&told["allowed"], told["reason"].is_null()), (&allowed.into(), allowed), "{told}");
    });
    judged.buffer_unordered(AT_ONCE).collect::<()>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_answer_says_why_in_words_and_for_programs() {
    for (url, reason) in [
        ("http://merchant.example/", "scheme"),
        ("https://user@merchant.example/", "user_info"),
        ("https://merchant.example:6379/", "port"),
        ("https://localhost/", "host_name"),
        ("https://127.0.0.1/", "address"),
        ("merchant.example", "not_a_url"),
    ] {
        let told = check(&[url, "--ip", PUBLIC, "--json"], "").await;
        let told: Value = serde_json::from_str(&told.stdout).expect("JSON");
        assert_eq!(told["reason"], reason, "{told}");
    }
    let yes = check(&["https://merchant.example/", "--ip", PUBLIC], "").await;
    assert_eq!((yes.code, yes.stdout.starts_with("yes: ")), (Some(0), true), "{yes:?}");
    let no = check(&["https://merchant.example/", "--ip", "10.0.0.1"], "").await;
    assert!(no.stdout.starts_with("no: ") && no.stdout.contains("10.0.0.1"), "{no:?}");
    for wrong in [&[][..], &["https://merchant.example/", "--ip", "nowhere"], &["a", "--allowed-cidrs", "b"]]
    {
        assert_eq!(check(wrong, "").await.code, Some(2), "{wrong:?}");
    }
}

/// Without `--ip` the name is looked up as the connector does it; `localhost` needs no server for that.
#[tokio::test(flavor = "multi_thread")]
async fn allowed_networks_are_let_through_and_names_are_looked_up() {
    let loopback = "127.0.0.0/8,::1/128";
    assert_eq!(check(&["http://localhost:9999/"], loopback).await.code, Some(0));
    assert_eq!(check(&["http://localhost:9999/", "--allowed-cidrs", loopback], "").await.code, Some(0));
    for (url, allowed) in [("http://localhost:9999/", "10.0.0.0/8"), ("http://localhost:9999/", "")] {
        assert_eq!(check(&[url], allowed).await.code, Some(1), "{url} {allowed}");
    }
    let public = ["http://merchant.example/", "--ip", PUBLIC];
    assert_eq!(check(&public, loopback).await.code, Some(1), "http is for allowed networks only");
}
