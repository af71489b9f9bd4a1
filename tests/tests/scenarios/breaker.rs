//! A merchant that is down, as the operator sees it: the breaker opens, outlives the notifier, and closes by itself.

use std::time::Duration;

use scenarios::{Options, Pipeline, Reply, Sandbox, Servers, Shop, check, until};
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

const ORDERS: usize = 3;

async fn start(sandbox: &Sandbox, replicas: usize, ladder: &'static str) -> (Pipeline, Shop) {
    let environment = vec![("PAYRELAY_NOTIFY_LADDER", ladder)];
    let pipeline = Pipeline::start(Servers::shared(), Options { environment, replicas }).await;
    let merchant = pipeline.add_merchant("down", &sandbox.url("down")).await;
    sandbox.register(&merchant);
    sandbox.reply("down", Reply::Status(503));
    let shop = pipeline.shop(&merchant);
    (pipeline, shop)
}

/// Waits until `payrelay merchant show` says that the breaker is open, or closed.
async fn breaker(pipeline: &Pipeline, open: bool) -> Value {
    until(&format!("breaker open: {open}"), async || {
        let shown = pipeline.payrelay_json(&["merchant", "show", "down"]).await;
        if shown["breaker"]["open"] == open { Ok(shown["breaker"].clone()) } else { Err(shown.to_string()) }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merchant_that_never_answers_uses_its_ladder_up_and_is_retried_by_hand_through_the_probe() {
    let sandbox = Sandbox::start().await;
    let (pipeline, shop) = start(&sandbox, 1, "1s,2s,3s").await;
    for order in 0..ORDERS {
        shop.pay(&format!("O-{order}"), 1999).await;
    }
    let parked = until("parked", async || {
        let list = ["notifications", "list", "--status", "attempts_exhausted"];
        let found = pipeline.payrelay_json(&list).await.as_array().expect("a list").clone();
        if found.len() == ORDERS { Ok(found) } else { Err(format!("{found:?}")) }
    })
    .await;
    for notification in parked {
        let id = notification["notification_id"].as_str().expect("an id");
        let shown = pipeline.payrelay_json(&["notifications", "show", id]).await;
        let times: Vec<_> = shown["history"].as_array().expect("attempts").iter().map(started_at).collect();
        assert_eq!(times.len(), 4);
        for (pair, delay_ms) in times.windows(2).zip([1000, 2000, 3000]) {
            assert!(pair[1] - pair[0] >= Duration::from_millis(delay_ms * 9 / 10), "{times:?}");
        }
    }
    let open = breaker(&pipeline, true).await;
    assert!(open["failures"].as_u64() >= Some(5), "{open}");
    let told = pipeline.payrelay(&["merchant", "show", "down"]).await.stdout;
    assert!(told.contains("breaker         open since "), "{told}");

    sandbox.reply("down", Reply::Status(204));
    let retried = pipeline.payrelay_json(&["notifications", "retry", "--merchant", "down", "--yes"]).await;
    assert_eq!(retried["retried"], ORDERS);
    check::audited(&pipeline).await;
    breaker(&pipeline, false).await;
    let log = pipeline.notifier[0].log();
    assert!(log.contains("breaker opened") && log.contains("breaker closed"), "{log}");
}

fn started_at(attempt: &Value) -> OffsetDateTime {
    let text = attempt["started_at"].as_str().expect("a time");
    OffsetDateTime::parse(text, &Rfc3339).expect("RFC 3339")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_breaker_outlives_its_notifiers_and_closes_when_the_merchant_is_back() {
    let sandbox = Sandbox::start().await;
    let (mut pipeline, shop) = start(&sandbox, 2, "2s,2s,2s,2s,2s,2s,2s,2s,2s,2s").await;
    for order in 0..4 * ORDERS {
        shop.pay(&format!("O-{order}"), 1999).await;
    }
    let before = breaker(&pipeline, true).await;
    for notifier in &mut pipeline.notifier {
        notifier.kill();
    }
    for notifier in &mut pipeline.notifier {
        notifier.start();
        notifier.ready().await;
    }
    assert_eq!(breaker(&pipeline, true).await["opened_at"], before["opened_at"]);
    let metrics = format!("{}/metrics", pipeline.notifier[0].admin_url);
    until("one open breaker in the metrics", async || {
        let answer = shop.http.get(&metrics).send().await.map_err(|error| error.to_string())?;
        let text = answer.text().await.map_err(|error| error.to_string())?;
        if text.lines().any(|line| line.starts_with("payrelay_breakers_open") && line.ends_with(" 1")) {
            Ok(())
        } else {
            Err(text)
        }
    })
    .await;
    sandbox.reply("down", Reply::Status(204));
    check::audited(&pipeline).await;
    breaker(&pipeline, false).await;
    for order in 0..4 * ORDERS {
        let received = sandbox.received_of(&format!("O-{order}"));
        assert_eq!(received.iter().filter(|attempt| attempt.is_acknowledged()).count(), 1, "{received:?}");
    }
}
