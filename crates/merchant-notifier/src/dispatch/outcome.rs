//! What an answer means, and what follows: pure decisions.

use std::time::Duration;

use time::OffsetDateTime;

use crate::ladder::retry_after;
use crate::store::attempts::Next;
use crate::{Ack, Ladder};

/// A notification waits for its endpoint to be enabled again.
pub(super) const ENDPOINT_DISABLED: &str = "endpoint_disabled";
const GONE: &str = "gone";
const ATTEMPTS_EXHAUSTED: &str = "attempts_exhausted";
/// The longest that an open breaker waits for its next probe.
const MAX_PROBE_DELAY: Duration = Duration::from_secs(300);
/// The longest that it waits after a pay order's own address has failed: a crowd of dead ones must not keep a sound endpoint
/// waiting for its turn as the probe.
const MAX_PROBE_DELAY_OF_OWN_URL: Duration = Duration::from_secs(1);

/// Why an attempt failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// No connection: the name does not resolve, nobody listens, TLS fails.
    Connect,
    /// Not done in the time there is.
    Timeout,
    /// The connection broke, or what came was no HTTP.
    Protocol,
    /// The target is one that we do not call. It follows the ladder like any failure: a corrected URL, DNS record or
    /// configuration lets the next attempt through.
    ForbiddenTarget,
    /// The endpoint's keys do not open, or it has none for its format.
    Secret,
    /// The body cannot be put into the endpoint's format.
    Unsendable,
    /// A redirection, which is never followed.
    Redirect,
    /// Any other status outside the 200s.
    Status,
    /// A status of the 200s, but not the body that the endpoint acknowledges with.
    NotAcknowledged,
    /// Our own fault: the attempt panicked.
    Internal,
}

impl ErrorKind {
    /// Every kind.
    pub const ALL: [Self; 10] = [
        Self::Connect,
        Self::Timeout,
        Self::Protocol,
        Self::ForbiddenTarget,
        Self::Secret,
        Self::Unsendable,
        Self::Redirect,
        Self::Status,
        Self::NotAcknowledged,
        Self::Internal,
    ];

    /// The name in the log, the database and the metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Timeout => "timeout",
            Self::Protocol => "protocol",
            Self::ForbiddenTarget => "forbidden_target",
            Self::Secret => "secret",
            Self::Unsendable => "unsendable",
            Self::Redirect => "redirect",
            Self::Status => "status",
            Self::NotAcknowledged => "not_acknowledged",
            Self::Internal => "internal",
        }
    }
}

/// Why there is no acknowledgement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptFailure {
    /// The sort.
    pub kind: ErrorKind,
    /// The particulars, without the URL and its query, which may hold secrets.
    pub detail: String,
}

/// What came back.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WebhookAnswer {
    /// The HTTP status.
    pub status: u16,
    /// The header `Retry-After`.
    pub retry_after: Option<String>,
    /// The body, cut at 8 KiB; what had come if it broke off.
    pub body: Vec<u8>,
    /// Why nothing but the status could be read.
    pub unread: Option<String>,
}

/// Whether the answer acknowledges the webhook.
pub fn judge(ack: Ack, answer: &WebhookAnswer) -> Result<(), AttemptFailure> {
    let acknowledged = ack == Ack::Any2xx || is_success(&answer.body);
    let kind = match answer.status {
        200..=299 if acknowledged => return Ok(()),
        200..=299 => ErrorKind::NotAcknowledged,
        300..=399 => ErrorKind::Redirect,
        _ => ErrorKind::Status,
    };
    let status = format!("HTTP status {}", answer.status);
    let detail = match &answer.unread {
        Some(why) => format!("{status}; the rest of the answer cannot be read: {why}"),
        None => status,
    };
    Err(AttemptFailure { kind, detail })
}

/// The word alone, whatever white space or byte order mark an editor has put around it.
fn is_success(body: &[u8]) -> bool {
    let around = |character: char| character.is_whitespace() || character == '\u{feff}';
    std::str::from_utf8(body).is_ok_and(|body| body.trim_matches(around).eq_ignore_ascii_case("success"))
}

/// Where on its ladder a notification stands.
#[derive(Debug, Clone, Copy)]
pub struct Rung<'a> {
    /// The delays after failed attempts.
    pub ladder: &'a Ladder,
    /// The number of the attempt on it, from 1.
    pub attempt: u32,
}

/// What follows the failed attempt at `rung`.
///
/// 410 from the endpoint's address disables it; from a pay order's `own_url` it ends this notification only, for the
/// merchant's others go elsewhere. `Retry-After` on 429 and 503 may defer an attempt, never advance it. `random` is in 0..1.
pub fn next(
    answer: Option<&WebhookAnswer>,
    own_url: bool,
    rung: Rung<'_>,
    now: OffsetDateTime,
    random: f64,
) -> Next {
    let status = answer.map(|answer| answer.status);
    if status == Some(410) {
        return Next::Park { reason: if own_url { GONE } else { ENDPOINT_DISABLED } };
    }
    let Some(delay) = rung.ladder.delay(rung.attempt, random) else {
        return Next::Park { reason: ATTEMPTS_EXHAUSTED };
    };
    let asked = answer
        .filter(|answer| matches!(answer.status, 429 | 503))
        .and_then(|answer| retry_after(answer.retry_after.as_deref()?, now));
    Next::Retry { after: delay.max(asked.unwrap_or(Duration::ZERO)) }
}

/// After what time the endpoint may be probed, should its breaker be open; `None` if the failure does not count against it.
///
/// It is the delay of the attempt itself, at most five minutes: so a notification that is alone keeps its ladder, and no
/// endpoint is called more often than its ladder says. An answer 410 has said all there is to say, and a target that we do
/// not call, what we cannot sign or write, or a panic of ours says nothing of the endpoint. A pay order's own address (`own_url`) says little
/// of the others: the next probe comes soon.
pub fn probe_after(kind: ErrorKind, own_url: bool, next: &Next, ladder: &Ladder) -> Option<Duration> {
    let delay = match (kind, next) {
        (ErrorKind::ForbiddenTarget | ErrorKind::Secret | ErrorKind::Unsendable | ErrorKind::Internal, _) => {
            return None;
        }
        (_, Next::Retry { after }) => *after,
        (_, Next::Park { reason: ATTEMPTS_EXHAUSTED }) => ladder.last(),
        (_, Next::Park { .. } | Next::Delivered) => return None,
    };
    Some(delay.min(if own_url { MAX_PROBE_DELAY_OF_OWN_URL } else { MAX_PROBE_DELAY }))
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    fn answer(status: u16, retry_after: Option<&str>) -> WebhookAnswer {
        WebhookAnswer { status, retry_after: retry_after.map(str::to_owned), ..WebhookAnswer::default() }
    }

    fn after(answer: Option<&WebhookAnswer>, attempt: u32) -> Next {
        let ladder: Ladder = "10s,20s".parse().unwrap();
        next(answer, false, Rung { ladder: &ladder, attempt }, datetime!(2026-01-01 00:00 UTC), 0.5)
    }

    #[test]
    fn any_2xx_acknowledges_unless_the_body_must() {
        let told =
            |body: &[u8]| WebhookAnswer { status: 200, body: body.to_vec(), ..WebhookAnswer::default() };
        assert_eq!(judge(Ack::Any2xx, &told(b"whatever")), Ok(()));
        assert_eq!(judge(Ack::Any2xx, &answer(204, None)), Ok(()));
        assert_eq!(judge(Ack::Success, &told(b" SUCCESS\r\n")), Ok(()));
        for body in [b"".as_slice(), b"fail", b"success!", b"\"success\""] {
            assert_eq!(judge(Ack::Success, &told(body)).unwrap_err().kind, ErrorKind::NotAcknowledged);
        }
    }

    #[derive(serde::Deserialize)]
    struct Vectors {
        ack_matrix: Vec<Told>,
    }

    #[derive(serde::Deserialize)]
    struct Told {
        status: u16,
        body: String,
        recommended_success: bool,
    }

    #[test]
    fn the_word_success_is_taken_as_the_vectors_recommend() {
        let vectors = include_str!("../../../webhooks/tests/vectors/jeepay_notify.json");
        let vectors: Vectors = serde_json::from_str(vectors).unwrap();
        assert_eq!(vectors.ack_matrix.len(), 14);
        for told in vectors.ack_matrix {
            let answer = WebhookAnswer {
                status: told.status,
                body: told.body.clone().into_bytes(),
                ..WebhookAnswer::default()
            };
            let judged = judge(Ack::Success, &answer).is_ok();
            assert_eq!(judged, told.recommended_success, "{} {:?}", told.status, told.body);
        }
    }

    #[test]
    fn nothing_but_2xx_acknowledges() {
        for (status, kind) in [
            (100, ErrorKind::Status),
            (302, ErrorKind::Redirect),
            (404, ErrorKind::Status),
            (500, ErrorKind::Status),
        ] {
            assert_eq!(judge(Ack::Any2xx, &answer(status, None)).unwrap_err().kind, kind);
        }
    }

    #[test]
    fn failures_climb_the_ladder_to_its_end() {
        assert_eq!(after(None, 1), Next::Retry { after: Duration::from_secs(10) });
        assert_eq!(after(Some(&answer(500, Some("99"))), 2), Next::Retry { after: Duration::from_secs(20) });
        assert_eq!(after(None, 3), Next::Park { reason: ATTEMPTS_EXHAUSTED });
    }

    #[test]
    fn retry_after_defers_and_never_advances() {
        for status in [429, 503] {
            assert_eq!(
                after(Some(&answer(status, Some("60"))), 1),
                Next::Retry { after: Duration::from_secs(60) }
            );
            assert_eq!(
                after(Some(&answer(status, Some("1"))), 1),
                Next::Retry { after: Duration::from_secs(10) }
            );
        }
    }

    #[test]
    fn gone_is_final_for_the_endpoint_or_for_the_address_of_one_pay_order() {
        assert_eq!(after(Some(&answer(410, None)), 1), Next::Park { reason: ENDPOINT_DISABLED });
        let ladder = Ladder::default();
        let next = next(
            Some(&answer(410, None)),
            true,
            Rung { ladder: &ladder, attempt: 1 },
            datetime!(2026-01-01 00:00 UTC),
            0.5,
        );
        assert_eq!(next, Next::Park { reason: GONE });
    }

    #[test]
    fn a_probe_waits_as_long_as_the_attempt_and_never_longer_than_five_minutes() {
        let ladder: Ladder = "10s,20s".parse().unwrap();
        let seconds =
            |kind, own_url, next| probe_after(kind, own_url, &next, &ladder).map(|delay| delay.as_secs());
        let probe_after = |kind, next| seconds(kind, false, next);
        let retry = |secs| Next::Retry { after: Duration::from_secs(secs) };
        assert_eq!(probe_after(ErrorKind::Status, retry(11)), Some(11));
        assert_eq!(probe_after(ErrorKind::Timeout, retry(600)), Some(300));
        assert_eq!(seconds(ErrorKind::Timeout, true, retry(600)), Some(1));
        assert_eq!(probe_after(ErrorKind::Connect, Next::Park { reason: ATTEMPTS_EXHAUSTED }), Some(20));
        for (kind, next) in [
            (ErrorKind::ForbiddenTarget, retry(10)),
            (ErrorKind::Unsendable, retry(10)),
            (ErrorKind::Secret, Next::Park { reason: ATTEMPTS_EXHAUSTED }),
            (ErrorKind::Status, Next::Park { reason: GONE }),
            (ErrorKind::Status, Next::Park { reason: ENDPOINT_DISABLED }),
        ] {
            assert_eq!(probe_after(kind, next), None);
        }
    }
}
