//! What the notifier is told by its environment.

use events::MerchantId;
use ipnet::IpNet;
use messaging::RetryDelays;
use service::config::{Common, Ports, Setting};
use service::{Loader, MasterKey};
use webhooks::target::Networks;

use crate::Ladder;

const PORTS: Ports = Ports { http: None, admin: 9082 };

/// What the documents say about the variables of the notifier.
pub const SETTINGS: [Setting; 4] = [
    Setting {
        name: "PAYRELAY_MASTER_KEY",
        meaning: "Encrypts the secrets of webhooks in the database: 32 bytes in base64. \
                  Make one with `openssl rand -base64 32`.",
    },
    Setting {
        name: "PAYRELAY_NOTIFY_LADDER",
        meaning: "Delays between the attempts at a webhook, unless an endpoint has its own.",
    },
    Setting { name: "PAYRELAY_NOTIFY_WORKERS", meaning: "Attempts at a time in one replica." },
    Setting {
        name: "PAYRELAY_NOTIFY_WORKERS_PER_ENDPOINT",
        meaning: "Attempts at a time for one endpoint. At most `PAYRELAY_NOTIFY_WORKERS`.",
    },
];

const MAX_WORKERS: u32 = 4096;

/// The configuration of the notifier.
#[derive(Debug, Clone)]
pub struct Config {
    /// What all services have.
    pub common: Common,
    /// Encrypts the signing secrets: `PAYRELAY_MASTER_KEY`.
    pub master_key: MasterKey,
    /// The delays of the retry queues: `PAYRELAY_RETRY_DELAYS`.
    pub retry_delays: RetryDelays,
    /// Whose the bare order numbers are: `PAYRELAY_DEFAULT_MERCHANT_ID`.
    pub default_merchant_id: Option<MerchantId>,
    /// Private networks that webhooks may be sent to: `PAYRELAY_ALLOWED_WEBHOOK_CIDRS`, divided by commas; alike for the ingress.
    pub allowed_networks: Vec<IpNet>,
    /// The delays between attempts, unless an endpoint has its own: `PAYRELAY_NOTIFY_LADDER`.
    pub ladder: Ladder,
    /// Attempts at a time: `PAYRELAY_NOTIFY_WORKERS`.
    pub workers: u32,
    /// Attempts at a time for one endpoint: `PAYRELAY_NOTIFY_WORKERS_PER_ENDPOINT`.
    pub workers_per_endpoint: u32,
    /// How long handled events, attempts and the bodies of delivered notifications are kept: `PAYRELAY_RETENTION_DAYS`.
    pub retention_days: u16,
}

impl AsRef<Common> for Config {
    fn as_ref(&self) -> &Common {
        &self.common
    }
}

impl Config {
    /// Reads every variable; errors are collected in the loader.
    pub fn load(loader: &mut Loader) -> Self {
        let common = Common::load(loader, PORTS);
        let workers = loader.bounded("PAYRELAY_NOTIFY_WORKERS", 512, 1..=MAX_WORKERS);
        Self {
            common,
            master_key: loader.master_key("PAYRELAY_MASTER_KEY"),
            retry_delays: runtime::config::retry_delays(loader),
            default_merchant_id: loader.optional("PAYRELAY_DEFAULT_MERCHANT_ID", "m1"),
            allowed_networks: allowed_networks(loader),
            ladder: loader.parse("PAYRELAY_NOTIFY_LADDER", Ladder::default()),
            workers,
            workers_per_endpoint: loader.bounded(
                "PAYRELAY_NOTIFY_WORKERS_PER_ENDPOINT",
                32,
                1..=workers.max(1),
            ),
            retention_days: runtime::config::retention_days(loader),
        }
    }
}

fn allowed_networks(loader: &mut Loader) -> Vec<IpNet> {
    let networks: Option<Networks> = loader.optional("PAYRELAY_ALLOWED_WEBHOOK_CIDRS", Networks::EXAMPLE);
    networks.unwrap_or_default().0
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::DEFAULT_LADDER;

    fn load(variables: &[(&str, &str)]) -> (Config, Result<(), service::ConfigErrors>) {
        let required = [
            ("PAYRELAY_DATABASE_URL", "postgres://u@h/d"),
            ("PAYRELAY_AMQP_URL", "amqp://h"),
            ("PAYRELAY_ADMIN_TOKEN", "token"),
            ("PAYRELAY_MASTER_KEY", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="),
        ];
        let variables = required.iter().chain(variables);
        let variables: BTreeMap<_, _> =
            variables.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let mut loader = Loader::from_map(variables);
        let config = Config::load(&mut loader);
        (config, loader.finish())
    }

    #[test]
    fn the_defaults_are_those_of_the_contract() {
        let (config, result) = load(&[]);
        result.unwrap();
        assert_eq!(config.common.admin_addr.port(), 9082);
        assert_eq!(config.ladder, DEFAULT_LADDER.parse().unwrap());
        assert!(config.allowed_networks.is_empty());
        assert_eq!(config.retention_days, 30);
    }

    #[test]
    fn every_error_is_told_at_once() {
        let (_, result) = load(&[
            ("PAYRELAY_ALLOWED_WEBHOOK_CIDRS", "127.0.0.1"),
            ("PAYRELAY_NOTIFY_LADDER", "soon"),
            ("PAYRELAY_NOTIFY_WORKERS", "0"),
            ("PAYRELAY_RETENTION_DAYS", "6"),
            ("PAYRELAY_DEFAULT_MERCHANT_ID", "a b"),
        ]);
        let errors = result.unwrap_err().to_string();
        for name in ["CIDRS", "LADDER", "WORKERS", "RETENTION", "DEFAULT_MERCHANT"] {
            assert!(errors.contains(name), "{errors}");
        }
    }
}
