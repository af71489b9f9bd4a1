//! Opening connections, for the pool and for those that live outside it.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use deadpool_postgres::Connect;
use tokio::task::JoinHandle;
use tokio_postgres::config::SslMode;
use tokio_postgres::{Client, Config, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::Error;

/// Longest wait for a connection to be made.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// After this long without an acknowledged byte the kernel gives a connection up.
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(15);
const KEEPALIVE_IDLE: Duration = Duration::from_secs(10);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
const KEEPALIVE_RETRIES: u32 = 2;

/// What every session starts with. UTC, so that casts between times and days mean the same everywhere; no JIT, which took
/// 0.3 s to compile a claim of 40 ms. Plans are made once and kept, for making one costs as much as writing some rows; and
/// no plan scans a table or makes a bitmap where an index gives the rows in their order, for made while a table was
/// empty, it would go on reading all of it when it is not.
const SESSION_OPTIONS: &str = "-c statement_timeout=30s -c idle_in_transaction_session_timeout=60s -c timezone=UTC \
    -c jit=off -c plan_cache_mode=force_generic_plan -c enable_seqscan=off -c enable_bitmapscan=off";

/// Makes connections with or without TLS, as the URL says.
#[derive(Clone)]
pub(crate) struct Connector {
    tls: Option<MakeRustlsConnect>,
}

impl Connector {
    /// The driver's configuration and the connector for a database URL.
    ///
    /// `sslmode=require`, `verify-ca` and `verify-full` all verify the certificate and the host name against the
    /// system's certificates (`SSL_CERT_FILE` names others); without one of them the connection is plain.
    pub(crate) fn parse(url: &str, application_name: &str) -> Result<(Config, Self), Error> {
        // The driver knows no stricter word than `require`, and rustls verifies in any case.
        let url = url
            .replace("sslmode=verify-full", "sslmode=require")
            .replace("sslmode=verify-ca", "sslmode=require");
        let mut config: Config = url.parse().map_err(|error: tokio_postgres::Error| {
            let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
            Error::Config(format!("{error}: {cause}"))
        })?;
        if config.get_hosts().is_empty() {
            return Err(Error::Config("it names no host".to_owned()));
        }
        let options = match config.get_options() {
            Some(given) => format!("{SESSION_OPTIONS} {given}"),
            None => SESSION_OPTIONS.to_owned(),
        };
        config
            .options(options)
            .application_name(application_name)
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_user_timeout(TCP_USER_TIMEOUT)
            .keepalives_idle(KEEPALIVE_IDLE)
            .keepalives_interval(KEEPALIVE_INTERVAL)
            .keepalives_retries(KEEPALIVE_RETRIES);
        let tls = if config.get_ssl_mode() == SslMode::Require { Some(tls()?) } else { None };
        Ok((config, Self { tls }))
    }

    /// Opens a connection. The handle ends when the connection does.
    pub(crate) async fn open(
        &self,
        config: &Config,
    ) -> Result<(Client, JoinHandle<()>), tokio_postgres::Error> {
        if let Some(tls) = &self.tls {
            let (client, connection) = config.connect(tls.clone()).await?;
            Ok((client, tokio::spawn(finish(connection))))
        } else {
            let (client, connection) = config.connect(NoTls).await?;
            Ok((client, tokio::spawn(finish(connection))))
        }
    }
}

impl Connect for Connector {
    fn connect(
        &self,
        config: &Config,
    ) -> Pin<Box<dyn Future<Output = Result<(Client, JoinHandle<()>), tokio_postgres::Error>> + Send + '_>>
    {
        let config = config.clone();
        Box::pin(async move { self.open(&config).await })
    }
}

/// Drives a connection to its end. Whoever has a statement in flight gets the error, so it is no news here.
async fn finish(connection: impl Future<Output = Result<(), tokio_postgres::Error>>) {
    if let Err(error) = connection.await {
        tracing::debug!(%error, "database connection ended");
    }
}

fn tls() -> Result<MakeRustlsConnect, Error> {
    // Refused when the process has chosen a provider already, which is as good.
    let _already_chosen = rustls::crypto::ring::default_provider().install_default();
    let (tls, _unreadable) = MakeRustlsConnect::with_native_certs().map_err(|_| {
        Error::Config("sslmode demands TLS, and no system certificates were found".to_owned())
    })?;
    Ok(tls)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_gets_bounds_and_keeps_its_own_options() {
        let (config, connector) =
            Connector::parse("postgres://pay@db:5432/pay?options=-c%20geqo%3Doff", "ingress").expect("valid");
        assert!(connector.tls.is_none());
        assert_eq!(config.get_application_name(), Some("ingress"));
        assert_eq!(config.get_connect_timeout(), Some(&CONNECT_TIMEOUT));
        assert_eq!(config.get_options(), Some(format!("{SESSION_OPTIONS} -c geqo=off").as_str()));
    }

    #[test]
    fn a_bad_url_is_told_without_its_password() {
        for url in ["postgres://pay:hunter2@db:notaport/pay", "dbname=pay password=hunter2"] {
            let Err(error) = Connector::parse(url, "ingress") else { panic!("{url} was taken") };
            assert!(matches!(error, Error::Config(_)), "{error}");
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }
}
