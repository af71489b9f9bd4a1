use std::sync::mpsc;

use events::{MerchantId, UserId};
use futures_util::FutureExt as _;

use super::*;

fn user(user_id: &str) -> UserKey {
    user_of("m1", user_id)
}

fn user_of(merchant_id: &str, user_id: &str) -> UserKey {
    UserKey { merchant_id: MerchantId::parse(merchant_id).unwrap(), user_id: UserId::parse(user_id).unwrap() }
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
    let passwords = Passwords::new(1, Duration::ZERO);
    let first = passwords.turn(&user("alice")).await.unwrap();
    let problem = passwords.turn(&user("bob")).await.unwrap_err();
    assert_eq!((problem.status, problem.code), (StatusCode::SERVICE_UNAVAILABLE, "busy"));
    assert_eq!(problem, busy(), "it tells when to come again");
    drop(first);
    passwords.turn(&user("bob")).await.unwrap();
}

#[tokio::test]
async fn the_same_user_waits_for_its_turn_and_others_do_not() {
    let passwords = Passwords::new(3, Duration::from_secs(60));
    let first = passwords.turn(&user("alice")).await.unwrap();
    let (alice, bob) = (user("alice"), user("bob"));
    let mut second = Box::pin(passwords.turn(&alice));
    assert!(second.as_mut().now_or_never().is_none());
    drop(passwords.turn(&bob).await.unwrap());
    drop(first);
    second.await.unwrap();
}

#[tokio::test]
async fn the_crowd_of_one_merchant_does_not_stand_before_the_user_of_another() {
    let passwords = Passwords::new(1, Duration::from_secs(60));
    let first = passwords.turn(&user("alice")).await.unwrap();
    let crowd: Vec<_> = (0..50).map(|number| user(&format!("u{number}"))).collect();
    let mut waiting: Vec<_> = crowd.iter().map(|user| Box::pin(passwords.turn(user))).collect();
    assert!(waiting.iter_mut().all(|turn| turn.as_mut().now_or_never().is_none()));
    let other = user_of("m2", "bob");
    let mut others = Box::pin(passwords.turn(&other));
    assert!(others.as_mut().now_or_never().is_none());
    drop(first);
    assert!(waiting.iter_mut().all(|turn| turn.as_mut().now_or_never().is_none()));
    drop(others.await.unwrap());
    drop(waiting.remove(0).await.unwrap());
}

#[tokio::test]
async fn a_place_is_taken_until_the_hash_is_done_even_if_nobody_waits_for_it() {
    let passwords = Passwords::new(1, Duration::from_secs(60));
    let place = passwords.turn(&user("alice")).await.unwrap().place;
    let (finish, finished) = mpsc::channel::<()>();
    let mut work = Box::pin(hashing(place, move || {
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
