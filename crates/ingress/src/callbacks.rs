//! `POST /v1/callbacks/{channel_account}`: what channels send.
//!
//! The raw bytes are verified, then parsed, then written; the channel hears of success only after the commit. Whatever is
//! answered otherwise makes the channel send it again.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, COOKIE, PROXY_AUTHORIZATION};
use axum::http::{HeaderMap, Response, StatusCode};
use bytes::Bytes;
use channels::{Account, Answer, Callback, Outcome, Refusal, Request};
use events::{ContradictionReason, to_micros};
use serde_json::{Map, Value};
use service::extract::Path;
use service::{Problem, TraceParent};
use time::OffsetDateTime;

use crate::app::App;
use crate::facts::{self, Job, RawCallback};
use crate::trace_context::TraceContext;

pub(crate) async fn receive(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    parent: TraceParent,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response<Body>, Problem> {
    let channels = app.channels.current();
    let account =
        channels.account(&name).ok_or_else(|| Problem::not_found("there is no such channel account"))?;
    let body = body.map_err(|rejection| body_problem(&rejection))?;
    let now = to_micros(OffsetDateTime::now_utc());
    let texts: Vec<_> =
        headers.iter().filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?))).collect();
    let verified = account.verify(&Request { headers: &texts, body: &body }, now);
    let (label, answer) = match verified {
        Err(refusal) => {
            let trace_id = parent.trace_id();
            if refusal == Refusal::Probe {
                // The channel only looks whether signatures are checked.
                tracing::debug!(account = name, trace_id, "a probe was refused");
            } else {
                tracing::warn!(account = name, trace_id, %refusal, "a callback was refused");
            }
            (refusal.code(), account.answer(&Outcome::Refused(&refusal)))
        }
        Ok(Callback::Ignored { dedupe_id, reason }) => {
            tracing::info!(account = name, dedupe_id, reason, "a callback was ignored");
            ("ignored", account.answer(&Outcome::Ignored))
        }
        Ok(Callback::Fact(stated)) => {
            let callback = RawCallback {
                account: name.clone(),
                dedupe_id: stated.dedupe_id,
                received_at: now,
                headers: recorded(&texts),
                body,
            };
            let job = Job {
                pay_order_no: stated.pay_order_no,
                fact: stated.fact,
                trace: TraceContext::of_request(parent, &headers),
                callback: Some(callback),
            };
            write(&app, account, job).await
        }
    };
    metrics::counter!("payrelay_callbacks_total", "account" => name, "outcome" => label).increment(1);
    respond(answer)
}

/// Writes a stated fact; the label for the metrics and the answer for the channel.
async fn write(app: &App, account: &Account, job: Job) -> (&'static str, Answer) {
    let written = app.facts.submit(job).await;
    let outcome = match written {
        Ok(facts::Outcome::Applied) => Outcome::Accepted,
        Ok(facts::Outcome::Duplicate) => Outcome::Duplicate,
        Ok(facts::Outcome::Contradiction(ContradictionReason::UnknownPayOrder)) => Outcome::UnknownPayOrder,
        Ok(facts::Outcome::Contradiction(reason)) => Outcome::Contradiction(reason),
        Err(_) => Outcome::NotPersisted,
    };
    let label = written.map_or("not_persisted", |outcome| outcome.reason().unwrap_or(outcome.as_str()));
    (label, account.answer(&outcome))
}

/// The headers that are kept with the callback: all but credentials.
fn recorded(headers: &[(&str, &str)]) -> Value {
    let secret = [AUTHORIZATION, PROXY_AUTHORIZATION, COOKIE];
    let kept = headers.iter().filter(|(name, _)| !secret.iter().any(|secret| secret.as_str() == *name));
    Value::Object(kept.map(|(name, value)| ((*name).to_owned(), Value::from(*value))).collect::<Map<_, _>>())
}

fn body_problem(rejection: &BytesRejection) -> Problem {
    if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", rejection.body_text())
    } else {
        Problem::bad_request("unreadable_body", rejection.body_text())
    }
}

fn respond(answer: Answer) -> Result<Response<Body>, Problem> {
    let mut response = Response::builder().status(answer.status);
    if let Some(content_type) = answer.content_type {
        response = response.header(CONTENT_TYPE, content_type);
    }
    response.body(Body::from(answer.body)).map_err(|error| {
        tracing::error!(%error, "a channel's answer is no HTTP");
        Problem::internal()
    })
}
