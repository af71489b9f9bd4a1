//! One attempt: POST, read the answer.

use std::error::Error as StdError;
use std::sync::Arc;
use std::time::Duration;

use events::to_micros;
use metrics::histogram;
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Client, Response};
use service::TraceParent;
use service::trace::TRACEPARENT;
use time::OffsetDateTime;
use tokio::time::{Instant, timeout_at};
use url::Url;
use webhooks::{ID_HEADER, SIGNATURE_HEADER, TIMESTAMP_HEADER};

use super::outcome::{Answer, ErrorKind, Failure, judge, next, probe_after};
use super::request::{Request, compose, secret};
use crate::Ladder;
use crate::secrets::Vault;
use crate::ssrf::{CheckedResolver, Forbidden, Reach, TargetPolicy};
use crate::store::attempts::{Attempt, Next};
use crate::store::leases::Claimed;
use crate::text::printable;

const USER_AGENT: &str = concat!("payrelay/", env!("CARGO_PKG_VERSION"));
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// From the first byte of DNS to the last of the body.
const TIMEOUT: Duration = Duration::from_secs(10);
/// A kept connection goes to an address that was checked; not for long, since names move.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
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
    pub fn new(policy: Arc<TargetPolicy>, vault: Vault, ladder: Ladder) -> Result<Self, reqwest::Error> {
        let client = |reach| {
            Client::builder()
                .user_agent(USER_AGENT)
                .dns_resolver(CheckedResolver::new(Arc::clone(&policy), reach))
                .redirect(Policy::none())
                .no_proxy()
                // A repetition must be counted: no attempt hides inside another.
                .retry(reqwest::retry::never())
                .connect_timeout(CONNECT_TIMEOUT)
                .pool_idle_timeout(IDLE_TIMEOUT)
                .build()
        };
        Ok(Self {
            public: client(Reach::Public)?,
            allowed_only: client(Reach::AllowedOnly)?,
            policy,
            vault,
            ladder,
        })
    }

    /// Makes one attempt and decides what follows it. Takes at most ten seconds.
    pub async fn attempt(&self, claimed: &Claimed) -> Attempt {
        let (started_at, start) = (OffsetDateTime::now_utc(), Instant::now());
        let answer = self.exchange(claimed, started_at, start + TIMEOUT).await;
        let duration = start.elapsed();
        let judged = answer.as_ref().map_err(Clone::clone).and_then(|answer| judge(claimed.ack, answer));
        fail::fail_point!("attempts::after_acknowledgement", judged.is_ok(), |_| std::process::abort());
        let answer = answer.ok();
        let ladder = claimed.ladder.as_ref().unwrap_or(&self.ladder);
        let next = if judged.is_ok() {
            Next::Delivered
        } else {
            let now = OffsetDateTime::now_utc();
            next(answer.as_ref(), claimed.own_url, (ladder, claimed.ladder_attempt), now, rand::random())
        };
        let probe_after = judged
            .as_ref()
            .err()
            .and_then(|failure| probe_after(failure.kind, claimed.own_url, &next, ladder));
        let result = judged.as_ref().map_or_else(|failure| failure.kind.as_str(), |()| "acknowledged");
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
    ) -> Result<Answer, Failure> {
        let (client, url) = self
            .target(&claimed.url)
            .map_err(|forbidden| Failure { kind: ErrorKind::ForbiddenTarget, detail: forbidden })?;
        let keyring =
            self.vault.open(&claimed.merchant_id, &claimed.sealed_keyring).map_err(|error| secret(&error))?;
        let Request { content_type, signature, body } = compose(claimed, &keyring, now)?;
        let trace = claimed.traceparent.as_deref().and_then(|trace| TraceParent::parse(trace).ok());
        let trace = trace.unwrap_or_else(TraceParent::generate).child();
        let mut request = client
            .post(url)
            .header(CONTENT_TYPE, content_type)
            .header(ID_HEADER, claimed.notification_id.to_string())
            .header(TIMESTAMP_HEADER, now.unix_timestamp())
            .header(TRACEPARENT, trace.to_string())
            .body(body);
        if let Some(signature) = signature {
            request = request.header(SIGNATURE_HEADER, signature);
        }
        let response = timeout_at(deadline, request.send())
            .await
            .map_err(|_| timed_out())?
            .map_err(|error| failure(&error.without_url()))?;
        Ok(answer(response, deadline).await)
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
async fn answer(mut response: Response, deadline: Instant) -> Answer {
    let retry_after =
        response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let mut body = Vec::new();
    while body.len() < MAX_ANSWER_BYTES {
        let Ok(Ok(Some(chunk))) = timeout_at(deadline, response.chunk()).await else { break };
        let room = MAX_ANSWER_BYTES - body.len();
        body.extend_from_slice(&chunk[..chunk.len().min(room)]);
    }
    Answer { status: response.status().as_u16(), retry_after, body }
}

fn timed_out() -> Failure {
    Failure { kind: ErrorKind::Timeout, detail: format!("no answer within {} s", TIMEOUT.as_secs()) }
}

fn failure(error: &reqwest::Error) -> Failure {
    let causes =
        || std::iter::successors(Some(error as &(dyn StdError + 'static)), |error| (*error).source());
    let kind = if causes().any(<dyn StdError>::is::<Forbidden>) {
        ErrorKind::ForbiddenTarget
    } else if error.is_timeout() {
        ErrorKind::Timeout
    } else if error.is_connect() {
        ErrorKind::Connect
    } else {
        ErrorKind::Protocol
    };
    let detail = causes().map(ToString::to_string).collect::<Vec<_>>().join(": ");
    Failure { kind, detail: printable(&detail, MAX_EXCERPT_BYTES) }
}
