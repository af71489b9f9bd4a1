//! Whether a broker holds a topology as it should be, seen over AMQP and without changing anything.
//!
//! AMQP tells whether a thing is there and, by declaring it again, whether it is the same. It shows no bindings.

use std::time::Duration;

use lapin::{Channel, Connection};

use crate::connection::{NOT_FOUND, PRECONDITION_FAILED};
use crate::{Broker, DoctorFinding, Error, FindingKind, Topology, connection};

/// For the look at the start of a service: a broker that is slower is looked at as one that is away.
const START_TIMEOUT: Duration = Duration::from_secs(5);

/// What to do about a queue of another type or with other arguments.
pub(crate) const REPLACE_QUEUE: &str = "arguments are for ever: stop its consumers, empty it (a shovel moves messages), delete it, then payrelay topology apply";
/// What to do about an exchange of another kind.
pub(crate) const REPLACE_EXCHANGE: &str =
    "delete it while the services are stopped, then payrelay topology apply";
/// What to do about what is not there.
pub(crate) const DECLARE: &str = "declare it: payrelay topology apply";

impl Broker {
    /// What of `topology` exists and is another than it must be, for a service that shall not start on it. Empty when the
    /// broker is away or slow, too: that is an outage to wait for, and no reason to end.
    pub async fn mismatched(&self, topology: &Topology) -> Vec<DoctorFinding> {
        let inspecting = connection::within("look at the topology", START_TIMEOUT, self.inspect(topology));
        match inspecting.await.flatten() {
            Ok(findings) => {
                findings.into_iter().filter(|finding| finding.kind != FindingKind::Missing).collect()
            }
            Err(error) => {
                tracing::warn!(%error, "the topology could not be looked at before the start");
                Vec::new()
            }
        }
    }

    /// Compares what is there with `topology`. Bindings cannot be seen; declaring makes them.
    pub async fn inspect(&self, topology: &Topology) -> Result<Vec<DoctorFinding>, Error> {
        let connection = self.connect().await?;
        let inspecting = connection::within("inspect the topology", connection::DECLARE_TIMEOUT, async {
            let mut findings = Vec::new();
            for exchange in topology.exchanges() {
                let declare = async |passive| {
                    let declare = async |channel: &Channel| exchange.declare(channel, passive).await;
                    on_channel(&connection, declare).await
                };
                findings.extend(inspect("exchange", &exchange.name, declare).await?);
            }
            for queue in topology.queues() {
                let declare = async |passive| {
                    let declare = async |channel: &Channel| queue.declare(channel, passive).await;
                    on_channel(&connection, declare).await
                };
                findings.extend(inspect("queue", &queue.name, declare).await?);
            }
            Ok(findings)
        });
        let findings = inspecting.await.flatten();
        connection::close(&connection).await;
        findings
    }
}

/// Asks whether it is there, and only then whether it is the same: a declaration makes what is missing.
async fn inspect(
    what: &'static str,
    name: &str,
    declare: impl AsyncFn(bool) -> Result<(), Error>,
) -> Result<Option<DoctorFinding>, Error> {
    let declared = match declare(true).await {
        Ok(()) => declare(false).await,
        missing => missing,
    };
    let Err(error) = declared else { return Ok(None) };
    let (code, kind, found, advice) = match (error.reply_code(), what) {
        (Some(NOT_FOUND), "queue") => ("queue_missing", FindingKind::Missing, "none".to_owned(), DECLARE),
        (Some(NOT_FOUND), _) => ("exchange_missing", FindingKind::Missing, "none".to_owned(), DECLARE),
        (Some(PRECONDITION_FAILED), "queue") => {
            ("queue_different", FindingKind::Other, error.to_string(), REPLACE_QUEUE)
        }
        (Some(PRECONDITION_FAILED), _) => {
            ("exchange_different", FindingKind::Other, error.to_string(), REPLACE_EXCHANGE)
        }
        _ => return Err(error),
    };
    let subject = format!("{what} {name}");
    Ok(Some(DoctorFinding::error(code, subject, ("it as it is declared", found), advice).of_kind(kind)))
}

/// Does `work` on a channel of its own, for a refusal closes the channel.
async fn on_channel(
    connection: &Connection,
    work: impl AsyncFnOnce(&Channel) -> Result<(), Error>,
) -> Result<(), Error> {
    let channel = connection.create_channel().await?;
    work(&channel).await?;
    Ok(channel.close(200, "OK".into()).await?)
}
