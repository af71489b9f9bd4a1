//! Values that bodies of several channels hold, and the refusals of wrong ones.

use events::{PayOrderNo, to_micros};
use serde::Deserialize;
use time::{OffsetDateTime, UtcOffset};

use crate::refusal::CallbackRefusal;

/// Longest detail of a refusal in characters: a parser's message quotes what it found, which may be long.
const MAX_DETAIL_CHARS: usize = 300;
/// Longest trade number in bytes.
const MAX_TRADE_NO_BYTES: usize = 128;
/// Longest identity of a callback in bytes.
const MAX_DEDUPE_ID_BYTES: usize = 255;

/// UTC and microseconds. Years that RFC 3339 or PostgreSQL could not give back are refused.
pub(crate) fn utc(field: &str, time: OffsetDateTime) -> Result<OffsetDateTime, CallbackRefusal> {
    time.checked_to_offset(UtcOffset::UTC)
        .filter(|time| (1970..=9999).contains(&time.year()))
        .map(to_micros)
        .ok_or_else(|| unreadable(&format!("{field}: expected a year from 1970 to 9999")))
}

pub(crate) fn not_negative(field: &str, amount: i64) -> Result<i64, CallbackRefusal> {
    if amount < 0 {
        return Err(unreadable(&format!("{field}: expected 0 or more, got {amount}")));
    }
    Ok(amount)
}

/// Seconds since 1970, written as digits alone: `i64::from_str` would also take a sign.
pub(crate) fn unix_seconds(text: &str) -> Option<i64> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

/// The pay order meant, by whatever name the channel has for its number.
pub(crate) fn pay_order_no(field: &str, text: String) -> Result<PayOrderNo, CallbackRefusal> {
    PayOrderNo::parse(text).map_err(|error| unreadable(&format!("{field}: {error}")))
}

/// A number that the channel gave to a trade or a refund.
pub(crate) fn trade_no(field: &str, text: String) -> Result<String, CallbackRefusal> {
    visible(field, text, MAX_TRADE_NO_BYTES)
}

/// The channel's identity of a callback.
pub(crate) fn dedupe_id(field: &str, text: String) -> Result<String, CallbackRefusal> {
    visible(field, text, MAX_DEDUPE_ID_BYTES)
}

fn visible(field: &str, text: String, max_bytes: usize) -> Result<String, CallbackRefusal> {
    if (1..=max_bytes).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(text)
    } else {
        Err(unreadable(&format!("{field}: expected 1 to {max_bytes} visible ASCII characters")))
    }
}

/// Reads JSON. A byte-order mark before it is not read (RFC 8259, section 8.1).
pub(crate) fn json<'a, T: Deserialize<'a>>(text: &'a [u8]) -> Result<T, CallbackRefusal> {
    let text = text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(text);
    serde_json::from_slice(text).map_err(|error| unreadable(&error.to_string()))
}

pub(crate) fn unreadable(detail: &str) -> CallbackRefusal {
    CallbackRefusal::Unreadable { detail: shorten(detail) }
}

pub(crate) fn shorten(text: &str) -> String {
    text.chars().take(MAX_DETAIL_CHARS).collect()
}
