//! TLS to the server, and the password that is read for each connection.

use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures_util::stream;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use tokio_postgres::config::{SslMode, SslNegotiation};
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{Config, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;
use tokio_util::io::StreamReader;
use transport::{Tls, TlsError, shown_path};

/// Where an operator names certificates.
pub(crate) const SETTINGS: &str =
    "PAYRELAY_DATABASE_CA_FILE, sslrootcert in the database URL, or SSL_CERT_FILE";
/// The name of TLS's next protocol, which a server wants where TLS comes before its own negotiation.
const ALPN: &[u8] = b"postgresql";
/// Tokens of cloud providers have some 2 KB.
const MAX_PASSWORD_BYTES: u64 = 64 * 1024;

/// Makes TLS of what the operator's files hold at the time of each connection.
#[derive(Clone)]
pub(crate) struct MakeTls {
    pub(crate) tls: Tls,
    pub(crate) direct: bool,
}

impl MakeTls {
    /// For `config`, which from now on demands TLS.
    pub(crate) fn new(tls: Tls, config: &mut Config) -> Self {
        config.ssl_mode(SslMode::Require);
        Self { tls, direct: config.get_ssl_negotiation() == SslNegotiation::Direct }
    }
}

impl<S> MakeTlsConnect<S> for MakeTls
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    type Stream = <MakeRustlsConnect as MakeTlsConnect<S>>::Stream;
    type TlsConnect = <MakeRustlsConnect as MakeTlsConnect<S>>::TlsConnect;
    type Error = TlsError;

    fn make_tls_connect(&mut self, host: &str) -> Result<Self::TlsConnect, TlsError> {
        let mut config = self.tls.client_config()?;
        if self.direct {
            config.alpn_protocols = vec![ALPN.to_vec()];
        }
        let Ok(connect) = MakeTlsConnect::<S>::make_tls_connect(&mut MakeRustlsConnect::new(config), host);
        Ok(connect)
    }
}

/// `config` with the password that `file` holds now.
pub(crate) async fn with_password_of(file: &Path, config: &Config) -> Result<Config, tokio_postgres::Error> {
    match read_password(file.to_owned()).await {
        Ok(password) => {
            let mut config = config.clone();
            config.password(password);
            Ok(config)
        }
        Err(error) => Err(as_drivers(error).await),
    }
}

/// Without the line end behind it. The error tells the file.
async fn read_password(file: PathBuf) -> io::Result<Vec<u8>> {
    let told = |what: String| {
        io::Error::other(format!("PAYRELAY_DATABASE_PASSWORD_FILE names {}, {what}", shown_path(&file)))
    };
    let read = async {
        let mut password = Vec::new();
        let opened = tokio::fs::File::open(&file).await?;
        opened.take(MAX_PASSWORD_BYTES + 1).read_to_end(&mut password).await?;
        io::Result::Ok(password)
    };
    let mut password = read.await.map_err(|error| told(format!("which cannot be read ({error})")))?;
    if password.len() as u64 > MAX_PASSWORD_BYTES {
        return Err(told(format!(
            "which holds more than {MAX_PASSWORD_BYTES} bytes: expected a password alone"
        )));
    }
    while password.last().is_some_and(|last| matches!(last, b'\r' | b'\n')) {
        password.pop();
    }
    if password.is_empty() {
        return Err(told("which is empty: put the password into it".to_owned()));
    }
    Ok(password)
}

/// `error` as one of the driver's, which the pool passes on. The driver has no way to make one but a stream that fails.
async fn as_drivers(error: io::Error) -> tokio_postgres::Error {
    let failing = StreamReader::new(stream::iter([Err::<Bytes, _>(error)]));
    let mut config = Config::new();
    config.user("nobody").ssl_mode(SslMode::Disable);
    let connected = config.connect_raw(tokio::io::join(failing, tokio::io::sink()), NoTls).await;
    connected.map(drop).expect_err("nothing can be read")
}
