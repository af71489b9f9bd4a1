//! Stripe's events: the vectors, what each type states, and whatever else comes in.

mod events;
mod properties;
mod vectors;

use ::events::{Currency, Money, PayOrderNo};
use channels::stripe::{Kind, Notice, Secret};
use channels::{Callback, CallbackRefusal, CallbackRequest, ChannelSet};
use time::OffsetDateTime;
use time::macros::datetime;

const SECRET: &str = "whsec_test_secret";
const OTHER: &str = "whsec_another_secret";
/// As payrelay makes them.
const NUMBER: &str = "P019B76DAA80000080000000000000AB";
const NOW: OffsetDateTime = datetime!(2026-01-01 00:00 UTC);

fn channels(more: &str) -> ChannelSet {
    let text = format!("[stripe_main]\nkind = 'stripe'\n{more}\n");
    ChannelSet::parse(&text, |_| Err(std::io::ErrorKind::NotFound.into()))
        .expect("the configuration is right")
}

/// What an account with [`SECRET`] says to this, now.
fn verify(headers: &[(&str, &str)], body: &[u8]) -> Result<Callback, CallbackRefusal> {
    let channels = channels(&format!("secret = '{SECRET}'"));
    channels.account("stripe_main").expect("it is configured").verify(&CallbackRequest { headers, body }, NOW)
}

fn secret() -> Secret {
    SECRET.parse().expect("the secret is right")
}

fn notice(kind: Kind) -> Notice {
    Notice {
        kind,
        pay_order_no: PayOrderNo::parse(NUMBER).expect("it is a number"),
        payment_intent: "pi_1".to_owned(),
        amount: Money::new(1999, Currency::parse("USD").expect("it is listed")),
        at: NOW,
        payment_status: "paid".to_owned(),
        refunded_minor: (kind == Kind::ChargeRefunded).then_some(500),
    }
}
