//! `payrelay topology`: the exchanges and queues that the pipeline needs, and whether a broker has them.

use clap::Subcommand;
use messaging::{Error, Topology, definitions};
use serde_json::{Value, json};

use super::broker;
use crate::{
    failure::{CommandResult, Failure},
    output,
};

/// What to do with the topology.
#[derive(Debug, Subcommand)]
pub(crate) enum TopologyCommand {
    /// Print it; with --json as definitions.json of RabbitMQ.
    Show {
        /// The vhost of the definitions.
        #[arg(long, default_value = "/")]
        vhost: String,
    },
    /// Declare and bind everything on the broker of `PAYRELAY_AMQP_URL`. What is there stays as it is.
    Apply,
    /// Compare the broker's exchanges and queues with it. Bindings cannot be seen over AMQP; `apply` makes them.
    Check,
}

/// Runs the command.
pub(crate) async fn run(command: TopologyCommand, json: bool) -> CommandResult {
    let topology = broker::topology_from_env()?;
    match command {
        TopologyCommand::Show { vhost } => show(&definitions(&topology, &vhost), json),
        TopologyCommand::Apply => apply(&topology, json).await,
        TopologyCommand::Check => check(&topology, json).await,
    }
}

fn show(definitions: &Value, json: bool) -> CommandResult {
    if json {
        return Ok(output::json(definitions)?);
    }
    let of = |kind: &str| definitions[kind].as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let exchanges =
        of("exchanges").into_iter().map(|exchange| [text(&exchange["name"]), text(&exchange["type"])]);
    output::table(["EXCHANGE", "TYPE"], exchanges)?;
    output::line("")?;
    let bindings = of("bindings");
    let queues = of("queues").into_iter().map(|queue| {
        let binding = bindings.iter().find(|binding| binding["destination"] == queue["name"]);
        let bound = binding.map_or_else(
            || "-".to_owned(),
            |binding| {
                format!("{} {}", text(&binding["source"]), text(&binding["routing_key"])).trim().to_owned()
            },
        );
        [text(&queue["name"]), bound, arguments(&queue["arguments"])]
    });
    Ok(output::table(["QUEUE", "BOUND TO", "ARGUMENTS"], queues)?)
}

fn arguments(arguments: &Value) -> String {
    let pairs = arguments.as_object().into_iter().flatten().map(|(name, value)| match value {
        Value::String(text) => format!("{name}={text:?}"),
        other => format!("{name}={other}"),
    });
    pairs.collect::<Vec<_>>().join(" ")
}

async fn apply(topology: &Topology, json: bool) -> CommandResult {
    let broker = broker::from_env("topology apply")?;
    broker.declare(topology).await.map_err(not_applied)?;
    let (exchanges, queues) = counts(topology);
    if json {
        return Ok(output::json(&json!({ "exchanges": exchanges, "queues": queues }))?);
    }
    Ok(output::line(format!("topology: {exchanges} exchanges and {queues} queues are declared and bound"))?)
}

fn not_applied(error: Error) -> Failure {
    match error {
        Error::Spoiled(_) => Failure::Findings(error.to_string()),
        other => broker::failure(other),
    }
}

async fn check(topology: &Topology, json: bool) -> CommandResult {
    let broker = broker::from_env("topology check")?;
    let findings = broker.inspect(topology).await.map_err(broker::failure)?;
    if json {
        output::json(&findings)?;
    } else {
        for finding in &findings {
            output::line(format!("{finding}\n  to do: {}", finding.advice))?;
        }
    }
    if !findings.is_empty() {
        return Err(Failure::Findings(format!("topology: {} findings", findings.len())));
    }
    if !json {
        let (exchanges, queues) = counts(topology);
        output::line(format!(
            "topology: {exchanges} exchanges and {queues} queues are as they must be; \
             bindings cannot be seen over AMQP, payrelay doctor sees them"
        ))?;
    }
    Ok(())
}

/// Numbers of exchanges and queues.
fn counts(topology: &Topology) -> (usize, usize) {
    let definitions = definitions(topology, "/");
    let count = |kind: &str| definitions[kind].as_array().map_or(0, Vec::len);
    (count("exchanges"), count("queues"))
}
