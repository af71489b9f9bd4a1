//! What WeChat Pay sends: the envelope, and what is encrypted in it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use events::{ChannelAccount, Currency, Fact, FactKind, Money};
use serde::Deserialize;
use time::OffsetDateTime;

use super::WechatPay;
use crate::values::{
    dedupe_id, not_negative, not_the_format, pay_order_no, shorten, trade_no, unreadable, utc,
};
use crate::{Callback, ChannelFact, Refusal};

/// The only algorithm of `resource` that is taken.
const ALGORITHM: &str = "AEAD_AES_256_GCM";
const NONCE_BYTES: usize = 12;
/// Where notices do not name a currency, as those of refunds: merchants of the mainland have no other.
const DEFAULT_CURRENCY: &str = "CNY";

#[derive(Deserialize)]
struct Head {
    id: String,
    event_type: String,
}

#[derive(Deserialize)]
struct Envelope {
    resource: Resource,
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
    pub(super) fn decode(&self) -> Result<Sealed<'_>, Refusal> {
        if self.algorithm != ALGORITHM {
            return Err(Refusal::UnsupportedAlgorithm { algorithm: shorten(&self.algorithm) });
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

#[derive(Deserialize)]
struct Amount {
    total: i64,
    currency: Option<Currency>,
    /// Of refunds: what this one gave back.
    refund: Option<i64>,
}

impl Amount {
    /// The whole amount of the payment.
    fn money(&self) -> Result<Money, Refusal> {
        let currency = match self.currency {
            Some(currency) => currency,
            None => Currency::parse(DEFAULT_CURRENCY).map_err(|error| unreadable(&error.to_string()))?,
        };
        Ok(Money::new(not_negative("amount.total", self.total)?, currency))
    }
}

/// Parses an authentic body and what is encrypted in it.
pub(super) fn parse(config: &WechatPay, account: &ChannelAccount, body: &[u8]) -> Result<Callback, Refusal> {
    let Head { id, event_type } = serde_json::from_slice(body).map_err(not_the_format)?;
    let dedupe_id = dedupe_id("id", id)?;
    let read = match event_type.as_str() {
        "TRANSACTION.SUCCESS" => transaction,
        "REFUND.SUCCESS" => refund,
        other => {
            let reason = shorten(&format!("event_type {other:?} is of no concern"));
            return Ok(Callback::Ignored { dedupe_id, reason });
        }
    };
    let Envelope { resource } = serde_json::from_slice(body).map_err(not_the_format)?;
    let plaintext = config.decrypt(&resource.decode()?)?;
    read(config, account, dedupe_id, &plaintext)
}

fn transaction(
    config: &WechatPay,
    account: &ChannelAccount,
    dedupe_id: String,
    plaintext: &[u8],
) -> Result<Callback, Refusal> {
    let stated: Payment = serde_json::from_slice(plaintext).map_err(not_the_format)?;
    check_mchid(config, &stated.mchid)?;
    if !config.appids.contains(&stated.appid) {
        let got = shorten(&stated.appid);
        return Err(Refusal::OtherAccount { code: "appid_mismatch", field: "appid", got });
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
) -> Result<Callback, Refusal> {
    let stated: MoneyBack = serde_json::from_slice(plaintext).map_err(not_the_format)?;
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

fn check_mchid(config: &WechatPay, mchid: &str) -> Result<(), Refusal> {
    if mchid == config.mchid {
        Ok(())
    } else {
        Err(Refusal::OtherAccount { code: "mchid_mismatch", field: "mchid", got: shorten(mchid) })
    }
}
