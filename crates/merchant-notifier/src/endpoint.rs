//! Where a merchant wants its webhooks, and how it acknowledges them.

use std::fmt;
use std::str::FromStr;

use events::MerchantId;
use serde::{Deserialize, Deserializer, Serialize};
use thiserror::Error;
use time::OffsetDateTime;

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

/// A name that is no [`Ack`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("ack: expected any_2xx or success, got {0:?}")]
pub struct UnknownAck(String);

impl Ack {
    /// The name in JSON and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Any2xx => "any_2xx",
            Self::Success => "success",
        }
    }
}

impl fmt::Display for Ack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Ack {
    type Err = UnknownAck;

    fn from_str(text: &str) -> Result<Self, UnknownAck> {
        let found = [Self::Any2xx, Self::Success].into_iter().find(|ack| ack.as_str() == text);
        found.ok_or_else(|| UnknownAck(text.to_owned()))
    }
}

/// A merchant as the notifier knows it. Its signing secret is told once, when it is made, and never again.
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
    /// How attempts are acknowledged from now on.
    pub ack: Option<Ack>,
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
