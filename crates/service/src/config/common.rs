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
            http_addr: ports
                .http
                .map(|port| loader.parse("PAYRELAY_HTTP_ADDR", any(port))),
            admin_addr: loader.parse("PAYRELAY_ADMIN_ADDR", any(ports.admin)),
            admin_token: loader.secret("PAYRELAY_ADMIN_TOKEN"),
            log_filter: log_filter(loader),
            log_format: loader.parse("PAYRELAY_LOG_FORMAT", LogFormat::Pretty),
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

fn log_filter(loader: &mut Loader) -> String {
    let filter = loader
        .optional_string("PAYRELAY_LOG")
        .unwrap_or_else(|| telemetry::DEFAULT_FILTER.to_owned());
    if let Err(error) = telemetry::check_filter(&filter) {
        loader.reject(
            "PAYRELAY_LOG",
            format!("{filter:?} is not a filter ({error})"),
            "set it to info,ingress=debug or the like",
        );
    }
    filter
}
