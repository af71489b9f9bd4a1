//! What every service is told.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use super::Loader;
use crate::Secret;
use crate::telemetry;

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
    /// `PAYRELAY_DATABASE_URL`; it holds a password.
    pub database_url: Secret,
    /// `PAYRELAY_AMQP_URL`; it holds a password.
    pub amqp_url: Secret,
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
    /// `PAYRELAY_SHUTDOWN_GRACE_SECONDS`: from the signal to the hard end.
    pub shutdown_grace: Duration,
    /// `PAYRELAY_RETRY_DELAYS` as it was given, such as `5s,30s,5m`; messaging parses it.
    pub retry_delays: String,
}

impl Common {
    /// Reads the shared variables.
    pub fn load(loader: &mut Loader, ports: Ports) -> Self {
        Self {
            database_url: url(loader, "PAYRELAY_DATABASE_URL", &["postgres://", "postgresql://"]),
            amqp_url: url(loader, "PAYRELAY_AMQP_URL", &["amqp://", "amqps://"]),
            http_addr: ports.http.map(|port| loader.parse("PAYRELAY_HTTP_ADDR", any(port))),
            admin_addr: loader.parse("PAYRELAY_ADMIN_ADDR", any(ports.admin)),
            admin_token: loader.secret("PAYRELAY_ADMIN_TOKEN"),
            log_filter: log_filter(loader, telemetry::DEFAULT_FILTER),
            log_format: log_format(loader),
            shutdown_grace: Duration::from_secs(loader.parse("PAYRELAY_SHUTDOWN_GRACE_SECONDS", 25)),
            retry_delays: loader
                .optional_string("PAYRELAY_RETRY_DELAYS")
                .unwrap_or_else(|| "5s,30s,5m".to_owned()),
        }
    }
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Pretty,
    /// One JSON object a line.
    Json,
}

impl FromStr for LogFormat {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "pretty" => Ok(Self::Pretty),
            "json" => Ok(Self::Json),
            _ => Err("expected pretty or json"),
        }
    }
}

impl fmt::Display for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pretty => "pretty",
            Self::Json => "json",
        })
    }
}

fn any(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))
}

fn url(loader: &mut Loader, name: &str, schemes: &[&str]) -> Secret {
    let url = loader.secret(name);
    let text = url.expose();
    if !text.is_empty() && !schemes.iter().any(|scheme| text.starts_with(scheme)) {
        loader.reject(
            name,
            format!("does not begin with {}", schemes.join(" or ")),
            format!("set it to {}user:password@host:port/name", schemes[0]),
        );
    }
    url
}

/// `PAYRELAY_LOG`, or `default`.
pub(crate) fn log_filter(loader: &mut Loader, default: &str) -> String {
    let filter = loader.optional_string("PAYRELAY_LOG").unwrap_or_else(|| default.to_owned());
    if let Err(error) = telemetry::check_filter(&filter) {
        let problem = format!("{filter:?} is not a filter ({error})");
        loader.reject("PAYRELAY_LOG", problem, "set it to a value such as info,ingress=debug");
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
        assert_eq!(common.retry_delays, "5s,30s,5m");
        assert!(!format!("{common:?}").contains("hunter2"));
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
