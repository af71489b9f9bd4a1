//! The body of a request, which may never arrive as a whole. To a handler that is an error like any other; whose fault it was,
//! and so the answer, is known here.

use std::error::Error as StdError;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::BoxError;
use axum::body::{Body, Bytes, HttpBody};
use axum::http::StatusCode;
use hyper::body::{Frame, SizeHint};
use tokio::time::{Sleep, sleep};

use crate::Problem;

/// How a body stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Nobody waits for it: it is there, or is not wanted yet, or not any more.
    NotAwaited,
    /// Its next byte is waited for; no handler begins to read it and then does something else.
    Awaited,
    /// Its time was over.
    TimedOut,
    /// It ended before it was complete.
    BrokenOff,
}

/// Tells how the body of a request arrives. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Arrival(Arc<Mutex<Stage>>);

impl Arrival {
    /// A body that must have arrived `within` a time from now, and what tells whether it did.
    pub(super) fn watch(body: Body, within: Duration) -> (Body, Self) {
        let arrival = Self(Arc::new(Mutex::new(Stage::NotAwaited)));
        if body.is_end_stream() {
            return (body, arrival);
        }
        let timer = Box::pin(sleep(within));
        (Body::new(Watched { body, timer, arrival: arrival.clone() }), arrival)
    }

    /// The answer to a body that did not arrive, whatever its handler made of it.
    pub(super) fn problem(&self) -> Option<Problem> {
        let detail = match self.stage() {
            Stage::NotAwaited | Stage::Awaited => return None,
            Stage::TimedOut => "the body did not arrive in time; send the request again",
            Stage::BrokenOff => "the body ended before it was complete; send the request again",
        };
        Some(Problem::new(StatusCode::REQUEST_TIMEOUT, "body_incomplete", detail))
    }

    /// No time is left: a body that is still waited for did not arrive.
    pub(super) fn give_up(&self) {
        if self.stage() == Stage::Awaited {
            self.set(Stage::TimedOut);
        }
    }

    fn stage(&self) -> Stage {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, stage: Stage) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = stage;
    }
}

/// A body that is watched.
struct Watched {
    body: Body,
    timer: Pin<Box<Sleep>>,
    arrival: Arrival,
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Ready(Some(Err(error))) => {
                let stage = if is_malformed(&error) { Stage::NotAwaited } else { Stage::BrokenOff };
                self.arrival.set(stage);
                Poll::Ready(Some(Err(error.into())))
            }
            Poll::Ready(frame) => {
                self.arrival.set(Stage::NotAwaited);
                Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
            }
            Poll::Pending if self.timer.as_mut().poll(cx).is_ready() => {
                self.arrival.set(Stage::TimedOut);
                Poll::Ready(Some(Err("the body did not arrive in time".into())))
            }
            Poll::Pending => {
                self.arrival.set(Stage::Awaited);
                Poll::Pending
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Whether what came is no body, such as a chunk without a size. All else means that there is no more of it: the connection, or
/// the stream of HTTP/2, has ended.
fn is_malformed(error: &axum::Error) -> bool {
    let causes = std::iter::successors(Some(error as &(dyn StdError + 'static)), |error| (*error).source());
    causes
        .filter_map(<dyn StdError>::downcast_ref::<io::Error>)
        .any(|error| matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData))
}
