//! Alipay's side, for simulators and tests.

use std::fmt::Write as _;

use events::{Money, PayOrderNo};
use time::OffsetDateTime;

use super::SIGN_TYPE;
use super::form::{Charset, Form};
use super::notice::BEIJING;
use crate::RsaSigningKey;

/// One application as Alipay knows it.
#[derive(Debug)]
pub struct Signer {
    /// The application that was paid in.
    pub app_id: String,
    /// Who was paid.
    pub seller_id: String,
    /// What notices are signed with.
    pub key: RsaSigningKey,
    /// The application's charset, as `utf-8` or `GBK`.
    pub charset: String,
}

/// What a notice is about.
#[derive(Debug, Clone)]
pub struct Notice {
    /// As `TRADE_SUCCESS`.
    pub trade_status: String,
    /// The pay order meant, `out_trade_no` there.
    pub pay_order_no: PayOrderNo,
    /// The channel's own number of the trade.
    pub trade_no: String,
    /// What was bought.
    pub subject: String,
    /// The whole amount of the payment, in yuan.
    pub total: Money,
    /// When it happened; fractions of seconds are not told.
    pub at: OffsetDateTime,
    /// All that was refunded so far, in fen; for refunds only.
    pub refunded_minor: Option<i64>,
}

/// A signed notice, ready to be posted.
#[derive(Debug, Clone)]
pub struct Sent {
    /// The form.
    pub body: String,
}

impl Sent {
    /// Names and values of the headers to post with the body.
    pub fn headers(&self) -> [(&'static str, &str); 1] {
        [("content-type", "application/x-www-form-urlencoded")]
    }
}

/// The notice by which Alipay tells of a trade, in an attempt made `now`; `None` if a time cannot be written, or the system has no random
/// bytes to sign with.
pub fn simulate(notice: &Notice, notify_id: &str, signer: &Signer, now: OffsetDateTime) -> Option<Sent> {
    let (at, now) = (beijing(notice.at)?, beijing(now)?);
    let total = decimal(notice.total);
    let mut parameters = vec![
        ("notify_type", "trade_status_sync"),
        ("notify_id", notify_id),
        ("notify_time", &now),
        ("version", "1.0"),
        ("charset", &signer.charset),
        ("app_id", &signer.app_id),
        ("seller_id", &signer.seller_id),
        ("out_trade_no", notice.pay_order_no.as_str()),
        ("trade_no", &notice.trade_no),
        ("trade_status", &notice.trade_status),
        ("subject", &notice.subject),
        ("body", ""),
        ("total_amount", &total),
    ];
    let refunded = notice.refunded_minor.map(|minor| decimal(Money::new(minor, notice.total.currency)));
    match &refunded {
        Some(refunded) => parameters.extend([("refund_fee", refunded.as_str()), ("gmt_refund", &at)]),
        None => parameters.push(("gmt_payment", &at)),
    }
    sign(&parameters, &signer.key)
}

/// Signs any parameters, also such as no honest channel would send. `charset` among them says how; another than Alipay has is
/// taken for UTF-8.
pub fn sign(parameters: &[(&str, &str)], key: &RsaSigningKey) -> Option<Sent> {
    let named = parameters.iter().find(|(name, _)| *name == "charset");
    let charset = Charset::named(named.map_or("", |(_, value)| value).as_bytes());
    let bytes = |text: &str| charset.map_or_else(|| text.as_bytes().to_vec(), |charset| charset.bytes(text));
    let pair = |(name, value): &(&str, &str)| format!("{}={}", encode(&bytes(name)), encode(&bytes(value)));
    let body = parameters.iter().map(pair).collect::<Vec<_>>().join("&");
    sign_form(&body, key)
}

/// Signs a form that is written already; `None` for one that can be read in two ways.
pub fn sign_form(body: &str, key: &RsaSigningKey) -> Option<Sent> {
    let signature = key.sign(&Form::parse(body.as_bytes()).ok()?.signed_content())?;
    Some(Sent { body: format!("{body}&sign_type={SIGN_TYPE}&sign={}", encode(signature.as_bytes())) })
}

/// As Java's `URLEncoder` writes them.
fn encode(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        match byte {
            b' ' => text.push('+'),
            b'-' | b'_' | b'.' | b'*' => text.push(char::from(*byte)),
            other if other.is_ascii_alphanumeric() => text.push(char::from(*other)),
            // A text takes whatever is written to it.
            other => drop(write!(text, "%{other:02X}")),
        }
        text
    })
}

/// `19.99`, without the code of the currency.
fn decimal(money: Money) -> String {
    money.to_string().split(' ').next().unwrap_or_default().to_owned()
}

fn beijing(time: OffsetDateTime) -> Option<String> {
    let format = time::macros::format_description!("[year]-[month]-[day] [hour]:[minute]:[second]");
    time.checked_to_offset(BEIJING)?.format(format).ok()
}
