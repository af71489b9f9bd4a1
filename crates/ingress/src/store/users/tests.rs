use devstack::testing::{self, Twinned};
use futures_util::future::join_all;
use storage::Database;

use super::*;
use crate::store::migrate;

/// Another merchant's user of the same name, who has tried a password.
const TWINS: Twinned<'_> = Twinned {
    table: "pay.users",
    merchant: "merchant_id",
    differs: "jsonb_build_object('attempts', 1, 'attempts_since', $1.created_at)",
};

struct Store {
    database: Database,
    _dropped_last: testing::Database,
}

impl Store {
    async fn with_user(user: &UserKey, now: OffsetDateTime) -> Self {
        let fresh = testing::Database::create();
        let database = Database::connect(fresh.url(), "store tests", 8).unwrap();
        migrate(&database).await.unwrap();
        testing::add_twins(fresh.url(), &[TWINS]);
        let store = Self { database, _dropped_last: fresh };
        assert!(insert(&store.client().await, user, "first", now).await.unwrap());
        store
    }

    async fn client(&self) -> Client {
        self.database.client().await.unwrap()
    }

    async fn count(&self, user: &UserKey, now: OffsetDateTime) -> bool {
        count_attempt(&self.client().await, user, now).await.unwrap()
    }

    async fn locked_until(&self, user: &UserKey, now: OffsetDateTime) -> Option<OffsetDateTime> {
        find(&self.client().await, user, now).await.unwrap().unwrap().locked_until
    }
}

fn user(merchant_id: &str) -> UserKey {
    UserKey { merchant_id: MerchantId::parse(merchant_id).unwrap(), user_id: UserId::parse("alice").unwrap() }
}

fn now() -> OffsetDateTime {
    events::to_micros(OffsetDateTime::now_utc())
}

#[tokio::test]
async fn a_user_is_made_once_for_each_merchant_and_keeps_its_password() {
    let (alice, now) = (user("m1"), now());
    let store = Store::with_user(&alice, now).await;
    let client = store.client().await;
    assert!(!insert(&client, &alice, "second", now + WINDOW).await.unwrap());
    let found = find(&client, &alice, now).await.unwrap().unwrap();
    assert_eq!((found.password_hash.as_str(), found.created_at, found.locked_until), ("first", now, None));
    assert!(find(&client, &user("m2"), now).await.unwrap().is_none());
    assert!(!count_attempt(&client, &user("m2"), now).await.unwrap());
    assert!(insert(&client, &user("m2"), "second", now).await.unwrap(), "another merchant's user");
}

#[tokio::test]
async fn five_attempts_are_counted_from_the_first_until_the_window_is_over() {
    let (alice, start) = (user("m1"), now());
    let store = Store::with_user(&alice, start).await;
    for attempt in 0..i64::from(MAX_ATTEMPTS) {
        let at = start + Duration::minutes(attempt);
        assert_eq!(store.locked_until(&alice, at).await, None);
        assert!(store.count(&alice, at).await);
    }
    let end = start + WINDOW;
    for at in [start + Duration::minutes(5), end - Duration::microseconds(1)] {
        assert_eq!(store.locked_until(&alice, at).await, Some(end));
        assert!(!store.count(&alice, at).await);
    }
    assert_eq!(store.locked_until(&alice, end).await, None);
    for _ in 0..MAX_ATTEMPTS {
        assert!(store.count(&alice, end).await);
    }
    assert_eq!(store.locked_until(&alice, end).await, Some(end + WINDOW), "a new window");
}

#[tokio::test]
async fn a_right_password_forgets_the_attempts_before() {
    let (alice, now) = (user("m1"), now());
    let store = Store::with_user(&alice, now).await;
    for _ in 0..3 {
        for _ in 1..MAX_ATTEMPTS {
            assert!(store.count(&alice, now).await);
        }
        forget_attempts(&store.client().await, &alice).await.unwrap();
    }
    for _ in 0..MAX_ATTEMPTS {
        assert!(store.count(&alice, now).await);
    }
    assert!(!store.count(&alice, now).await);
}

#[tokio::test]
async fn many_attempts_at_once_are_no_way_around() {
    let (alice, now) = (user("m1"), now());
    let store = Store::with_user(&alice, now).await;
    let counted = join_all((0..40).map(|_| store.count(&alice, now))).await;
    assert_eq!(counted.iter().filter(|counted| **counted).count(), usize::try_from(MAX_ATTEMPTS).unwrap());
}
