use std::fmt::Display;
use std::io;
use std::path::Path;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use encoding_rs::Encoding;
use toml::{Table, Value};
use zeroize::Zeroizing;

use super::ConfigError;
use crate::pem::BYTE_ORDER_MARK;

/// What the DER of every key and certificate begins with: a sequence.
const DER_SEQUENCE: u8 = 0x30;

/// The fields of one account. Each is taken once by the channel's code; what nobody took is an error. Errors are
/// gathered, so that all of a file can be told at once.
pub(crate) struct Fields<'a> {
    account: &'a str,
    table: Table,
    read_file: &'a dyn Fn(&Path) -> io::Result<Vec<u8>>,
    known: Vec<&'static str>,
    errors: Vec<ConfigError>,
}

impl<'a> Fields<'a> {
    pub(super) fn new(
        account: &'a str,
        table: Table,
        read_file: &'a dyn Fn(&Path) -> io::Result<Vec<u8>>,
    ) -> Self {
        Self { account, table, read_file, known: Vec::new(), errors: Vec::new() }
    }

    /// The keys given under one name and its variants: `{name}` and `{name}_file` are strings, `{name}s` and
    /// `{name}_files` lists of strings, for rotations. All that are given count; none at all is an error.
    pub(crate) fn keys<T: FromStr<Err: Display>>(&mut self, variants: [&'static str; 4]) -> Vec<T> {
        let [one, many, file, files] = variants;
        if !self.has_any(&variants) {
            self.refuse(one, format!("missing; give {one}, {many}, {file} or {files}"));
        }
        self.optional_keys(variants)
    }

    /// As [`Fields::keys`], where none at all is no error.
    pub(crate) fn optional_keys<T: FromStr<Err: Display>>(
        &mut self,
        [one, many, file, files]: [&'static str; 4],
    ) -> Vec<T> {
        let mut texts = self.strings(one, many);
        for (field, path) in self.strings(file, files) {
            texts.extend(self.read(field, &path).map(|text| (field, text)));
        }
        texts.into_iter().filter_map(|(field, text)| self.parse(field, &text)).collect()
    }

    /// Keys that have names: `by_value` is a table of names and keys, `by_file` one of names and paths.
    pub(crate) fn named_keys<T: FromStr<Err: Display>>(
        &mut self,
        [by_value, by_file]: [&'static str; 2],
    ) -> Vec<(String, T)> {
        let mut keys = Vec::new();
        for (name, text) in self.named_strings(by_value) {
            keys.extend(self.parse(by_value, &text).map(|key| (name, key)));
        }
        for (name, path) in self.named_strings(by_file) {
            let key = self.read(by_file, &path).and_then(|text| self.parse(by_file, &text));
            keys.extend(key.map(|key| (name, key)));
        }
        keys
    }

    /// The texts in the field `one` and in the list `many`; none at all is an error.
    pub(crate) fn texts(&mut self, one: &'static str, many: &'static str) -> Vec<String> {
        if !self.has_any(&[one, many]) {
            self.refuse(one, format!("missing; give {one} or {many}"));
        }
        let found = self.strings(one, many);
        if found.iter().any(|(_, text)| text.is_empty()) {
            self.refuse(one, "expected a text, got an empty one".to_owned());
        }
        found.into_iter().map(|(_, text)| text.as_str().to_owned()).collect()
    }

    /// The text in this field, which must be there. Empty after an error.
    pub(crate) fn text(&mut self, field: &'static str) -> String {
        match self.take(field) {
            Some(Value::String(text)) if !text.is_empty() => return text,
            None => self.refuse(field, "missing; expected a text".to_owned()),
            Some(Value::String(_)) => self.refuse(field, "expected a text, got an empty one".to_owned()),
            Some(other) => self.refuse(field, format!("expected a text, got {}", other.type_str())),
        }
        String::new()
    }

    /// The text in this field, if it is there.
    pub(crate) fn optional_text(&mut self, field: &'static str) -> Option<String> {
        if self.has_any(&[field]) {
            return Some(self.text(field));
        }
        self.known.push(field);
        None
    }

    /// Whether any of these fields is there and was not taken yet.
    pub(crate) fn has_any(&self, fields: &[&str]) -> bool {
        fields.iter().any(|field| self.table.contains_key(*field))
    }

    /// Takes a field as it is.
    pub(super) fn take(&mut self, field: &'static str) -> Option<Value> {
        self.known.push(field);
        self.table.remove(field)
    }

    /// Notes an error of this account.
    pub(crate) fn refuse(&mut self, field: &str, message: String) {
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

    /// The text of a file, or an error of the field that names it, without what stands there: it may be a key that was put into the wrong field.
    fn read(&mut self, field: &str, path: &str) -> Option<Zeroizing<String>> {
        match (self.read_file)(Path::new(path)) {
            Ok(bytes) => Some(text_of(&Zeroizing::new(bytes))),
            Err(error) => {
                self.refuse(field, format!("cannot read the file named there: {error}"));
                None
            }
        }
    }

    /// What a text in this field says, or an error of the field.
    fn parse<T: FromStr<Err: Display>>(&mut self, field: &str, text: &str) -> Option<T> {
        let around = |character: char| character.is_whitespace() || character == BYTE_ORDER_MARK;
        match text.trim_matches(around).parse() {
            Ok(key) => Some(key),
            Err(error) => {
                self.refuse(field, error.to_string());
                None
            }
        }
    }

    /// The names and strings in the table `field`.
    fn named_strings(&mut self, field: &'static str) -> Vec<(String, Zeroizing<String>)> {
        let entries = match self.take(field) {
            None => return Vec::new(),
            Some(Value::Table(entries)) => entries,
            Some(_) => Table::new(),
        };
        if entries.is_empty() || !entries.values().all(Value::is_str) {
            self.refuse(field, "expected a table of one or more names and strings".to_owned());
        }
        let text = |value| if let Value::String(text) = value { Some(Zeroizing::new(text)) } else { None };
        entries.into_iter().filter_map(|(name, value)| Some((name, text(value)?))).collect()
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

/// What stands in a file. UTF-16 is known by its byte-order mark, as editors of Windows write it, and DER by its first bytes, as in a `.cer`
/// file: it becomes base64. What else is no UTF-8 may stand around PEM, so it is no error here.
fn text_of(bytes: &[u8]) -> Zeroizing<String> {
    if let [DER_SEQUENCE, 0x81..=0x84, ..] = bytes {
        return Zeroizing::new(STANDARD.encode(bytes));
    }
    Zeroizing::new(match Encoding::for_bom(bytes) {
        Some((encoding, _)) => encoding.decode_with_bom_removal(bytes).0.into_owned(),
        None => String::from_utf8_lossy(bytes).into_owned(),
    })
}
