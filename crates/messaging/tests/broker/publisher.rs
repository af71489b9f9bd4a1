//! Publishing in confirmed batches.

use lapin::ExchangeKind;
use lapin::options::{ExchangeDeclareOptions, ExchangeDeleteOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use messaging::{ConsumerQueue, EXCHANGE, PublishError, PublishOutcome, Publisher, Topology};
use tokio_util::sync::CancellationToken;

use crate::support::{Fixture, message, names, ready, refused};

#[tokio::test]
async fn a_returned_message_is_found_among_confirmed_ones() {
    let fixture = Fixture::new().await;
    for round in 0..20 {
        let unroutable = [3, 50, 51, 199];
        let messages = (0..200)
            .map(|number| {
                let key = if unroutable.contains(&number) { "pay.nobody" } else { "pay.success" };
                message(EXCHANGE, key, &format!("{round}-{number}"))
            })
            .collect();
        let outcomes = fixture.publisher.publish(messages).await.unwrap();
        for (number, outcome) in outcomes.iter().enumerate() {
            if unroutable.contains(&number) {
                assert!(
                    matches!(outcome, PublishOutcome::Returned { reason } if reason == "NO_ROUTE"),
                    "{number}: {outcome:?}"
                );
            } else {
                assert_eq!(*outcome, PublishOutcome::Confirmed, "{number}");
            }
        }
    }
}

#[tokio::test]
async fn messages_without_an_id_or_with_the_same_are_told_apart_by_their_keys() {
    let fixture = Fixture::new().await;
    let messages = ["pay.success", "pay.nobody", "pay.success"].map(|key| message(EXCHANGE, key, "same"));
    let outcomes = fixture.publisher.publish(messages.to_vec()).await.unwrap();
    let returned: Vec<_> =
        outcomes.iter().map(|outcome| matches!(outcome, PublishOutcome::Returned { .. })).collect();
    assert_eq!(returned, [false, true, false]);
}

#[tokio::test]
async fn a_refused_message_is_nacked_and_the_others_are_not_lost() {
    let fixture = Fixture::new().await;
    let connection = fixture.broker.connect().await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
    arguments.insert("x-max-length".into(), AMQPValue::LongLongInt(1));
    arguments.insert("x-overflow".into(), AMQPValue::LongString("reject-publish".into()));
    let durable = QueueDeclareOptions { durable: true, ..Default::default() };
    channel.queue_declare("full".into(), durable, arguments).await.unwrap();
    channel
        .queue_bind(
            "full".into(),
            EXCHANGE.into(),
            "pay.full".into(),
            QueueBindOptions::default(),
            FieldTable::default(),
        )
        .await
        .unwrap();
    let mut nacked = 0;
    for body in names("full", 20) {
        let outcomes = fixture.publisher.publish(vec![message(EXCHANGE, "pay.full", &body)]).await.unwrap();
        nacked += usize::from(outcomes == [PublishOutcome::Nacked]);
    }
    assert!(nacked > 0, "a full queue refuses");
    fixture.publish(&names("other", 5)).await;
}

#[tokio::test]
async fn what_does_not_fit_the_protocol_is_refused_before_anything_is_sent() {
    let fixture = Fixture::new().await;
    let mut wrong = message(EXCHANGE, &"k".repeat(300), "wrong");
    assert!(
        fixture.publisher.publish(vec![wrong.clone()]).await.unwrap_err().to_string().contains("routing_key")
    );
    wrong.routing_key = "pay.success".to_owned();
    wrong.headers.insert("big".to_owned(), "x".repeat(100_000));
    assert!(fixture.publisher.publish(vec![wrong]).await.unwrap_err().to_string().contains("headers"));
    fixture.publish(&names("good", 1)).await;
}

#[tokio::test]
async fn many_callers_share_a_publisher() {
    let fixture = Fixture::new().await;
    let tasks: Vec<_> = (0..8)
        .map(|caller| {
            let publisher = fixture.publisher.clone();
            tokio::spawn(async move {
                let key = if caller % 2 == 0 { "pay.success" } else { "pay.nobody" };
                let messages = names(&format!("{caller}-"), 50)
                    .iter()
                    .map(|body| message(EXCHANGE, key, body))
                    .collect();
                (caller, publisher.publish(messages).await.unwrap())
            })
        })
        .collect();
    for task in tasks {
        let (caller, outcomes) = task.await.unwrap();
        let confirmed = outcomes.iter().filter(|outcome| **outcome == PublishOutcome::Confirmed).count();
        assert_eq!(confirmed, if caller % 2 == 0 { 50 } else { 0 });
    }
}

#[tokio::test]
async fn an_exchange_of_another_kind_is_an_error_until_somebody_removes_it() {
    let fixture = Fixture::new().await;
    let connection = fixture.broker.connect().await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    channel.exchange_delete(EXCHANGE.into(), ExchangeDeleteOptions::default()).await.unwrap();
    let (options, arguments) = (ExchangeDeclareOptions::default(), FieldTable::default());
    channel.exchange_declare(EXCHANGE.into(), ExchangeKind::Topic, options, arguments).await.unwrap();

    let publisher = Publisher::spawn(fixture.broker.clone(), CancellationToken::new());
    refused(&publisher).await;
    let refused = publisher.publish(vec![message(EXCHANGE, "pay.success", "refused")]).await;
    assert!(matches!(refused, Err(PublishError::Disconnected(Some(_)))), "{refused:?}");
    channel.exchange_delete(EXCHANGE.into(), ExchangeDeleteOptions::default()).await.unwrap();
    ready(&publisher).await;
    let outcomes = publisher.publish(vec![message(EXCHANGE, "pay.success", "unbound")]).await.unwrap();
    assert!(matches!(outcomes[..], [PublishOutcome::Returned { .. }]), "{outcomes:?}");
}

#[tokio::test]
async fn a_broker_that_comes_back_empty_gets_every_queue_before_the_first_message() {
    let fixture = Fixture::new().await;
    let queues = ["trade", "merchant"].map(|consumer| ConsumerQueue::new(consumer, "pay.success"));
    let topology = Topology { queues: queues.to_vec(), retry: fixture.retry.clone() };
    // Only the first stands: a publisher that does not declare is confirmed for it alone.
    let publisher = Publisher::spawn_declaring(fixture.broker.clone(), topology, CancellationToken::new());
    ready(&publisher).await;
    let outcomes = publisher.publish(vec![message(EXCHANGE, "pay.success", "for both")]).await.unwrap();
    assert_eq!(outcomes, [PublishOutcome::Confirmed]);
    for queue in queues {
        assert_eq!(fixture.take_soon(&queue.queue).await.data, b"for both", "{}", queue.queue);
    }
}
