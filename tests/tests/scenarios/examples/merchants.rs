//! The merchant's endpoints of the README of `webhooks`, with the official libraries, told by the real notifier.

use channels::standard::Kind;
use devstack::testing::{free_port, interpreters};
use scenarios::{Options, Pipeline, Process, Servers, until};

use super::{AMOUNT_MINOR, root};

#[tokio::test(flavor = "multi_thread")]
async fn a_merchant_in_python_is_told_of_each_payment_once() {
    let official = root().join("crates/webhooks/tests/official");
    let Some(python) = interpreters::python(&official.join("requirements.txt")) else { return };
    let mut command = python.script(&official.join("merchant.py"));
    let port = free_port();
    command.args([&port.to_string(), ":memory:"]);
    is_told_of_each_payment_once(command, port).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merchant_in_javascript_is_told_of_each_payment_once() {
    let official = root().join("crates/webhooks/tests/official");
    let Some(node) = interpreters::node(&official.join("package.json")) else { return };
    let mut command = node.script(&official.join("merchant.js"));
    let port = free_port();
    command.arg(port.to_string());
    is_told_of_each_payment_once(command, port).await;
}

async fn is_told_of_each_payment_once(mut command: std::process::Command, port: u16) {
    let pipeline = Pipeline::start(Servers::shared(), Options::default()).await;
    let merchant = pipeline.add_merchant("m1", &format!("http://127.0.0.1:{port}/")).await;
    let shop = pipeline.shop(&merchant);
    let folder = tempfile::tempdir().expect("a temporary directory");
    // It comes late: the first attempts fail, and are repeated under the same id.
    let first = shop.pay("A-1", AMOUNT_MINOR).await;
    command.env("WEBHOOK_SECRET", merchant.key.expose().as_str());
    let endpoint = Process::spawn(&mut command, &folder.path().join("merchant.log"));
    let second = shop.pay("A-2", AMOUNT_MINOR).await;
    let applied = async |line: String| {
        let line = format!("applied {line}");
        until(&line, async || {
            let log = endpoint.log();
            if log.lines().any(|said| said == line) { Ok(()) } else { Err(log) }
        })
        .await;
    };
    applied(format!("{first} 2 TRADE_SUCCESS")).await;
    applied(format!("{second} 2 TRADE_SUCCESS")).await;
    // Not before: by its own queue it may overtake what the notifier does not know of yet, which is older then and not applied.
    let mut refund = shop.notice(Kind::RefundSucceeded, &second, AMOUNT_MINOR);
    refund.refunded_minor = Some(500);
    shop.tell_until_taken(&refund).await;
    applied(format!("{second} 3 PARTIALLY_REFUNDED")).await;
    let log = endpoint.log();
    assert_eq!(log.lines().filter(|line| line.starts_with("applied")).count(), 3, "{log}");
    assert!(!log.contains("refused"), "{log}");
}
