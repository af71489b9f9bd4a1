//! Where a database is, and what it takes to connect there.

use std::fmt;
use std::path::PathBuf;

use transport::TlsFiles;

/// A database server as it is configured: a URL, and beside it what an operator keeps in files.
#[derive(Clone, Default)]
pub struct Server {
    url: String,
    /// They hold before those that the URL names.
    pub(crate) tls: TlsFiles,
    pub(crate) password_file: Option<PathBuf>,
}

impl Server {
    /// The server at `postgres://user:password@host:port/name`.
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), ..Self::default() }
    }

    /// The same, verified by these certificates. They turn TLS on unless the URL says `sslmode=disable`.
    #[must_use]
    pub fn with_tls(self, tls: TlsFiles) -> Self {
        Self { tls, ..self }
    }

    /// The same, with the password that this file holds, which is read for each new connection: a password that is changed, or a
    /// token that expires, needs no restart.
    #[must_use]
    pub fn with_password_file(self, password_file: Option<PathBuf>) -> Self {
        Self { password_file, ..self }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }
}

impl From<&str> for Server {
    fn from(url: &str) -> Self {
        Self::new(url)
    }
}

impl From<&String> for Server {
    fn from(url: &String) -> Self {
        Self::new(url)
    }
}

impl fmt::Debug for Server {
    /// Without the URL, which holds a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("tls", &self.tls)
            .field("password_file", &self.password_file)
            .finish_non_exhaustive()
    }
}
