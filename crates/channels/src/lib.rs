//! Payment channels: verifies and parses their callbacks, and knows the answers they demand.
//!
//! Pure: bytes, keys and clock in, fact out. A [`ChannelSet`] is read from the channels file, one TOML table per
//! account; an [`Account`] turns a [`CallbackRequest`] into a [`Callback`] or a [`CallbackRefusal`], and, once the ingress knows
//! what became of it, a [`CallbackOutcome`] into the [`ChannelAnswer`] of its channel.
//!
//! | kind | channel |
//! |---|---|
//! | [`alipay`] | Alipay's asynchronous notices: a form signed by RSA |
//! | [`wechatpay`] | WeChat Pay, API v3: JSON signed by RSA, with an encrypted notice in it |
//! | [`stripe`] | Stripe's events: JSON with an HMAC in a header |
//! | [`standard`] | any other gateway: Standard Webhooks with a JSON body of our own |
//!
//! The signature is checked over the raw bytes before anything is parsed. Whether account, order, amount and currency
//! fit the pay order is not decided here but by [`events::transition`], under the lock of the pay order's row.
//!
//! ```
//! use channels::{Callback, ChannelSet, CallbackOutcome, CallbackRequest, standard};
//! use events::{Currency, FactKind, Money, PayOrderNo};
//! use time::macros::datetime;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let now = datetime!(2026-01-01 00:00 UTC);
//! let file = r#"
//!     [gateway_main]
//!     kind = "standard"
//!     secret = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
//! "#;
//! let channels = ChannelSet::parse(file, |path| std::fs::read(path))?;
//! let account = channels.account("gateway_main").ok_or("no such account")?;
//!
//! // The channel's side, as simulators and tests play it.
//! let notice = standard::Notice {
//!     kind: standard::Kind::PaymentSucceeded,
//!     pay_order_no: PayOrderNo::parse("P1")?,
//!     channel_trade_no: "T1".to_owned(),
//!     amount: Money::new(1999, Currency::parse("CNY")?),
//!     at: now,
//!     refunded_minor: None,
//! };
//! let secret = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD".parse()?;
//! let sent = standard::simulate(&notice, "evt_1", &secret, now)?;
//!
//! let request = CallbackRequest { headers: &sent.headers(), body: sent.body.as_bytes() };
//! let Callback::Fact(stated) = account.verify(&request, now)? else { return Err("ignored".into()) };
//! assert_eq!(stated.pay_order_no.as_str(), "P1");
//! assert_eq!(stated.fact.kind, FactKind::Succeeded { paid_at: now });
//! assert_eq!(account.answer(&CallbackOutcome::Accepted).status, 204);
//! # Ok(())
//! # }
//! ```
//!
//! Each of these modules holds its channel's rules, and a simulator of the channel's side, which signs. A new kind is one more of them and one variant
//! of the enum in `account.rs`.

mod account;
pub mod alipay;
mod callback;
mod config;
mod headers;
mod pem;
mod refusal;
mod rsa;
mod rsa_key_error;
pub mod standard;
pub mod stripe;
pub mod unbooked;
mod values;
pub mod wechatpay;

pub use account::Account;
pub use callback::{Callback, CallbackOutcome, CallbackRequest, ChannelAnswer, ChannelFact, IGNORED};
pub use config::{ChannelSet, ConfigError, ConfigErrors};
pub use headers::Headers;
pub use refusal::{CallbackRefusal, MAX_BODY_BYTES};
pub use rsa::RsaSigningKey;
pub use rsa_key_error::RsaKeyError;
