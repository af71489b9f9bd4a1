//! One attempt: POST, read the answer.

use std::error::Error as StdError;
use std::future::poll_fn;
use std::io;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{ACCEPT, CONTENT_TYPE, RETRY_AFTER, USER_AGENT};
use axum::http::{HeaderValue, Response, request};
use events::to_micros;
use futures_util::FutureExt as _;
use hyper::body::{Body as _, Incoming};
use metrics::histogram;
use service::TraceParent;
use service::trace::TRACEPARENT;
use time::OffsetDateTime;
use tokio::time::{Instant, timeout_at};
use url::Url;
use webhooks::{ID_HEADER, SIGNATURE_HEADER, TIMESTAMP_HEADER};

use super::client::{Client, Exchanged, Failed};
use super::outcome::{AttemptFailure, ErrorKind, Rung, WebhookAnswer, judge, next, probe_after};
use super::request::{WebhookRequest, compose, secret};
use crate::Ladder;
use crate::metric_table::ACKNOWLEDGED;
use crate::secrets::Vault;
use crate::ssrf::{Forbidden, Reach, TargetPolicy};
use crate::store::attempts::{Attempt, Next};
use crate::store::leases::Claimed;
use crate::text::printable;

const PRODUCT: &str = concat!("payrelay/", env!("CARGO_PKG_VERSION"));
/// From the first byte of DNS to the last of the body.
const TIMEOUT: Duration = Duration::from_secs(10);
const MAX_ANSWER_BYTES: usize = 8 * 1024;
const MAX_EXCERPT_BYTES: usize = 512;

/// Makes attempts. Holds no state but kept connections.
#[derive(Debug)]
pub struct Sender {
    policy: Arc<TargetPolicy>,
    public: Client,
    allowed_only: Client,
    vault: Vault,
    ladder: Ladder,
}

impl Sender {
    /// A sender that keeps to `policy` and opens keys by `vault`. `ladder` is for endpoints without one of their own.
    ///
    /// # Errors
    /// When the certificates that the system trusts cannot be read.
    pub fn new(policy: Arc<TargetPolicy>, vault: Vault, ladder: Ladder) -> Result<Self, rustls::Error> {
        Ok(Self {
            public: Client::new(&policy, Reach::Public)?,
            allowed_only: Client::new(&policy, Reach::AllowedOnly)?,
            policy,
            vault,
            ladder,
        })
    }

    /// Makes one attempt and decides what follows it. Takes at most ten seconds.
    pub async fn attempt(&self, claimed: &Claimed) -> Attempt {
        let (started_at, start) = (OffsetDateTime::now_utc(), Instant::now());
        // A notification that makes us panic climbs its ladder like any that fails, and takes no other along.
        let exchange = AssertUnwindSafe(self.exchange(claimed, started_at, start + TIMEOUT)).catch_unwind();
        let answer = exchange.await.unwrap_or_else(|_| {
            Err(AttemptFailure {
                kind: ErrorKind::Internal,
                detail: "payrelay panicked; see its log".to_owned(),
            })
        });
        let duration = start.elapsed();
        let judged = answer.as_ref().map_err(Clone::clone).and_then(|answer| judge(claimed.ack, answer));
        fail::fail_point!("attempts::after_acknowledgement", judged.is_ok(), |_| std::process::abort());
        let answer = answer.ok();
        let ladder = claimed.ladder.as_ref().unwrap_or(&self.ladder);
        let next = if judged.is_ok() {
            Next::Delivered
        } else {
            let now = OffsetDateTime::now_utc();
            next(
                answer.as_ref(),
                claimed.own_url,
                Rung { ladder, attempt: claimed.ladder_attempt },
                now,
                rand::random(),
            )
        };
        let probe_after = judged
            .as_ref()
            .err()
            .and_then(|failure| probe_after(failure.kind, claimed.own_url, &next, ladder));
        let result = judged.as_ref().map_or_else(|failure| failure.kind.as_str(), |()| ACKNOWLEDGED);
        histogram!("payrelay_webhook_attempt_seconds", "result" => result).record(duration.as_secs_f64());
        Attempt {
            started_at: to_micros(started_at),
            duration,
            http_status: answer.as_ref().map(|answer| answer.status),
            error: judged.err().map(|failure| (failure.kind.as_str(), failure.detail)),
            response_excerpt: answer
                .map(|answer| printable(&String::from_utf8_lossy(&answer.body), MAX_EXCERPT_BYTES)),
            next,
            probe_after,
        }
    }

    async fn exchange(
        &self,
        claimed: &Claimed,
        now: OffsetDateTime,
        deadline: Instant,
    ) -> Result<WebhookAnswer, AttemptFailure> {
        fail::fail_point!("attempts::exchange");
        let (client, url) = self
            .target(&claimed.url)
            .map_err(|forbidden| AttemptFailure { kind: ErrorKind::ForbiddenTarget, detail: forbidden })?;
        let keyring =
            self.vault.open(&claimed.merchant_id, &claimed.sealed_keyring).map_err(|error| secret(&error))?;
        let WebhookRequest { content_type, signature, body } = compose(claimed, &keyring, now)?;
        let trace = claimed.traceparent.as_deref().and_then(|trace| TraceParent::parse(trace).ok());
        // Each attempt has one of its own.
        let trace = trace.unwrap_or_else(TraceParent::generate).child().to_string();
        let mut request = request::Builder::new()
            .method("POST")
            .uri(url.as_str())
            .header(USER_AGENT, PRODUCT)
            .header(ACCEPT, HeaderValue::from_static("*/*"))
            .header(CONTENT_TYPE, content_type)
            .header(ID_HEADER, claimed.notification_id.to_string())
            .header(TIMESTAMP_HEADER, now.unix_timestamp())
            .header(TRACEPARENT, &trace);
        if let Some(signature) = signature {
            request = request.header(SIGNATURE_HEADER, signature);
        }
        let request = request.body(Body::from(body)).map_err(|error| AttemptFailure {
            kind: ErrorKind::Protocol,
            detail: format!("no request can be made for its URL: {error}"),
        })?;
        match client.send(request, &trace, deadline).await {
            Exchanged::Answered(response) => Ok(answer(response, deadline).await),
            Exchanged::StatusOnly(status, unread) => Ok(WebhookAnswer {
                status,
                unread: Some(failure(&unread).detail),
                ..WebhookAnswer::default()
            }),
            Exchanged::Failed(failed) => Err(failure(&failed)),
        }
    }

    /// The address if we call such ones, and the client that resolves its name as strictly as it must.
    fn target(&self, url: &str) -> Result<(&Client, Url), String> {
        let url = Url::parse(url).map_err(|error| error.to_string())?;
        let client = match self.policy.check_url(&url).map_err(|error| error.to_string())? {
            Reach::Public => &self.public,
            Reach::AllowedOnly => &self.allowed_only,
        };
        Ok((client, url))
    }
}

/// Reads the answer. A body that breaks off or takes too long leaves the status standing: it is what most merchants
/// acknowledge with.
async fn answer(response: Response<Incoming>, deadline: Instant) -> WebhookAnswer {
    let retry_after =
        response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let status = response.status().as_u16();
    let (mut incoming, mut body) = (response.into_body(), Vec::new());
    while body.len() < MAX_ANSWER_BYTES {
        let frame = timeout_at(deadline, poll_fn(|cx| Pin::new(&mut incoming).poll_frame(cx))).await;
        let Ok(Some(Ok(frame))) = frame else { break };
        let data = frame.into_data().unwrap_or_default();
        body.extend_from_slice(&data[..data.len().min(MAX_ANSWER_BYTES - body.len())]);
    }
    WebhookAnswer { status, retry_after, body, unread: None }
}

fn failure(failed: &Failed) -> AttemptFailure {
    let error = match failed {
        Failed::TimedOut => {
            let detail = format!("no answer within {} s", TIMEOUT.as_secs());
            return AttemptFailure { kind: ErrorKind::Timeout, detail };
        }
        Failed::Error(error) => error,
    };
    let causes =
        || std::iter::successors(Some(error as &(dyn StdError + 'static)), |error| (*error).source());
    let timed_out = |error: &io::Error| error.kind() == io::ErrorKind::TimedOut;
    let kind = if causes().any(<dyn StdError>::is::<Forbidden>) {
        ErrorKind::ForbiddenTarget
    } else if causes().filter_map(<dyn StdError>::downcast_ref).any(timed_out) {
        ErrorKind::Timeout
    } else if error.is_connect() {
        ErrorKind::Connect
    } else {
        ErrorKind::Protocol
    };
    let detail = causes().map(ToString::to_string).collect::<Vec<_>>().join(": ");
    AttemptFailure { kind, detail: printable(&detail, MAX_EXCERPT_BYTES) }
}
