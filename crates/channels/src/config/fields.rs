use std::fmt::Display;
use std::io;
use std::path::Path;
use std::str::FromStr;

use toml::{Table, Value};
use zeroize::Zeroizing;

use super::ConfigError;

/// The fields of one account. Each is taken once by the channel's code; what nobody took is an error. Errors are
/// gathered, so that all of a file can be told at once.
pub(crate) struct Fields<'a> {
    account: &'a str,
    table: Table,
    read_file: &'a dyn Fn(&Path) -> io::Result<String>,
    known: Vec<&'static str>,
    errors: Vec<ConfigError>,
}

impl<'a> Fields<'a> {
    pub(super) fn new(
        account: &'a str,
        table: Table,
        read_file: &'a dyn Fn(&Path) -> io::Result<String>,
    ) -> Self {
        Self { account, table, read_file, known: Vec::new(), errors: Vec::new() }
    }

    /// The keys given under one name and its variants: `{name}` and `{name}_file` are strings, `{name}s` and
    /// `{name}_files` lists of strings, for rotations. All that are given count; none at all is an error.
    pub(crate) fn keys<T: FromStr<Err: Display>>(&mut self, variants: [&'static str; 4]) -> Vec<T> {
        let [one, many, file, files] = variants;
        if !variants.iter().any(|field| self.table.contains_key(*field)) {
            self.refuse(one, format!("missing; give {one}, {many}, {file} or {files}"));
        }
        let mut texts = self.strings(one, many);
        for (field, path) in self.strings(file, files) {
            match (self.read_file)(Path::new(path.as_str())) {
                Ok(text) => texts.push((field, Zeroizing::new(text))),
                Err(error) => self.refuse(field, format!("cannot read {}: {error}", path.as_str())),
            }
        }
        let mut keys = Vec::new();
        for (field, text) in texts {
            match text.trim().parse::<T>() {
                Ok(key) => keys.push(key),
                Err(error) => self.refuse(field, error.to_string()),
            }
        }
        keys
    }

    /// Takes a field as it is.
    pub(super) fn take(&mut self, field: &'static str) -> Option<Value> {
        self.known.push(field);
        self.table.remove(field)
    }

    /// Notes an error of this account.
    pub(super) fn refuse(&mut self, field: &str, message: String) {
        let account = Some(self.account.to_owned());
        self.errors.push(ConfigError { account, field: Some(field.to_owned()), message });
    }

    /// Refuses what nobody took, and ends in all errors that were gathered.
    pub(super) fn finish(mut self) -> Result<(), Vec<ConfigError>> {
        let expected = format!("unknown field, expected one of {}", self.known.join(", "));
        for field in std::mem::take(&mut self.table).keys() {
            self.refuse(field, expected.clone());
        }
        if self.errors.is_empty() { Ok(()) } else { Err(self.errors) }
    }

    /// The errors so far.
    pub(super) fn into_errors(self) -> Vec<ConfigError> {
        self.errors
    }

    /// The string in the field `one` and the strings in the list `many`, each with the field that it came from.
    fn strings(&mut self, one: &'static str, many: &'static str) -> Vec<(&'static str, Zeroizing<String>)> {
        let mut found = Vec::new();
        match self.take(one) {
            None => {}
            Some(Value::String(text)) => found.push((one, Zeroizing::new(text))),
            Some(other) => self.refuse(one, format!("expected a string, got {}", other.type_str())),
        }
        let items = match self.take(many) {
            None => return found,
            Some(Value::Array(items)) => items,
            Some(_) => Vec::new(),
        };
        if items.is_empty() || !items.iter().all(Value::is_str) {
            self.refuse(many, "expected a list of one or more strings".to_owned());
        }
        let texts = items
            .into_iter()
            .filter_map(|item| if let Value::String(text) = item { Some(text) } else { None });
        found.extend(texts.map(|text| (many, Zeroizing::new(text))));
        found
    }
}
