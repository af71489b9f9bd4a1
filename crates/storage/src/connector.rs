//! Opening connections, for the pool and for those that live outside it.

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::time::Duration;

use deadpool_postgres::Connect;
use tokio::task::JoinHandle;
use tokio_postgres::config::TargetSessionAttrs;
use tokio_postgres::{Client, Config, NoTls};
use transport::Tls;

use crate::settings::{Settings, without_options};
use crate::tls::{self, MakeTls};
use crate::url::{self, Parsed};
use crate::{Error, Server};

/// Longest wait for a connection to be made.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// After this long without an acknowledged byte the kernel gives a connection up.
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(15);
const KEEPALIVE_IDLE: Duration = Duration::from_secs(10);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
const KEEPALIVE_RETRIES: u32 = 2;

/// Makes connections with or without TLS, as the URL and the files beside it say.
#[derive(Clone)]
pub(crate) struct Connector {
    tls: Option<MakeTls>,
    /// Holds the password, and is read for each connection.
    password_file: Option<PathBuf>,
}

impl Connector {
    /// The driver's configuration, the connector and the settings of sessions for a server.
    ///
    /// `sslmode=require`, `verify-ca` and `verify-full` all verify the certificate and the host name; without one of them, and without
    /// certificates to verify by, the connection is plain.
    pub(crate) fn parse(server: &Server, application_name: &str) -> Result<(Config, Self, Settings), Error> {
        let Parsed { mut config, encrypted, files } = url::parse(server.url()).map_err(Error::Config)?;
        let files = server.tls.clone().or(files);
        if server.password_file.is_some() && config.get_password().is_some() {
            let both =
                "it holds a password, and PAYRELAY_DATABASE_PASSWORD_FILE is set, too: remove one of them";
            return Err(Error::Config(both.to_owned()));
        }
        let settings = Settings::parse(config.get_options().unwrap_or_default())?;
        if config.get_options().is_some() {
            config = without_options(&config);
        }
        if config.get_hosts().len() > 1 {
            // One of them is the primary, and nothing can be done on another.
            config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        }
        config
            .application_name(application_name)
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_user_timeout(TCP_USER_TIMEOUT)
            .keepalives_idle(KEEPALIVE_IDLE)
            .keepalives_interval(KEEPALIVE_INTERVAL)
            .keepalives_retries(KEEPALIVE_RETRIES);
        let tls = if encrypted.unwrap_or(!files.is_empty()) {
            let tls = Tls::new(files, tls::SETTINGS).map_err(|error| Error::Config(error.to_string()))?;
            Some(MakeTls::new(tls, &mut config))
        } else {
            None
        };
        Ok((config, Self { tls, password_file: server.password_file.clone() }, settings))
    }

    /// Opens a connection. The handle ends when the connection does.
    pub(crate) async fn open(
        &self,
        config: &Config,
    ) -> Result<(Client, JoinHandle<()>), tokio_postgres::Error> {
        let with_password = match &self.password_file {
            Some(file) => Some(tls::with_password_of(file, config).await?),
            None => None,
        };
        let config = with_password.as_ref().unwrap_or(config);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_gets_bounds_and_its_options_do_not_travel() {
        let (config, connector, _) =
            Connector::parse(&"postgres://pay@db:5432/pay?options=-c%20geqo%3Doff".into(), "ingress")
                .expect("valid");
        assert!(connector.tls.is_none());
        assert_eq!(config.get_application_name(), Some("ingress"));
        assert_eq!(config.get_connect_timeout(), Some(&CONNECT_TIMEOUT));
        assert_eq!(config.get_options(), None);
        assert_eq!(config.get_target_session_attrs(), TargetSessionAttrs::Any);
    }

    #[test]
    fn of_several_hosts_the_primary_is_sought() {
        let (config, ..) = Connector::parse(&"postgres://pay@a,b/pay".into(), "ingress").expect("valid");
        assert_eq!(config.get_target_session_attrs(), TargetSessionAttrs::ReadWrite);
    }

    #[test]
    fn a_bad_url_is_told_without_its_password() {
        for url in ["postgres://pay:hunter2@db:notaport/pay", "dbname=pay password=hunter2"] {
            let Err(error) = Connector::parse(&url.into(), "ingress") else { panic!("{url} was taken") };
            assert!(matches!(error, Error::Config(_)), "{error}");
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }
}
