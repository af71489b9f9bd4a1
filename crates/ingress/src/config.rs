//! The configuration of the ingress.

use std::time::Duration;

use messaging::RetryDelays;
use service::config::Ports;
use service::{Common, Loader, Secret};

use crate::channels_file::{Channels, Problem};

const PORTS: Ports = Ports { http: Some(8080), admin: 9080 };
/// Less than a week, and a long weekend could drop what is still to be looked into.
const MIN_RETENTION_DAYS: u16 = 7;
/// A week: an order that is closed must make room for another one some day.
const MAX_GRACE_SECONDS: u64 = 7 * 24 * 60 * 60;
/// One connection to the database each.
const MAX_SHARDS: i16 = 16;

/// What the ingress is told by the environment.
#[derive(Debug)]
pub struct Config {
    /// What all services share.
    pub common: Common,
    /// `PAYRELAY_CHANNELS_FILE`: the channel accounts; none if it is not set.
    pub channels: Channels,
    /// `PAYRELAY_RETRY_DELAYS`: they name the retry queues of the topology.
    pub retry_delays: RetryDelays,
    /// `PAYRELAY_MANAGEMENT_URL`: RabbitMQ's management API; it may hold a password.
    pub management_url: Option<Secret>,
    /// `PAYRELAY_CLOSE_GRACE_SECONDS`: from the end of payability to the close, so that payments under way still count.
    pub close_grace: Duration,
    /// `PAYRELAY_RETENTION_DAYS`: how long raw callbacks and events are kept.
    pub retention_days: u16,
    /// `PAYRELAY_OUTBOX_SHARDS`: how many relays share the outbox.
    pub outbox_shards: i16,
    /// `PAYRELAY_DATABASE_CONNECTIONS`: the size of the pool.
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
        Self {
            channels: channels(loader),
            retry_delays: loader.parse("PAYRELAY_RETRY_DELAYS", RetryDelays::default()),
            management_url: loader.optional_secret("PAYRELAY_MANAGEMENT_URL"),
            close_grace: Duration::from_secs(bounded(
                loader,
                "PAYRELAY_CLOSE_GRACE_SECONDS",
                900,
                (0, MAX_GRACE_SECONDS),
            )),
            retention_days: bounded(loader, "PAYRELAY_RETENTION_DAYS", 30, (MIN_RETENTION_DAYS, 3650)),
            outbox_shards: bounded(loader, "PAYRELAY_OUTBOX_SHARDS", 1, (1, MAX_SHARDS)),
            database_connections: bounded(loader, "PAYRELAY_DATABASE_CONNECTIONS", 16, (4, 1000)),
            common,
        }
    }
}

fn bounded<T>(loader: &mut Loader, name: &str, default: T, (min, max): (T, T)) -> T
where
    T: Copy + PartialOrd + std::fmt::Display + std::str::FromStr<Err: std::fmt::Display>,
{
    let value = loader.parse(name, default);
    if value < min || value > max {
        loader.reject(name, format!("is {value}"), format!("set it to a number from {min} to {max}"));
    }
    value
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
        assert_eq!(config.common.http_addr.unwrap().port(), 8080);
        assert_eq!(config.channels.current().names().count(), 0);
    }

    #[test]
    fn every_error_is_named_at_once() {
        let errors = load(&[
            ("PAYRELAY_RETENTION_DAYS", "3"),
            ("PAYRELAY_OUTBOX_SHARDS", "0"),
            ("PAYRELAY_RETRY_DELAYS", "soon"),
            ("PAYRELAY_CHANNELS_FILE", "missing/channels.toml"),
            ("PAYRELAY_CLOSE_GRACE_SECONDS", "-1"),
        ])
        .unwrap_err();
        let named: Vec<_> = errors.0.iter().map(|error| error.variable.as_str()).collect();
        for name in
            ["RETENTION_DAYS", "OUTBOX_SHARDS", "RETRY_DELAYS", "CHANNELS_FILE", "CLOSE_GRACE_SECONDS"]
        {
            assert!(named.contains(&format!("PAYRELAY_{name}").as_str()), "{name} in {errors}");
        }
    }
}
