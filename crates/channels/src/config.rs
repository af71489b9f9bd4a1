//! The channels file: one TOML table per account.

mod fields;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use events::ChannelAccount;
use toml::{Table, Value};

pub(crate) use fields::Fields;

use crate::Account;
use crate::pem::BYTE_ORDER_MARK;

/// Every configured channel account; clones share them. The default has none: then only balance payments are possible.
#[derive(Debug, Clone, Default)]
pub struct ChannelSet {
    accounts: BTreeMap<String, Arc<Account>>,
}

/// All that is wrong with a channels file; `Display` gives one line per error.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct ConfigErrors(pub Vec<ConfigError>);

/// One thing that is wrong with a channels file. Never tells a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// The account concerned; `None` if the file is not TOML.
    pub account: Option<String>,
    /// The field concerned; `None` if the whole account is.
    pub field: Option<String>,
    /// What was expected, and what was found.
    pub message: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(account) = &self.account {
            write!(f, "[{account}] ")?;
        }
        if let Some(field) = &self.field {
            write!(f, "{field}: ")?;
        }
        f.write_str(&self.message)
    }
}

impl ChannelSet {
    /// Reads the text of a channels file, and through `read_file` the files that it names.
    ///
    /// `read_file` gets each path as it is written and decides what a relative one is relative to.
    pub fn parse(text: &str, read_file: impl Fn(&Path) -> io::Result<Vec<u8>>) -> Result<Self, ConfigErrors> {
        let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
        let tables: Table = text.parse().map_err(|error| ConfigErrors(vec![not_toml(text, &error)]))?;
        let mut accounts = BTreeMap::new();
        let mut errors = Vec::new();
        for (name, value) in tables {
            match parse_account(&name, value, &read_file) {
                Ok(account) => {
                    accounts.insert(name, Arc::new(account));
                }
                Err(more) => errors.extend(more),
            }
        }
        if errors.is_empty() { Ok(Self { accounts }) } else { Err(ConfigErrors(errors)) }
    }

    /// Adds the accounts of `other`; of two of the same name the other's holds.
    #[must_use]
    pub fn with(mut self, other: Self) -> Self {
        self.accounts.extend(other.accounts);
        self
    }

    /// The account of this name.
    pub fn account(&self, name: &str) -> Option<&Account> {
        self.accounts.get(name).map(AsRef::as_ref)
    }

    /// The names of all accounts, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.accounts.keys().map(String::as_str)
    }
}

/// Line and message only: the parser's own text quotes the line, which may hold a secret.
fn not_toml(text: &str, error: &toml::de::Error) -> ConfigError {
    let start = error.span().map_or(0, |span| span.start);
    let line = text.bytes().take(start).filter(|byte| *byte == b'\n').count() + 1;
    ConfigError { account: None, field: None, message: format!("not TOML, line {line}: {}", error.message()) }
}

/// A name is shown; anything else may be a key in the wrong field.
fn shown(kind: &str) -> String {
    let is_name = kind.bytes().all(|byte| byte.is_ascii_lowercase() || matches!(byte, b'_' | b'-'));
    if is_name { format!("{kind:?}") } else { "another text".to_owned() }
}

fn parse_account(
    name: &str,
    value: Value,
    read_file: &dyn Fn(&Path) -> io::Result<Vec<u8>>,
) -> Result<Account, Vec<ConfigError>> {
    let whole = |message: String| vec![ConfigError { account: Some(name.to_owned()), field: None, message }];
    let Value::Table(table) = value else {
        return Err(whole(format!("expected a table of fields, got {}", value.type_str())));
    };
    let account_name = ChannelAccount::parse(name).map_err(|error| whole(error.to_string()))?;
    if account_name.is_balance() {
        return Err(whole("this name is reserved for payments from a balance, choose another".to_owned()));
    }

    let mut fields = Fields::new(name, table, read_file);
    let supported = Account::KINDS.join(", ");
    let account = match fields.take("kind") {
        None => Err(format!("missing; expected one of {supported}")),
        Some(Value::String(kind)) => Account::from_fields(&kind, account_name, &mut fields)
            .ok_or_else(|| format!("expected one of {supported}, got {}", shown(&kind))),
        Some(other) => Err(format!("expected one of {supported}, got {}", other.type_str())),
    };
    match account {
        Ok(account) => fields.finish().map(|()| account),
        Err(message) => {
            fields.refuse("kind", message);
            Err(fields.into_errors())
        }
    }
}
