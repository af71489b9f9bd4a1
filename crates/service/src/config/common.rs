//! What every service is told.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::{AmqpSettings, DatabaseSettings, Loader, Setting};
use crate::Secret;
use crate::http::Patience;
use crate::logging::{self, LogFormat};

/// What the documents say about the variables that all services share.
pub const COMMON_SETTINGS: [Setting; 9] = [
    Setting { name: "PAYRELAY_HTTP_ADDR", meaning: "Address and port of the public HTTP." },
    Setting {
        name: "PAYRELAY_ADMIN_ADDR",
        meaning: "Address and port of the admin HTTP: health, readiness, metrics and `/admin`. Keep it inside.",
    },
    Setting {
        name: "PAYRELAY_ADMIN_TOKEN",
        meaning: "Bearer token that `/admin` demands. The same on all services and for `payrelay`.",
    },
    Setting {
        name: "PAYRELAY_LOG",
        meaning: "Filter of the log, by level and module. Example: `info,ingress=debug`. \
                  Commands of `payrelay` log less by default.",
    },
    Setting {
        name: "PAYRELAY_LOG_FORMAT",
        meaning: "`pretty` writes lines for people, `json` one JSON object a line.",
    },
    Setting {
        name: "PAYRELAY_HTTP_IDLE_SECONDS",
        meaning: "How long an idle connection stays open. Set it above the idle time of the load balancer.",
    },
    Setting {
        name: "PAYRELAY_HTTP_READ_SECONDS",
        meaning: "How long the head of a request may take, and then its body.",
    },
    Setting {
        name: "PAYRELAY_DRAIN_DELAY_SECONDS",
        meaning: "How long a service works on after SIGTERM before it drains. `/readyz` answers 503 meanwhile.",
    },
    Setting {
        name: "PAYRELAY_SHUTDOWN_GRACE_SECONDS",
        meaning: "How long draining may take. Then the service stops at once. It begins after the drain delay.",
    },
];

/// The default ports of a service.
#[derive(Debug, Clone, Copy)]
pub struct Ports {
    /// Public HTTP; `None` for a service without it.
    pub http: Option<u16>,
    /// Admin HTTP.
    pub admin: u16,
}

/// The part of the configuration that all services share.
#[derive(Debug, Clone)]
pub struct Common {
    /// How the database is reached.
    pub database: DatabaseSettings,
    /// How the broker is reached.
    pub amqp: AmqpSettings,
    /// `PAYRELAY_HTTP_ADDR`, for a service with public HTTP.
    pub http_addr: Option<SocketAddr>,
    /// `PAYRELAY_ADMIN_ADDR`.
    pub admin_addr: SocketAddr,
    /// `PAYRELAY_ADMIN_TOKEN`.
    pub admin_token: Secret,
    /// `PAYRELAY_LOG`, a filter of `tracing-subscriber` such as `info,ingress=debug`.
    pub log_filter: String,
    /// `PAYRELAY_LOG_FORMAT`.
    pub log_format: LogFormat,
    /// How long HTTP waits for its clients.
    pub patience: Patience,
    /// `PAYRELAY_DRAIN_DELAY_SECONDS`, for a service with public HTTP: from the signal to the soft end. Meanwhile it is not
    /// ready and works on, until those who send it requests have noticed. None without public HTTP.
    pub drain_delay: Duration,
    /// `PAYRELAY_SHUTDOWN_GRACE_SECONDS`: from the soft end to the hard one.
    pub shutdown_grace: Duration,
}

impl Common {
    /// Reads the shared variables.
    pub fn load(loader: &mut Loader, ports: Ports) -> Self {
        Self {
            database: DatabaseSettings::load(loader),
            amqp: AmqpSettings::load(loader),
            http_addr: ports.http.map(|port| loader.parse("PAYRELAY_HTTP_ADDR", any(port))),
            admin_addr: loader.parse("PAYRELAY_ADMIN_ADDR", any(ports.admin)),
            admin_token: loader.secret("PAYRELAY_ADMIN_TOKEN"),
            log_filter: log_filter(loader, logging::DEFAULT_FILTER),
            log_format: log_format(loader),
            patience: Patience::load(loader),
            drain_delay: ports.http.map_or(Duration::ZERO, |_| drain_delay(loader)),
            shutdown_grace: Duration::from_secs(loader.parse("PAYRELAY_SHUTDOWN_GRACE_SECONDS", 25)),
        }
    }
}

fn any(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))
}

/// `PAYRELAY_DRAIN_DELAY_SECONDS`
fn drain_delay(loader: &mut Loader) -> Duration {
    loader.seconds("PAYRELAY_DRAIN_DELAY_SECONDS", Duration::from_secs(5), 0..=300)
}

/// `PAYRELAY_LOG`, or `default`.
pub(crate) fn log_filter(loader: &mut Loader, default: &str) -> String {
    let filter = loader.string_or("PAYRELAY_LOG", default);
    if let Err(error) = logging::check_filter(&filter) {
        loader.reject_value("PAYRELAY_LOG", &error, &"info,ingress=debug");
    }
    filter
}

/// `PAYRELAY_LOG_FORMAT`.
pub(crate) fn log_format(loader: &mut Loader) -> LogFormat {
    loader.parse("PAYRELAY_LOG_FORMAT", LogFormat::Pretty)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::ConfigErrors;

    const PORTS: Ports = Ports { http: Some(8080), admin: 9080 };

    fn load(variables: &[(&str, &str)]) -> Result<Common, ConfigErrors> {
        let given = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let mut loader = Loader::from_map(given.collect::<BTreeMap<_, _>>());
        let common = Common::load(&mut loader, PORTS);
        loader.finish().map(|()| common)
    }

    const REQUIRED: [(&str, &str); 3] = [
        ("PAYRELAY_DATABASE_URL", "postgres://pay:hunter2@db/pay"),
        ("PAYRELAY_AMQP_URL", "amqp://guest:hunter2@mq"),
        ("PAYRELAY_ADMIN_TOKEN", "hunter2"),
    ];

    #[test]
    fn three_variables_are_enough_and_none_of_them_is_shown() {
        let common = load(&REQUIRED).expect("valid");
        assert_eq!(common.http_addr, Some(SocketAddr::from(([0, 0, 0, 0], 8080))));
        assert_eq!(common.admin_addr, SocketAddr::from(([0, 0, 0, 0], 9080)));
        let seconds = [common.patience.idle, common.patience.read, common.drain_delay];
        assert_eq!(seconds.map(|time| time.as_secs()), [75, 30, 5]);
        assert!(!format!("{common:?}").contains("hunter2"));
    }

    #[test]
    fn times_of_http_have_bounds() {
        let too_long = [
            ("PAYRELAY_HTTP_IDLE_SECONDS", "7201"),
            ("PAYRELAY_HTTP_READ_SECONDS", "0"),
            ("PAYRELAY_DRAIN_DELAY_SECONDS", "301"),
        ];
        let text = load(&[REQUIRED.as_slice(), &too_long].concat()).expect_err("out of bounds").to_string();
        for (name, value) in too_long {
            assert!(
                text.contains(&format!("{name}: {value} is out of bounds; set it to a number from")),
                "{text}"
            );
        }
        let zero = load(&[REQUIRED.as_slice(), &[("PAYRELAY_DRAIN_DELAY_SECONDS", "0")]].concat());
        assert_eq!(zero.expect("no delay").drain_delay, Duration::ZERO);
    }

    #[test]
    fn who_has_no_public_http_has_nobody_to_wait_for() {
        let variables = REQUIRED.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let mut loader = Loader::from_map(variables.into());
        assert_eq!(Common::load(&mut loader, Ports { http: None, ..PORTS }).drain_delay, Duration::ZERO);
    }

    #[test]
    fn every_error_is_told_at_once_without_any_secret() {
        let errors = load(&[
            ("PAYRELAY_DATABASE_URL", "mysql://pay:hunter2@db/pay"),
            ("PAYRELAY_AMQP_URL", ""),
            ("PAYRELAY_HTTP_ADDR", "8080"),
            ("PAYRELAY_LOG", "ingress=loud"),
            ("PAYRELAY_LOG_FORMAT", "xml"),
            ("PAYRELAY_SHUTDOWN_GRACE_SECONDS", "-1"),
        ])
        .expect_err("all wrong");
        let text = errors.to_string();
        let told: Vec<_> = text.lines().filter_map(|line| line.split(':').next()).collect();
        assert_eq!(
            told,
            [
                "PAYRELAY_DATABASE_URL",
                "PAYRELAY_AMQP_URL",
                "PAYRELAY_HTTP_ADDR",
                "PAYRELAY_ADMIN_TOKEN",
                "PAYRELAY_LOG",
                "PAYRELAY_LOG_FORMAT",
                "PAYRELAY_SHUTDOWN_GRACE_SECONDS"
            ]
        );
        assert!(!text.contains("hunter2"), "{text}");
        assert!(
            text.contains(
                "PAYRELAY_HTTP_ADDR: \"8080\" is not valid (invalid socket address syntax); \
                 set it to a value such as 0.0.0.0:8080"
            ),
            "{text}"
        );
    }
}
