//! Publishing in confirmed batches, by one task that owns the channel.

mod batch;

use std::fmt;
use std::pin::pin;
use std::time::Duration;

use futures_util::{Stream, StreamExt as _};
use lapin::options::ConfirmSelectOptions;
use lapin::{Channel, Connection, Event};
use metrics::gauge;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::error::{Error, PublishError};
use crate::message::{Encoded, Message};
use crate::{Broker, Topology, connection, reconnect, topology};

/// Messages between two waits for confirms. More gains nothing and only delays the first answer.
const MAX_BATCH: usize = 1000;
/// For the confirms of one such batch; after that the channel is thrown away and the batch is unknown.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a publish waits for a connection that is just being made.
const CONNECT_WAIT: Duration = Duration::from_secs(5);
/// For a channel in confirm mode on a connection that stands.
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);
/// For the end of the task, which gives the broker two seconds to answer a close.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(3);
/// Batches waiting for the task. Callers beyond it wait as well.
const WAITING_BATCHES: usize = 16;

/// What became of one message of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PublishOutcome {
    /// The broker has taken it for every queue that it was routed to, on disk.
    Confirmed,
    /// No queue is bound for it: it is nowhere.
    Returned {
        /// The broker's word for it, as `NO_ROUTE`.
        reason: String,
    },
    /// A queue refused it, as a full one; another queue may have taken it.
    Nacked,
}

/// A handle to the publishing task. Clones share it and their batches take turns.
#[derive(Clone, Debug)]
pub struct Publisher {
    requests: mpsc::Sender<Request>,
    state: watch::Receiver<State>,
    problem: watch::Receiver<Option<String>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Disconnected,
    Ready,
    Blocked,
}

struct Request {
    batch: Vec<Encoded>,
    answer: oneshot::Sender<Result<Vec<PublishOutcome>, PublishError>>,
}

impl Publisher {
    /// A publisher and its task, to be run. It declares `topology`, if there is one, on every connection before it publishes
    /// anything. A broker that comes back empty would else take a message for those queues alone that stand already.
    pub fn new(
        broker: Broker,
        topology: Option<Topology>,
        cancel: CancellationToken,
    ) -> (Self, PublisherTask) {
        let (requests, receiver) = mpsc::channel(WAITING_BATCHES);
        let (state_sender, state) = watch::channel(State::Disconnected);
        let (problem_sender, problem) = watch::channel(None);
        let task = PublisherTask {
            broker,
            topology,
            requests: receiver,
            state: state_sender,
            problem: problem_sender,
            refused: false,
            cancel,
        };
        (Self { requests, state, problem }, task)
    }

    /// A publisher whose task runs already, for programs that supervise no tasks: when the task panics, [`Self::is_ready`] is
    /// false for ever and each publish is [`PublishError::Stopped`].
    pub fn spawn(broker: Broker, cancel: CancellationToken) -> Self {
        Self::start(broker, None, cancel)
    }

    /// The same, which declares `topology` as [`Self::new`] says.
    pub fn spawn_declaring(broker: Broker, topology: Topology, cancel: CancellationToken) -> Self {
        Self::start(broker, Some(topology), cancel)
    }

    fn start(broker: Broker, topology: Option<Topology>, cancel: CancellationToken) -> Self {
        let (publisher, task) = Self::new(broker, topology, cancel);
        tokio::spawn(task.run());
        publisher
    }

    /// Whether a batch published now would be sent. False for ever once the task has ended, however it did.
    pub fn is_ready(&self) -> bool {
        !self.requests.is_closed() && *self.state.borrow() == State::Ready
    }

    /// Why nothing can be published, if it is known: why there is no connection, or what the broker refused last.
    pub fn problem(&self) -> Option<String> {
        self.problem.borrow().clone()
    }

    /// Waits until the task has published what it was given and has closed its connection; for a while only, for a blocked
    /// connection does not close. Clones keep the task going.
    pub async fn close(self) {
        let Self { requests, mut state, .. } = self;
        drop(requests);
        let ended = async { while state.changed().await.is_ok() {} };
        if tokio::time::timeout(CLOSE_TIMEOUT, ended).await.is_err() {
            tracing::debug!("the publisher has not ended in time");
        }
    }

    /// Publishes `messages`, persistent and mandatory, and waits for every confirm. The outcomes are in the order of
    /// the messages, one each.
    ///
    /// # Errors
    /// The whole batch is unknown: see [`PublishError`]. An answer comes in bounded time, whatever the broker does.
    pub async fn publish(&self, messages: Vec<Message>) -> Result<Vec<PublishOutcome>, PublishError> {
        let batch: Vec<_> = messages.into_iter().map(Message::encode).collect::<Result<_, _>>()?;
        self.connected().await?;
        let (answer, outcomes) = oneshot::channel();
        self.requests.send(Request { batch, answer }).await.map_err(|_| PublishError::Stopped)?;
        outcomes.await.map_err(|_| PublishError::Stopped)?
    }

    /// Waits for a connection that is just being made, for five seconds at most.
    ///
    /// # Errors
    /// [`PublishError::Disconnected`] when there is none in time, [`PublishError::Stopped`] when there will be none.
    pub async fn connected(&self) -> Result<(), PublishError> {
        let mut state = self.state.clone();
        let connected = state.wait_for(|state| *state != State::Disconnected);
        match tokio::time::timeout(CONNECT_WAIT, connected).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => Err(PublishError::Stopped),
            Err(_) => Err(PublishError::Disconnected(self.problem())),
        }
    }
}

/// The task of a [`Publisher`], not started yet.
#[must_use = "nothing is published until it runs"]
pub struct PublisherTask {
    broker: Broker,
    topology: Option<Topology>,
    requests: mpsc::Receiver<Request>,
    state: watch::Sender<State>,
    problem: watch::Sender<Option<String>>,
    /// Whether the problem is one of publishing: a new connection does not solve it.
    refused: bool,
    cancel: CancellationToken,
}

impl fmt::Debug for PublisherTask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PublisherTask").field("connection", &self.broker.name()).finish_non_exhaustive()
    }
}

/// Why a connection is no longer served.
enum End {
    Stopped,
    /// With what the client says of it, where it does.
    Broken(Option<lapin::Error>),
    Blocked(String),
}

impl From<&End> for PublishError {
    /// What is said of the batch that was under way. A refusal ends the batch and is an event, too, whichever comes first.
    fn from(end: &End) -> Self {
        match end {
            End::Stopped | End::Broken(None) => Self::Disconnected(None),
            End::Broken(Some(error)) => error.clone().into(),
            End::Blocked(reason) => Self::Blocked(reason.clone()),
        }
    }
}

impl PublisherTask {
    /// Connects, declares [`crate::EXCHANGE`], publishes, and connects again whenever the connection breaks, until it is
    /// cancelled or the last handle is dropped. Closes the connection then.
    pub async fn run(mut self) {
        self.enter(State::Disconnected);
        let cancel = self.cancel.clone();
        let (broker, topology) = (self.broker.clone(), self.topology.take());
        loop {
            let problem = self.problem.clone();
            let attempt = || async {
                let opened = open(&broker, topology.as_ref()).await;
                opened.inspect_err(|error| drop(problem.send_replace(Some(error.to_string()))))
            };
            let opening = reconnect::until_ok("connecting the publisher", &cancel, attempt);
            let refusal = || PublishError::Disconnected(problem.borrow().clone());
            let Some(Some((connection, channel))) = self.refuse_during(opening, refusal).await else { break };
            self.solve();
            let mut events = pin!(connection.events_listener());
            let stopped = match self.serve(&channel, events.as_mut()).await {
                End::Stopped => true,
                End::Broken(_) => false,
                End::Blocked(reason) => self.wait_unblocked(reason, events).await,
            };
            self.enter(State::Disconnected);
            connection::close(&connection).await;
            if stopped {
                break;
            }
        }
    }

    fn enter(&self, state: State) {
        self.state.send_replace(state);
        let value = if state == State::Ready { 1.0 } else { 0.0 };
        gauge!("payrelay_publisher_connected", "connection" => self.broker.name().to_owned()).set(value);
    }

    /// Publishes batch after batch. The first one that fails ends it: its confirms may still be on their way.
    async fn serve(&mut self, channel: &Channel, mut events: impl Stream<Item = Event> + Unpin) -> End {
        self.enter(State::Ready);
        let mut events = pin!(events.by_ref().filter_map(async |event| end_of(event)));
        loop {
            let request = tokio::select! {
                biased;
                () = self.cancel.cancelled() => return End::Stopped,
                end = events.next() => return end.unwrap_or(End::Broken(None)),
                request = self.requests.recv() => request,
            };
            let Some(Request { batch, answer }) = request else { return End::Stopped };
            let messages = batch.len();
            let (result, end) = tokio::select! {
                result = batch::publish(channel, batch) => {
                    let end = result.is_err().then_some(End::Broken(None));
                    (result, end)
                }
                end = events.next() => {
                    let end = end.unwrap_or(End::Broken(None));
                    (Err((&end).into()), Some(end))
                }
            };
            self.note(&result);
            batch::count(messages, &result);
            let _ = answer.send(result);
            if let Some(end) = end {
                return end;
            }
        }
    }

    /// What the broker refused is refused again: it stays the problem until something is published.
    fn note(&mut self, result: &Result<Vec<PublishOutcome>, PublishError>) {
        self.refused = match result {
            Ok(_) => false,
            Err(PublishError::Broken(error @ Error::Denied { .. })) => {
                self.problem.send_replace(Some(error.to_string()));
                true
            }
            Err(_) => self.refused,
        };
        self.solve();
    }

    fn solve(&self) {
        if !self.refused {
            self.problem.send_replace(None);
        }
    }

    /// Does `work`, and meanwhile answers every batch with an error. `None` when nobody can publish any more.
    async fn refuse_during<T>(
        &mut self,
        work: impl Future<Output = T>,
        error: impl Fn() -> PublishError,
    ) -> Option<T> {
        let mut work = pin!(work);
        loop {
            tokio::select! {
                biased;
                done = &mut work => return Some(done),
                request = self.requests.recv() => {
                    let _ = request?.answer.send(Err(error()));
                }
            }
        }
    }

    /// Waits until the broker takes publishes again or the connection breaks. True when it was told to stop.
    async fn wait_unblocked(
        &mut self,
        reason: String,
        mut events: impl Stream<Item = Event> + Unpin,
    ) -> bool {
        tracing::warn!(reason, "RabbitMQ blocks publishers");
        self.enter(State::Blocked);
        let cancel = self.cancel.clone();
        let unblocked = async {
            while let Some(event) = events.next().await {
                if matches!(event, Event::ConnectionUnblocked | Event::Error(_)) {
                    break;
                }
            }
        };
        let waiting = cancel.run_until_cancelled(unblocked);
        self.refuse_during(waiting, || PublishError::Blocked(reason.clone())).await.flatten().is_none()
    }
}

/// A connection with a channel in confirm mode. All of it is one try, for a broker that lets us in and then refuses
/// the channel or the exchange must be left alone for a while, too.
async fn open(broker: &Broker, topology: Option<&Topology>) -> Result<(Connection, Channel), Error> {
    let connection = broker.connect().await?;
    let opening = async {
        if let Some(topology) = topology {
            connection::declare_on(&connection, topology).await?;
        }
        let channel = async {
            let channel = connection.create_channel().await?;
            channel.confirm_select(ConfirmSelectOptions::default()).await?;
            topology::declare_event_exchange(&channel).await?;
            Ok(channel)
        };
        connection::within("open a channel", OPEN_TIMEOUT, channel).await?
    };
    match opening.await {
        Ok(channel) => Ok((connection, channel)),
        Err(error) => {
            connection::close(&connection).await;
            Err(error)
        }
    }
}

fn end_of(event: Event) -> Option<End> {
    match event {
        Event::ConnectionBlocked(reason) => Some(End::Blocked(reason)),
        Event::Error(error) => {
            tracing::warn!(%error, "publisher's connection lost");
            Some(End::Broken(Some(error)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
