//! `docs/configuration.md`, from what programs ask their environment for and what stands beside the code that asks.

use std::collections::{BTreeMap, BTreeSet};

use clap::{Arg, Command, CommandFactory};
use runtime::config::retry_delays;
use service::Loader;
use service::config::{self, AmqpSettings, Asked, DatabaseSettings, Need, Setting};

use super::{add_part, hold, sentence, table};
use crate::cli::Cli;
use crate::commands::doctor;

const INTRODUCTION: &str = "\
# Configuration

Programs read environment variables. An empty variable counts as unset.

- A program reports all errors at once. A service then exits with 78, `payrelay` with 2.
- A secret may come from a file: `NAME_FILE` holds its path. Set `NAME` or `NAME_FILE`, not both.
- Errors and logs quote no secret, and no word of a value that is wrong.
- Proxy variables such as `http_proxy` are not read.

\"All services\" are `ingress`, `order-service` and `merchant-notifier`.
[Channels](channels/README.md) describes the channels file, [Deployment](deployment.md) the servers.
";

/// Reads variables.
type Load = fn(&mut Loader);

/// The services, and how they read their environment.
const SERVICES: [(&str, Load); 3] = [
    ("ingress", |loader| drop(ingress::Config::load(loader))),
    ("order-service", |loader| drop(order_service::Config::load(loader))),
    ("merchant-notifier", |loader| drop(merchant_notifier::Config::load(loader))),
];

/// Commands of `payrelay`, and what they read beside their options.
const COMMANDS: [(&str, Load); 5] = [
    ("payrelay migrate", |loader| drop(DatabaseSettings::load(loader))),
    ("payrelay dlq", |loader| drop(AmqpSettings::load(loader))),
    ("payrelay topology", |loader| {
        drop(AmqpSettings::load(loader));
        drop(retry_delays(loader));
    }),
    ("payrelay audit", |loader| drop(retry_delays(loader))),
    ("payrelay doctor", |loader| drop(doctor::settings(loader))),
];

/// What is read without a loader.
const BESIDES: [(&str, &str); 8] = [
    ("PAYRELAY_ADMIN_TOKEN", "payrelay"),
    ("PAYRELAY_LOG", "payrelay dev"),
    ("PAYRELAY_LOG", "payrelay demo"),
    ("PAYRELAY_LOG", "payrelay migrate"),
    ("PAYRELAY_LOG_FORMAT", "payrelay dev"),
    ("PAYRELAY_LOG_FORMAT", "payrelay demo"),
    ("PAYRELAY_LOG_FORMAT", "payrelay migrate"),
    ("PAYRELAY_MANAGEMENT_URL", "payrelay dev"),
];

const DEVELOPERS: [[&str; 4]; 5] = [
    [
        "`PAYRELAY_CI_TOOLS`",
        "`.ci/run`, `cargo xtask mutants`, `cargo xtask docs`",
        "`~/.cache/payrelay-ci`",
        "Folder for tools that are installed.",
    ],
    [
        "`PAYRELAY_MATRIX_ROOTS`",
        "`cargo xtask matrix`",
        "`target/matrix`",
        "Folder for the root folders of other systems. Remove one to have it made again.",
    ],
    [
        "`PAYRELAY_DEBIAN_MIRROR`",
        "`cargo xtask matrix`",
        "`http://deb.debian.org/debian`",
        "Mirror that those systems are made from.",
    ],
    [
        "`PAYRELAY_SERVERS_ROOT`",
        "`payrelay dev`, `payrelay demo`, `cargo xtask`",
        "none",
        "Absolute path of the root folder of another system, whose PostgreSQL and RabbitMQ are used. For root only.",
    ],
    [
        "`PAYRELAY_COMMIT`",
        "`cargo build --package operator`",
        "the commit of the repository",
        "Commit that `payrelay --version` names.",
    ],
];

/// The tables of the page.
fn groups() -> [(&'static str, Vec<Setting>); 7] {
    [
        ("PostgreSQL", config::DATABASE_SETTINGS.to_vec()),
        ("RabbitMQ", config::AMQP_SETTINGS.to_vec()),
        ("HTTP, logs and stopping", config::COMMON_SETTINGS.to_vec()),
        ("Retries and retention", runtime::config::SETTINGS.to_vec()),
        ("ingress", ingress::SETTINGS.to_vec()),
        ("order-service", order_service::SETTINGS.to_vec()),
        ("merchant-notifier", merchant_notifier::SETTINGS.to_vec()),
    ]
}

#[test]
fn the_page_of_the_configuration_is_current() {
    let asked = Questions::of_all();
    let mut page = INTRODUCTION.to_owned();
    let mut described = BTreeSet::new();
    let header = ["variable", "of", "default", "meaning"];
    for (heading, settings) in groups() {
        let rows = settings.iter().map(|Setting { name, meaning }| {
            assert!(described.insert((*name).to_owned()), "{name} is described twice");
            let mark = if asked.is_secret(name) { " (secret)" } else { "" };
            [format!("`{name}`{mark}"), asked.who(name), asked.default(name), (*meaning).to_owned()]
        });
        add_part(&mut page, heading, &table(header, rows));
    }
    let options: Vec<_> = asked.options.iter().filter(|option| !described.contains(&option.name)).collect();
    let rows = options.iter().map(|OptionOf { name, command, default, meaning }| {
        [format!("`{name}`"), format!("`{command}`"), format!("`{default}`"), meaning.clone()]
    });
    add_part(&mut page, "payrelay", &table(header, rows));
    add_part(&mut page, "Development", &table(header, DEVELOPERS.map(|row| row.map(str::to_owned))));
    let known: BTreeSet<_> = described.iter().chain(options.iter().map(|option| &option.name)).collect();
    let unknown: Vec<_> = asked.by_name.keys().filter(|name| !known.contains(name)).collect();
    assert!(unknown.is_empty(), "read, and described in no table of settings: {unknown:?}");
    hold("configuration.md", &page);
}

/// A variable that stands for an option.
struct OptionOf {
    name: String,
    command: String,
    default: String,
    meaning: String,
}

/// Who asks for which variable.
struct Questions {
    /// By variable: programs in the order of the lists above, and what they ask.
    by_name: BTreeMap<String, Vec<(&'static str, Asked)>>,
    options: Vec<OptionOf>,
}

impl Questions {
    fn of_all() -> Self {
        let mut by_name = BTreeMap::<String, Vec<_>>::new();
        for (program, load) in SERVICES.into_iter().chain(COMMANDS) {
            // Files are asked for where the broker is known.
            let broker = ("PAYRELAY_AMQP_URL".to_owned(), "amqp://localhost".to_owned());
            let mut loader = Loader::from_map([broker].into());
            load(&mut loader);
            for asked in loader.asked() {
                by_name.entry(asked.name.clone()).or_default().push((program, asked.clone()));
            }
        }
        let mut options = Vec::new();
        let mut root = Cli::command();
        root.build();
        collect(&root, "payrelay", &mut options);
        Self { by_name, options }
    }

    fn asked(&self, name: &str) -> &[(&'static str, Asked)] {
        let asked = self.by_name.get(name).map(Vec::as_slice).unwrap_or_default();
        assert!(!asked.is_empty(), "{name} is described, and no program reads it");
        asked
    }

    fn is_secret(&self, name: &str) -> bool {
        self.asked(name).iter().any(|(_, asked)| asked.is_secret)
    }

    fn who(&self, name: &str) -> String {
        let mut programs: Vec<&str> = self.asked(name).iter().map(|(program, _)| *program).collect();
        programs
            .extend(BESIDES.iter().filter(|(variable, _)| *variable == name).map(|(_, program)| *program));
        let of_name = self.options.iter().filter(|option| option.name == name);
        programs.extend(of_name.map(|option| option.command.as_str()));
        let is_service = |program: &&str| SERVICES.iter().any(|(service, _)| service == program);
        let (services, commands): (Vec<_>, Vec<_>) = programs.into_iter().partition(is_service);
        let services =
            if services.len() == SERVICES.len() { vec!["all services".to_owned()] } else { code(&services) };
        services.into_iter().chain(code(&commands)).collect::<Vec<_>>().join(", ")
    }

    /// What holds without the variable, for services, or for commands where no service reads it.
    fn default(&self, name: &str) -> String {
        let (_, Asked { need: first, bounds, .. }) = &self.asked(name)[0];
        let mut defaults = Vec::new();
        for (program, asked) in self.asked(name) {
            if std::mem::discriminant(&asked.need) == std::mem::discriminant(first) {
                let default = match &asked.need {
                    Need::Required => "required".to_owned(),
                    Need::Default(value) if !value.is_empty() => format!("`{value}`"),
                    Need::Optional | Need::Default(_) => "none".to_owned(),
                };
                if !defaults.contains(&default) {
                    defaults.push(default);
                }
            } else {
                assert!(program.starts_with("payrelay"), "{name}: {program} differs from the others");
            }
        }
        let bounds = bounds.as_ref().map(|[least, greatest]| format!(", from {least} to {greatest}"));
        format!("{}{}", defaults.join(", "), bounds.unwrap_or_default())
    }
}

fn code(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| format!("`{name}`")).collect()
}

/// The variables that stand for options, of this command and those below it.
fn collect(command: &Command, name: &str, options: &mut Vec<OptionOf>) {
    let is_own = |argument: &&Arg| name == "payrelay" || !argument.is_global_set();
    for argument in command.get_arguments().filter(is_own) {
        let Some(variable) = argument.get_env().map(|name| name.to_string_lossy().into_owned()) else {
            continue;
        };
        if !variable.starts_with("PAYRELAY_") {
            continue;
        }
        let defaults: Vec<_> =
            argument.get_default_values().iter().map(|value| value.to_string_lossy().into_owned()).collect();
        let meaning = argument.get_help().map(|help| sentence(&help.to_string())).unwrap_or_default();
        options.push(OptionOf {
            name: variable,
            command: name.to_owned(),
            default: defaults.join(","),
            meaning,
        });
    }
    for subcommand in command.get_subcommands() {
        collect(subcommand, &format!("{name} {}", subcommand.get_name()), options);
    }
}
