//! WeChat Pay, API v3: notices of payments and refunds of a directly connected merchant.
//!
//! Signed is `{Wechatpay-Timestamp}\n{Wechatpay-Nonce}\n{raw body}\n`, by `SHA256withRSA`. `Wechatpay-Serial` names the key: the serial number
//! of a certificate, or the id of a public key (`PUB_KEY_ID_…`); an account may have several of both. Only what is authentic is
//! decrypted: the notice is AES-256-GCM under the `APIv3` key.
//!
//! | `event_type` | states |
//! |---|---|
//! | `TRANSACTION.SUCCESS` | by `trade_state`: `SUCCESS` and `REFUND` a success (refunds have notices of their own), `CLOSED` and `REVOKED` a close, `PAYERROR` a failure; what is under way is ignored |
//! | `REFUND.SUCCESS` | one refund with the amount of its own |
//! | `REFUND.ABNORMAL`, `REFUND.CLOSED` | that money did not go back; unbooked |
//! | `COMPLAINT.…` | that the buyer complains at the channel; unbooked |
//! | others | unbooked if they name an `out_trade_no`, else nothing; acknowledged |
//!
//! Amounts are in fen. What counts is `total`, for `payer_total` is less by the channel's own coupons.

mod keys;
mod notice;
mod simulate;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use events::ChannelAccount;
use serde_json::json;
use time::OffsetDateTime;

pub use keys::{ApiV3Key, BadApiV3Key};
pub use simulate::{Kind, Notice, Sent, Signer, seal, sign, simulate};

use self::keys::PlatformKey;
use self::notice::Sealed;
use crate::config::Fields;
use crate::rsa::{RsaCertificate, RsaPublicKey};
use crate::values::{shorten, unix_seconds};
use crate::{Callback, CallbackOutcome, CallbackRefusal, CallbackRequest, ChannelAnswer};

/// From this distance on between our clock and the channel's a callback is refused, in seconds.
const TOLERANCE_SECONDS: u64 = 300;
const SIGNATURE_TYPE: &str = "WECHATPAY2-SHA256-RSA2048";
/// What the signatures of probes begin with.
const PROBE: &str = "WECHATPAY/SIGNTEST/";
const TIMESTAMP_HEADER: &str = "wechatpay-timestamp";
const NONCE_HEADER: &str = "wechatpay-nonce";
const SERIAL_HEADER: &str = "wechatpay-serial";
const SIGNATURE_HEADER: &str = "wechatpay-signature";
const SIGNATURE_TYPE_HEADER: &str = "wechatpay-signature-type";
/// Longest nonce of a signature in bytes; the channel sends 32.
const MAX_NONCE_BYTES: usize = 128;

/// A merchant, its applications, and the keys; several of each kind during a rotation.
#[derive(Debug)]
pub(crate) struct WechatPay {
    mchid: String,
    appids: Vec<String>,
    api_v3_keys: Vec<ApiV3Key>,
    platform_keys: Vec<PlatformKey>,
}

impl WechatPay {
    pub(crate) const KIND: &str = "wechatpay";

    pub(crate) fn from_fields(fields: &mut Fields<'_>) -> Self {
        let certificates = ["certificate", "certificates", "certificate_file", "certificate_files"];
        let public_keys = ["public_keys", "public_key_files"];
        if !fields.has_any(&certificates) && !fields.has_any(&public_keys) {
            fields.refuse(
                "public_keys",
                "missing; give keys by id as public_keys or public_key_files, or certificate, certificates, certificate_file or certificate_files"
                    .to_owned(),
            );
        }
        let mut platform_keys: Vec<_> =
            fields.optional_keys::<RsaCertificate>(certificates).into_iter().map(PlatformKey::from).collect();
        let named = fields.named_keys::<RsaPublicKey>(public_keys);
        platform_keys.extend(named.into_iter().map(|(id, key)| PlatformKey::new(&id, key)));
        Self {
            mchid: fields.text("mchid"),
            appids: fields.texts("appid", "appids"),
            api_v3_keys: fields.keys(["api_v3_key", "api_v3_keys", "api_v3_key_file", "api_v3_key_files"]),
            platform_keys,
        }
    }

    pub(crate) fn verify(
        &self,
        account: &ChannelAccount,
        request: &CallbackRequest<'_>,
        now: OffsetDateTime,
    ) -> Result<Callback, CallbackRefusal> {
        self.check_signature(request, now.unix_timestamp())?;
        notice::parse(self, account, request.body)
    }

    fn check_signature(&self, request: &CallbackRequest<'_>, now: i64) -> Result<(), CallbackRefusal> {
        let header = |name| request.header(name).ok_or(CallbackRefusal::MissingHeader { name });
        let timestamp_text = header(TIMESTAMP_HEADER)?;
        let nonce = header(NONCE_HEADER)?;
        let serial = header(SERIAL_HEADER)?;
        let signature = header(SIGNATURE_HEADER)?;
        if signature.starts_with(PROBE) {
            return Err(CallbackRefusal::Probe);
        }
        let signature_type = request.header(SIGNATURE_TYPE_HEADER).unwrap_or(SIGNATURE_TYPE);
        if signature_type != SIGNATURE_TYPE {
            return Err(CallbackRefusal::UnsupportedSignature { kind: shorten(signature_type) });
        }
        let malformed = |name, expected| CallbackRefusal::MalformedHeader { name, expected };
        let timestamp = unix_seconds(timestamp_text)
            .ok_or_else(|| malformed(TIMESTAMP_HEADER, "digits alone, seconds since 1970"))?;
        // A line break would let a part of the nonce be taken for the body.
        if !(1..=MAX_NONCE_BYTES).contains(&nonce.len()) || !nonce.bytes().all(|byte| byte.is_ascii_graphic())
        {
            return Err(malformed(NONCE_HEADER, "1 to 128 visible ASCII characters"));
        }
        let distance_seconds = now.abs_diff(timestamp);
        if distance_seconds >= TOLERANCE_SECONDS {
            return Err(CallbackRefusal::Expired { distance_seconds });
        }

        let mut keys = self.platform_keys.iter().filter(|key| key.is_named(serial)).peekable();
        if keys.peek().is_none() {
            return Err(CallbackRefusal::UnknownSerial { serial: shorten(serial) });
        }
        let signature = STANDARD.decode(signature).map_err(|_| CallbackRefusal::BadSignature {
            detail: format!("{SIGNATURE_HEADER}: expected base64"),
        })?;
        let content = signed_content(timestamp_text, nonce, request.body);
        if keys.any(|key| key.verifies(&content, &signature)) {
            Ok(())
        } else {
            Err(CallbackRefusal::BadSignature { detail: format!("not made by the key {}", shorten(serial)) })
        }
    }

    fn decrypt(&self, sealed: &Sealed<'_>) -> Result<Vec<u8>, CallbackRefusal> {
        self.api_v3_keys.iter().find_map(|key| key.open(sealed)).ok_or(CallbackRefusal::DecryptFailed)
    }

    /// 200 stops the channel's retries. A failure tells its code alone: what is wrong in detail is not the channel's business.
    pub(crate) fn answer(outcome: &CallbackOutcome<'_>) -> ChannelAnswer {
        match outcome {
            CallbackOutcome::Accepted | CallbackOutcome::Duplicate | CallbackOutcome::Ignored => {
                json_answer(200, "SUCCESS", "成功")
            }
            CallbackOutcome::Refused(refusal) => {
                json_answer(if refusal.is_authentic() { 500 } else { 401 }, "FAIL", refusal.code())
            }
            CallbackOutcome::Contradiction(reason) => json_answer(500, "FAIL", reason.as_str()),
            CallbackOutcome::UnknownPayOrder => json_answer(404, "FAIL", "unknown_pay_order"),
            CallbackOutcome::NotPersisted => json_answer(503, "FAIL", "not_persisted"),
        }
    }
}

fn json_answer(status: u16, code: &str, message: &str) -> ChannelAnswer {
    let body = json!({ "code": code, "message": message }).to_string();
    ChannelAnswer { status, content_type: Some("application/json"), body }
}

/// What a signature covers.
fn signed_content(timestamp: &str, nonce: &str, body: &[u8]) -> Vec<u8> {
    [timestamp.as_bytes(), b"\n", nonce.as_bytes(), b"\n", body, b"\n"].concat()
}
