//! `payrelay dlq show`

use messaging::{DeadLetter, DeadLetters};
use serde_json::Value;

use super::{Selection, broker, missing, view};
use crate::{failure::CommandResult, output};

/// Bytes of a body that cannot be decoded, as they are shown.
const BODY_BYTES: usize = 256;

/// Shows the first messages that match.
pub(super) async fn run(selection: &Selection, limit: usize, json: bool) -> CommandResult {
    let broker = broker::from_env("dlq show")?;
    let queue = &selection.queue;
    let look = DeadLetters::look(&broker, queue).await.map_err(broker::failure)?;
    let (depth, seen) = look.ok_or_else(|| missing(queue))?;
    let matching: Vec<_> = seen.iter().filter(|letter| selection.matches(letter)).collect();
    let shown = &matching[..limit.min(matching.len())];
    if json {
        let messages: Vec<_> = shown.iter().map(|letter| view::decoded(letter)).collect();
        return Ok(output::json(&messages)?);
    }
    for (index, letter) in shown.iter().enumerate() {
        message(index + 1, letter)?;
    }
    let (found, seen) = (matching.len(), seen.len());
    let name = queue.dead_letter_queue();
    let shown = shown.len();
    output::progress(format!("{name}: {shown} shown of {found} that match, {seen} looked at, {depth} there"));
    Ok(())
}

fn message(number: usize, letter: &DeadLetter) -> anyhow::Result<()> {
    let or_none = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    let field = |name: &str, text: &str| output::line(format!("   {name:<13}{}", view::clean(text)));
    output::line(format!(
        "{number}. {} ({})",
        view::clean(&letter.reason),
        view::clean(&letter.routing_key)
    ))?;
    if let Some(detail) = &letter.detail {
        field("detail", detail)?;
    }
    field("attempts", &letter.attempts.map_or_else(|| "-".to_owned(), |attempts| attempts.to_string()))?;
    field("first seen", &or_none(&view::rfc3339(letter.first_seen)))?;
    field("message id", &or_none(&letter.message_id))?;
    let content_type = or_none(&letter.content_type);
    field("content type", &format!("{content_type}, {} bytes", letter.body.len()))?;
    match view::event(letter) {
        Ok(event) => field("event", &event.to_string())?,
        Err(error) => {
            field("unreadable", &error.to_string())?;
            let body = &letter.body[..BODY_BYTES.min(letter.body.len())];
            let more = if body.len() < letter.body.len() { "…" } else { "" };
            field("body", &format!("{}{more}", body.escape_ascii()))?;
        }
    }
    for (name, value) in &letter.headers {
        let value = match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        field("header", &format!("{name}: {value}"))?;
    }
    Ok(())
}
