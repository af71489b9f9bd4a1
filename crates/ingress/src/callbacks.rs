//! `POST /v1/callbacks/{channel_account}`: what channels send.
//!
//! The raw bytes are verified, then parsed, then written; the channel hears of success only after the commit. Whatever is
//! answered otherwise makes the channel send it again. What is authentic and cannot be used is kept, too, for whoever looks into it.

mod body;

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, COOKIE, PROXY_AUTHORIZATION};
use axum::http::{HeaderMap, Response};
use channels::{
    Account, Callback, CallbackOutcome, CallbackRefusal, CallbackRequest, ChannelAnswer, Headers,
};
use events::{ContradictionReason, PayOrderNo, to_micros};
use serde_json::{Map, Value};
use service::extract::Path;
use service::{Problem, TraceParent};
use time::OffsetDateTime;
use tokio::time::timeout;

pub(crate) use self::body::LargeBodies;
use self::body::ReceivedBody;
use crate::facts::{FactOutcome, Job, RawCallback};
use crate::metric_table::UNKNOWN_ACCOUNT;
use crate::state::App;
use crate::store::callbacks::{self as stored, Kept};
use crate::trace_context::TraceContext;

/// In metrics, what must be sent again.
const NOT_PERSISTED: &str = "not_persisted";
/// How long the channel waits for a row that changes nothing.
const KEEP_TIMEOUT: Duration = Duration::from_secs(2);

pub(crate) async fn receive(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    parent: TraceParent,
    headers: HeaderMap,
    body: Body,
) -> Result<Response<Body>, Problem> {
    let channels = app.channels.current();
    let Some(account) = channels.account(&name) else {
        count(UNKNOWN_ACCOUNT.to_owned(), "unknown_account");
        return Err(Problem::not_found("there is no such channel account"));
    };
    let ReceivedBody { body, whole, seen_bytes, room } = body::read(&app.large_bodies, body).await?;
    let now = to_micros(OffsetDateTime::now_utc());
    let fields = Headers::of(headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())));
    let pairs = fields.pairs();
    let verified = if whole {
        account.verify(&CallbackRequest { headers: &pairs, body: &body }, now)
    } else {
        Err(CallbackRefusal::BodyTooLarge)
    };
    let raw = |dedupe_id| RawCallback {
        account: name.clone(),
        dedupe_id,
        received_at: now,
        headers: recorded(&pairs),
        body,
        _room: room,
    };
    let outcome = verified.as_ref().map_or_else(|refusal| Some(refusal.code()), Callback::outcome);
    let (label, answer) = match verified {
        Err(refusal) => {
            log_refused(&name, parent, seen_bytes, &refusal);
            if refusal.is_authentic() {
                // What is known of it stands in its body: it could not be read.
                keep(&app, Kept::refused(raw(String::new()), refusal.code(), parent)).await;
            }
            (outcome, account.answer(&CallbackOutcome::Refused(&refusal)))
        }
        Ok(Callback::Ignored { dedupe_id, reason }) => {
            tracing::info!(account = name, dedupe_id, reason, "a callback was ignored");
            (outcome, account.answer(&CallbackOutcome::Ignored))
        }
        Ok(Callback::Unbooked { dedupe_id, pay_order_no, code, reason }) => {
            let pay_order = pay_order_no.as_ref().map(PayOrderNo::as_str);
            let trace_id = parent.trace_id();
            tracing::warn!(
                account = name,
                dedupe_id,
                pay_order,
                trace_id,
                reason,
                "a callback cannot be booked"
            );
            if keep(&app, Kept::unbooked(raw(dedupe_id), pay_order_no, code, parent)).await {
                (outcome, account.answer(&CallbackOutcome::Ignored))
            } else {
                (None, account.answer(&CallbackOutcome::NotPersisted))
            }
        }
        Ok(Callback::Fact(stated)) => {
            let callback = raw(stated.dedupe_id);
            let job = Job {
                pay_order_no: stated.pay_order_no,
                fact: stated.fact,
                trace: TraceContext::of_request(parent, &headers),
                callback: Some(callback),
            };
            write(&app, account, job).await
        }
    };
    count(name, label.unwrap_or(NOT_PERSISTED));
    respond(answer)
}

fn count(account: String, outcome: &'static str) {
    metrics::counter!("payrelay_callbacks_total", "account" => account, "outcome" => outcome).increment(1);
}

fn log_refused(account: &str, parent: TraceParent, body_bytes: u64, refusal: &CallbackRefusal) {
    let trace_id = parent.trace_id();
    if *refusal == CallbackRefusal::Probe {
        // The channel only looks whether signatures are checked.
        tracing::debug!(account, trace_id, "a probe was refused");
    } else {
        tracing::warn!(account, trace_id, body_bytes, %refusal, "a callback was refused");
    }
}

/// Whether the callback was written.
async fn keep(app: &App, callback: Kept) -> bool {
    let why = match timeout(KEEP_TIMEOUT, stored::keep(&app.database, &callback)).await {
        Ok(Ok(())) => return true,
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("not done within {} s", KEEP_TIMEOUT.as_secs()),
    };
    tracing::error!(account = callback.raw.account, why, "a callback that cannot be used was not kept");
    false
}

/// Writes a stated fact; the label for the metrics and the answer for the channel.
async fn write(app: &App, account: &Account, job: Job) -> (Option<&'static str>, ChannelAnswer) {
    let written = app.facts.submit(job).await;
    let outcome = match written {
        Ok(FactOutcome::Applied) => CallbackOutcome::Accepted,
        Ok(FactOutcome::Duplicate) => CallbackOutcome::Duplicate,
        Ok(FactOutcome::Contradiction(ContradictionReason::UnknownPayOrder)) => {
            CallbackOutcome::UnknownPayOrder
        }
        Ok(FactOutcome::Contradiction(reason)) => CallbackOutcome::Contradiction(reason),
        Err(_) => CallbackOutcome::NotPersisted,
    };
    let label = written.ok().map(|outcome| outcome.reason().unwrap_or(outcome.as_str()));
    (label, account.answer(&outcome))
}

/// The headers that are kept with the callback: all but credentials.
fn recorded(headers: &[(&str, &str)]) -> Value {
    let secret = [AUTHORIZATION, PROXY_AUTHORIZATION, COOKIE];
    let kept = headers.iter().filter(|(name, _)| !secret.iter().any(|secret| secret.as_str() == *name));
    Value::Object(kept.map(|(name, value)| ((*name).to_owned(), Value::from(*value))).collect::<Map<_, _>>())
}

fn respond(answer: ChannelAnswer) -> Result<Response<Body>, Problem> {
    let mut response = Response::builder().status(answer.status);
    if let Some(content_type) = answer.content_type {
        response = response.header(CONTENT_TYPE, content_type);
    }
    response.body(Body::from(answer.body)).map_err(|error| {
        tracing::error!(%error, "a channel's answer is no HTTP");
        Problem::internal()
    })
}
