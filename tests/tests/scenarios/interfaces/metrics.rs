//! What the running services answer to `/metrics`.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use channels::standard::Kind;
use devstack::testing::{free_port, program};
use scenarios::{ADMIN_TOKEN, Options, Pipeline, Process, Sandbox, Servers, Service, http_client, until};

use crate::architecture::workspace::read;

/// Callbacks that nobody is alerted of: they went well, or are no concern.
const NO_CONCERN: [&str; 4] = ["applied", "duplicate", "ignored", "probe"];

/// One answer, read.
#[derive(Debug, Default)]
struct Scrape {
    /// By the name of the family.
    help: BTreeMap<String, String>,
    kinds: BTreeMap<String, String>,
    /// By series, as `name{label="value"}`.
    samples: BTreeMap<String, String>,
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_say_what_they_are_and_exist_from_the_start() {
    let sandbox = Sandbox::start().await;
    let pipeline = Pipeline::start(Servers::shared(), Options::default()).await;
    let merchant = pipeline.add_merchant("m1", &sandbox.url("m1")).await;
    sandbox.register(&merchant);
    let shop = pipeline.shop(&merchant);
    let services = || [&pipeline.ingress[0], &pipeline.order_service[0], &pipeline.notifier[0]];
    let before = scrape_all(services()).await;
    for scrape in &before {
        assert_described(scrape);
        for name in [
            "process_cpu_seconds_total",
            "process_resident_memory_bytes",
            "process_open_fds",
            "process_start_time_seconds",
        ] {
            assert!(scrape.samples.contains_key(name), "{name}");
        }
        assert!(scrape.samples.keys().any(|series| series.starts_with("payrelay_build_info{version=\"")));
        let stale = scrape
            .samples
            .iter()
            .find(|(series, value)| series.starts_with("payrelay_callbacks_total{") && *value != "0");
        assert_eq!(stale, None, "nothing has happened yet");
    }
    assert_alerts_name_what_is_counted(&before[0]);

    let pay_order_no = shop.pay("O-1", 1999).await;
    let notice = shop.notice(Kind::PaymentSucceeded, &pay_order_no, 1999);
    assert_eq!(shop.tell(&notice).await, 204, "a duplicate");
    let other = shop.notice(Kind::PaymentSucceeded, &pay_order_no, 2000);
    assert_eq!(shop.tell(&other).await, 409, "a contradiction");
    let unsigned = shop.http.post(shop.ingress("/v1/callbacks/standard_main")).body("{}").send().await;
    assert_eq!(unsigned.expect("an answer").status(), 401);
    until("webhook", async || sandbox.received().pop().ok_or("none".to_owned())).await;
    until("measured age", async || {
        let [_, orders, notifier] = scrape_all(services()).await;
        let aged = |scrape: &Scrape, queue| {
            scrape.value(&format!("payrelay_message_age_seconds_count{{queue=\"{queue}\"}}"))
        };
        let seen = (aged(&orders, "trade.pay.success.queue"), aged(&notifier, "merchant.pay.success.queue"));
        if seen.0 == "1" && seen.1 == "1" { Ok(()) } else { Err(format!("{seen:?}")) }
    })
    .await;

    let after = scrape_all(services()).await;
    for (before, after) in before.iter().zip(&after) {
        assert_described(after);
        let new: Vec<_> = after.counters().difference(&before.counters()).cloned().collect();
        assert!(new.is_empty(), "counters that are first seen with their first event: {new:?}");
    }
    let [ingress, ..] = &after;
    let callbacks = |outcome| {
        ingress.value(&format!("payrelay_callbacks_total{{account=\"standard_main\",outcome=\"{outcome}\"}}"))
    };
    let counted = ["applied", "duplicate", "amount_mismatch"].map(callbacks);
    assert_eq!(counted, ["1", "1", "1"]);
    let requests = |listener, method, route, status| {
        ingress.value(&format!("payrelay_http_request_seconds_count{{listener=\"{listener}\",method=\"{method}\",route=\"{route}\",status=\"{status}\"}}"))
    };
    assert!(requests("public", "POST", "/v1/pay-orders", "201") != "0");
    assert!(requests("admin", "GET", "/readyz", "200") != "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_audit_says_what_its_metrics_are() {
    let pipeline = Pipeline::start(Servers::shared(), Options::default()).await;
    let listen = format!("127.0.0.1:{}", free_port());
    let folder = tempfile::tempdir().expect("a temporary directory");
    let mut command = Command::new(program("payrelay"));
    command.args(["audit", "--watch", "--listen", &listen]).env_clear();
    command.env("PAYRELAY_ADMIN_TOKEN", ADMIN_TOKEN);
    command.env("PAYRELAY_INGRESS_ADMIN_URL", &pipeline.ingress[0].admin_url);
    command.env("PAYRELAY_ORDER_SERVICE_ADMIN_URL", &pipeline.order_service[0].admin_url);
    command.env("PAYRELAY_NOTIFIER_ADMIN_URL", &pipeline.notifier[0].admin_url);
    let _audit = Process::spawn(&mut command, &folder.path().join("audit.log"));
    let scrape = until("round", async || {
        let scrape = scrape(&format!("http://{listen}")).await?;
        let at = scrape.samples.contains_key("payrelay_audit_last_round_timestamp_seconds");
        at.then_some(scrape).ok_or_else(|| "none yet".to_owned())
    })
    .await;
    assert_described(&scrape);
}

/// Every series belongs to a family that has a type and a help text.
fn assert_described(scrape: &Scrape) {
    for series in scrape.samples.keys() {
        let name = series.split('{').next().unwrap_or_default();
        let family = ["_bucket", "_sum", "_count"]
            .iter()
            .filter_map(|suffix| name.strip_suffix(suffix))
            .find(|family| scrape.kinds.get(*family).is_some_and(|kind| kind == "histogram"))
            .unwrap_or(name);
        assert!(scrape.kinds.contains_key(family), "{series} has no TYPE");
        assert!(scrape.help.get(family).is_some_and(|help| !help.is_empty()), "{series} has no HELP");
    }
}

/// An alert on a value that no label has never fires, and an outcome that no alert knows is never seen.
fn assert_alerts_name_what_is_counted(ingress: &Scrape) {
    let outcomes: BTreeSet<_> = ingress
        .samples
        .keys()
        .filter(|series| series.starts_with("payrelay_callbacks_total{"))
        .filter_map(|series| series.split_once("outcome=\"")?.1.split('"').next())
        .collect();
    let rules = read("deploy/prometheus/alerts.yml");
    let selectors = rules.split("payrelay_callbacks_total{outcome=").skip(1);
    let named: BTreeSet<_> = selectors
        .filter_map(|rest| rest.trim_start_matches('~').split('"').nth(1))
        .flat_map(|values| values.split('|'))
        .chain(NO_CONCERN)
        .collect();
    assert_eq!(named, outcomes, "outcomes of callbacks in the alerts, and those that are counted");
}

impl Scrape {
    /// 0 where there is no such series.
    fn value(&self, series: &str) -> String {
        self.samples.get(series).cloned().unwrap_or_else(|| "0".to_owned())
    }

    fn counters(&self) -> BTreeSet<String> {
        let is_counter = |series: &&String| {
            let name = series.split('{').next().unwrap_or_default();
            self.kinds.get(name).is_some_and(|kind| kind == "counter")
        };
        self.samples.keys().filter(is_counter).cloned().collect()
    }
}

async fn scrape_all<const N: usize>(services: [&Service; N]) -> [Scrape; N] {
    let scrapes = services.map(|service| scrape(&service.admin_url));
    let scrapes = futures_util::future::try_join_all(scrapes).await.expect("metrics");
    scrapes.try_into().expect("one for each")
}

async fn scrape(admin_url: &str) -> Result<Scrape, String> {
    let answer = http_client().get(format!("{admin_url}/metrics")).send().await;
    let text = answer.map_err(|error| error.to_string())?.text().await.map_err(|error| error.to_string())?;
    let mut scrape = Scrape::default();
    for line in text.lines().filter(|line| !line.is_empty()) {
        let pair = |text: &str| {
            let (name, rest) = text.split_once(' ').unwrap_or((text, ""));
            (name.to_owned(), rest.to_owned())
        };
        if let Some(help) = line.strip_prefix("# HELP ") {
            scrape.help.extend([pair(help)]);
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            scrape.kinds.extend([pair(kind)]);
        } else {
            let (series, value) = line.rsplit_once(' ').ok_or_else(|| line.to_owned())?;
            scrape.samples.insert(series.to_owned(), value.to_owned());
        }
    }
    Ok(scrape)
}
