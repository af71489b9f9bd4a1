//! An upstream that knows of a payment: `AMQP_URL=amqp://… cargo run -p scenarios --example publish -- MERCHANT_ID ORDER_NO
//! AMOUNT_MINOR`
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::env;
use std::error::Error;

use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{BasicProperties, Confirmation, Connection, ConnectionProperties};
use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [merchant_id, order_no, amount_minor] = &arguments[..] else {
        return Err("expected MERCHANT_ID ORDER_NO AMOUNT_MINOR".into());
    };
    let (event_id, now) = (uuid::Uuid::now_v7().to_string(), OffsetDateTime::now_utc().format(&Rfc3339)?);
    let event = json!({
        "eventId": event_id, "type": "PAY_EVENT_TYPE_SUCCESS", "status": "PAY_ORDER_STATUS_TRADE_SUCCESS",
        "merchantId": merchant_id, "orderNo": order_no, "payOrderNo": format!("UP-{order_no}"), "version": "2",
        "amountMinor": amount_minor, "currency": "CNY", "channel": "upstream", "paidAt": now, "occurredAt": now,
    });

    let connection = Connection::connect(&env::var("AMQP_URL")?, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    let mandatory = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    let properties = BasicProperties::default()
        .with_delivery_mode(2) // persistent
        .with_content_type("application/json".into())
        .with_message_id(event_id.into());
    let (exchange, key) = ("pay.direct".into(), "pay.success".into());
    let confirm =
        channel.basic_publish(exchange, key, mandatory, event.to_string().as_bytes(), properties).await?;
    // One in flight at a time: with several, lapin may hang a returned message onto the confirm of another.
    match confirm.await? {
        Confirmation::Ack(None) => println!("the broker has it, in every queue bound to pay.success"),
        Confirmation::Ack(Some(_)) => return Err("returned: no queue is bound to pay.success".into()),
        other => return Err(format!("not taken, publish it again: {other:?}").into()),
    }
    connection.close(200, "done".into()).await?;
    Ok(())
}
