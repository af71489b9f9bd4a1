//! Messages of `pay.direct`, as any publisher may send them.

use events::MerchantId;
use events::codec::{self, DecodeError, Incoming};

const CONTENT_TYPES: [&str; 5] =
    [codec::PROTOBUF, codec::JSON, codec::TEXT, codec::JAVA, "application/octet-stream"];
const ROUTING_KEYS: [&str; 4] = ["pay.success", "pay.failed", "pay.closed", "pay.refunded"];

/// A body behind one byte that chooses its content type and routing key; `None` without that byte. What is a full event must come
/// back as it is, by both of our encodings.
pub fn message(data: &[u8]) -> Option<Result<Incoming, DecodeError>> {
    let (selector, body) = data.split_first()?;
    let selector = usize::from(*selector);
    let content_type = CONTENT_TYPES[selector % CONTENT_TYPES.len()];
    let routing_key = ROUTING_KEYS[selector / CONTENT_TYPES.len() % ROUTING_KEYS.len()];
    let merchant = MerchantId::parse("m1").expect("it is an id");
    let decoded = codec::decode(Some(content_type), routing_key, body, Some(&merchant));
    if let Ok(Incoming::Event(event)) = &decoded {
        let json = codec::encode_json(event).expect("what was decoded can be encoded");
        for (content_type, again) in
            [(codec::PROTOBUF, codec::encode_protobuf(event)), (codec::JSON, json.into_bytes())]
        {
            let again = codec::decode(Some(content_type), routing_key, &again, None);
            assert_eq!(again.as_ref(), decoded.as_ref(), "as {content_type} it does not come back");
        }
    }
    Some(decoded)
}

/// The byte that chooses these.
pub fn selector(content_type: &str, routing_key: &str) -> Option<u8> {
    let content_type = CONTENT_TYPES.iter().position(|known| *known == content_type)?;
    let routing_key = ROUTING_KEYS.iter().position(|known| *known == routing_key)?;
    u8::try_from(routing_key * CONTENT_TYPES.len() + content_type).ok()
}
