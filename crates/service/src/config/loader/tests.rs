use std::path::PathBuf;
use std::process;

use super::*;

fn loader(variables: &[(&str, &str)]) -> Loader {
    Loader::from_map(
        variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
    )
}

/// A file that is removed with its guard.
struct File(PathBuf);

impl File {
    fn new(name: &str, content: &str) -> Self {
        let path = std::env::temp_dir().join(format!("payrelay-loader-{}-{name}", process::id()));
        fs::write(&path, content).expect("a writable temporary folder");
        Self(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().expect("UTF-8")
    }
}

impl Drop for File {
    fn drop(&mut self) {
        fs::remove_file(&self.0).expect("it is still there");
    }
}

#[test]
fn a_secret_may_come_from_a_file() {
    let file = File::new("secret", "hunter2\n");
    let marked = File::new("marked", "\u{feff}hunter2\r\n");
    let mut loader = loader(&[("TOKEN_FILE", file.path()), ("MARKED_FILE", marked.path())]);
    assert_eq!(loader.secret("TOKEN").expose(), "hunter2");
    assert_eq!(loader.secret("MARKED").expose(), "hunter2");
    loader.finish().unwrap();
}

#[test]
fn a_secret_that_cannot_be_had_is_told_by_the_variable_at_fault() {
    let (empty, full) = (File::new("empty", "\u{feff}\n"), File::new("full", "hunter2"));
    let mut loader = loader(&[
        ("AWAY_FILE", "/nowhere/token"),
        ("EMPTY_FILE", empty.path()),
        ("BOTH", "hunter2"),
        ("BOTH_FILE", full.path()),
    ]);
    for name in ["AWAY", "EMPTY", "BOTH", "UNSET"] {
        assert_eq!(loader.secret(name).expose(), "");
    }
    let ConfigErrors(errors) = loader.finish().unwrap_err();
    let told: Vec<_> = errors.iter().map(|error| error.variable.as_str()).collect();
    assert_eq!(told, ["AWAY_FILE", "EMPTY_FILE", "BOTH", "UNSET"]);
}

#[test]
fn optional_values_may_be_missing_but_not_wrong() {
    let mut loader = loader(&[("PORT", "99999")]);
    assert_eq!(loader.optional::<u16>("UNSET", "8080"), None);
    assert_eq!(loader.optional_secret("UNSET").map(|secret| secret.expose().to_owned()), None);
    assert_eq!(loader.optional::<u16>("PORT", "8080"), None);
    let ConfigErrors(errors) = loader.finish().unwrap_err();
    assert_eq!(
        errors[0].to_string(),
        "PORT: \"99999\" is not valid (number too large to fit in target type); set it to a value such as 8080"
    );
    assert_eq!(errors.len(), 1);
}

#[test]
fn a_master_key_must_be_one() {
    let mut loader = loader(&[("KEY", "c2hvcnQ=")]);
    loader.master_key("KEY");
    loader.master_key("UNSET");
    let ConfigErrors(errors) = loader.finish().unwrap_err();
    assert_eq!(errors.len(), 2);
    assert!(!errors[0].to_string().contains("c2hvcnQ"), "{}", errors[0]);
}
