//! What WeChat Pay sends: the envelope, and what is encrypted in it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use events::{ChannelAccount, Currency, Fact, FactKind, Money, PayOrderNo, Whole};
use serde::Deserialize;
use time::OffsetDateTime;

use super::WechatPay;
use crate::unbooked::{COMPLAINT, REFUND_ABNORMAL, REFUND_CLOSED, UNKNOWN_EVENT};
use crate::values::{dedupe_id, json, not_negative, pay_order_no, shorten, trade_no, unreadable, utc};
use crate::{Callback, CallbackRefusal, ChannelFact};

/// The only algorithm of `resource` that is taken.
const ALGORITHM: &str = "AEAD_AES_256_GCM";
const NONCE_BYTES: usize = 12;
/// Where notices do not name a currency, as those of refunds: merchants of the mainland have no other.
const DEFAULT_CURRENCY: &str = "CNY";

/// The `original_type` of notices of profit sharing, which have the `event_type` of payments.
const PROFIT_SHARING: &str = "profitsharing";
/// What types of complaints begin with.
const COMPLAINTS: &str = "COMPLAINT.";

#[derive(Deserialize)]
struct Head {
    id: String,
    event_type: String,
    resource: Option<Kind>,
}

#[derive(Deserialize)]
struct Kind {
    original_type: Option<String>,
}

#[derive(Deserialize)]
struct Envelope {
    resource: Option<Resource>,
}

/// The encrypted part.
#[derive(Deserialize)]
pub(super) struct Resource {
    algorithm: String,
    ciphertext: String,
    nonce: String,
    #[serde(default)]
    associated_data: Option<String>,
}

/// The encrypted part, decoded.
pub(super) struct Sealed<'a> {
    /// The tag stands at its end.
    pub(super) ciphertext: Vec<u8>,
    pub(super) nonce: [u8; NONCE_BYTES],
    pub(super) associated_data: &'a str,
}

impl Resource {
    pub(super) fn decode(&self) -> Result<Sealed<'_>, CallbackRefusal> {
        if self.algorithm != ALGORITHM {
            return Err(CallbackRefusal::UnsupportedAlgorithm { algorithm: shorten(&self.algorithm) });
        }
        let nonce = self.nonce.as_bytes().try_into();
        let nonce =
            nonce.map_err(|_| unreadable(&format!("resource.nonce: expected {NONCE_BYTES} bytes")))?;
        let ciphertext = STANDARD.decode(&self.ciphertext);
        let ciphertext = ciphertext.map_err(|_| unreadable("resource.ciphertext: expected base64"))?;
        Ok(Sealed { ciphertext, nonce, associated_data: self.associated_data.as_deref().unwrap_or_default() })
    }
}

#[derive(Deserialize)]
struct Payment {
    mchid: String,
    appid: String,
    out_trade_no: String,
    trade_state: String,
    transaction_id: Option<String>,
    #[serde(default, with = "time::serde::rfc3339::option")]
    success_time: Option<OffsetDateTime>,
    amount: Option<Amount>,
}

#[derive(Deserialize)]
struct MoneyBack {
    mchid: String,
    out_trade_no: String,
    transaction_id: String,
    refund_id: String,
    refund_status: String,
    #[serde(with = "time::serde::rfc3339")]
    success_time: OffsetDateTime,
    amount: Amount,
}

/// What a notice of any type may name.
#[derive(Deserialize)]
struct Named {
    out_trade_no: Option<String>,
}

#[derive(Deserialize)]
struct Amount {
    #[serde(deserialize_with = "Whole::read")]
    total: i64,
    currency: Option<Currency>,
    /// Of refunds: what this one gave back.
    #[serde(default, deserialize_with = "Whole::read_optional")]
    refund: Option<i64>,
}

impl Amount {
    /// The whole amount of the payment.
    fn money(&self) -> Result<Money, CallbackRefusal> {
        let currency = match self.currency {
            Some(currency) => currency,
            None => Currency::parse(DEFAULT_CURRENCY).map_err(|error| unreadable(&error.to_string()))?,
        };
        Ok(Money::new(not_negative("amount.total", self.total)?, currency))
    }
}

/// Parses an authentic body and what is encrypted in it.
pub(super) fn parse(
    config: &WechatPay,
    account: &ChannelAccount,
    body: &[u8],
) -> Result<Callback, CallbackRefusal> {
    let Head { id, event_type, resource } = json(body)?;
    let dedupe_id = dedupe_id("id", id)?;
    let original_type = resource.and_then(|resource| resource.original_type);
    let read = match event_type.as_str() {
        "TRANSACTION.SUCCESS" if original_type.is_none_or(|original| original != PROFIT_SHARING) => {
            transaction
        }
        "REFUND.SUCCESS" => refund,
        other_type => return other(config, dedupe_id, other_type, body),
    };
    let Envelope { resource } = json(body)?;
    let resource = resource.ok_or_else(|| unreadable("resource: required"))?;
    let plaintext = config.decrypt(&resource.decode()?)?;
    read(config, account, dedupe_id, &plaintext)
}

/// Of a type that no fact is read from: whether it concerns a pay order all the same.
fn other(
    config: &WechatPay,
    dedupe_id: String,
    event_type: &str,
    body: &[u8],
) -> Result<Callback, CallbackRefusal> {
    let Envelope { resource } = json(body)?;
    let plaintext = resource.map(|resource| config.decrypt(&resource.decode()?)).transpose()?;
    let named = plaintext.and_then(|plaintext| json::<Named>(&plaintext).ok()?.out_trade_no);
    let code = match event_type {
        "REFUND.ABNORMAL" => REFUND_ABNORMAL,
        "REFUND.CLOSED" => REFUND_CLOSED,
        complaint if complaint.starts_with(COMPLAINTS) => COMPLAINT,
        _ if named.is_some() => UNKNOWN_EVENT,
        _ => {
            let reason = shorten(&format!(
                "event_type {event_type:?} is unknown, and no out_trade_no names a pay order"
            ));
            return Ok(Callback::Ignored { dedupe_id, reason });
        }
    };
    let reason = shorten(&format!("event_type {event_type:?} of {named:?} is none that pay orders know"));
    let pay_order_no = named.and_then(|number| PayOrderNo::parse(number).ok());
    Ok(Callback::Unbooked { dedupe_id, pay_order_no, code, reason })
}

fn transaction(
    config: &WechatPay,
    account: &ChannelAccount,
    dedupe_id: String,
    plaintext: &[u8],
) -> Result<Callback, CallbackRefusal> {
    let stated: Payment = json(plaintext)?;
    check_mchid(config, &stated.mchid)?;
    if !config.appids.contains(&stated.appid) {
        let got = shorten(&stated.appid);
        return Err(CallbackRefusal::OtherAccount { code: "appid_mismatch", field: "appid", got });
    }
    let kind = match stated.trade_state.as_str() {
        // A payment that was given back had been made; the refund has a notice of its own.
        "SUCCESS" | "REFUND" => {
            let paid_at = stated.success_time.ok_or_else(|| unreadable("success_time: required"))?;
            FactKind::Succeeded { paid_at: utc("success_time", paid_at)? }
        }
        "CLOSED" | "REVOKED" => FactKind::Closed,
        "PAYERROR" => FactKind::Failed,
        state @ ("NOTPAY" | "USERPAYING" | "ACCEPT") => {
            let reason = format!("trade_state {state} is no result yet");
            return Ok(Callback::Ignored { dedupe_id, reason });
        }
        other => {
            return Err(unreadable(&format!("trade_state: expected a state of a payment, got {other:?}")));
        }
    };
    let paid = matches!(kind, FactKind::Succeeded { .. });
    if paid && stated.amount.is_none() {
        return Err(unreadable("amount: required"));
    }
    if paid && stated.transaction_id.is_none() {
        return Err(unreadable("transaction_id: required"));
    }
    let channel_trade_no = stated.transaction_id.map(|text| trade_no("transaction_id", text)).transpose()?;
    let fact = Fact {
        kind,
        account: Some(account.clone()),
        amount: stated.amount.map(|amount| amount.money()).transpose()?,
        channel_trade_no,
        accepted: false,
    };
    let pay_order_no = pay_order_no("out_trade_no", stated.out_trade_no)?;
    Ok(Callback::Fact(ChannelFact { dedupe_id, pay_order_no, fact }))
}

/// Notices of refunds name no `appid`.
fn refund(
    config: &WechatPay,
    account: &ChannelAccount,
    dedupe_id: String,
    plaintext: &[u8],
) -> Result<Callback, CallbackRefusal> {
    let stated: MoneyBack = json(plaintext)?;
    check_mchid(config, &stated.mchid)?;
    if stated.refund_status != "SUCCESS" {
        let detail =
            format!("refund_status: REFUND.SUCCESS goes with SUCCESS, got {:?}", stated.refund_status);
        return Err(unreadable(&detail));
    }
    let amount_minor = stated.amount.refund.filter(|refund| *refund > 0);
    let fact = Fact {
        kind: FactKind::PartRefunded {
            refund_no: trade_no("refund_id", stated.refund_id)?,
            amount_minor: amount_minor.ok_or_else(|| unreadable("amount.refund: expected 1 or more"))?,
            refunded_at: utc("success_time", stated.success_time)?,
        },
        account: Some(account.clone()),
        amount: Some(stated.amount.money()?),
        channel_trade_no: Some(trade_no("transaction_id", stated.transaction_id)?),
        accepted: false,
    };
    let pay_order_no = pay_order_no("out_trade_no", stated.out_trade_no)?;
    Ok(Callback::Fact(ChannelFact { dedupe_id, pay_order_no, fact }))
}

fn check_mchid(config: &WechatPay, mchid: &str) -> Result<(), CallbackRefusal> {
    if mchid == config.mchid {
        Ok(())
    } else {
        Err(CallbackRefusal::OtherAccount { code: "mchid_mismatch", field: "mchid", got: shorten(mchid) })
    }
}
