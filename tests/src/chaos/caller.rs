//! Requests as shops and channels make them: repeated until they are answered, or until the caller gives up.

use std::time::Duration;

use reqwest::{RequestBuilder, StatusCode};
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::history::Outcome;

const PAUSE: Duration = Duration::from_millis(150);

/// How long a caller goes on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    pub(crate) attempts: u32,
    pub(crate) time: Duration,
}

impl Patience {
    /// Longer than any fault lasts.
    pub(crate) const LONG: Self = Self { attempts: u32::MAX, time: Duration::from_secs(90) };

    /// So many attempts.
    pub(crate) const fn attempts(attempts: u32) -> Self {
        Self { attempts, ..Self::LONG }
    }
}

/// How a request ended.
#[derive(Debug)]
pub(crate) enum Reply {
    /// With a 2xx and this body; null if it is not JSON.
    Done(Value),
    /// With an answer that will not change.
    Refused(StatusCode, String),
    /// Not within the caller's patience.
    None,
}

impl Reply {
    /// What the caller knows now.
    pub(crate) fn outcome(self) -> Outcome {
        match self {
            Self::Done(_) => Outcome::Acknowledged,
            Self::Refused(status, text) => Outcome::Refused(format!("{status}: {text}")),
            Self::None => Outcome::Unknown,
        }
    }
}

/// Repeats a request while it fails for a reason that may pass: no answer, or a 5xx.
pub(crate) async fn ask(patience: Patience, request: impl Fn() -> RequestBuilder) -> Reply {
    let deadline = Instant::now() + patience.time;
    for attempt in 1.. {
        if let Ok(answer) = request().send().await {
            let status = answer.status();
            if status.is_client_error() {
                return Reply::Refused(status, answer.text().await.unwrap_or_default());
            }
            // Without its body an answer was none.
            if let (true, Ok(body)) = (status.is_success(), answer.bytes().await) {
                return Reply::Done(serde_json::from_slice(&body).unwrap_or_default());
            }
        }
        if attempt >= patience.attempts || Instant::now() > deadline {
            break;
        }
        sleep(PAUSE).await;
    }
    Reply::None
}
