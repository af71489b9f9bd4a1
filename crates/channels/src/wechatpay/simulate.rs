//! WeChat Pay's side, for simulators and tests.

use events::{Money, PayOrderNo};
use ring::digest::{SHA256, digest};
use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;
use time::macros::offset;
use time::{OffsetDateTime, UtcOffset};

use super::keys::ApiV3Key;
use super::{
    NONCE_HEADER, SERIAL_HEADER, SIGNATURE_HEADER, SIGNATURE_TYPE, SIGNATURE_TYPE_HEADER, TIMESTAMP_HEADER,
    signed_content,
};
use crate::RsaSigningKey;

/// The clock of the channel.
const BEIJING: UtcOffset = offset!(+8);

/// One account as WeChat Pay knows it.
#[derive(Debug)]
pub struct Signer {
    /// The serial number of the certificate, or the id of the public key, that belongs to `key`.
    pub serial: String,
    /// What callbacks are signed with.
    pub key: RsaSigningKey,
    /// What notices are encrypted with.
    pub api_v3_key: ApiV3Key,
    /// The merchant.
    pub mchid: String,
    /// The application that was paid in.
    pub appid: String,
}

/// What a notice is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// `TRANSACTION.SUCCESS` with this `trade_state`.
    Transaction {
        /// As `SUCCESS`.
        trade_state: String,
    },
    /// `REFUND.SUCCESS`.
    Refund {
        /// The channel's number of the refund.
        refund_id: String,
        /// What this refund alone gave back, in fen.
        amount_minor: i64,
    },
}

/// What WeChat Pay has to say about one pay order.
#[derive(Debug, Clone)]
pub struct Notice {
    /// What happened.
    pub kind: Kind,
    /// The pay order meant, `out_trade_no` there.
    pub pay_order_no: PayOrderNo,
    /// The channel's own number of the trade.
    pub transaction_id: String,
    /// The whole amount of the payment. Notices of refunds name no currency.
    pub total: Money,
    /// When it happened.
    pub at: OffsetDateTime,
}

/// A signed callback, ready to be posted.
#[derive(Debug, Clone)]
pub struct Sent {
    /// The time of this attempt, in seconds since 1970.
    pub timestamp: String,
    /// What makes the signature of each attempt another one.
    pub nonce: String,
    /// The name of the key.
    pub serial: String,
    /// The signature, in base64.
    pub signature: String,
    /// The JSON body.
    pub body: String,
}

impl Sent {
    /// Names and values of the headers to post with the body.
    pub fn headers(&self) -> [(&'static str, &str); 6] {
        [
            ("content-type", "application/json"),
            (TIMESTAMP_HEADER, &self.timestamp),
            (NONCE_HEADER, &self.nonce),
            (SERIAL_HEADER, &self.serial),
            (SIGNATURE_HEADER, &self.signature),
            (SIGNATURE_TYPE_HEADER, SIGNATURE_TYPE),
        ]
    }
}

/// The callback by which WeChat Pay tells `notice` under the identity `id`, in an attempt made `now`; `None` if the system has no random
/// bytes to sign with.
pub fn simulate(notice: &Notice, id: &str, signer: &Signer, now: OffsetDateTime) -> Option<Sent> {
    let (event_type, plaintext) = match &notice.kind {
        Kind::Transaction { trade_state } => {
            ("TRANSACTION.SUCCESS", transaction(notice, trade_state, signer))
        }
        Kind::Refund { refund_id, amount_minor } => {
            ("REFUND.SUCCESS", refund(notice, (refund_id, *amount_minor), signer))
        }
    };
    seal((event_type, &plaintext.to_string()), id, signer, now)
}

/// Encrypts and signs a notice of any event and content, also one that no honest channel would send.
pub fn seal(
    (event_type, plaintext): (&str, &str),
    id: &str,
    signer: &Signer,
    now: OffsetDateTime,
) -> Option<Sent> {
    let nonce = distinct(&[event_type, plaintext, id])[..12].to_owned();
    let associated_data = event_type.split('.').next().unwrap_or_default().to_ascii_lowercase();
    let nonce_bytes = nonce.as_bytes().try_into().ok()?;
    let body = json!({
        "id": id,
        "create_time": beijing(now),
        "resource_type": "encrypt-resource",
        "event_type": event_type,
        "summary": event_type,
        "resource": {
            "original_type": associated_data,
            "algorithm": "AEAD_AES_256_GCM",
            "ciphertext": signer.api_v3_key.seal(plaintext, nonce_bytes, &associated_data)?,
            "associated_data": associated_data,
            "nonce": nonce,
        }
    });
    sign(body.to_string(), signer, now)
}

/// Signs a body of any content.
pub fn sign(body: String, signer: &Signer, now: OffsetDateTime) -> Option<Sent> {
    let timestamp = now.unix_timestamp().to_string();
    let nonce = distinct(&[&timestamp, &body])[..32].to_owned();
    let signature = signer.key.sign(&signed_content(&timestamp, &nonce, body.as_bytes()))?;
    Some(Sent { timestamp, nonce, serial: signer.serial.clone(), signature, body })
}

fn transaction(notice: &Notice, trade_state: &str, signer: &Signer) -> Value {
    json!({
        "mchid": signer.mchid,
        "appid": signer.appid,
        "out_trade_no": notice.pay_order_no,
        "transaction_id": notice.transaction_id,
        "trade_type": "NATIVE",
        "trade_state": trade_state,
        "success_time": beijing(notice.at),
        "amount": {
            "total": notice.total.amount_minor,
            "payer_total": notice.total.amount_minor,
            "currency": notice.total.currency,
            "payer_currency": notice.total.currency,
        }
    })
}

fn refund(notice: &Notice, (refund_id, amount_minor): (&str, i64), signer: &Signer) -> Value {
    json!({
        "mchid": signer.mchid,
        "out_trade_no": notice.pay_order_no,
        "transaction_id": notice.transaction_id,
        "out_refund_no": format!("out-{refund_id}"),
        "refund_id": refund_id,
        "refund_status": "SUCCESS",
        "success_time": beijing(notice.at),
        "amount": {
            "total": notice.total.amount_minor,
            "refund": amount_minor,
            "payer_total": notice.total.amount_minor,
            "payer_refund": amount_minor,
        }
    })
}

/// 64 characters that others parts do not give: a key must not encrypt two notices with one nonce.
fn distinct(parts: &[&str]) -> String {
    hex::encode_upper(digest(&SHA256, parts.join("\n").as_bytes()).as_ref())
}

/// `null` for a year that RFC 3339 cannot write.
fn beijing(time: OffsetDateTime) -> Option<String> {
    time.checked_to_offset(BEIJING)?.format(&Rfc3339).ok()
}
