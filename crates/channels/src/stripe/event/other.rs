//! Events of types that no fact is read from.

use serde::Deserialize;

use super::{Reference, Said, charged_without_intent, names_none, object};
use crate::unbooked::{DISPUTE, UNKNOWN_EVENT};

/// Types that may name a pay order and that payrelay does not act upon, each with the reason.
const NO_RESULT: [(&str, &str); 12] = [
    ("charge.expired", NOT_PAID),
    ("charge.failed", NOT_PAID),
    ("charge.pending", NOT_YET),
    (
        "charge.updated",
        "what changes at a charge is no result, payment_intent.succeeded and charge.refunded tell it",
    ),
    ("checkout.session.expired", NOT_PAID),
    ("payment_intent.amount_capturable_updated", NOT_YET),
    ("payment_intent.canceled", NOT_PAID),
    ("payment_intent.created", NOT_YET),
    ("payment_intent.partially_funded", NOT_YET),
    ("payment_intent.processing", NOT_YET),
    ("payment_intent.requires_action", NOT_YET),
    ("refund.created", "a refund begins, charge.refunded tells what went back"),
];
const NOT_PAID: &str = "this attempt ended unpaid, the buyer may make another";
const NOT_YET: &str = "no result yet, payment_intent.succeeded tells what was paid";
/// Types of charges that were paid, as those of payment intents are, which say so themselves.
const CHARGED: [&str; 2] = ["charge.captured", "charge.succeeded"];
/// What types of disputes begin with.
const DISPUTES: &str = "charge.dispute.";

/// What a dispute, or an object of any type, says of itself.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Loose {
    id: Option<String>,
    status: Option<String>,
    payment_intent: Option<String>,
}

/// Of a type that no fact is read from: whether it concerns a pay order all the same. Its object may have any shape.
pub(super) fn read(kind: &str, metadata_key: &str, body: &[u8]) -> Said {
    let Loose { id, status, payment_intent } = object(body).unwrap_or_default();
    let named = object::<Reference>(body).map_or(Ok(None), |reference| reference.pay_order_no(metadata_key));
    let [id, status, intent] =
        [&id, &status, &payment_intent].map(|text| text.as_deref().unwrap_or_default());
    if kind.starts_with(DISPUTES) {
        // A dispute has metadata of its own, so it concerns us also when it names no pay order.
        let reason = format!("{kind}: the dispute {id:?} of the payment intent {intent:?} is {status:?}");
        return Said::Unbooked(named.unwrap_or_default(), DISPUTE, reason);
    }
    let no_result = NO_RESULT.into_iter().find(|(known, _)| *known == kind);
    match (named, no_result) {
        (Ok(None), _) => Said::Nothing(format!("type {kind:?} {}", names_none(metadata_key))),
        (_, Some((_, reason))) => Said::Nothing(reason.to_owned()),
        (Ok(Some(number)), None) if CHARGED.contains(&kind) && payment_intent.is_none() => {
            charged_without_intent(number, id)
        }
        (_, None) if CHARGED.contains(&kind) => {
            Said::Nothing("payment_intent.succeeded tells what was paid".to_owned())
        }
        (named, None) => {
            let reason =
                format!("type {kind:?} about a pay order is none that pay orders know; {id:?} is {status:?}");
            Said::Unbooked(named.unwrap_or_default(), UNKNOWN_EVENT, reason)
        }
    }
}
