//! `cargo xtask bench`: the program `bench` and everything that it measures, as released.

mod against;
mod release;

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};

use self::release::Release;
use crate::{cargo, setup, step};

/// The programs that are measured, and the one that adds merchants to them, by their packages.
const PROGRAMS: [(&str, &str); 4] = [
    ("ingress", "ingress"),
    ("order-service", "order-service"),
    ("merchant-notifier", "merchant-notifier"),
    ("operator", "payrelay"),
];
const BENCH: (&str, &str) = ("bench", "bench");

/// Sets up, builds the released programs, and becomes `bench` with `arguments`. With `--against REV` among them it builds those
/// of that revision, too, and compares both.
pub(crate) fn run(arguments: &[String]) -> Result<ExitCode> {
    let (revision, arguments) = split(arguments)?;
    setup::run_for_release()?;
    if let Some(revision) = revision {
        return against::run(&revision, &arguments);
    }
    step("building the programs for release");
    let programs = [&PROGRAMS[..], &[BENCH]].concat();
    let built = Release::of(Path::new("."))?.build(&programs)?;
    step("starting the bench");
    let folder = built[0].parent().context("a program without a folder")?;
    cargo::become_in(folder, "bench", &arguments)
}

/// The revision that `--against` names, and all other arguments.
fn split(arguments: &[String]) -> Result<(Option<String>, Vec<String>)> {
    let (mut revision, mut others) = (None, Vec::new());
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        if argument == "--against" {
            revision = Some(rest.next().context("--against needs a revision, as v1.2 or HEAD~3")?.clone());
        } else if let Some(named) = argument.strip_prefix("--against=") {
            revision = Some(named.to_owned());
        } else {
            others.push(argument.clone());
        }
    }
    Ok((revision, others))
}

#[cfg(test)]
mod tests {
    use super::split;

    fn owned(arguments: &[&str]) -> Vec<String> {
        arguments.iter().map(|argument| (*argument).to_owned()).collect()
    }

    #[test]
    fn the_revision_is_found_wherever_it_stands() {
        for arguments in [
            ["--against", "v1", "--pairs", "4"],
            ["--pairs", "4", "--against", "v1"],
            ["--against=v1", "--pairs", "4", ""],
        ] {
            let arguments = owned(&arguments).into_iter().filter(|argument| !argument.is_empty());
            let (revision, others) = split(&arguments.collect::<Vec<_>>()).unwrap();
            assert_eq!((revision.as_deref(), others), (Some("v1"), owned(&["--pairs", "4"])));
        }
    }

    #[test]
    fn without_a_revision_all_is_passed_on() {
        assert_eq!(split(&owned(&["--quick"])).unwrap(), (None, owned(&["--quick"])));
        assert!(split(&owned(&["--quick", "--against"])).is_err());
    }
}
