//! The command line of `payrelay`.

use clap::{CommandFactory, Parser, Subcommand};
use events::OrderNo;

use crate::{
    admin::{Admin, AdminOptions},
    commands::{
        audit::{self, AuditOptions},
        callback::{self, CallbackCommand},
        completions::{self, CompletionsOptions},
        contradictions::{self, ContradictionsCommand},
        dlq::{self, DlqCommand},
        doctor::{self, DoctorOptions},
        events::{self as events_command, EventsCommand},
        merchant::{self, MerchantCommand},
        migrate,
        notifications::{self, NotificationsCommand},
        topology::{self, TopologyCommand},
        trace,
        webhook::{self, WebhookCommand},
    },
    demo::{self, DemoOptions},
    dev::{self, DevOptions},
    failure::CommandResult,
};

/// The release, and the commit that it is built from where that is known.
const VERSION: &str = env!("VERSION_AND_COMMIT");

/// Carries every payment result to everybody who must know it, exactly once in effect.
///
/// Exit codes: 0 good, 1 findings or failure, 2 wrong usage, 3 a server cannot be reached, 78 something must be mended first.
#[derive(Debug, Parser)]
#[command(name = "payrelay", version = VERSION, max_term_width = 110)]
pub(crate) struct Cli {
    /// Print JSON for machines.
    #[arg(long, global = true)]
    json: bool,
    #[command(flatten)]
    admin: AdminOptions,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the whole pipeline in one process, on private throw-away servers or on the servers given.
    Dev(DevOptions),
    /// Drive payments through the whole pipeline, disturb it, and check that nothing was lost or doubled.
    Demo(DemoOptions),
    /// Bring the schemas of all services in `PAYRELAY_DATABASE_URL` up to date.
    Migrate,
    /// Add, list, show, enable and disable merchants, and rotate their API keys and webhook secrets.
    #[command(subcommand)]
    Merchant(MerchantCommand),
    /// Check whether a webhook can be sent to a URL.
    #[command(subcommand)]
    Webhook(WebhookCommand),
    /// Check a recorded callback without a server.
    #[command(subcommand)]
    Callback(CallbackCommand),
    /// List and show notifications, and send again what was parked.
    #[command(subcommand)]
    Notifications(NotificationsCommand),
    /// Show every step of one order, from the callback to the webhook attempts.
    Trace {
        /// The merchant's order number.
        order_no: OrderNo,
    },
    /// Check that what was committed was published, applied and notified, or parked with a reason.
    Audit(AuditOptions),
    /// Publish again what got lost between the ingress and the consumers.
    #[command(subcommand)]
    Events(EventsCommand),
    /// List, show and resolve contradictions: results that cannot be true.
    #[command(subcommand)]
    Contradictions(ContradictionsCommand),
    /// List, show, replay and discard what consumers could not use.
    #[command(subcommand)]
    Dlq(DlqCommand),
    /// Print, declare and check exchanges and queues.
    #[command(subcommand)]
    Topology(TopologyCommand),
    /// Look for what would lose, hold up or mislead payments in services, queues, bindings, policies and the database.
    Doctor(DoctorOptions),
    /// Print the script by which a shell completes commands and options.
    Completions(CompletionsOptions),
}

/// Runs the command that was given.
pub(crate) async fn dispatch(cli: Cli) -> CommandResult {
    let Cli { json, admin, command } = cli;
    let admin = || Admin::from_options(&admin);
    match command {
        Command::Dev(options) => dev::run(options, json).await,
        Command::Demo(options) => Box::pin(demo::run(options, json)).await,
        Command::Migrate => migrate::run().await,
        Command::Merchant(command) => merchant::run(&admin()?, command, json).await,
        Command::Webhook(command) => webhook::run(command, json).await,
        Command::Callback(command) => callback::run(&command),
        Command::Notifications(command) => notifications::run(&admin()?, command, json).await,
        Command::Trace { order_no } => trace::run(&admin()?, &order_no, json).await,
        Command::Audit(options) => audit::run(&admin()?, &options, json).await,
        Command::Events(command) => events_command::run(&admin()?, &command, json).await,
        Command::Dlq(command) => dlq::run(command, json).await,
        Command::Topology(command) => topology::run(command, json).await,
        Command::Doctor(options) => doctor::run(&admin()?, &options, json).await,
        Command::Contradictions(command) => contradictions::run(&admin()?, command, json).await,
        Command::Completions(options) => completions::run(&options, Cli::command()),
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_version_names_the_commit() {
        assert_eq!(Cli::command().render_version(), format!("payrelay {VERSION}\n"));
        let commit = VERSION.strip_prefix(env!("CARGO_PKG_VERSION")).expect("the release comes first");
        if std::env::var_os("PAYRELAY_COMMIT").is_some() {
            return;
        }
        let git = |arguments: &[&str]| {
            let output = Command::new("git").args(arguments).output();
            output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
        };
        // Without a repository, as from an archive, the release is all.
        if git(&["rev-parse", "--show-prefix"]) != "crates/operator/" {
            assert_eq!(commit, "");
            return;
        }
        let commit = commit.strip_prefix(" (").and_then(|commit| commit.strip_suffix(')'));
        let commit = commit.expect("a commit follows");
        assert_eq!((commit.len(), git(&["cat-file", "-t", commit]).as_str()), (12, "commit"));
    }
}
