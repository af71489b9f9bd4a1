//! What it takes to reach the database and the broker.

use std::path::PathBuf;

use transport::{ClientFiles, Tls, TlsFiles};

use super::{Loader, Setting};
use crate::Secret;

/// What the documents say about the variables of the database.
pub const DATABASE_SETTINGS: [Setting; 5] = [
    Setting {
        name: "PAYRELAY_DATABASE_URL",
        meaning: "Where PostgreSQL is: `postgres://user:password@host:port/name`. It may name several hosts.",
    },
    Setting {
        name: "PAYRELAY_DATABASE_PASSWORD_FILE",
        meaning: "File that holds the password. It is read for each new connection, so a password can be rotated.",
    },
    Setting {
        name: "PAYRELAY_DATABASE_CA_FILE",
        meaning: "PEM file with the certificates that verify PostgreSQL. It turns TLS on.",
    },
    Setting {
        name: "PAYRELAY_DATABASE_CLIENT_CERT_FILE",
        meaning: "PEM file with the client certificate for PostgreSQL. Set the key, too.",
    },
    Setting {
        name: "PAYRELAY_DATABASE_CLIENT_KEY_FILE",
        meaning: "PEM file with the key of that certificate.",
    },
];

/// What the documents say about the variables of the broker.
pub const AMQP_SETTINGS: [Setting; 4] = [
    Setting {
        name: "PAYRELAY_AMQP_URL",
        meaning: "Where RabbitMQ is: `amqp://user:password@host:port/vhost`. `amqps://` turns TLS on.",
    },
    Setting {
        name: "PAYRELAY_AMQP_CA_FILE",
        meaning: "PEM file with the certificates that verify RabbitMQ and its management API. \
                  Without it the system's certificates do.",
    },
    Setting {
        name: "PAYRELAY_AMQP_CLIENT_CERT_FILE",
        meaning: "PEM file with the client certificate for RabbitMQ. Set the key, too.",
    },
    Setting { name: "PAYRELAY_AMQP_CLIENT_KEY_FILE", meaning: "PEM file with the key of that certificate." },
];

/// How the database is reached.
#[derive(Debug, Clone)]
pub struct DatabaseSettings {
    /// `PAYRELAY_DATABASE_URL`; it may hold a password.
    pub url: Secret,
    /// `PAYRELAY_DATABASE_CA_FILE`, `PAYRELAY_DATABASE_CLIENT_CERT_FILE` and `PAYRELAY_DATABASE_CLIENT_KEY_FILE`.
    pub tls: TlsFiles,
    /// `PAYRELAY_DATABASE_PASSWORD_FILE`, which is read for each connection.
    pub password_file: Option<PathBuf>,
}

impl DatabaseSettings {
    /// Reads the variables of the database.
    pub fn load(loader: &mut Loader) -> Self {
        const URL: &str = "PAYRELAY_DATABASE_URL";
        let url = loader.secret(URL);
        let text = url.expose();
        let is_url = ["postgres://", "postgresql://"].iter().any(|scheme| text.starts_with(scheme));
        let is_keywords = !text.contains("://") && text.contains('=');
        if !text.is_empty() && !is_url && !is_keywords {
            loader.reject(
                URL,
                "does not begin with postgres:// or postgresql://",
                "set it to postgres://user:password@host:port/name",
            );
        }
        let tls = tls_files(
            loader,
            [
                "PAYRELAY_DATABASE_CA_FILE",
                "PAYRELAY_DATABASE_CLIENT_CERT_FILE",
                "PAYRELAY_DATABASE_CLIENT_KEY_FILE",
            ],
        );
        Self { url, tls, password_file: loader.secret_file("PAYRELAY_DATABASE_PASSWORD_FILE") }
    }
}

/// How the broker is reached.
#[derive(Debug, Clone)]
pub struct AmqpSettings {
    /// `PAYRELAY_AMQP_URL`; it holds a password.
    pub url: Secret,
    /// `PAYRELAY_AMQP_CA_FILE`, `PAYRELAY_AMQP_CLIENT_CERT_FILE` and `PAYRELAY_AMQP_CLIENT_KEY_FILE`.
    pub tls: TlsFiles,
}

impl AmqpSettings {
    /// Reads the variables of the broker.
    pub fn load(loader: &mut Loader) -> Self {
        let url = loader.secret("PAYRELAY_AMQP_URL");
        Self::with(loader, url)
    }

    /// Reads the variables of a broker that may be missing.
    pub fn optional(loader: &mut Loader) -> Option<Self> {
        let url = loader.optional_secret("PAYRELAY_AMQP_URL")?;
        Some(Self::with(loader, url))
    }

    fn with(loader: &mut Loader, url: Secret) -> Self {
        let text = url.expose();
        if !text.is_empty() && !["amqp://", "amqps://"].iter().any(|scheme| text.starts_with(scheme)) {
            loader.reject(
                "PAYRELAY_AMQP_URL",
                "does not begin with amqp:// or amqps://",
                "set it to amqp://user:password@host:port/name",
            );
        }
        let tls = tls_files(
            loader,
            ["PAYRELAY_AMQP_CA_FILE", "PAYRELAY_AMQP_CLIENT_CERT_FILE", "PAYRELAY_AMQP_CLIENT_KEY_FILE"],
        );
        Self { url, tls }
    }
}

/// The files that these variables name, of which the certificate and the key stand together. What cannot be used is noted.
fn tls_files(loader: &mut Loader, [ca_name, cert_name, key_name]: [&str; 3]) -> TlsFiles {
    let ca = loader.optional_string(ca_name).map(PathBuf::from);
    let client = match (loader.optional_string(cert_name), loader.optional_string(key_name)) {
        (Some(cert), Some(key)) => Some(ClientFiles { cert: cert.into(), key: key.into() }),
        (None, None) => None,
        (Some(_), None) => {
            loader.reject(key_name, format!("is not set, and {cert_name} is"), "set both or none");
            None
        }
        (None, Some(_)) => {
            loader.reject(cert_name, format!("is not set, and {key_name} is"), "set both or none");
            None
        }
    };
    let files = TlsFiles { ca: ca.clone(), client };
    let of_ca = TlsFiles { ca, client: None };
    for (name, files) in [(ca_name, &of_ca), (cert_name, &files)] {
        if files.is_empty() {
            continue;
        }
        if let Err(error) = Tls::new(files.clone(), "SSL_CERT_FILE") {
            loader.reject(name, format!("cannot be used ({error})"), "name files that can");
            break;
        }
    }
    files
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn load(variables: &[(&str, &str)]) -> Result<(DatabaseSettings, AmqpSettings), String> {
        let given = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let mut loader = Loader::from_map(given.collect());
        let both = (DatabaseSettings::load(&mut loader), AmqpSettings::load(&mut loader));
        loader.finish().map(|()| both).map_err(|errors| errors.to_string())
    }

    #[test]
    fn files_are_checked_before_anything_begins() {
        let folder = tempfile::tempdir().expect("a folder");
        let named = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::write(&path, text).expect("a file");
            path.display().to_string()
        };
        let (empty, junk) = (named("empty", "\n"), named("junk", "-----BEGIN hunter2\nhunter2"));
        let password = named("password", "hunter2\n");
        let base =
            [("PAYRELAY_DATABASE_URL", "host=db user=pay"), ("PAYRELAY_AMQP_URL", "amqps://pay:hunter2@mq")];
        let (database, amqp) =
            load(&[&base[..], &[("PAYRELAY_DATABASE_PASSWORD_FILE", password.as_str())]].concat())
                .expect("valid");
        assert_eq!(database.password_file, Some(password.into()));
        assert!(!format!("{database:?} {amqp:?}").contains("hunter2"));
        for (name, file, expected) in [
            ("PAYRELAY_DATABASE_PASSWORD_FILE", empty.as_str(), "an empty file"),
            ("PAYRELAY_DATABASE_PASSWORD_FILE", "/missing", "cannot be read"),
            ("PAYRELAY_DATABASE_CA_FILE", &empty, "certificates in PEM"),
            ("PAYRELAY_AMQP_CA_FILE", &junk, "certificates in PEM"),
            ("PAYRELAY_DATABASE_CLIENT_CERT_FILE", &junk, "set both"),
            ("PAYRELAY_AMQP_CLIENT_KEY_FILE", &junk, "set both"),
        ] {
            let told = load(&[&base[..], &[(name, file)]].concat()).expect_err(name);
            assert!(told.contains("PAYRELAY_") && told.contains(expected), "{told}");
            assert!(!told.contains("hunter2"), "{told}");
        }
    }
}
