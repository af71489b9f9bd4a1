//! An upstream that knows of a payment by itself:
//! `AMQP_URL=amqp://… cargo run -p pay-client --example publish -- MERCHANT_ID ORDER_NO AMOUNT_MINOR`
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "an example shows what it does")]

use std::env;
use std::error::Error;
use std::time::Duration;

use pay_client::{EventType, Money, PayEvent, PayOrder, Publisher, Purpose, Status, new_event_id};
use time::OffsetDateTime;

const ATTEMPTS: u32 = 5;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [merchant_id, order_no, amount_minor] = &arguments[..] else {
        return Err("expected MERCHANT_ID ORDER_NO AMOUNT_MINOR".into());
    };
    let now = OffsetDateTime::now_utc();
    let event = PayEvent {
        event_id: new_event_id(),
        event_type: EventType::Success,
        occurred_at: now,
        order: PayOrder {
            pay_order_no: format!("UP-{order_no}").parse()?, // the upstream's own number
            merchant_id: merchant_id.parse()?,
            order_no: order_no.parse()?,
            purpose: Purpose::Order,
            amount: Money::new(amount_minor.parse()?, "CNY".parse()?),
            channel: "upstream".parse()?,
            status: Status::TradeSuccess,
            version: 1,
            refunded_minor: 0,
            channel_trade_no: None,
            paid_at: Some(now),
            subject: None,
            notify_url: None, // to the merchant's endpoint
            attach: None,
        },
    };

    let publisher = Publisher::new(&env::var("AMQP_URL")?, "billing")?;
    for attempt in 1..=ATTEMPTS {
        match publisher.publish(&event).await {
            Ok(()) => {
                println!("published {}", event.event_id);
                return Ok(());
            }
            Err(error) if error.is_retryable() && attempt < ATTEMPTS => eprintln!("{error}; once more"),
            Err(error) => return Err(error.into()),
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    Ok(())
}
