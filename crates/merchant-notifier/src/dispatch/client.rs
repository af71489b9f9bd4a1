//! The HTTP client of attempts. What a merchant's status line says counts, whatever follows it, so the first bytes of each
//! answer are kept beside what is read of it as HTTP.

mod record;
mod status;

use std::error::Error as StdError;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::http::{Extensions, Request, Response, Uri};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::{CaptureConnection, HttpConnector, capture_connection};
use hyper_util::client::legacy::{self, Error};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::ClientConfig;
use rustls_platform_verifier::BuilderVerifierExt as _;
use tokio::time::{Instant, timeout, timeout_at};
use tower_service::Service;

use self::record::{Record, RecordedStream};
use crate::ssrf::{CheckedResolver, Reach, TargetPolicy};

/// For the look-up of the name, the connection and TLS.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
const TCP_TIMEOUT: Duration = Duration::from_secs(2);
/// A kept connection goes to an address that was checked; not for long, since names move.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// Of an answer's head. Beyond these only its status is known.
const MAX_HEADERS: usize = 1024;
const MAX_HEAD_BYTES: usize = 64 * 1024;

type BoxError = Box<dyn StdError + Send + Sync>;
type Connecting = HttpsConnector<HttpConnector<CheckedResolver>>;

/// What became of a request.
pub(super) enum Exchanged {
    /// The head of the answer was read.
    Answered(Response<Incoming>),
    /// The answer has this status, and its head cannot be read.
    StatusOnly(u16, Failed),
    /// There is no answer.
    Failed(Failed),
}

/// Why no answer was read.
pub(super) enum Failed {
    /// The deadline was over.
    TimedOut,
    /// Anything else.
    Error(Error),
}

/// Calls merchants; keeps connections.
#[derive(Debug)]
pub(super) struct Client(legacy::Client<Connector, Body>);

impl Client {
    /// A client that connects to addresses of this `reach` only. It follows no redirection, knows no proxy, and asks no name
    /// twice for one connection.
    pub(super) fn new(policy: &Arc<TargetPolicy>, reach: Reach) -> Result<Self, rustls::Error> {
        let mut http = HttpConnector::new_with_resolver(CheckedResolver::new(Arc::clone(policy), reach));
        http.enforce_http(false);
        http.set_nodelay(true);
        // Divided among the addresses of a name, so that one that hangs leaves time for the next, and for TLS.
        http.set_connect_timeout(Some(TCP_TIMEOUT));
        let tls = ClientConfig::builder().with_platform_verifier()?.with_no_client_auth();
        let tls = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1();
        let mut client = legacy::Client::builder(TokioExecutor::new());
        client
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .http1_max_headers(MAX_HEADERS)
            .http1_max_buf_size(MAX_HEAD_BYTES)
            .http1_ignore_invalid_headers_in_responses(true)
            .http1_allow_spaces_after_header_name_in_responses(true)
            .http1_allow_obsolete_multiline_headers_in_responses(true);
        Ok(Self(client.build(Connector(tls.wrap_connector(http)))))
    }

    /// Sends a request once, and reads the head of its answer. `marker` is in the request's head, and in that of no other.
    pub(super) async fn send(
        &self,
        mut request: Request<Body>,
        marker: &str,
        deadline: Instant,
    ) -> Exchanged {
        let connection = capture_connection(&mut request);
        let failed = match timeout_at(deadline, self.0.request(request)).await {
            Ok(Ok(response)) => return Exchanged::Answered(response),
            Ok(Err(error)) => Failed::Error(error),
            Err(_elapsed) => Failed::TimedOut,
        };
        match recorded(&connection).and_then(|record| status::of_answer(&record.answer_to(marker)?)) {
            Some(status) => Exchanged::StatusOnly(status, failed),
            None => Exchanged::Failed(failed),
        }
    }
}

/// What was recorded of the connection that a request went out on, if it had one.
fn recorded(connection: &CaptureConnection) -> Option<Record> {
    let mut extras = Extensions::new();
    connection.connection_metadata().as_ref()?.get_extras(&mut extras);
    extras.remove()
}

/// Makes connections that record what goes over them.
#[derive(Debug, Clone)]
struct Connector(Connecting);

impl Service<Uri> for Connector {
    type Response = TokioIo<RecordedStream<TokioIo<<Connecting as Service<Uri>>::Response>>>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = timeout(CONNECT_TIMEOUT, self.0.call(uri));
        Box::pin(async move {
            let late = || format!("no connection within {} s", CONNECT_TIMEOUT.as_secs());
            let stream = connecting.await.map_err(|_| io::Error::new(io::ErrorKind::TimedOut, late()))??;
            Ok(TokioIo::new(RecordedStream::new(TokioIo::new(stream))))
        })
    }
}
