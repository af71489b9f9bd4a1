//! What is printed.

use channels::{ChannelAnswer, ChannelFact};
use events::{ContradictionReason, FactKind};
use serde::Serialize;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// The judgement of one callback.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// Whether the channel would be told that it need not repeat it.
    pub(super) accepted: bool,
    /// `ok`, `refund_event`, `no_transition`, what cannot be booked (`refund_failed`), or why not, in one word.
    pub(super) reason: &'static str,
    /// What the ingress counts it as: the `outcome` of `payrelay_callbacks_total`.
    outcome: &'static str,
    /// What it states, if it is authentic and concerns a pay order.
    fact: Option<Value>,
    /// The reason in words.
    detail: Option<String>,
    /// What the channel would be answered.
    answer: Value,
}

impl Report {
    /// Neither authentic nor readable.
    pub(super) fn refused(reason: &'static str, detail: String, answer: ChannelAnswer) -> Self {
        Self {
            accepted: false,
            reason,
            outcome: reason,
            fact: None,
            detail: Some(detail),
            answer: told(answer),
        }
    }

    /// Good, and of no concern, or nothing that can be booked.
    pub(super) fn ignored(
        outcome: &'static str,
        (reason, detail): (&'static str, String),
        answer: ChannelAnswer,
    ) -> Self {
        Self { accepted: true, reason, outcome, fact: None, detail: Some(detail), answer: told(answer) }
    }

    /// Good, and not true of the pay order.
    pub(super) fn contradicting(
        reason: ContradictionReason,
        detail: String,
        stated: &ChannelFact,
        answer: ChannelAnswer,
    ) -> Self {
        let fact = Some(fact(stated));
        let reason = reason.as_str();
        Self { accepted: false, reason, outcome: reason, fact, detail: Some(detail), answer: told(answer) }
    }

    /// Good.
    pub(super) fn stating(stated: &ChannelFact, answer: ChannelAnswer) -> Self {
        let reason = match stated.fact.kind {
            FactKind::PartRefunded { .. } => "refund_event",
            _ => "ok",
        };
        let fact = Some(fact(stated));
        Self { accepted: true, reason, outcome: "applied", fact, detail: None, answer: told(answer) }
    }
}

fn told(ChannelAnswer { status, content_type, body }: ChannelAnswer) -> Value {
    json!({ "status": status, "content_type": content_type, "body": body })
}

fn fact(ChannelFact { dedupe_id, pay_order_no, fact }: &ChannelFact) -> Value {
    let (kind, of_its_own) = match &fact.kind {
        FactKind::Submitted => ("submitted", json!({})),
        FactKind::Succeeded { paid_at } => ("succeeded", json!({ "paid_at": rfc3339(*paid_at) })),
        FactKind::Failed => ("failed", json!({})),
        FactKind::Closed => ("closed", json!({})),
        FactKind::Refunded { refunded_minor, refunded_at } => {
            ("refunded", json!({ "refunded_minor": refunded_minor, "refunded_at": rfc3339(*refunded_at) }))
        }
        FactKind::PartRefunded { refund_no, amount_minor, refunded_at } => {
            let refunded_at = rfc3339(*refunded_at);
            let own = json!({ "refund_no": refund_no, "refund_amount_minor": amount_minor, "refunded_at": refunded_at });
            ("part_refunded", own)
        }
    };
    let mut told = json!({
        "kind": kind,
        "pay_order_no": pay_order_no,
        "dedupe_id": dedupe_id,
        "channel_account": fact.account,
        "channel_trade_no": fact.channel_trade_no,
        "amount_minor": fact.amount.map(|amount| amount.amount_minor),
        "currency": fact.amount.map(|amount| amount.currency),
    });
    for (name, value) in of_its_own.as_object().into_iter().flatten() {
        told[name] = value.clone();
    }
    told
}

/// `null` for a year that RFC 3339 cannot write; channels are not let through with one.
fn rfc3339(time: OffsetDateTime) -> Option<String> {
    time.format(&Rfc3339).ok()
}
