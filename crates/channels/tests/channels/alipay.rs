//! Alipay's notices: the vectors, what each status states, and whatever else comes in.

mod notices;
mod properties;
mod vectors;

use channels::alipay::{Notice, Sent, Signer, simulate};
use channels::{Callback, CallbackRefusal, CallbackRequest, ChannelFact, ChannelSet};
use events::{Currency, Money, PayOrderNo};
use serde::Deserialize;
use time::OffsetDateTime;
use time::macros::datetime;

const VECTORS: &str = include_str!("../vectors/alipay.json");
const NOW: OffsetDateTime = datetime!(2026-01-01 00:00 UTC);

/// The account of the vectors, with the keys that they are signed by.
#[derive(Deserialize)]
struct Config {
    app_id: String,
    seller_id: String,
    alipay_public_key_pem: String,
    alipay_public_key_spki_base64: String,
    #[serde(rename = "TEST_ONLY_signing_private_key_pkcs8_pem")]
    signing_key_pem: String,
}

fn config() -> Config {
    #[derive(Deserialize)]
    struct Vectors {
        config: Config,
    }
    serde_json::from_str::<Vectors>(VECTORS).expect("the vectors are JSON").config
}

fn channels(app_id: &str, seller_id: &str, keys: &[&str]) -> ChannelSet {
    let text = format!(
        "[alipay_main]\nkind = 'alipay'\napp_id = '{app_id}'\nseller_id = '{seller_id}'\nalipay_public_keys = {keys:?}"
    );
    ChannelSet::parse(&text, |_| Err(std::io::ErrorKind::NotFound.into()))
        .expect("the configuration is right")
}

/// What the account of the vectors says to this body.
fn verify(body: &[u8]) -> Result<Callback, CallbackRefusal> {
    let config = config();
    let channels = channels(&config.app_id, &config.seller_id, &[&config.alipay_public_key_spki_base64]);
    let account = channels.account("alipay_main").expect("it is configured");
    account.verify(&CallbackRequest { headers: &[], body }, NOW)
}

fn signer(charset: &str) -> Signer {
    let Config { app_id, seller_id, signing_key_pem, .. } = config();
    let key = signing_key_pem.parse().expect("the key is right");
    Signer { app_id, seller_id, key, charset: charset.to_owned() }
}

fn notice(trade_status: &str, refunded_minor: Option<i64>) -> Notice {
    Notice {
        trade_status: trade_status.to_owned(),
        pay_order_no: PayOrderNo::parse("P1").expect("it is a number"),
        trade_no: "T1".to_owned(),
        subject: "测试 A+B & 100% = ok".to_owned(),
        total: Money::new(1999, Currency::parse("CNY").expect("it is listed")),
        at: NOW,
        refunded_minor,
    }
}

fn send(notice: &Notice, charset: &str) -> Sent {
    simulate(notice, "N1", &signer(charset), NOW).expect("it can be signed")
}

fn stated(body: &str) -> ChannelFact {
    match verify(body.as_bytes()) {
        Ok(Callback::Fact(stated)) => stated,
        other => panic!("expected a fact from {body}, got {other:?}"),
    }
}
