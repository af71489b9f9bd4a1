//! Publishing in confirmed batches, by one task that owns the channel.

mod batch;

use std::pin::pin;
use std::time::Duration;

use futures_util::{Stream, StreamExt as _};
use lapin::options::ConfirmSelectOptions;
use lapin::{Channel, Connection, Event};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::message::{Encoded, Message};
use crate::{Broker, Error, Topology, connection, reconnect, topology};

/// Messages between two waits for confirms. More gains nothing and only delays the first answer.
const MAX_BATCH: usize = 1000;
/// For the confirms of one such batch; after that the channel is thrown away and the batch is unknown.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a publish waits for a connection that is just being made.
const CONNECT_WAIT: Duration = Duration::from_secs(5);
/// For a channel in confirm mode on a connection that stands.
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);
/// Batches waiting for the task. Callers beyond it wait as well.
const WAITING_BATCHES: usize = 16;

/// What became of one message of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
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

/// Why nothing is known of a batch: any of its messages may have been published, or none. Publish it again.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// There is no connection; nothing was sent.
    #[error("not connected to RabbitMQ")]
    Disconnected,
    /// The broker takes no publishes for now (memory or disk alarm).
    #[error("RabbitMQ blocks publishers: {0}")]
    Blocked(String),
    /// Not all confirms came in time.
    #[error("RabbitMQ did not confirm within {} s", .0.as_secs())]
    TimedOut(Duration),
    /// The connection or the channel broke.
    #[error("RabbitMQ: {0}")]
    Broken(#[from] lapin::Error),
    /// A text of a message does not fit the protocol; nothing was sent, and trying again will not help.
    #[error("message cannot be encoded: {0}")]
    Invalid(String),
    /// The client's answers contradict what was published.
    #[error("confirms out of order: {0}")]
    Confused(String),
    /// The publisher was stopped.
    #[error("the publisher is stopped")]
    Stopped,
}

/// A handle to the publishing task. Clones share it and their batches take turns.
#[derive(Clone, Debug)]
pub struct Publisher {
    requests: mpsc::Sender<Request>,
    state: watch::Receiver<State>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Disconnected,
    Ready,
    Blocked,
}

struct Request {
    batch: Vec<Encoded>,
    answer: oneshot::Sender<Result<Vec<Outcome>, PublishError>>,
}

impl Publisher {
    /// Starts the task. It connects, declares [`crate::EXCHANGE`], and connects again whenever the connection
    /// breaks, until `cancel` or until the last handle is dropped.
    pub fn spawn(broker: Broker, cancel: CancellationToken) -> Self {
        Self::start(broker, None, cancel)
    }

    /// The same, but declares `topology` on every connection before it publishes anything. A broker that comes back empty
    /// would else take a message for those queues alone that stand already.
    pub fn spawn_declaring(broker: Broker, topology: Topology, cancel: CancellationToken) -> Self {
        Self::start(broker, Some(topology), cancel)
    }

    fn start(broker: Broker, topology: Option<Topology>, cancel: CancellationToken) -> Self {
        let (requests, receiver) = mpsc::channel(WAITING_BATCHES);
        let (state_sender, state) = watch::channel(State::Disconnected);
        tokio::spawn(Task { broker, topology, requests: receiver, state: state_sender, cancel }.run());
        Self { requests, state }
    }

    /// Whether a batch published now would be sent.
    pub fn is_ready(&self) -> bool {
        *self.state.borrow() == State::Ready
    }

    /// Publishes `messages`, persistent and mandatory, and waits for every confirm. The outcomes are in the order of
    /// the messages, one each.
    ///
    /// # Errors
    /// The whole batch is unknown: see [`PublishError`]. An answer comes in bounded time, whatever the broker does.
    pub async fn publish(&self, messages: Vec<Message>) -> Result<Vec<Outcome>, PublishError> {
        let batch: Vec<_> = messages.into_iter().map(Message::encode).collect::<Result<_, _>>()?;
        self.connected().await?;
        let (answer, outcomes) = oneshot::channel();
        self.requests.send(Request { batch, answer }).await.map_err(|_| PublishError::Stopped)?;
        outcomes.await.map_err(|_| PublishError::Stopped)?
    }

    async fn connected(&self) -> Result<(), PublishError> {
        let mut state = self.state.clone();
        let connected = state.wait_for(|state| *state != State::Disconnected);
        match tokio::time::timeout(CONNECT_WAIT, connected).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => Err(PublishError::Stopped),
            Err(_) => Err(PublishError::Disconnected),
        }
    }
}

struct Task {
    broker: Broker,
    topology: Option<Topology>,
    requests: mpsc::Receiver<Request>,
    state: watch::Sender<State>,
    cancel: CancellationToken,
}

/// Why a connection is no longer served.
enum End {
    Stopped,
    Broken,
    Blocked(String),
}

impl Task {
    async fn run(mut self) {
        let cancel = self.cancel.clone();
        let (broker, topology) = (self.broker.clone(), self.topology.take());
        loop {
            let opening =
                reconnect::until_ok("connecting the publisher", &cancel, || open(&broker, topology.as_ref()));
            let Some(Some((connection, channel))) =
                self.refuse_during(opening, || PublishError::Disconnected).await
            else {
                break;
            };
            let mut events = pin!(connection.events_listener());
            let stopped = match self.serve(&channel, events.as_mut()).await {
                End::Stopped => true,
                End::Broken => false,
                End::Blocked(reason) => self.wait_unblocked(reason, events).await,
            };
            self.state.send_replace(State::Disconnected);
            connection::close(&connection).await;
            if stopped {
                break;
            }
        }
    }

    /// Publishes batch after batch. The first one that fails ends it: its confirms may still be on their way.
    async fn serve(&mut self, channel: &Channel, mut events: impl Stream<Item = Event> + Unpin) -> End {
        self.state.send_replace(State::Ready);
        let mut events = pin!(events.by_ref().filter_map(async |event| end_of(event)));
        loop {
            let request = tokio::select! {
                biased;
                () = self.cancel.cancelled() => return End::Stopped,
                end = events.next() => return end.unwrap_or(End::Broken),
                request = self.requests.recv() => request,
            };
            let Some(Request { batch, answer }) = request else { return End::Stopped };
            let messages = batch.len();
            let (result, end) = tokio::select! {
                result = batch::publish(channel, batch) => (result, None),
                end = events.next() => match end {
                    Some(End::Blocked(reason)) => (Err(PublishError::Blocked(reason.clone())), Some(End::Blocked(reason))),
                    _ => (Err(PublishError::Disconnected), Some(End::Broken)),
                }
            };
            let end = end.or_else(|| result.is_err().then_some(End::Broken));
            batch::count(messages, &result);
            let _ = answer.send(result);
            if let Some(end) = end {
                return end;
            }
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
        self.state.send_replace(State::Blocked);
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
            Some(End::Broken)
        }
        _ => None,
    }
}
