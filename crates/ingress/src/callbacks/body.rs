//! Reading the body of a callback, within bounds.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::http::StatusCode;
use bytes::{Bytes, BytesMut};
use channels::MAX_BODY_BYTES;
use futures_util::StreamExt as _;
use service::Problem;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout, timeout_at};

/// Up to here a body is read at once, as nearly all are.
const SMALL_BYTES: usize = 64 * 1024;
/// Larger bodies at a time, so that all together fit into memory; others wait until one is written.
const LARGE_AT_ONCE: usize = 64;
/// How long a large body waits for its place, and how long what is left of it may take to arrive: anybody may send one.
const PLACE_TIMEOUT: Duration = Duration::from_secs(2);
const LARGE_TIMEOUT: Duration = Duration::from_secs(5);
/// How much of a body that is too large is read and dropped: who still sends does not hear why it is refused.
const MAX_DROPPED_BYTES: u64 = 16 * 1024 * 1024;
/// How long that takes at most.
const DROP_TIMEOUT: Duration = Duration::from_secs(5);

/// Places for large bodies.
#[derive(Debug)]
pub(crate) struct LargeBodies(Arc<Semaphore>);

impl Default for LargeBodies {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(LARGE_AT_ONCE)))
    }
}

impl LargeBodies {
    async fn place(&self) -> Result<OwnedSemaphorePermit, Problem> {
        match timeout(PLACE_TIMEOUT, Arc::clone(&self.0).acquire_owned()).await {
            Ok(Ok(place)) => Ok(place),
            _ => Err(Problem::unavailable("too many large callbacks are under way; send it again")),
        }
    }
}

/// What came as a body.
#[derive(Debug)]
pub(super) struct ReceivedBody {
    /// Empty if it is not the whole body.
    pub(super) body: Bytes,
    /// Whether the body is one that may be read: not too large.
    pub(super) whole: bool,
    /// How much came, as far as it was read.
    pub(super) seen_bytes: u64,
    /// To be held for as long as the body is.
    pub(super) room: Option<Arc<OwnedSemaphorePermit>>,
}

/// Reads a body of at most [`MAX_BODY_BYTES`].
pub(super) async fn read(large: &LargeBodies, body: Body) -> Result<ReceivedBody, Problem> {
    let mut chunks = body.into_data_stream();
    let mut read = BytesMut::new();
    let mut room = None;
    while let Some(chunk) = match room {
        None => chunks.next().await,
        Some((_, until)) => timeout_at(until, chunks.next()).await.map_err(|_| late())?,
    } {
        let chunk = chunk.map_err(|error| Problem::bad_request("unreadable_body", error.to_string()))?;
        let seen = read.len() + chunk.len();
        if seen > MAX_BODY_BYTES {
            drop(read);
            let mut seen_bytes = seen as u64;
            // Who sends too slowly, or not at all, is answered all the same.
            let _ended_or_late = timeout(DROP_TIMEOUT, drain(chunks, &mut seen_bytes)).await;
            return Ok(ReceivedBody { body: Bytes::new(), whole: false, seen_bytes, room: None });
        }
        if seen > SMALL_BYTES && room.is_none() {
            room = Some((Arc::new(large.place().await?), Instant::now() + LARGE_TIMEOUT));
        }
        read.extend_from_slice(&chunk);
    }
    let seen_bytes = read.len() as u64;
    Ok(ReceivedBody { body: read.freeze(), whole: true, seen_bytes, room: room.map(|(place, _)| place) })
}

fn late() -> Problem {
    let detail = format!("a body above {SMALL_BYTES} bytes must arrive within {} s", LARGE_TIMEOUT.as_secs());
    Problem::new(StatusCode::REQUEST_TIMEOUT, "body_incomplete", detail)
}

/// Drops what follows, and adds how much it was.
async fn drain(mut chunks: BodyDataStream, seen_bytes: &mut u64) {
    while let Some(Ok(chunk)) = chunks.next().await {
        *seen_bytes += chunk.len() as u64;
        if *seen_bytes > MAX_DROPPED_BYTES {
            break;
        }
    }
}
