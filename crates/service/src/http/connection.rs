//! One connection: HTTP/1.1 or HTTP/2, and when it ends.

mod activity;

use std::convert::Infallible;
use std::future::{Future as _, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::http::header::{CONNECTION, HeaderValue};
use axum::http::{Request, Response, StatusCode, Version};
use axum::response::IntoResponse as _;
use hyper::body::Incoming;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::{Instant, Sleep, sleep, timeout};

use self::activity::{Activity, Seen, Watched};
use super::{Patience, Stop};
use crate::Problem;

/// Requests at once on one HTTP/2 connection; RFC 9113 advises no less.
const MAX_STREAMS: u32 = 100;
/// The head of an HTTP/2 request, unpacked.
const MAX_HEADER_LIST_BYTES: u32 = 32 * 1024;
/// What one HTTP/2 request, and all of a connection, may send before somebody reads it.
const STREAM_WINDOW_BYTES: u32 = 64 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;
/// Streams that are opened and reset before we have looked at them, and streams that we reset for their errors; beyond, the
/// connection ends: resetting costs the client nothing ("rapid reset").
const MAX_RESETS_BEFORE_ACCEPT: usize = 20;
const MAX_RESETS_FOR_ERRORS: usize = 100;
/// How often an HTTP/2 client is asked whether it is there, and how long it has for the answer.
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a request waits for its turn while there are too many.
const TURN_TIMEOUT: Duration = Duration::from_secs(2);

/// What all connections of a listener share. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Host {
    pub(super) router: Router,
    pub(super) patience: Patience,
    pub(super) stop: Stop,
    /// A permit for each request under way.
    pub(super) requests: Arc<Semaphore>,
}

/// Answers the requests of one connection until one side ends it.
pub(super) async fn serve_connection(stream: TcpStream, host: Host) {
    // Only costs latency when it fails.
    let _unset = stream.set_nodelay(true);
    let activity = Activity::new();
    let io = TokioIo::new(Watched::new(stream, activity.clone()));
    let server = builder();
    let Host { router, patience, stop, requests } = host;
    let (begun, draining) = (activity.clone(), stop.draining.clone());
    let service = service_fn(move |mut request: Request<Incoming>| {
        let under_way = begun.request();
        request.extensions_mut().insert(patience);
        let (is_http1, draining) = (request.version() < Version::HTTP_2, draining.clone());
        let (router, requests) = (TowerToHyperService::new(router.clone()), Arc::clone(&requests));
        async move {
            let mut response: Response<_> = match timeout(TURN_TIMEOUT, requests.acquire_owned()).await {
                Ok(turn) => {
                    let _turn = turn.expect("never closed");
                    router.call(request).await?
                }
                Err(_elapsed) => too_busy().into_response(),
            };
            let last = draining.is_cancelled() || response.status() == StatusCode::REQUEST_TIMEOUT;
            if is_http1 && last {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            drop(under_way);
            Ok::<_, Infallible>(response)
        }
    });
    let mut connection = pin!(server.serve_connection(io, service));
    let mut steps = (pin!(stop.draining.cancelled()), pin!(stop.closing.cancelled()));
    let mut watch = Watch { activity, patience, parted: None, timer: pin!(sleep(patience.idle)) };
    let ended = poll_fn(|cx| {
        loop {
            // First, for it reads what has come meanwhile: no request is overlooked by what follows.
            if let Poll::Ready(ended) = connection.as_mut().poll(cx) {
                return Poll::Ready(Some(ended));
            }
            let step = Step::of(&stop, &mut steps, cx);
            match watch.poll(step, cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Verdict::Part) => connection.as_mut().graceful_shutdown(),
                Poll::Ready(Verdict::Drop) => return Poll::Ready(None),
            }
        }
    });
    match ended.await {
        Some(Ok(())) => {}
        // The client's own affair: it went away, or sent no HTTP.
        Some(Err(error)) => tracing::debug!(%error, "connection ended"),
        None => tracing::debug!("a connection was dropped: its client is too slow"),
    }
}

fn too_busy() -> Problem {
    metrics::counter!("payrelay_http_requests_refused_total").increment(1);
    let detail = "too many requests are under way; send the request again";
    Problem::unavailable(detail)
}

fn builder() -> auto::Builder<TokioExecutor> {
    let mut server = auto::Builder::new(TokioExecutor::new());
    // Its time for a head begins before the head does; `Watch` knows better.
    server.http1().timer(TokioTimer::new()).header_read_timeout(None);
    server
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HEADER_LIST_BYTES)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_pending_accept_reset_streams(MAX_RESETS_BEFORE_ACCEPT)
        .max_local_error_reset_streams(MAX_RESETS_FOR_ERRORS)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT);
    server
}

/// How far the listener has stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Open,
    Draining,
    Closing,
}

impl Step {
    /// Now; the task is woken when it changes.
    fn of<D, C>(
        stop: &Stop,
        (draining, closing): &mut (Pin<&mut D>, Pin<&mut C>),
        cx: &mut Context<'_>,
    ) -> Self
    where
        D: Future<Output = ()>,
        C: Future<Output = ()>,
    {
        // In this order: one who waits for both steps must not end with the first. A future that is ready is not polled again.
        if stop.closing.is_cancelled() || closing.as_mut().poll(cx).is_ready() {
            Self::Closing
        } else if stop.draining.is_cancelled() || draining.as_mut().poll(cx).is_ready() {
            Self::Draining
        } else {
            Self::Open
        }
    }
}

/// What is to be done with a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// It ends as its protocol wants it: after the answers that are due; HTTP/2 says which requests it still takes.
    Part,
    /// It ends at once.
    Drop,
}

/// Decides when a connection ends.
struct Watch<'a> {
    activity: Activity,
    patience: Patience,
    /// Since when it ends by its protocol.
    parted: Option<Instant>,
    timer: Pin<&'a mut Sleep>,
}

impl Watch<'_> {
    fn poll(&mut self, step: Step, cx: &mut Context<'_>) -> Poll<Verdict> {
        let seen = self.activity.seen();
        if self.parted.is_none() && ends(step, &seen) {
            return Poll::Ready(self.part());
        }
        let deadline = self.deadline(&seen);
        // A later one is looked for when the timer fires, so that an ordinary request moves no timer.
        if let Some(deadline) = deadline.filter(|deadline| *deadline < self.timer.deadline()) {
            self.timer.as_mut().reset(deadline);
        }
        loop {
            if self.timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            let now = Instant::now();
            match deadline {
                Some(deadline) if deadline <= now => break,
                later => self.timer.as_mut().reset(later.unwrap_or(now + self.patience.idle)),
            }
        }
        let too_slow = self.parted.is_some() || seen.is_in_head();
        Poll::Ready(if too_slow { Verdict::Drop } else { self.part() })
    }

    fn part(&mut self) -> Verdict {
        let now = Instant::now();
        self.parted = Some(now);
        self.timer.as_mut().reset(now + self.patience.read);
        Verdict::Part
    }

    /// When the client has had its time, unless it waits for us.
    fn deadline(&self, seen: &Seen) -> Option<Instant> {
        if seen.under_way > 0 {
            return None;
        }
        Some(match (self.parted, seen.head_since) {
            // It may still take its answer.
            (Some(parted), _) => parted.max(seen.quiet_since) + self.patience.read,
            (None, Some(begun)) if seen.is_in_head() => begun + self.patience.read,
            (None, _) => seen.quiet_since + self.patience.idle,
        })
    }
}

/// Whether a connection is to end by its protocol since the listener stops. A request whose head has begun to arrive is
/// answered first: HTTP/1 has no means to say that it was not looked at.
fn ends(step: Step, seen: &Seen) -> bool {
    match step {
        Step::Open => false,
        // The answers of HTTP/1 say it. A new connection of HTTP/2 gets to its first request.
        Step::Draining => seen.is_http2() && seen.has_asked,
        Step::Closing => !seen.is_in_head(),
    }
}
