//! What an attempt sends, in the format of its endpoint: signed afresh for every attempt.

use time::OffsetDateTime;

use super::outcome::{AttemptFailure, ErrorKind};
use crate::keyring::Keyring;
use crate::store::leases::Claimed;
use crate::text::printable;
use crate::{Format, form, webhook};

const MAX_DETAIL_BYTES: usize = 512;

/// A body, and the headers that are not the same for all.
#[derive(Debug)]
pub(super) struct WebhookRequest {
    pub(super) content_type: &'static str,
    /// The header `webhook-signature`; forms carry their signature within.
    pub(super) signature: Option<String>,
    pub(super) body: Vec<u8>,
}

/// Makes the request for an attempt at `now`.
pub(super) fn compose(
    claimed: &Claimed,
    keyring: &Keyring,
    now: OffsetDateTime,
) -> Result<WebhookRequest, AttemptFailure> {
    match claimed.format {
        Format::Standard => standard(claimed, keyring, now),
        Format::FormMd5 => {
            let key = keyring.form_key().ok_or_else(|| secret(&"the endpoint has no key for forms"))?;
            let form = form::encode(&claimed.body, key, now).map_err(|error| unsendable(&error))?;
            Ok(WebhookRequest { content_type: form::CONTENT_TYPE, signature: None, body: form.into_bytes() })
        }
    }
}

fn standard(
    claimed: &Claimed,
    keyring: &Keyring,
    now: OffsetDateTime,
) -> Result<WebhookRequest, AttemptFailure> {
    let id = claimed.notification_id.to_string();
    let body = match keyring.encryption_key() {
        Some(key) => {
            webhook::encrypted(&claimed.body, key, &id, rand::random()).map_err(|error| unsendable(&error))?
        }
        None => claimed.body.clone(),
    };
    let timestamp = now.unix_timestamp();
    let signature =
        webhooks::sign(keyring.secrets(timestamp), &id, timestamp, &body).map_err(|error| secret(&error))?;
    Ok(WebhookRequest { content_type: "application/json", signature: Some(signature), body })
}

pub(super) fn secret(detail: &dyn ToString) -> AttemptFailure {
    AttemptFailure { kind: ErrorKind::Secret, detail: detail.to_string() }
}

fn unsendable(error: &dyn std::error::Error) -> AttemptFailure {
    AttemptFailure { kind: ErrorKind::Unsendable, detail: printable(&error.to_string(), MAX_DETAIL_BYTES) }
}
