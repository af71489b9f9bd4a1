//! The merchants' side: every event was told, under one id, and nothing else.

use std::collections::{BTreeMap, BTreeSet};

use time::OffsetDateTime;

use super::{Told, Verdict};
use crate::history::{Payment, SeenWebhook};

/// A webhook that came before one of a lower version of its pay order was acknowledged. It may, if the notifier did not know of
/// the lower version then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Overtaking {
    pub(crate) order_no: String,
    pub(crate) lower_version: i64,
    pub(crate) higher_version: i64,
    /// When the higher one came in first.
    pub(crate) at: OffsetDateTime,
}

impl Verdict {
    pub(super) fn webhooks(&mut self, payment: &Payment, told: &Told, webhooks: &[SeenWebhook]) {
        let order_no = &payment.order_no;
        let mut by_event: BTreeMap<(&str, i64), Vec<&SeenWebhook>> = BTreeMap::new();
        for webhook in webhooks {
            let is_sound = webhook.amount_minor == payment.amount_minor
                && Some(&webhook.pay_order_no) == payment.pay_order_no.as_ref();
            if !is_sound {
                self.doubled(order_no, format!("a webhook is not what was paid: {webhook:?}"));
            }
            by_event.entry((&webhook.event_type, webhook.refunded_minor)).or_default().push(webhook);
        }
        for event in &told.must {
            let attempts = by_event.get(event).map(Vec::as_slice).unwrap_or_default();
            if !attempts.iter().any(|attempt| attempt.is_acknowledged) {
                self.lost(order_no, format!("the merchant was not told {event:?}: {attempts:?}"));
            }
        }
        for (event, attempts) in &by_event {
            let ids: BTreeSet<_> = attempts.iter().map(|attempt| &attempt.id).collect();
            if ids.len() > 1 {
                self.doubled(order_no, format!("the merchant was told {event:?} under {ids:?}"));
            }
            if !told.must.contains(event) && !told.may.contains(event) {
                self.unexpected(order_no, format!("the merchant was told {event:?}"));
            }
        }
        self.overtakings.extend(overtakings(order_no, webhooks));
    }
}

/// Pairs of neighbouring versions in the wrong order.
fn overtakings(order_no: &str, webhooks: &[SeenWebhook]) -> Vec<Overtaking> {
    let versions: BTreeSet<_> = webhooks.iter().map(|webhook| webhook.version).collect();
    let pairs = versions.iter().zip(versions.iter().skip(1));
    let found = pairs.filter_map(|(lower, higher)| {
        let first = webhooks.iter().position(|webhook| webhook.version == *higher)?;
        let is_told = |webhook: &SeenWebhook| webhook.version == *lower && webhook.is_acknowledged;
        let is_in_order = webhooks[..first].iter().any(is_told);
        (!is_in_order).then(|| Overtaking {
            order_no: order_no.to_owned(),
            lower_version: *lower,
            higher_version: *higher,
            at: webhooks[first].at,
        })
    });
    found.collect()
}
