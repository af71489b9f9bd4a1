use lapin::protocol::{AMQPError, AMQPErrorKind, AMQPSoftError};

use super::*;

/// The client tells of a refusal twice, to whoever awaits a confirm and by an event, and either may come first.
#[test]
fn an_event_says_as_much_of_a_refusal_as_a_confirm_does() {
    let reason = "ACCESS_REFUSED - access to exchange 'e' in vhost '/' refused for user 'u'";
    let refusal = AMQPError::new(AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED), reason.into());
    let refusal = lapin::Error::from(lapin::ErrorKind::ProtocolError(refusal));
    let end = end_of(Event::Error(refusal.clone())).unwrap();
    let (by_event, by_confirm) = (PublishError::from(&end), PublishError::from(refusal));
    assert!(matches!(by_event, PublishError::Broken(Error::Denied { code: 403, .. })), "{by_event}");
    assert_eq!(by_event.to_string(), by_confirm.to_string());
}
