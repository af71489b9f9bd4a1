//! Reading a connection string, of which the driver knows only a part.
//!
//! The options of TLS (`sslmode`, `sslrootcert`, `sslcert`, `sslkey`, `ssl`) are taken out as libpq reads them; the driver reads the
//! rest. Nothing of the string is quoted in an error: what cannot be read may be a part of the password.

use std::borrow::Cow;
use std::path::PathBuf;

use percent_encoding::percent_decode_str;
use tokio_postgres::Config;
use tokio_postgres::config::SslMode;
use transport::{ClientFiles, TlsFiles};

const FORM: &str = "expected postgres://user:password@host:port/name?sslmode=require with @ : / ? # & % of user and password \
    percent-encoded, or host=… user=… password='…'";
const MODES: &str = "expected disable, require, verify-ca or verify-full";
/// What the driver knows, and so what an error may name.
const KNOWN: [&str; 18] = [
    "user",
    "password",
    "dbname",
    "options",
    "application_name",
    "sslnegotiation",
    "host",
    "hostaddr",
    "port",
    "connect_timeout",
    "tcp_user_timeout",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_retries",
    "target_session_attrs",
    "channel_binding",
    "load_balance_hosts",
];

/// A connection string that was read.
#[derive(Debug)]
pub(crate) struct Parsed {
    /// Without the options of TLS.
    pub(crate) config: Config,
    /// Whether to use TLS, if the string says so.
    pub(crate) encrypted: Option<bool>,
    /// The files that the string names.
    pub(crate) files: TlsFiles,
}

/// Reads a connection string in one of its two forms.
pub(crate) fn parse(text: &str) -> Result<Parsed, String> {
    let (rest, options) =
        match text.strip_prefix("postgres://").or_else(|| text.strip_prefix("postgresql://")) {
            Some(url) => of_url(url)?,
            None => of_keywords(text)?,
        };
    let mut config: Config = rest.parse().map_err(|error| refused(&error))?;
    if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
        return Err("it names no host".to_owned());
    }
    config.ssl_mode(SslMode::Disable);
    Ok(Parsed { config, encrypted: options.encrypted()?, files: options.files()? })
}

/// The options of TLS; of one that stands twice the last holds.
#[derive(Default)]
struct Options {
    ssl: Option<String>,
    mode: Option<String>,
    root_cert: Option<String>,
    cert: Option<String>,
    key: Option<String>,
}

impl Options {
    /// Where to keep the option of this name; `None` for those of the driver.
    fn slot(&mut self, name: &str) -> Option<&mut Option<String>> {
        match name {
            "ssl" => Some(&mut self.ssl),
            "sslmode" => Some(&mut self.mode),
            "sslrootcert" => Some(&mut self.root_cert),
            "sslcert" => Some(&mut self.cert),
            "sslkey" => Some(&mut self.key),
            _ => None,
        }
    }

    fn encrypted(&self) -> Result<Option<bool>, String> {
        match (self.mode.as_deref(), self.ssl.as_deref()) {
            (Some("disable"), _) => Ok(Some(false)),
            (Some("require" | "verify-ca" | "verify-full"), _) | (None, Some("true")) => Ok(Some(true)),
            (Some(mode @ ("prefer" | "allow")), _) => {
                Err(format!("sslmode={mode} would send passwords without TLS to whoever refuses it: {MODES}"))
            }
            (Some(_), _) => Err(format!("sslmode: {MODES}, got another word")),
            (None, Some(_)) => Err("ssl: expected true, or sslmode in its place".to_owned()),
            // libpq, too, verifies by the system's certificates where it is told to use them.
            (None, None) => Ok(self.root_cert.as_ref().map(|_| true)),
        }
    }

    fn files(self) -> Result<TlsFiles, String> {
        let ca = self.root_cert.filter(|file| file != "system").map(PathBuf::from);
        let client = match (self.cert, self.key) {
            (Some(cert), Some(key)) => Some(ClientFiles { cert: cert.into(), key: key.into() }),
            (None, None) => None,
            _ => return Err("sslcert and sslkey: expected both or none, got one".to_owned()),
        };
        Ok(TlsFiles { ca, client })
    }
}

/// Splits what follows `postgres://` where the driver does: user and password end at the first `@`.
fn of_url(url: &str) -> Result<(String, Options), String> {
    let mut options = Options::default();
    let hosts = match url.split_once('@') {
        // What looks like parameters would be taken for a password, and what they demand be lost.
        Some((login, _)) if holds_parameters(login) => {
            return Err(format!("an @ stands behind its parameters, or a ? before its @: {FORM}"));
        }
        Some((login, _)) => login.len() + 1,
        None => 0,
    };
    let Some(mark) = url[hosts..].find('?').map(|mark| hosts + mark) else {
        return Ok((format!("postgres://{url}"), options));
    };
    let mut kept = Vec::new();
    for parameter in url[mark + 1..].split('&').filter(|parameter| !parameter.is_empty()) {
        let (name, value) =
            parameter.split_once('=').ok_or_else(|| format!("a parameter has no value: {FORM}"))?;
        match options.slot(&decoded(name)?) {
            Some(slot) => *slot = Some(decoded(value)?.into_owned()),
            None => kept.push(parameter),
        }
    }
    Ok((format!("postgres://{}?{}", &url[..mark], kept.join("&")), options))
}

/// Whether there is a `?` that the name of a parameter and `=` follow.
fn holds_parameters(login: &str) -> bool {
    let behind = login.split('?').skip(1).filter_map(|part| part.split_once('='));
    behind
        .map(|(name, _)| name)
        .any(|name| !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'))
}

fn decoded(text: &str) -> Result<Cow<'_, str>, String> {
    percent_decode_str(text).decode_utf8().map_err(|_| format!("a parameter is not UTF-8: {FORM}"))
}

/// Splits `name=value name='value'` as libpq does: `\` takes the next character as it is.
fn of_keywords(text: &str) -> Result<(String, Options), String> {
    let mut options = Options::default();
    let (mut kept, mut rest) = (Vec::new(), text.trim_start());
    while !rest.is_empty() {
        let (name, behind) = rest.split_once('=').ok_or_else(|| FORM.to_owned())?;
        let (value, behind) =
            value(behind.trim_start()).ok_or_else(|| format!("a quote does not end: {FORM}"))?;
        match options.slot(name.trim_end()) {
            Some(slot) => *slot = Some(value),
            None => kept.push(&rest[..rest.len() - behind.len()]),
        }
        rest = behind.trim_start();
    }
    Ok((kept.join(" "), options))
}

/// A value, and what stands behind it; `None` if it has no end.
fn value(text: &str) -> Option<(String, &str)> {
    let quoted = text.starts_with('\'');
    let (mut value, mut chars) = (String::new(), text.char_indices().skip(usize::from(quoted)));
    while let Some((at, char)) = chars.next() {
        match char {
            '\\' => value.extend(chars.next().map(|(_, escaped)| escaped)),
            '\'' if quoted => return Some((value, &text[at + 1..])),
            char if !quoted && char.is_whitespace() => return Some((value, &text[at..])),
            char => value.push(char),
        }
    }
    (!quoted).then_some((value, ""))
}

/// What the driver says, without what it quotes.
fn refused(error: &tokio_postgres::Error) -> String {
    let said = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
    let named = said.strip_prefix("invalid value for option `").and_then(|rest| rest.strip_suffix('`'));
    if let Some(option) = named.filter(|option| KNOWN.contains(option)) {
        return format!("the value of {option} cannot be used: {FORM}");
    }
    if said.starts_with("unknown option") {
        return format!("it has a parameter that is not known, or a ? that is not percent-encoded: {FORM}");
    }
    FORM.to_owned()
}

#[cfg(test)]
mod tests;
