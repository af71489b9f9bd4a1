//! The configuration of the ingress.

use std::time::Duration;

use events::codec::Format;
use ipnet::IpNet;
use messaging::RetryDelays;
use service::config::{Ports, Setting};
use service::{Common, Loader, Secret};
use webhooks::target::Networks;

use crate::channels_file::{Channels, Problem};

const PORTS: Ports = Ports { http: Some(8080), admin: 9080 };
const DEFAULT_GRACE: Duration = Duration::from_secs(900);
/// A week: an order that is closed must make room for another one some day.
const MAX_GRACE_SECONDS: u64 = 7 * 24 * 60 * 60;
/// One connection to the database each.
const MAX_SHARDS: i16 = 16;
const CONNECTIONS: usize = 16;
/// Connections that are left for all else when every shard has its own.
const MIN_CONNECTIONS: usize = 3;
const MAX_CONNECTIONS: usize = 1000;

/// What the documents say about the variables of the ingress.
pub const SETTINGS: [Setting; 7] = [
    Setting {
        name: "PAYRELAY_CHANNELS_FILE",
        meaning: "TOML file with the accounts of payment channels. SIGHUP reads it again.",
    },
    Setting {
        name: "PAYRELAY_EVENT_FORMAT",
        meaning: "How events are published: `protobuf`, or `json` (proto3 JSON). Consumers read both. \
                  Set it alike on all replicas.",
    },
    Setting {
        name: "PAYRELAY_MANAGEMENT_URL",
        meaning: "RabbitMQ's management API, such as `http://mq:15672`. The user is that of `PAYRELAY_AMQP_URL`.",
    },
    Setting {
        name: "PAYRELAY_CLOSE_GRACE_SECONDS",
        meaning: "How long after its expiry an unpaid pay order is closed. Payments in progress still count.",
    },
    Setting {
        name: "PAYRELAY_OUTBOX_SHARDS",
        meaning: "How many relays publish at once. Set it alike on all replicas.",
    },
    Setting {
        name: "PAYRELAY_DATABASE_CONNECTIONS",
        meaning: "Most connections to PostgreSQL. Each outbox shard takes one of them; at least 3 must be left.",
    },
    Setting {
        name: "PAYRELAY_ALLOWED_WEBHOOK_CIDRS",
        meaning: "Private networks that webhooks may be sent to. Example: `10.1.0.0/16,fd00::/8`. \
                  Set it alike on both services.",
    },
];

/// What the ingress is told by the environment.
#[derive(Debug)]
pub struct Config {
    /// What all services share.
    pub common: Common,
    /// `PAYRELAY_CHANNELS_FILE`: the channel accounts; none if it is not set.
    pub channels: Channels,
    /// `PAYRELAY_RETRY_DELAYS`: they name the retry queues of the topology.
    pub retry_delays: RetryDelays,
    /// `PAYRELAY_EVENT_FORMAT`: how events are published.
    pub event_format: Format,
    /// `PAYRELAY_MANAGEMENT_URL`: RabbitMQ's management API; it may hold a password.
    pub management_url: Option<Secret>,
    /// `PAYRELAY_CLOSE_GRACE_SECONDS`: from the end of payability to the close, so that payments under way still count.
    pub close_grace: Duration,
    /// `PAYRELAY_RETENTION_DAYS`: how long raw callbacks and events are kept.
    pub retention_days: u16,
    /// `PAYRELAY_ALLOWED_WEBHOOK_CIDRS`: private networks that webhooks may be sent to, as the notifier has them.
    pub allowed_networks: Vec<IpNet>,
    /// `PAYRELAY_OUTBOX_SHARDS`: how many relays share the outbox.
    pub outbox_shards: i16,
    /// `PAYRELAY_DATABASE_CONNECTIONS`: the most connections in all; one of them for each shard is its relay's own.
    pub database_connections: usize,
}

impl AsRef<Common> for Config {
    fn as_ref(&self) -> &Common {
        &self.common
    }
}

impl Config {
    /// Reads the environment; what is wrong is noted in `loader`.
    pub fn load(loader: &mut Loader) -> Self {
        let common = Common::load(loader, PORTS);
        let outbox_shards = loader.bounded("PAYRELAY_OUTBOX_SHARDS", 1, 1..=MAX_SHARDS);
        let fewest = MIN_CONNECTIONS + usize::try_from(outbox_shards).unwrap_or_default();
        Self {
            channels: channels(loader),
            retry_delays: runtime::config::retry_delays(loader),
            event_format: loader.parse("PAYRELAY_EVENT_FORMAT", Format::default()),
            management_url: loader.optional_secret("PAYRELAY_MANAGEMENT_URL"),
            close_grace: loader.seconds("PAYRELAY_CLOSE_GRACE_SECONDS", DEFAULT_GRACE, 0..=MAX_GRACE_SECONDS),
            retention_days: runtime::config::retention_days(loader),
            allowed_networks: allowed_networks(loader),
            outbox_shards,
            database_connections: loader.bounded(
                "PAYRELAY_DATABASE_CONNECTIONS",
                CONNECTIONS.max(fewest),
                fewest..=MAX_CONNECTIONS,
            ),
            common,
        }
    }
}

fn channels(loader: &mut Loader) -> Channels {
    const NAME: &str = "PAYRELAY_CHANNELS_FILE";
    let Some(file) = loader.optional_string(NAME) else { return Channels::default() };
    Channels::open(file.into()).unwrap_or_else(|problems| {
        for Problem { problem, advice } in problems {
            loader.reject(NAME, problem, advice);
        }
        Channels::default()
    })
}

fn allowed_networks(loader: &mut Loader) -> Vec<IpNet> {
    let networks: Option<Networks> = loader.optional("PAYRELAY_ALLOWED_WEBHOOK_CIDRS", Networks::EXAMPLE);
    networks.unwrap_or_default().0
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const NEEDED: [(&str, &str); 3] = [
        ("PAYRELAY_DATABASE_URL", "postgres://localhost/pay"),
        ("PAYRELAY_AMQP_URL", "amqp://localhost"),
        ("PAYRELAY_ADMIN_TOKEN", "token"),
    ];

    fn load(more: &[(&str, &str)]) -> Result<Config, service::ConfigErrors> {
        let variables: BTreeMap<_, _> = NEEDED
            .iter()
            .chain(more)
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let mut loader = Loader::from_map(variables);
        let config = Config::load(&mut loader);
        loader.finish().map(|()| config)
    }

    #[test]
    fn three_variables_are_enough() {
        let config = load(&[]).unwrap();
        assert_eq!(config.close_grace, Duration::from_secs(900));
        assert_eq!((config.retention_days, config.outbox_shards), (30, 1));
        assert_eq!(config.database_connections, 16);
        assert_eq!(config.event_format, Format::Protobuf);
        assert_eq!(config.common.http_addr.unwrap().port(), 8080);
        assert_eq!(config.channels.current().names().count(), 0);
    }

    #[test]
    fn every_error_is_named_at_once() {
        let errors = load(&[
            ("PAYRELAY_RETENTION_DAYS", "3"),
            ("PAYRELAY_OUTBOX_SHARDS", "0"),
            ("PAYRELAY_RETRY_DELAYS", "soon"),
            ("PAYRELAY_EVENT_FORMAT", "xml"),
            ("PAYRELAY_CHANNELS_FILE", "missing/channels.toml"),
            ("PAYRELAY_CLOSE_GRACE_SECONDS", "-1"),
            ("PAYRELAY_DATABASE_CONNECTIONS", "2"),
            ("PAYRELAY_ALLOWED_WEBHOOK_CIDRS", "127.0.0.1"),
        ])
        .unwrap_err();
        let named: Vec<_> = errors.0.iter().map(|error| error.variable.as_str()).collect();
        for name in [
            "RETENTION_DAYS",
            "OUTBOX_SHARDS",
            "RETRY_DELAYS",
            "EVENT_FORMAT",
            "CHANNELS_FILE",
            "CLOSE_GRACE_SECONDS",
            "ALLOWED_WEBHOOK_CIDRS",
        ] {
            assert!(named.contains(&format!("PAYRELAY_{name}").as_str()), "{name} in {errors}");
        }
    }
}
