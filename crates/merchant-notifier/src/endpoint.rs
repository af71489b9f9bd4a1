//! Where and how a merchant wants its webhooks, and how it acknowledges them.

use std::str::FromStr;

use events::MerchantId;
use serde::{Deserialize, Deserializer, Serialize};
use thiserror::Error;
use time::OffsetDateTime;
use webhooks::Version;

use crate::Ladder;

/// How a merchant says that it has a webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ack {
    /// By any status of the 200s.
    #[default]
    #[serde(rename = "any_2xx")]
    Any2xx,
    /// By a status of the 200s and the body `success`, in any case and with any white space around it.
    Success,
}

/// In what shape a merchant gets its webhooks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// JSON, signed as Standard Webhooks want it.
    #[default]
    Standard,
    /// The form of Jeepay-kind gateways, signed by MD5.
    FormMd5,
}

/// A text that names none of the values of a setting.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{what}: expected {expected}, got {got:?}")]
pub struct UnknownName {
    what: &'static str,
    expected: &'static str,
    got: String,
}

macro_rules! named {
    ($type:ident, $what:literal, $first:ident = $first_name:literal, $second:ident = $second_name:literal) => {
        impl $type {
            /// The name in JSON and in the database.
            pub const fn as_str(self) -> &'static str {
                match self {
                    Self::$first => $first_name,
                    Self::$second => $second_name,
                }
            }
        }

        impl FromStr for $type {
            type Err = UnknownName;

            fn from_str(text: &str) -> Result<Self, UnknownName> {
                let found = [Self::$first, Self::$second].into_iter().find(|known| known.as_str() == text);
                found.ok_or_else(|| UnknownName {
                    what: $what,
                    expected: concat!($first_name, " or ", $second_name),
                    got: text.to_owned(),
                })
            }
        }
    };
}

named!(Ack, "ack", Any2xx = "any_2xx", Success = "success");
named!(Format, "format", Standard = "standard", FormMd5 = "form-md5");

/// Which signatures a webhook of the format `standard` carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Signature {
    /// HMAC-SHA256 under a secret that both sides hold.
    #[default]
    V1,
    /// Ed25519, of which the merchant holds the public key only.
    V1a,
    /// Both, so that a merchant can go from one to the other.
    Both,
}

impl Signature {
    /// Whether signatures of this version are among them.
    pub fn includes(self, version: Version) -> bool {
        matches!((self, version), (Self::Both, _) | (Self::V1, Version::V1) | (Self::V1a, Version::V1a))
    }
}

/// How the data of a webhook is hidden from whoever looks at it on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Encryption {
    /// AES-256-GCM under a key of the endpoint's own.
    #[serde(rename = "aes-256-gcm")]
    Aes256Gcm,
}

/// A merchant as the notifier knows it. Its secrets are told once, when they are made, and never again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// The merchant.
    pub merchant_id: MerchantId,
    /// Where webhooks go whose pay order names no address of its own.
    pub url: Option<String>,
    /// Whether anything is sent; a merchant's answer 410 turns it off.
    pub enabled: bool,
    /// How an attempt is acknowledged.
    pub ack: Ack,
    /// What an attempt sends.
    pub format: Format,
    /// Its keys, under the master key.
    pub sealed_keyring: Vec<u8>,
    /// The merchant's own delays; `None` for the configured ones.
    pub ladder: Option<Ladder>,
    /// When the merchant was added.
    pub created_at: OffsetDateTime,
    /// When any of this changed last.
    pub updated_at: OffsetDateTime,
}

/// What to change of an endpoint; `None` keeps what is there, or takes the default.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EndpointChange {
    /// The address.
    pub url: Change<String>,
    /// Turns sending on or off.
    pub enabled: Option<bool>,
    /// How attempts are acknowledged from now on; left out with another format, as is usual for that.
    pub ack: Option<Ack>,
    /// What attempts send from now on.
    pub format: Option<Format>,
    /// The delays; cleared, those that are configured.
    pub ladder: Change<Ladder>,
}

/// What to do with a value that there need not be. In JSON: absent (with `#[serde(default)]`), `null`, or the value.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Change<T> {
    /// Leave it.
    #[default]
    Keep,
    /// Take it away.
    Clear,
    /// Set it.
    Set(T),
}

impl<T> Change<T> {
    /// The value that is set.
    pub fn value(&self) -> Option<&T> {
        match self {
            Self::Set(value) => Some(value),
            Self::Keep | Self::Clear => None,
        }
    }

    /// Whether anything changes.
    pub fn is_change(&self) -> bool {
        !matches!(self, Self::Keep)
    }

    /// Turns the value into another.
    pub fn try_map<U, E>(self, map: impl FnOnce(T) -> Result<U, E>) -> Result<Change<U>, E> {
        Ok(match self {
            Self::Keep => Change::Keep,
            Self::Clear => Change::Clear,
            Self::Set(value) => Change::Set(map(value)?),
        })
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Change<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Option::deserialize(deserializer)?.map_or(Self::Clear, Self::Set))
    }
}
