use std::sync::mpsc;

use events::{MerchantId, UserId};
use futures_util::FutureExt as _;

use super::*;

fn passwords(places: usize, max_wait: Duration) -> Passwords {
    Passwords { places: Arc::new(Semaphore::new(places)), max_wait, ..Passwords::default() }
}

fn user(user_id: &str) -> UserKey {
    UserKey { merchant_id: MerchantId::parse("m1").unwrap(), user_id: UserId::parse(user_id).unwrap() }
}

#[test]
fn places_leave_cores_and_memory_to_others() {
    let places = Passwords::default().places.available_permits();
    assert!((1..=MAX_PLACES).contains(&places), "{places}");
    let memory_mib = MAX_PLACES * usize::try_from(crate::accounts::password::MEMORY_KIB).unwrap() / 1024;
    assert_eq!(memory_mib, 152);
}

#[tokio::test]
async fn who_finds_no_place_in_time_is_told_to_come_again() {
    let passwords = passwords(1, Duration::ZERO);
    let first = passwords.turn(&user("alice")).await.unwrap();
    let problem = passwords.turn(&user("bob")).await.unwrap_err();
    assert_eq!((problem.status, problem.code), (StatusCode::SERVICE_UNAVAILABLE, "busy"));
    assert_eq!(problem, busy(), "it tells when to come again");
    drop(first);
    passwords.turn(&user("bob")).await.unwrap();
}

#[tokio::test]
async fn the_same_user_waits_for_its_turn_and_others_do_not() {
    let passwords = passwords(3, Duration::from_secs(60));
    let first = passwords.turn(&user("alice")).await.unwrap();
    let (alice, bob) = (user("alice"), user("bob"));
    let mut second = Box::pin(passwords.turn(&alice));
    assert!(second.as_mut().now_or_never().is_none());
    drop(passwords.turn(&bob).await.unwrap());
    drop(first);
    second.await.unwrap();
}

#[tokio::test]
async fn a_place_is_taken_until_the_hash_is_done_even_if_nobody_waits_for_it() {
    let passwords = passwords(1, Duration::from_secs(60));
    let turn = passwords.turn(&user("alice")).await.unwrap();
    let (finish, finished) = mpsc::channel::<()>();
    let mut work = Box::pin(hashing(turn.place, move || {
        let _ = finished.recv();
        Ok(())
    }));
    assert!(work.as_mut().now_or_never().is_none());
    drop(work);
    assert_eq!(passwords.places.available_permits(), 0);
    drop(finish);
    passwords.turn(&user("bob")).await.unwrap();
}

#[test]
fn retry_after_is_never_too_early() {
    for (wait, expected) in [(time::Duration::milliseconds(1), 1), (time::Duration::minutes(15), 901)] {
        let problem = too_many_attempts(&user("alice"), wait);
        assert_eq!(problem.clone().retry_after(expected), problem);
    }
}
