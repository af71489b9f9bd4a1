//! Payments by number: what each is called, in the services' tables and in callbacks, and the callback itself.

use std::fmt::Write as _;
use uuid::Uuid;

use anyhow::{Context, Result};
use channels::standard::{self, Kind, Notice};
use events::{
    ChannelAccount, Currency, EventId, EventType, MerchantId, Money, OrderNo, PayEvent, PayOrder, PayOrderNo,
    Purpose, Status,
};
use time::OffsetDateTime;
use webhooks::Secret;

/// The channel account whose callbacks are sent.
pub(crate) const ACCOUNT: &str = "standard_bench";
/// As many as fill the notifier's workers, of which one merchant gets a part.
pub(crate) const MERCHANTS: usize = 16;

/// The number of a payment's order: `B` and ten digits.
pub(crate) fn order_no(index: usize) -> String {
    format!("B{index:010}")
}

/// The payment that an order number belongs to.
pub(crate) fn index_of(order_no: &str) -> Option<usize> {
    order_no.strip_prefix('B')?.parse().ok()
}

/// As long and as orderly as a generated one: `P`, a common beginning, ten digits.
pub(crate) fn pay_order_no(index: usize) -> String {
    format!("P019A000000000008000AA{index:010}")
}

/// The merchant of a payment.
pub(crate) fn merchant_id(index: usize) -> String {
    merchant_name(index % MERCHANTS)
}

/// The merchants in their order.
pub(crate) fn merchant_name(merchant: usize) -> String {
    format!("bench-{merchant:02}")
}

/// Every payment has another amount than its neighbours, in fen.
pub(crate) fn amount_minor(index: usize) -> i64 {
    1_000 + i64::try_from(index % 100_000).unwrap_or_default()
}

/// The event of a payment that has succeeded.
pub(crate) fn event(index: usize) -> Result<PayEvent> {
    let now = events::to_micros(OffsetDateTime::now_utc());
    let order = PayOrder {
        pay_order_no: PayOrderNo::parse(pay_order_no(index))?,
        merchant_id: MerchantId::parse(merchant_id(index))?,
        order_no: OrderNo::parse(order_no(index))?,
        purpose: Purpose::Order,
        amount: Money::new(amount_minor(index), Currency::parse("CNY")?),
        channel: ChannelAccount::parse(ACCOUNT)?,
        status: Status::TradeSuccess,
        version: 2,
        refunded_minor: 0,
        channel_trade_no: Some(format!("T{index:010}")),
        paid_at: Some(now),
        subject: Some("tea and cup".to_owned()),
        notify_url: None,
        attach: Some(format!("buyer={index}")),
    };
    Ok(PayEvent {
        event_id: EventId(Uuid::now_v7()),
        event_type: EventType::Success,
        order,
        occurred_at: now,
    })
}

/// The same names in SQL, of a column `i` of numbers.
pub(crate) mod sql {
    use super::MERCHANTS;

    pub(crate) const ORDER_NO: &str = "'B' || lpad(i::text, 10, '0')";
    pub(crate) const PAY_ORDER_NO: &str = "'P019A000000000008000AA' || lpad(i::text, 10, '0')";
    pub(crate) const AMOUNT_MINOR: &str = "1000 + i % 100000";

    pub(crate) fn merchant_id() -> String {
        format!("'bench-' || lpad((i % {MERCHANTS})::text, 2, '0')")
    }
}

/// Makes the callbacks that a channel sends, as bytes of HTTP.
#[derive(Debug, Clone)]
pub(crate) struct CallbackMaker {
    /// `host:port`, for the header.
    pub(crate) host: String,
    /// What the channel signs with.
    pub(crate) secret: Secret,
}

impl CallbackMaker {
    /// The signed request that reports the success of a payment, good for five minutes.
    pub(crate) fn request(&self, index: usize, now: OffsetDateTime) -> Result<Vec<u8>> {
        let notice = Notice {
            kind: Kind::PaymentSucceeded,
            pay_order_no: PayOrderNo::parse(pay_order_no(index))?,
            channel_trade_no: format!("T{index:010}"),
            amount: Money::new(amount_minor(index), Currency::parse("CNY")?),
            at: now,
            refunded_minor: None,
        };
        let sent = standard::simulate(&notice, &format!("msg_{index}"), &self.secret, now)
            .context("signing a callback")?;
        let mut head = format!("POST /v1/callbacks/{ACCOUNT} HTTP/1.1\r\nhost: {}\r\n", self.host);
        for (name, value) in sent.headers() {
            write!(head, "{name}: {value}\r\n")?;
        }
        write!(head, "content-length: {}\r\n\r\n{}", sent.body.len(), sent.body)?;
        Ok(head.into_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payment_is_found_again_by_its_order_number() {
        for index in [0, 7, 1_234_567] {
            assert_eq!(index_of(&order_no(index)), Some(index));
        }
        assert_eq!(index_of("10001"), None);
    }

    #[test]
    fn numbers_are_such_as_the_services_take() {
        assert!(PayOrderNo::parse(pay_order_no(9_999_999)).is_ok());
        assert!(events::OrderNo::parse(order_no(9_999_999)).is_ok());
        assert!(events::MerchantId::parse(merchant_id(33)).is_ok());
        assert_eq!(
            pay_order_no(1).len(),
            PayOrderNo::new(OffsetDateTime::UNIX_EPOCH, [0; 10]).as_str().len()
        );
    }

    #[test]
    fn a_callback_is_one_whole_request() {
        let maker = CallbackMaker { host: "127.0.0.1:1".to_owned(), secret: Secret::generate([1; 32]) };
        let request = maker.request(3, OffsetDateTime::UNIX_EPOCH).unwrap();
        let text = String::from_utf8(request).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("POST /v1/callbacks/standard_bench HTTP/1.1\r\nhost: 127.0.0.1:1\r\n"));
        assert!(head.contains(&format!("content-length: {}", body.len())));
        assert!(body.contains(&pay_order_no(3)));
    }
}
