//! An account with the keys of the vectors, and WeChat Pay's side of it.

use std::collections::BTreeMap;

use channels::wechatpay::{Kind, Notice, Sent, Signer};
use channels::{Callback, CallbackRefusal, CallbackRequest, ChannelFact, ChannelSet};
use events::{Currency, Money, PayOrderNo};
use serde::Deserialize;
use serde_json::{Map, Value};
use time::OffsetDateTime;
use time::macros::datetime;

use crate::recorded::Recorded;

pub(crate) const NOW: OffsetDateTime = datetime!(2026-01-01 00:00 UTC);
pub(crate) const ACCOUNT: &str = "wechat_main";
pub(crate) const SERIAL: &str = "5157F09EFDC096DE15EBE81A47057A7232F1B8E1";
pub(crate) const KEY_ID: &str = "PUB_KEY_ID_0000000000000000000000000001";

#[derive(Deserialize)]
pub(crate) struct Vectors {
    pub(crate) config: Config,
    pub(crate) official: Vec<Value>,
    pub(crate) cases: Vec<Case>,
}

#[derive(Deserialize)]
pub(crate) struct Config {
    pub(crate) mchid: String,
    pub(crate) appid: String,
    pub(crate) apiv3_key: String,
    pub(crate) platform_certificates: BTreeMap<String, String>,
    pub(crate) platform_public_keys: BTreeMap<String, String>,
    #[serde(rename = "TEST_ONLY_platform_private_key_pem")]
    pub(crate) certificate_private_key: String,
    #[serde(rename = "TEST_ONLY_public_key_mode_private_key_pem")]
    pub(crate) public_key_private_key: String,
    pub(crate) orders: BTreeMap<String, Money>,
}

#[derive(Deserialize)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) now: i64,
    pub(crate) request: Recorded,
    pub(crate) expect: Expect,
}

#[derive(Deserialize)]
pub(crate) struct Expect {
    pub(crate) accept: bool,
    pub(crate) reason: String,
    pub(crate) http_status: u16,
    pub(crate) http_body: Value,
    #[serde(default)]
    pub(crate) normalized: Map<String, Value>,
}

pub(crate) fn vectors() -> Vectors {
    serde_json::from_str(include_str!("../../vectors/wechatpay_v3.json")).expect("the vectors are right")
}

/// A channels file with one account of these fields, where `fields` are lines of TOML.
pub(crate) fn channels(fields: &str) -> ChannelSet {
    let text = format!("[{ACCOUNT}]\nkind = 'wechatpay'\n{fields}");
    ChannelSet::parse(&text, |path| panic!("no file is named, {} was asked for", path.display()))
        .unwrap_or_else(|errors| panic!("{errors}\n{text}"))
}

/// The account of the vectors, which has a certificate and a public key.
pub(crate) fn account() -> ChannelSet {
    channels(&fields(&vectors().config))
}

/// The fields of the vectors' account.
pub(crate) fn fields(config: &Config) -> String {
    let certificates: Vec<_> = config.platform_certificates.values().collect();
    let named = config.platform_public_keys.iter().map(|(id, pem)| format!("{id} = {pem:?}"));
    let named = named.collect::<Vec<_>>().join(", ");
    let Config { mchid, appid, apiv3_key, .. } = config;
    format!(
        "mchid = '{mchid}'\nappid = '{appid}'\napi_v3_key = '{apiv3_key}'\n\
         certificates = {certificates:?}\npublic_keys = {{ {named} }}\n"
    )
}

/// The channel, signing by its certificate.
pub(crate) fn signer() -> Signer {
    let config = vectors().config;
    Signer {
        serial: SERIAL.to_owned(),
        key: config.certificate_private_key.parse().expect("the key is right"),
        api_v3_key: config.apiv3_key.parse().expect("the key is right"),
        mchid: config.mchid,
        appid: config.appid,
    }
}

/// A payment of 19.99 CNY.
pub(crate) fn paid() -> Notice {
    Notice {
        kind: Kind::Transaction { trade_state: "SUCCESS".to_owned() },
        pay_order_no: PayOrderNo::parse("P1").expect("it is valid"),
        transaction_id: "T1".to_owned(),
        total: Money::new(1999, Currency::parse("CNY").expect("it is listed")),
        at: datetime!(2025-12-31 23:59:58 UTC),
    }
}

pub(crate) fn verify(channels: &ChannelSet, sent: &Sent) -> Result<Callback, CallbackRefusal> {
    verify_raw(channels, &sent.headers(), sent.body.as_bytes(), NOW)
}

pub(crate) fn verify_raw(
    channels: &ChannelSet,
    headers: &[(&str, &str)],
    body: &[u8],
    now: OffsetDateTime,
) -> Result<Callback, CallbackRefusal> {
    channels.account(ACCOUNT).expect("it is configured").verify(&CallbackRequest { headers, body }, now)
}

/// The fact that the channel states.
pub(crate) fn stated(verdict: Result<Callback, CallbackRefusal>) -> ChannelFact {
    match verdict {
        Ok(Callback::Fact(stated)) => stated,
        other => panic!("expected a fact, got {other:?}"),
    }
}
