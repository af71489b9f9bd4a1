//! Callbacks of every channel, as the bytes are and signed as the channel signs; and the channels file.

use std::path::Path;
use std::sync::LazyLock;

use channels::wechatpay::Signer;
use channels::{
    Account, Callback, CallbackOutcome, CallbackRefusal, CallbackRequest, ChannelFact, ChannelSet,
};
use channels::{RsaSigningKey, alipay, standard, stripe, wechatpay};
use events::FactKind;
use serde_json::Value;
use time::OffsetDateTime;
use time::macros::datetime;

const NOW: OffsetDateTime = datetime!(2026-01-01 00:00 UTC);
const STANDARD_SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const STRIPE_SECRET: &str = "whsec_test_secret";
const API_V3_KEY: &str = "0123456789abcdef0123456789abcdef";
const KEY_ID: &str = "PUB_KEY_ID_1";
const VECTORS: &str = include_str!("../../crates/channels/tests/vectors/alipay.json");
/// The longest detail of a refusal in characters, escapes included.
const MAX_DETAIL_CHARS: usize = 4_000;

/// An account of each kind. Alipay and WeChat Pay sign by the same key.
static CHANNELS: LazyLock<ChannelSet> = LazyLock::new(|| {
    let public = config("alipay_public_key_spki_base64");
    let file = format!(
        "[standard]\nkind = 'standard'\nsecret = '{STANDARD_SECRET}'\n\
         [stripe]\nkind = 'stripe'\nsecret = '{STRIPE_SECRET}'\nmetadata_key = 'pay_order_id'\n\
         [alipay]\nkind = 'alipay'\napp_id = '{}'\nseller_id = '{}'\nalipay_public_key = '{public}'\n\
         [wechatpay]\nkind = 'wechatpay'\nmchid = 'M1'\nappid = 'A1'\napi_v3_key = '{API_V3_KEY}'\n\
         public_keys = {{ {KEY_ID} = '{public}' }}\n",
        config("app_id"),
        config("seller_id"),
    );
    ChannelSet::parse(&file, |_| Err(std::io::ErrorKind::NotFound.into())).expect("the file is right")
});
static WECHATPAY: LazyLock<Signer> = LazyLock::new(|| Signer {
    serial: KEY_ID.to_owned(),
    key: private_key(),
    api_v3_key: API_V3_KEY.parse().expect("it has 32 bytes"),
    mchid: "M1".to_owned(),
    appid: "A1".to_owned(),
});
static ALIPAY: LazyLock<RsaSigningKey> = LazyLock::new(private_key);

fn config(field: &str) -> String {
    let vectors: Value = serde_json::from_str(VECTORS).expect("the vectors are JSON");
    vectors["config"][field].as_str().expect("it is a text").to_owned()
}

fn private_key() -> RsaSigningKey {
    config("TEST_ONLY_signing_private_key_pkcs8_pem").parse().expect("the key is right")
}

/// A form, as it is and signed. The verdict is about the signed one; `None` if it cannot be signed.
pub fn alipay(data: &[u8]) -> Option<Result<Callback, CallbackRefusal>> {
    drop(verify("alipay", &[], data));
    let text = String::from_utf8_lossy(data);
    let unsigned: Vec<_> = text.split('&').filter(|pair| !pair.starts_with("sign")).collect();
    let sent = alipay::sign_form(&unsigned.join("&"), &ALIPAY)?;
    Some(verify("alipay", &sent.headers(), sent.body.as_bytes()))
}

/// Headers and a body, as they are; and the whole as a signed body.
pub fn standard(data: &[u8]) -> Option<Result<Callback, CallbackRefusal>> {
    let ([id, timestamp, signature], body) = lines(data);
    let headers = [("webhook-id", id), ("webhook-timestamp", timestamp), ("webhook-signature", signature)];
    drop(verify("standard", &headers, body.as_bytes()));
    let secret = STANDARD_SECRET.parse().expect("the secret is right");
    let text = String::from_utf8_lossy(data).into_owned();
    let sent = standard::sign(text, "evt_1", &secret, NOW).ok()?;
    Some(verify("standard", &sent.headers(), sent.body.as_bytes()))
}

/// As [`standard`].
pub fn stripe(data: &[u8]) -> Result<Callback, CallbackRefusal> {
    let ([signature], body) = lines(data);
    drop(verify("stripe", &[("stripe-signature", signature)], body.as_bytes()));
    let secret = STRIPE_SECRET.parse().expect("the secret is right");
    let sent = stripe::sign(String::from_utf8_lossy(data).into_owned(), &secret, NOW);
    verify("stripe", &sent.headers(), sent.body.as_bytes())
}

/// Headers and a body, as they are; the whole as a signed body; and a line with the type of an event and what is encrypted in it, of which
/// the verdict is.
pub fn wechatpay(data: &[u8]) -> Option<Result<Callback, CallbackRefusal>> {
    let ([timestamp, nonce, serial, signature], body) = lines(data);
    let headers = [
        ("wechatpay-timestamp", timestamp),
        ("wechatpay-nonce", nonce),
        ("wechatpay-serial", serial),
        ("wechatpay-signature", signature),
    ];
    drop(verify("wechatpay", &headers, body.as_bytes()));
    let sent = wechatpay::sign(String::from_utf8_lossy(data).into_owned(), &WECHATPAY, NOW)?;
    drop(verify("wechatpay", &sent.headers(), sent.body.as_bytes()));

    let ([event_type], plaintext) = lines(data);
    let sent = wechatpay::seal((event_type, plaintext), "EV-1", &WECHATPAY, NOW)?;
    Some(verify("wechatpay", &sent.headers(), sent.body.as_bytes()))
}

/// A channels file; the files that it names hold the same.
pub fn channels_file(data: &[u8]) -> Result<Vec<String>, String> {
    let text = String::from_utf8_lossy(data);
    let parsed = ChannelSet::parse(&text, |_: &Path| Ok(text.as_bytes().to_vec()));
    match parsed {
        Ok(channels) => {
            for name in channels.names() {
                let account = channels.account(name).expect("it has a name");
                drop(verify_by(account, &[], data));
            }
            Ok(channels.names().map(str::to_owned).collect())
        }
        Err(errors) => {
            assert!(!errors.0.is_empty(), "a refusal without a reason");
            Err(errors.to_string())
        }
    }
}

/// The first lines, empty ones where there are no more, and the rest. A text that is cut in the middle of a character is none.
fn lines<const N: usize>(data: &[u8]) -> ([&str; N], &str) {
    let text = std::str::from_utf8(data).unwrap_or_default();
    let mut parts = text.splitn(N + 1, '\n');
    let heads = [(); N].map(|()| parts.next().unwrap_or_default());
    (heads, parts.next().unwrap_or_default())
}

fn verify(kind: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<Callback, CallbackRefusal> {
    verify_by(CHANNELS.account(kind).expect("it is configured"), headers, body)
}

/// The verdict, checked for what the ingress relies on without looking at it again.
fn verify_by(account: &Account, headers: &[(&str, &str)], body: &[u8]) -> Result<Callback, CallbackRefusal> {
    let verdict = account.verify(&CallbackRequest { headers, body }, NOW);
    match &verdict {
        Ok(Callback::Fact(stated)) => check(account, stated),
        Ok(Callback::Ignored { dedupe_id, reason } | Callback::Unbooked { dedupe_id, reason, .. }) => {
            check_dedupe_id(dedupe_id);
            assert!(reason.chars().count() <= MAX_DETAIL_CHARS, "a long reason");
        }
        Err(refusal) => {
            assert!(refusal.to_string().chars().count() <= MAX_DETAIL_CHARS, "a long refusal");
            let answer = account.answer(&CallbackOutcome::Refused(refusal));
            assert!(
                answer.status >= 400 || answer.body == "failure",
                "a refusal that the channel takes for success"
            );
        }
    }
    verdict
}

fn check(account: &Account, ChannelFact { dedupe_id, fact, .. }: &ChannelFact) {
    check_dedupe_id(dedupe_id);
    assert_eq!(fact.account.as_ref(), Some(account.name()));
    assert!(fact.amount.is_none_or(|amount| amount.amount_minor >= 0), "a negative amount");
    assert!(
        !fact.kind.moves_money() || (fact.amount.is_some() && fact.channel_trade_no.is_some()),
        "half a payment"
    );
    let time = match &fact.kind {
        FactKind::Succeeded { paid_at } => *paid_at,
        FactKind::Refunded { refunded_minor, refunded_at } => {
            assert!(*refunded_minor >= 0, "a negative refund");
            *refunded_at
        }
        FactKind::PartRefunded { amount_minor, refunded_at, .. } => {
            assert!(*amount_minor > 0, "a refund of nothing");
            *refunded_at
        }
        FactKind::Submitted | FactKind::Failed | FactKind::Closed => NOW,
    };
    assert!(time.offset().is_utc() && (1970..=9999).contains(&time.year()), "{time} cannot be stored");
    assert_eq!(time.nanosecond() % 1_000, 0, "{time} would come back otherwise");
}

fn check_dedupe_id(dedupe_id: &str) {
    let visible = dedupe_id.bytes().all(|byte| byte.is_ascii_graphic());
    assert!(visible && (1..=255).contains(&dedupe_id.len()), "{dedupe_id:?} is no identity");
}
