//! `docs/cli.md`, from the definitions of the command line.

use std::fmt::Write as _;

use clap::{Arg, ArgAction, Command, CommandFactory};

use super::{hold, sentence, table, wrapped};
use crate::cli::Cli;

const BEFORE_COMMANDS: &str = "\
A variable stands for its option where the option is not given. [Configuration](configuration.md)
lists all variables.
";

#[test]
fn the_page_of_the_command_line_is_current() {
    let mut root = Cli::command();
    root.build();
    let about = root.get_long_about().or(root.get_about()).map(ToString::to_string).unwrap_or_default();
    let about = about.split("\n\n").map(|part| wrapped(&sentence(part))).collect::<Vec<_>>().join("\n\n");
    let mut page =
        format!("# Command line: payrelay\n\n{about}\n\n{BEFORE_COMMANDS}\n## Options of every command\n\n");
    page.push_str(&arguments(root.get_arguments()));
    for command in shown_subcommands(&root) {
        add(&mut page, command, "payrelay", 2);
    }
    hold("cli.md", &page);
}

/// Adds a command and those below it.
fn add(page: &mut String, command: &Command, parent: &str, level: usize) {
    let name = format!("{parent} {}", command.get_name());
    let about = command.get_long_about().or(command.get_about()).map(ToString::to_string).unwrap_or_default();
    write!(page, "\n{} {name}\n\n{}\n", "#".repeat(level), wrapped(&sentence(&about)))
        .expect("a String takes all");
    if command.has_subcommands() {
        for subcommand in shown_subcommands(command) {
            add(page, subcommand, &name, level + 1);
        }
        return;
    }
    write!(page, "\n```text\n{}\n```\n", usage(command, &name)).expect("a String takes all");
    let own: Vec<_> = command.get_arguments().filter(|argument| !argument.is_global_set()).collect();
    if own.iter().any(|argument| is_shown(argument)) {
        write!(page, "\n{}", arguments(own)).expect("a String takes all");
    }
}

fn shown_subcommands(command: &Command) -> impl Iterator<Item = &Command> {
    command.get_subcommands().filter(|command| command.get_name() != "help" && !command.is_hide_set())
}

/// The line that calls the command, as its help shows it.
fn usage(command: &Command, name: &str) -> String {
    let usage = command.clone().render_usage().to_string();
    let arguments = usage.split_once(command.get_name()).map_or("", |(_, rest)| rest);
    format!("{name}{arguments}")
}

fn arguments<'a>(arguments: impl IntoIterator<Item = &'a Arg>) -> String {
    let rows = arguments
        .into_iter()
        .filter(|argument| is_shown(argument))
        .map(|argument| [named(argument), default(argument), variable(argument), meaning(argument)]);
    table(["argument", "default", "variable", "meaning"], rows)
}

fn is_shown(argument: &Arg) -> bool {
    !argument.is_hide_set() && !["help", "version"].contains(&argument.get_id().as_str())
}

/// `--name VALUE`, `<NAME>`, with `…` where it may be repeated.
fn named(argument: &Arg) -> String {
    let names = argument.get_value_names().unwrap_or_default();
    let values: Vec<_> = names.iter().map(|name| format!("<{name}>")).collect();
    let values = if argument.get_action().takes_values() { values.join(" ") } else { String::new() };
    let repeated = if matches!(argument.get_action(), ArgAction::Append) { "…" } else { "" };
    let option = argument.get_long().map(|long| format!("--{long} ")).unwrap_or_default();
    format!("`{}`{repeated}", format!("{option}{values}").trim())
}

fn default(argument: &Arg) -> String {
    let defaults: Vec<_> =
        argument.get_default_values().iter().map(|value| value.to_string_lossy().into_owned()).collect();
    let default = defaults.join(",");
    if !argument.get_action().takes_values() {
        return "off".to_owned();
    }
    if !default.is_empty() {
        return format!("`{default}`");
    }
    if argument.is_required_set() { "required".to_owned() } else { "none".to_owned() }
}

fn variable(argument: &Arg) -> String {
    argument.get_env().map(|name| format!("`{}`", name.to_string_lossy())).unwrap_or_default()
}

fn meaning(argument: &Arg) -> String {
    let help = argument.get_long_help().or(argument.get_help()).map(ToString::to_string).unwrap_or_default();
    let help = sentence(&help);
    let possible = argument.get_possible_values();
    if possible.is_empty() || !argument.get_action().takes_values() {
        return help;
    }
    let names: Vec<_> = possible.iter().map(|value| format!("`{}`", value.get_name())).collect();
    format!("{help} One of {}.", names.join(", "))
}
