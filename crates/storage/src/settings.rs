//! What every session is told after it has been made, and what must hold in it.
//!
//! The settings go by a statement, for poolers refuse or drop the startup parameter `options`. They are read back by a second
//! one, which travels with the first: whatever swallows settings on the way is found at once.

use std::fmt::Write as _;

use tokio_postgres::config::Host;
use tokio_postgres::{Client, Config, SimpleQueryMessage, SimpleQueryRow};

use crate::Error;

/// What our statements mean depends on these: UTC, so that casts between times, days and text mean the same everywhere; the
/// others say how text is read. Nobody may set them otherwise.
const FIXED: [(&str, &str); 4] = [
    ("TimeZone", "UTC"),
    ("client_encoding", "UTF8"),
    ("DateStyle", "ISO, MDY"),
    ("standard_conforming_strings", "on"),
];
/// Bounds, and plans; the URL may set them otherwise. No JIT, which took 0.3 s to compile a claim of 40 ms. Plans are made once
/// and kept, for making one costs as much as writing some rows; and no plan scans a table or makes a bitmap where an index
/// gives the rows in their order, for made while a table was empty, it would go on reading all of it when it is not.
const USUAL: [(&str, &str); 6] = [
    ("statement_timeout", "30s"),
    ("idle_in_transaction_session_timeout", "1min"),
    ("jit", "off"),
    ("plan_cache_mode", "force_generic_plan"),
    ("enable_seqscan", "off"),
    ("enable_bitmapscan", "off"),
];
/// What is read besides the settings.
const SERVER: &str = "current_setting('server_encoding'), current_setting('transaction_read_only')";

/// The settings of the sessions of one database.
#[derive(Debug)]
pub(crate) struct Settings {
    set: String,
    read: String,
    /// As the server shows them.
    expected: Vec<(&'static str, &'static str)>,
}

/// What a session says of itself.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Settings that are not as they must be, as `TimeZone is Asia/Shanghai, expected UTC`.
    pub(crate) differing: Vec<String>,
    pub(crate) server_encoding: String,
    pub(crate) read_only: bool,
}

impl Settings {
    /// Ours, and those that the URL gives in `options`, which no longer travel as a startup parameter. The URL wins, but for
    /// what nobody may change.
    pub(crate) fn parse(options: &str) -> Result<Self, Error> {
        let given = given(options)?;
        let is_given = |name: &str| given.iter().any(|(given, _)| given.eq_ignore_ascii_case(name));
        let mut expected = FIXED.to_vec();
        expected.extend(USUAL.into_iter().filter(|(name, _)| !is_given(name)));
        let all = given.iter().map(|(name, value)| (name.as_str(), value.as_str())).chain(expected.clone());
        let (mut set, mut read) = ("SELECT ".to_owned(), "SELECT ".to_owned());
        for (name, value) in all {
            // Unlike `SET`, this reads a list as `options` does.
            let written = write!(set, "set_config({}, {}, false), ", literal(name), literal(value));
            debug_assert!(written.is_ok(), "writing to a string cannot fail");
        }
        set.truncate(set.len() - ", ".len());
        for (name, _) in &expected {
            read = read + "current_setting(" + &literal(name) + "), ";
        }
        read += SERVER;
        Ok(Self { set, read, expected })
    }

    /// Sets up a session, in one round trip.
    pub(crate) async fn establish(&self, client: &Client) -> Result<(), Error> {
        // Polled together they leave together. Nothing has been said of any row yet, so every failure is an outage.
        let (set, seen) = tokio::join!(client.simple_query(&self.set), self.see(client));
        set.map_err(Error::unavailable)?;
        seen?.judge()
    }

    /// Asks a session for what it has.
    pub(crate) async fn see(&self, client: &Client) -> Result<Seen, Error> {
        let answer = client.simple_query(&self.read).await.map_err(Error::unavailable)?;
        let row = answer.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        });
        let row = row.ok_or_else(|| Error::unavailable("a session does not tell its settings"))?;
        let value = |index| column(row, index);
        let differs = |(index, (name, expected)): (usize, &(&str, &str))| {
            let found = value(index);
            (found != *expected).then(|| format!("{name} is {found}, expected {expected}"))
        };
        let count = self.expected.len();
        Ok(Seen {
            differing: self.expected.iter().enumerate().filter_map(differs).collect(),
            server_encoding: value(count).to_owned(),
            read_only: value(count + 1) != "off",
        })
    }
}

fn column(row: &SimpleQueryRow, index: usize) -> &str {
    row.try_get(index).ok().flatten().unwrap_or_default()
}

impl Seen {
    /// Whether a session can be worked with.
    fn judge(&self) -> Result<(), Error> {
        if self.server_encoding != "UTF8" {
            return Err(Error::Unfit(format!(
                "its encoding (server_encoding) is {}, expected UTF8: it cannot hold every text; create a database with \
                 ENCODING 'UTF8' and name that one",
                self.server_encoding
            )));
        }
        if !self.differing.is_empty() {
            return Err(Error::Unfit(format!(
                "a session does not keep its settings ({}): something in between drops them, as a pooler in transaction or \
                 statement mode does; use session pooling, or connect to PostgreSQL directly",
                self.differing.join("; ")
            )));
        }
        self.writable()
    }

    /// A standby answers all that only reads, and would be taken for sound.
    pub(crate) fn writable(&self) -> Result<(), Error> {
        if self.read_only {
            return Err(Error::unavailable(
                "the server is read-only: it is a standby, or default_transaction_read_only is on",
            ));
        }
        Ok(())
    }
}

/// The settings in `options` of a URL: `-c name=value` or `--name=value`, with backslashes before spaces, as for `postgres`.
fn given(options: &str) -> Result<Vec<(String, String)>, Error> {
    let mut given = Vec::new();
    let mut words = words(options).into_iter();
    while let Some(word) = words.next() {
        let setting = match word.strip_prefix("--").or_else(|| word.strip_prefix("-c")) {
            Some("") => words.next().unwrap_or_default(),
            Some(setting) => setting.to_owned(),
            None => String::new(),
        };
        let named = |name: &str| {
            name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
                && name.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c))
        };
        match setting.split_once('=') {
            // `postgres` reads a hyphen as an underscore.
            Some((name, value)) if named(name) => given.push((name.replace('-', "_"), value.to_owned())),
            _ => {
                let expected = "expected `-c name=value` in its options, each on its own";
                return Err(Error::Config(format!("{expected}, found `{word}`")));
            }
        }
    }
    Ok(given)
}

/// Words between spaces; a backslash takes the next character as it is.
fn words(text: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        match char {
            '\\' => words.last_mut().expect("never empty").extend(chars.next()),
            char if char.is_ascii_whitespace() => words.push(String::new()),
            char => words.last_mut().expect("never empty").push(char),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

fn literal(text: &str) -> String {
    // With a backslash in it, the form that no setting of the server reads otherwise.
    let quoted = text.replace('\\', r"\\").replace('\'', "''");
    format!("E'{quoted}'")
}

/// The same configuration without `options`, which cannot be taken out of one. What bounds a connection is set afterwards.
pub(crate) fn without_options(config: &Config) -> Config {
    let mut bare = Config::new();
    for host in config.get_hosts() {
        match host {
            Host::Tcp(name) => bare.host(name),
            Host::Unix(path) => bare.host_path(path),
        };
    }
    for address in config.get_hostaddrs() {
        bare.hostaddr(*address);
    }
    for port in config.get_ports() {
        bare.port(*port);
    }
    if let Some(user) = config.get_user() {
        bare.user(user);
    }
    if let Some(password) = config.get_password() {
        bare.password(password);
    }
    if let Some(name) = config.get_dbname() {
        bare.dbname(name);
    }
    bare.ssl_mode(config.get_ssl_mode())
        .ssl_negotiation(config.get_ssl_negotiation())
        .target_session_attrs(config.get_target_session_attrs())
        .channel_binding(config.get_channel_binding())
        .load_balance_hosts(config.get_load_balance_hosts());
    bare
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_overrides_the_usual_settings_and_not_the_fixed_ones() {
        let options =
            r"-c jit=on -ctimezone=Asia/Shanghai --search-path=a,b -c application_name=it\ is\ 'it'";
        let settings = Settings::parse(options).expect("valid");
        for set in
            ["set_config(E'search_path', E'a,b', false)", "set_config(E'application_name', E'it is ''it''', "]
        {
            assert!(settings.set.contains(set), "{}", settings.set);
        }
        // The last of a name holds.
        assert!(settings.set.find("Asia/Shanghai") < settings.set.find("E'UTC'"), "{}", settings.set);
        assert!(FIXED.iter().all(|fixed| settings.expected.contains(fixed)));
        assert!(settings.expected.iter().all(|(name, _)| *name != "jit"));
        assert_eq!(settings.expected.len(), FIXED.len() + USUAL.len() - 1);
    }

    #[test]
    fn options_that_are_no_settings_are_refused() {
        for options in ["-B 5", "-c", "-c jit", "jit=off", r"-c x');\ DROP\ TABLE\ t;\ --=1"] {
            assert!(matches!(Settings::parse(options), Err(Error::Config(_))), "{options}");
        }
        assert!(Settings::parse(" ").is_ok());
    }

    #[test]
    fn a_session_is_judged_by_its_encoding_its_settings_and_whether_it_may_write() {
        let seen = |differing: &[&str], encoding: &str, read_only| Seen {
            differing: differing.iter().map(|&text| text.to_owned()).collect(),
            server_encoding: encoding.to_owned(),
            read_only,
        };
        assert!(seen(&[], "UTF8", false).judge().is_ok());
        for unfit in [seen(&[], "LATIN1", false), seen(&["TimeZone is PRC, expected UTC"], "UTF8", false)] {
            assert!(
                unfit.judge().is_err_and(|error| error.is_misconfigured() && error.is_outage()),
                "{unfit:?}"
            );
        }
        let standby = seen(&[], "UTF8", true).judge();
        assert!(standby.is_err_and(|error| error.is_outage() && !error.is_misconfigured()), "time mends it");
    }

    #[test]
    fn a_configuration_without_options_is_else_the_same() {
        let url = "postgres://u:p@a:1,b:2/d?sslmode=require&target_session_attrs=read-write&channel_binding=require\
                   &load_balance_hosts=random&hostaddr=127.0.0.1,127.0.0.2";
        let config: Config = url.parse().expect("valid");
        let mut with = config.clone();
        with.options("-c jit=on");
        assert_eq!(without_options(&with), config);
    }
}
