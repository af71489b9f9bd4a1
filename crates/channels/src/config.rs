//! The channels file: one TOML table per account.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::Path;
use std::str::FromStr;

use events::ChannelAccount;
use toml::{Table, Value};
use zeroize::Zeroizing;

use crate::Account;

/// Every configured channel account. The default has none: then only balance payments are possible.
#[derive(Debug, Default)]
pub struct ChannelSet {
    accounts: BTreeMap<String, Account>,
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
    pub fn parse(text: &str, read_file: impl Fn(&Path) -> io::Result<String>) -> Result<Self, ConfigErrors> {
        let tables: Table = text
            .parse()
            .map_err(|error| ConfigErrors(vec![not_toml(text, &error)]))?;
        let mut accounts = BTreeMap::new();
        let mut errors = Vec::new();
        for (name, value) in tables {
            match parse_account(&name, value, &read_file) {
                Ok(account) => {
                    accounts.insert(name, account);
                }
                Err(more) => errors.extend(more),
            }
        }
        if errors.is_empty() {
            Ok(Self { accounts })
        } else {
            Err(ConfigErrors(errors))
        }
    }

    /// The account of this name.
    pub fn account(&self, name: &str) -> Option<&Account> {
        self.accounts.get(name)
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
    ConfigError {
        account: None,
        field: None,
        message: format!("not TOML, line {line}: {}", error.message()),
    }
}

fn parse_account(
    name: &str,
    value: Value,
    read_file: &dyn Fn(&Path) -> io::Result<String>,
) -> Result<Account, Vec<ConfigError>> {
    let whole = |message: String| {
        vec![ConfigError {
            account: Some(name.to_owned()),
            field: None,
            message,
        }]
    };
    let Value::Table(table) = value else {
        return Err(whole(format!(
            "expected a table of fields, got {}",
            value.type_str()
        )));
    };
    let account_name = ChannelAccount::parse(name).map_err(|error| whole(error.to_string()))?;
    if account_name.is_balance() {
        return Err(whole(
            "this name is reserved for payments from a balance, choose another".to_owned(),
        ));
    }

    let mut fields = Fields {
        account: name,
        table,
        read_file,
        known: Vec::new(),
        errors: Vec::new(),
    };
    let supported = || format!("expected one of {}", Account::KINDS.join(", "));
    let Some(kind) = fields.text("kind") else {
        fields.refuse("kind", supported());
        return Err(fields.errors);
    };
    let Some(account) = Account::from_fields(&kind, account_name, &mut fields) else {
        fields.refuse("kind", format!("{}, got {kind:?}", supported()));
        return Err(fields.errors);
    };
    fields.refuse_unknown();
    if fields.errors.is_empty() {
        Ok(account)
    } else {
        Err(fields.errors)
    }
}

/// The fields of one account. Each is taken once by the channel's code; what nobody took is an error.
pub(crate) struct Fields<'a> {
    account: &'a str,
    table: Table,
    read_file: &'a dyn Fn(&Path) -> io::Result<String>,
    known: Vec<&'static str>,
    errors: Vec<ConfigError>,
}

impl Fields<'_> {
    /// A text.
    pub(crate) fn text(&mut self, field: &'static str) -> Option<String> {
        match self.take(field)? {
            Value::String(text) => Some(text),
            other => {
                self.refuse(field, format!("expected a string, got {}", other.type_str()));
                None
            }
        }
    }

    /// The keys given under one name and its variants: `{name}` and `{name}_file` are strings, `{name}s` and
    /// `{name}_files` lists of strings, for rotations. All that are given count; none at all is an error.
    pub(crate) fn keys<T: FromStr<Err: fmt::Display>>(&mut self, variants: [&'static str; 4]) -> Vec<T> {
        let [one, many, file, files] = variants;
        let mut keys = Vec::new();
        let mut given = false;
        for field in [one, many, file, files] {
            given |= self.table.contains_key(field);
            for text in self.texts(field, field == many || field == files) {
                let by_file = field == file || field == files;
                match if by_file { self.read(&text) } else { Ok(text) } {
                    Ok(key) => self.parse_key(field, key, &mut keys),
                    Err(message) => self.refuse(field, message),
                }
            }
        }
        if !given {
            self.refuse(one, format!("missing; give {one}, {many}, {file} or {files}"));
        }
        keys
    }

    /// Notes an error of this account.
    pub(crate) fn refuse(&mut self, field: &str, message: String) {
        let account = Some(self.account.to_owned());
        self.errors.push(ConfigError {
            account,
            field: Some(field.to_owned()),
            message,
        });
    }

    fn parse_key<T: FromStr<Err: fmt::Display>>(&mut self, field: &str, key: String, keys: &mut Vec<T>) {
        let key = Zeroizing::new(key);
        match key.trim().parse() {
            Ok(key) => keys.push(key),
            Err(error) => self.refuse(field, error.to_string()),
        }
    }

    fn texts(&mut self, field: &'static str, list: bool) -> Vec<String> {
        if !list {
            return self.text(field).into_iter().collect();
        }
        let texts = match self.take(field) {
            None => return Vec::new(),
            Some(Value::Array(items)) if !items.is_empty() => items
                .into_iter()
                .map(|item| {
                    if let Value::String(text) = item {
                        Some(text)
                    } else {
                        None
                    }
                })
                .collect(),
            Some(_) => None,
        };
        texts.unwrap_or_else(|| {
            self.refuse(field, "expected a list of one or more strings".to_owned());
            Vec::new()
        })
    }

    fn read(&self, path: &str) -> Result<String, String> {
        (self.read_file)(Path::new(path)).map_err(|error| format!("cannot read {path}: {error}"))
    }

    fn take(&mut self, field: &'static str) -> Option<Value> {
        self.known.push(field);
        self.table.remove(field)
    }

    fn refuse_unknown(&mut self) {
        let expected = format!("unknown field, expected one of {}", self.known.join(", "));
        for field in std::mem::take(&mut self.table).keys() {
            self.refuse(field, expected.clone());
        }
    }
}
