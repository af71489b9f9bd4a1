//! What is wrong with a command line, told without what may be a secret: a URL with its password in the wrong place.

use std::env;
use std::process::ExitCode;

use clap::Error;
use transport::without;

use crate::output;

/// Prints the help that was asked for, or what is wrong.
pub(crate) fn explain(error: &Error) -> ExitCode {
    if !error.use_stderr() {
        // Nobody is left to tell when standard output is closed.
        let _closed = error.print();
        return ExitCode::SUCCESS;
    }
    let given = env::args_os().skip(1).chain(env::vars_os().filter_map(|(name, value)| {
        name.to_str().is_some_and(|name| name.starts_with("PAYRELAY_")).then_some(value)
    }));
    let given: Vec<_> = given.map(|value| value.to_string_lossy().into_owned()).collect();
    output::progress(told(&error.render().to_string(), &given).trim_end());
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}

/// What clap says; before the usage without the values that were given. The names of options and commands stay.
fn told(text: &str, given: &[String]) -> String {
    let (wrong, usage) = text.split_at(text.find("\n\nUsage").unwrap_or(text.len()));
    let values = given.iter().map(|argument| match argument.split_once('=') {
        Some((option, value)) if option.starts_with('-') => value,
        _ => argument,
    });
    let is_name = |value: &str| value.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-');
    let wrong =
        values.filter(|value| !is_name(value)).fold(wrong.to_owned(), |wrong, value| without(&wrong, value));
    format!("{wrong}{usage}")
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::Cli;

    #[test]
    fn names_are_told_and_values_are_not() {
        for (arguments, expected) in [
            (&["postgres://pay:hunter2@db/pay"][..], "unrecognized subcommand '…'"),
            (&["migrate", "postgres://pay:hunter2@db/pay"], "unexpected argument '…'"),
            (&["migrate", "--database-url=hunter2"], "unexpected argument '--database-url'"),
            (&["trace", "hunter2 with blanks"], "invalid value '…'"),
            (&["trace", "hunter2\"with\"quotes and\nmore"], "invalid value '…'"),
            (&["merchant", "rotate-key", "m1", "--overlap=hunter2"], "invalid value '…' for '--overlap"),
            (&["merchant", "rotate-key", "m1", "--overlap", "99"], "invalid value '99'"),
            (&["merchnt", "list"], "unrecognized subcommand 'merchnt'"),
            (&["trace", "--token", "hunter2"], "unexpected argument '--token'"),
        ] {
            let given: Vec<_> = ["payrelay"].iter().chain(arguments).map(|text| (*text).to_owned()).collect();
            let error = Cli::try_parse_from(&given).expect_err("wrong").render().to_string();
            let told = told(&error, &given);
            assert!(told.contains(expected) && told.contains("--help"), "{told}");
            assert!(!told.contains("hunter2"), "{told}");
        }
    }
}
