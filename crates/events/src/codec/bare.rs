//! Bare order numbers, in the forms in which Spring AMQP's converters and simple publishers send them.

use serde_json::{Map, Value};

use super::DecodeError;
use super::json::unmarked;

/// `ObjectOutputStream` header, class descriptor of `java.lang.Long` and of `java.lang.Number`; then a big-endian i64.
const JAVA_LONG: &[u8] = b"\xac\xed\x00\x05sr\x00\x0ejava.lang.Long;\x8b\xe4\x90\xcc\x8f#\xdf\x02\x00\x01J\x00\x05valuexr\x00\x10java.lang.Number\x86\xac\x95\x1d\x0b\x94\xe0\x8b\x02\x00\x00xp";
/// The same for `java.lang.Integer`; then a big-endian i32.
const JAVA_INTEGER: &[u8] = b"\xac\xed\x00\x05sr\x00\x11java.lang.Integer\x12\xe2\xa0\xa4\xf7\x81\x878\x02\x00\x01I\x00\x05valuexr\x00\x10java.lang.Number\x86\xac\x95\x1d\x0b\x94\xe0\x8b\x02\x00\x00xp";

/// The order number as text, surrounding white space aside.
pub(super) fn from_text(body: &[u8]) -> Result<String, DecodeError> {
    let text = std::str::from_utf8(unmarked(body)).map_err(DecodeError::undecodable)?;
    Ok(text.trim().to_owned())
}

/// The order number of an object in which no other field than `orderNo` or `order_no` is set.
pub(super) fn from_fields(fields: &Map<String, Value>) -> Option<Result<String, DecodeError>> {
    let order_no = fields.get("orderNo").or_else(|| fields.get("order_no"))?;
    (fields.len() == 1).then(|| from_value(order_no))
}

/// The order number if it is a string or an integer.
pub(super) fn from_value(value: &Value) -> Result<String, DecodeError> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) if !number.is_f64() => Ok(number.to_string()),
        _ => Err(DecodeError::Undecodable("JSON: expected an event, a string or an integer".to_owned())),
    }
}

/// The number that was serialised. Recognised by its exact bytes: nothing is ever deserialised as a Java object.
pub(super) fn from_java(body: &[u8]) -> Result<String, DecodeError> {
    let long = body.strip_prefix(JAVA_LONG).and_then(|rest| rest.try_into().ok()).map(i64::from_be_bytes);
    let integer = || {
        let value =
            body.strip_prefix(JAVA_INTEGER).and_then(|rest| rest.try_into().ok()).map(i32::from_be_bytes);
        value.map(i64::from)
    };
    let number = long.or_else(integer).ok_or_else(|| {
        DecodeError::Undecodable(
            "Java object: expected exactly a java.lang.Long or java.lang.Integer".to_owned(),
        )
    })?;
    Ok(number.to_string())
}
