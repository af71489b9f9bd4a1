//! What a subscription tells of its end, on a real broker.

use devstack::testing::Vhost;
use lapin::BasicProperties;
use lapin::options::{BasicConsumeOptions, BasicPublishOptions, QueueDeleteOptions};
use lapin::types::FieldTable;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::*;
use crate::{Broker, Topology};

const DEADLINE: Duration = Duration::from_secs(30);

#[tokio::test]
async fn an_end_that_came_while_a_batch_was_gathered_is_told_again() {
    let vhost = spawn_blocking(Vhost::create).await.unwrap();
    let broker = Broker::new(vhost.amqp_url(), "test").unwrap();
    let queue = ConsumerQueue::new("trade", "pay.success");
    let retry = "1s".parse().unwrap();
    broker.declare(&Topology { queues: vec![queue.clone()], retry }).await.unwrap();
    let connection = broker.connect().await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    let name = || ShortString::from(queue.queue.as_str());
    let (options, properties) = (BasicPublishOptions::default(), BasicProperties::default());
    channel.basic_publish(ShortString::default(), name(), options, b"1", properties).await.unwrap();
    let consuming = channel.basic_consume(
        name(),
        ShortString::default(),
        BasicConsumeOptions::default(),
        FieldTable::default(),
    );
    let mut subscription = Subscription::new(&queue, consuming.await.unwrap());
    let first = timeout(DEADLINE, subscription.next()).await.unwrap().unwrap().unwrap();

    channel.queue_delete(name(), QueueDeleteOptions::default()).await.unwrap();
    let mut batch = vec![first];
    let began = Instant::now();
    while !subscription.ended {
        assert!(began.elapsed() < DEADLINE, "the broker does not tell the end");
        sleep(LULL).await;
        subscription.take_arrived(&mut batch, 10).unwrap();
    }
    assert_eq!(batch.len(), 1);
    let told = timeout(DEADLINE, subscription.next()).await.expect("the end is told once more");
    assert!(told.unwrap().is_none());
}
