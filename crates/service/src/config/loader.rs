//! Reading variables and collecting what is wrong with them.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::fs;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use transport::{shown_path, without};

use super::{Asked, ConfigError, ConfigErrors, Need};
use crate::{MasterKey, Secret};

/// Reads typed values from environment variables. A value that is missing or wrong is noted, and a placeholder (the
/// default, or something empty) is returned, so that one run finds every error. Nothing that was read may be used before
/// [`Loader::finish`] says that all is well. An empty variable counts as unset.
#[derive(Debug, Default)]
pub struct Loader {
    variables: BTreeMap<String, String>,
    asked: Vec<Asked>,
    errors: Vec<ConfigError>,
}

impl Loader {
    /// Reads the environment of the process.
    pub fn from_env() -> Self {
        let readable = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        Self::from_map(readable.collect())
    }

    /// Reads `variables` in place of an environment: `payrelay dev` and tests.
    pub fn from_map(variables: BTreeMap<String, String>) -> Self {
        Self { variables, ..Self::default() }
    }

    /// A text that must be set. Empty after an error.
    pub fn string(&mut self, name: &str) -> String {
        self.ask(name, Need::Required);
        self.get(name).unwrap_or_else(|| {
            self.reject(name, "is not set", format!("set {name}"));
            String::new()
        })
    }

    /// A text that may be missing.
    pub fn optional_string(&mut self, name: &str) -> Option<String> {
        self.ask(name, Need::Optional);
        self.get(name)
    }

    /// A text with a default.
    pub fn string_or(&mut self, name: &str, default: &str) -> String {
        self.ask(name, Need::Default(default.to_owned()));
        self.get(name).unwrap_or_else(|| default.to_owned())
    }

    /// A value with a default, which is also the example in the error.
    pub fn parse<T>(&mut self, name: &str, default: T) -> T
    where
        T: FromStr<Err: Display> + Display,
    {
        self.parse_within(name, default, None)
    }

    fn parse_within<T>(&mut self, name: &str, default: T, bounds: Option<[String; 2]>) -> T
    where
        T: FromStr<Err: Display> + Display,
    {
        let need = Need::Default(default.to_string());
        self.asked.push(Asked { name: name.to_owned(), need, is_secret: false, bounds });
        match self.get(name).map(|text| text.parse()) {
            None => default,
            Some(Ok(value)) => value,
            Some(Err(error)) => {
                self.reject_value(name, &error, &default);
                default
            }
        }
    }

    /// A number within bounds that the error names.
    pub fn bounded<T>(&mut self, name: &str, default: T, bounds: RangeInclusive<T>) -> T
    where
        T: FromStr<Err: Display> + Display + Copy + PartialOrd,
    {
        let ends = [bounds.start(), bounds.end()].map(ToString::to_string);
        let advice = format!("set it to a number from {} to {}", ends[0], ends[1]);
        let value = self.parse_within(name, default, Some(ends));
        if !bounds.contains(&value) {
            self.reject(name, format!("{value} is out of bounds"), advice);
        }
        value
    }

    /// A time in whole seconds, within bounds that the error names.
    pub fn seconds(&mut self, name: &str, default: Duration, bounds: RangeInclusive<u64>) -> Duration {
        Duration::from_secs(self.bounded(name, default.as_secs(), bounds))
    }

    /// A value that may be missing. `example` is shown when it is wrong.
    pub fn optional<T: FromStr<Err: Display>>(&mut self, name: &str, example: &str) -> Option<T> {
        self.ask(name, Need::Optional);
        match self.get(name)?.parse() {
            Ok(value) => Some(value),
            Err(error) => {
                self.reject_value(name, &error, &example);
                None
            }
        }
    }

    /// A secret that must be set, by `name` or as the content of the file that `{name}_FILE` names (the line end of its
    /// last line is cut). Empty after an error.
    pub fn secret(&mut self, name: &str) -> Secret {
        self.ask_secret(name, Need::Required);
        let errors_before = self.errors.len();
        let secret = self.read_secret(name);
        if secret.is_none() && self.errors.len() == errors_before {
            self.reject(name, "is not set", format!("set {name} or {name}_FILE"));
        }
        secret.unwrap_or_default()
    }

    /// A secret that may be missing.
    pub fn optional_secret(&mut self, name: &str) -> Option<Secret> {
        self.ask_secret(name, Need::Optional);
        self.read_secret(name)
    }

    fn read_secret(&mut self, name: &str) -> Option<Secret> {
        let file_variable = format!("{name}_FILE");
        match (self.get(name), self.get(&file_variable)) {
            (Some(_), Some(_)) => {
                self.reject(name, "is set and so is its file", format!("unset {name} or {file_variable}"));
                None
            }
            (value, None) => value.map(Secret::from),
            (None, Some(_)) => self.content(&file_variable),
        }
    }

    /// A file that holds a secret, for what is read again later; it may be missing. Here it is looked at once.
    pub fn secret_file(&mut self, name: &str) -> Option<PathBuf> {
        self.ask(name, Need::Optional);
        self.content(name)?;
        self.get(name).map(PathBuf::from)
    }

    /// What the file holds that this variable names, without the line end of its last line and the byte-order mark that
    /// editors of Windows begin a file with.
    fn content(&mut self, variable: &str) -> Option<Secret> {
        let path = self.get(variable)?;
        match fs::read_to_string(&path).as_deref().map(|text| text.trim_start_matches('\u{feff}')) {
            Ok(text) if !text.trim_end().is_empty() => {
                Some(Secret::from(text.trim_end_matches(['\r', '\n'])))
            }
            Ok(_) => {
                let problem = format!("names an empty file ({})", shown_path(path.as_ref()));
                self.reject(variable, problem, "put the secret into it");
                None
            }
            Err(error) => {
                let problem = format!("names {}, which cannot be read ({error})", shown_path(path.as_ref()));
                self.reject(variable, problem, "name a readable file");
                None
            }
        }
    }

    /// The master key: 32 bytes in standard base64. Zeros after an error.
    pub fn master_key(&mut self, name: &str) -> MasterKey {
        let text = self.secret(name);
        if text.expose().is_empty() {
            return MasterKey::default();
        }
        MasterKey::from_base64(text.expose()).unwrap_or_else(|| {
            self.reject(name, "is not 32 bytes in base64", "make one with `openssl rand -base64 32`");
            MasterKey::default()
        })
    }

    /// Notes an error of the caller's own, as a wrong field in a file that a variable names.
    pub fn reject(&mut self, name: &str, problem: impl Into<String>, advice: impl Into<String>) {
        let (problem, advice) = (problem.into(), advice.into());
        self.errors.push(ConfigError { variable: name.to_owned(), problem, advice });
    }

    /// Every variable that was asked for, whether it is set or not, in the order of the questions.
    pub fn asked(&self) -> &[Asked] {
        &self.asked
    }

    /// Whether all that was read may be used.
    pub fn finish(self) -> Result<(), ConfigErrors> {
        if self.errors.is_empty() { Ok(()) } else { Err(ConfigErrors(self.errors)) }
    }

    fn ask(&mut self, name: &str, need: Need) {
        self.asked.push(Asked { name: name.to_owned(), need, is_secret: false, bounds: None });
    }

    fn ask_secret(&mut self, name: &str, need: Need) {
        self.asked.push(Asked { name: name.to_owned(), need, is_secret: true, bounds: None });
    }

    fn get(&self, name: &str) -> Option<String> {
        self.variables.get(name).filter(|value| !value.is_empty()).cloned()
    }

    /// Notes what is wrong with the value of a variable. Its words are not quoted, for they may be a secret that was given to the
    /// wrong variable.
    pub(crate) fn reject_value(&mut self, name: &str, error: &dyn Display, example: &dyn Display) {
        let got = self.get(name).unwrap_or_default();
        let told = without(&format!("{got:?} is not valid ({error})"), &got);
        let words = got.split(|char: char| !char.is_alphanumeric());
        let told = words.fold(told, |told, word| without(&told, word));
        self.reject(name, told, format!("set it to a value such as {example}"));
    }
}

#[cfg(test)]
mod tests;
