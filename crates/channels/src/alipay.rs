//! Alipay's asynchronous notices: a signed form.
//!
//! Signed is every parameter but `sign` and `sign_type`, sorted by name, as `name=value` joined by `&`, in the charset that `charset` names, by
//! `SHA256withRSA` (RSA2). Nothing else is taken, whatever `sign_type` says. A notice is as good after hours as at once: there is no
//! time in what is signed that could be checked, only the state of the pay order keeps repetitions off.
//!
//! | `trade_status` | states |
//! |---|---|
//! | `WAIT_BUYER_PAY` | nothing; acknowledged |
//! | `TRADE_SUCCESS`, `TRADE_FINISHED` | a success; with a `refund_fee` above 0 a partial refund |
//! | `TRADE_CLOSED` | a close; with `gmt_refund` or a `refund_fee` above 0 a full refund |
//!
//! A notice of another `notify_type` is unbooked if it names an `out_trade_no`, else ignored.
//!
//! `refund_fee` is all that went back so far. Times are Beijing's, amounts yuan with a point. What counts is `total_amount`: what the buyer
//! paid and the seller received may be less by coupons.

mod form;
mod notice;
mod simulate;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use events::ChannelAccount;

pub use simulate::{Notice, Sent, Signer, sign, sign_form, simulate};

use self::form::{Charset, Form};
use crate::config::Fields;
use crate::rsa::RsaPublicKey;
use crate::values::{shorten, unreadable};
use crate::{Callback, CallbackOutcome, CallbackRefusal, CallbackRequest, ChannelAnswer};

/// The only value of `sign_type`; `RSA` would be SHA-1.
const SIGN_TYPE: &str = "RSA2";

/// An application, its seller, and Alipay's public keys; several during a rotation.
#[derive(Debug)]
pub(crate) struct Alipay {
    app_id: String,
    seller_id: String,
    keys: Vec<RsaPublicKey>,
}

impl Alipay {
    pub(crate) const KIND: &str = "alipay";

    pub(crate) fn from_fields(fields: &mut Fields<'_>) -> Self {
        Self {
            app_id: fields.text("app_id"),
            seller_id: fields.text("seller_id"),
            keys: fields.keys([
                "alipay_public_key",
                "alipay_public_keys",
                "alipay_public_key_file",
                "alipay_public_key_files",
            ]),
        }
    }

    pub(crate) fn verify(
        &self,
        account: &ChannelAccount,
        request: &CallbackRequest<'_>,
    ) -> Result<Callback, CallbackRefusal> {
        let form = Form::parse(request.body).map_err(|error| CallbackRefusal::BadSignature {
            detail: format!("the body is no signed form: {error}"),
        })?;
        self.check_signature(&form)?;
        if form.charset().is_none() {
            let got = form.get("charset").map(String::from_utf8_lossy).unwrap_or_default();
            return Err(unreadable(&format!("charset: expected {}, got {got:?}", Charset::EXPECTED)));
        }
        notice::parse(self, account, &form)
    }

    fn check_signature(&self, form: &Form) -> Result<(), CallbackRefusal> {
        let sign = form.get("sign").filter(|sign| !sign.is_empty()).ok_or(CallbackRefusal::MissingSign)?;
        let sign_type = form.get("sign_type").unwrap_or(SIGN_TYPE.as_bytes());
        if sign_type != SIGN_TYPE.as_bytes() {
            let got = String::from_utf8_lossy(sign_type);
            let detail = format!("sign_type: expected {SIGN_TYPE}, got {:?}", shorten(&got));
            return Err(CallbackRefusal::BadSignature { detail });
        }
        // Encoders of MIME break the lines.
        let sign: Vec<u8> = sign.iter().copied().filter(|byte| !matches!(byte, b'\r' | b'\n')).collect();
        let signature = STANDARD.decode(sign).map_err(|_| bad_signature("sign: expected base64"))?;
        let fits = |content: &[u8]| self.keys.iter().any(|key| key.verifies(content, &signature));
        let content = form.signed_content();
        let transcoded = || form.charset().and_then(|charset| charset.encode(&content));
        if fits(&content) || transcoded().is_some_and(|content| fits(&content)) {
            Ok(())
        } else {
            Err(bad_signature("made by none of the account's keys, or changed on the way"))
        }
    }

    /// The channel reads the body alone: `success`, or it asks again. So the status is 200 for every verdict, and tells
    /// proxies and monitors only of a failure of ours.
    pub(crate) fn answer(outcome: &CallbackOutcome<'_>) -> ChannelAnswer {
        let (status, body) = match outcome {
            CallbackOutcome::Accepted | CallbackOutcome::Duplicate | CallbackOutcome::Ignored => {
                (200, "success")
            }
            CallbackOutcome::Refused(_)
            | CallbackOutcome::Contradiction(_)
            | CallbackOutcome::UnknownPayOrder => (200, "failure"),
            CallbackOutcome::NotPersisted => (503, "failure"),
        };
        ChannelAnswer { status, content_type: Some("text/plain"), body: body.to_owned() }
    }
}

fn bad_signature(detail: &str) -> CallbackRefusal {
    CallbackRefusal::BadSignature { detail: detail.to_owned() }
}
