//! The picture of the notification in `ARCHITECTURE.md` is what the statements do, on a real server.

use std::collections::BTreeSet;
use std::time::Duration;

use devstack::testing::pictures::{Arrow, START, arrows};
use merchant_notifier::store::attempts::Next;
use merchant_notifier::store::notifications::Filter;
use merchant_notifier::store::{endpoints, leases, retries};
use merchant_notifier::{Change, EndpointChange};

use crate::store::{ROOM, URL, claim, record};
use crate::support::{TestDatabase, event, merchant};

/// Where a notification may stand. What is due and what waits have one status.
#[derive(Debug, Clone, Copy)]
enum Standing {
    Due,
    Waiting,
    Delivered,
    GivenUp,
    Held,
}

/// What may happen to it.
#[derive(Debug, Clone, Copy)]
enum Action {
    Acknowledged,
    Failed,
    GivenUp,
    Retried,
    EndpointOff,
    EndpointOn,
}

const STANDINGS: [Standing; 5] =
    [Standing::Due, Standing::Waiting, Standing::Delivered, Standing::GivenUp, Standing::Held];
const ACTIONS: [Action; 6] = [
    Action::Acknowledged,
    Action::Failed,
    Action::GivenUp,
    Action::Retried,
    Action::EndpointOff,
    Action::EndpointOn,
];
const AN_HOUR: Duration = Duration::from_secs(3600);
const EXHAUSTED: Next = Next::Park { reason: "attempts_exhausted" };

#[tokio::test]
async fn the_picture_of_the_notification_is_what_the_statements_do() {
    let db = TestDatabase::with_twins().await;
    let mut expected = BTreeSet::new();
    for (row, standing) in STANDINGS.into_iter().enumerate() {
        for (column, action) in ACTIONS.into_iter().enumerate() {
            let case = Case { db: &db, merchant: format!("m{row}{column}") };
            expected.insert(case.make(standing).await);
            expected.extend(case.arrow(action).await);
        }
    }
    assert_eq!(arrows("### Notification"), expected);
}

const fn cause(action: Action) -> &'static str {
    match action {
        Action::Acknowledged => "acknowledged",
        Action::Failed => "failed",
        Action::GivenUp => "given up",
        Action::Retried => "retried by hand",
        Action::EndpointOff => "endpoint disabled",
        Action::EndpointOn => "endpoint enabled",
    }
}

/// One notification of a merchant of its own.
struct Case<'a> {
    db: &'a TestDatabase,
    merchant: String,
}

impl Case<'_> {
    /// Makes it stand so, and tells how it began.
    async fn make(&self, standing: Standing) -> Arrow {
        self.db.endpoint(&self.merchant, Some(URL)).await;
        let held = matches!(standing, Standing::Held);
        if held {
            self.enable(false).await;
        }
        assert_eq!(self.db.notify(&[event(&self.merchant, "10001")]).await, [true]);
        let cause = if held { "event without an active endpoint" } else { "event" };
        let began = Arrow::new(START, self.status().await, cause);
        let reached = match standing {
            Standing::Due | Standing::Held => true,
            Standing::Waiting => self.attempt(Next::Retry { after: AN_HOUR }).await,
            Standing::Delivered => self.attempt(Next::Delivered).await,
            Standing::GivenUp => self.attempt(EXHAUSTED).await,
        };
        assert!(reached, "{standing:?} is not reached");
        began
    }

    /// What an action changes; `None` if nothing.
    async fn arrow(&self, action: Action) -> Option<Arrow> {
        let before = self.status().await;
        let acted = self.act(action).await;
        let after = self.status().await;
        assert!(acted || before == after, "{action:?} has changed {before} to {after} and does not say so");
        acted.then(|| Arrow::new(before, after, cause(action)))
    }

    /// Says whether there was something to act on.
    async fn act(&self, action: Action) -> bool {
        match action {
            Action::Acknowledged => self.attempt(Next::Delivered).await,
            Action::Failed => self.attempt(Next::Retry { after: AN_HOUR }).await,
            Action::GivenUp => self.attempt(EXHAUSTED).await,
            Action::Retried => {
                let client = self.db.database.client().await.unwrap();
                let filter = Filter { merchant_id: Some(merchant(&self.merchant)), ..Filter::default() };
                retries::retry(&client, &filter, None, 10).await.unwrap() > 0
            }
            Action::EndpointOff => self.settle(false).await,
            Action::EndpointOn => self.settle(true).await,
        }
    }

    /// An attempt at it, if it is due. Says whether it was.
    async fn attempt(&self, next: Next) -> bool {
        let due = claim(self.db, &ROOM).await;
        let (own, others): (Vec<_>, Vec<_>) =
            due.into_iter().partition(|claimed| claimed.merchant_id.as_str() == self.merchant);
        leases::release(&self.db.database.client().await.unwrap(), &others).await.unwrap();
        for claimed in &own {
            assert!(record(self.db, claimed, next.clone()).await);
        }
        !own.is_empty()
    }

    /// Turns the endpoint on or off. Says whether the notification followed.
    async fn settle(&self, enabled: bool) -> bool {
        let before = self.status().await;
        self.enable(enabled).await;
        endpoints::settle(&self.db.database.client().await.unwrap()).await.unwrap();
        self.status().await != before
    }

    async fn enable(&self, enabled: bool) {
        let change =
            EndpointChange { enabled: Some(enabled), url: Change::Keep, ..EndpointChange::default() };
        let client = self.db.database.client().await.unwrap();
        endpoints::put(&client, &merchant(&self.merchant), &change, b"sealed").await.unwrap();
    }

    async fn status(&self) -> String {
        let statement =
            format!("SELECT status FROM ours.notifications WHERE merchant_id = '{}'", self.merchant);
        self.db.value(&statement).await
    }
}
