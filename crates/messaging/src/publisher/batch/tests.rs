//! Telling which messages of a batch were returned.

use std::collections::HashMap;

use super::{Key, PublishError, PublishOutcome, mark_returned};

fn key(routing_key: &str, message_id: &str) -> Key {
    ("pay.direct".into(), routing_key.into(), message_id.into())
}

fn no_route() -> PublishOutcome {
    PublishOutcome::Returned { reason: "NO_ROUTE".to_owned() }
}

fn marked(keys: &[Key], returned: &[Key]) -> Result<Vec<PublishOutcome>, PublishError> {
    let mut outcomes = vec![PublishOutcome::Confirmed; keys.len()];
    let returned: HashMap<_, _> = returned.iter().map(|key| (key.clone(), "NO_ROUTE".to_owned())).collect();
    mark_returned(keys, &mut outcomes, &returned)?;
    Ok(outcomes)
}

#[test]
fn a_return_belongs_to_the_message_of_its_id_wherever_it_popped_out() {
    let keys = [key("a", "1"), key("a", "2"), key("a", "3")];
    let outcomes = marked(&keys, &[key("a", "3")]).unwrap();
    assert_eq!(outcomes, [PublishOutcome::Confirmed, PublishOutcome::Confirmed, no_route()]);
}

#[test]
fn one_id_under_two_keys_is_two_messages() {
    let keys = [key("a", "1"), key("b", "1")];
    assert_eq!(marked(&keys, &[key("b", "1")]).unwrap(), [PublishOutcome::Confirmed, no_route()]);
}

#[test]
fn of_messages_that_are_alike_none_counts_as_published_when_one_was_returned() {
    let keys = [key("a", ""), key("a", ""), key("b", "")];
    assert_eq!(marked(&keys, &[key("a", "")]).unwrap(), [no_route(), no_route(), PublishOutcome::Confirmed]);
}

#[test]
fn a_return_of_something_else_spoils_the_whole_batch() {
    let spoilt = marked(&[key("a", "1")], &[key("a", "2")]);
    assert!(matches!(spoilt, Err(PublishError::Confused(_))), "{spoilt:?}");
}
