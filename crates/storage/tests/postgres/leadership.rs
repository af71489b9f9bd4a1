use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use storage::leadership::{Standing, hold};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::{Fixture, eventually};

const KEY: i64 = 7_001;
const KILL_LEADER: &str = "SELECT count(pg_terminate_backend(pid)) FROM pg_locks
    WHERE locktype = 'advisory' AND granted AND objid = 7001
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";

/// Contenders for one key in one database. `leader` is the number of the one that leads, 0 for none.
struct Election {
    fixture: Fixture,
    leader: watch::Sender<u32>,
    most_at_once: Arc<AtomicU32>,
    at_once: Arc<AtomicU32>,
}

impl Election {
    fn new() -> Self {
        Self {
            fixture: Fixture::new(),
            leader: watch::Sender::new(0),
            most_at_once: Arc::default(),
            at_once: Arc::default(),
        }
    }

    fn contend(&self, number: u32, cancel: &CancellationToken) -> JoinHandle<()> {
        let (database, cancel) = (self.fixture.database.clone(), cancel.clone());
        let (leader, at_once, most) =
            (self.leader.clone(), Arc::clone(&self.at_once), Arc::clone(&self.most_at_once));
        tokio::spawn(async move {
            let lead = |leading: CancellationToken| {
                let (leader, at_once, most) = (leader.clone(), Arc::clone(&at_once), Arc::clone(&most));
                async move {
                    most.fetch_max(at_once.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    leader.send_replace(number);
                    leading.cancelled().await;
                    leader.send_replace(0);
                    at_once.fetch_sub(1, Ordering::SeqCst);
                }
            };
            hold(&database, KEY, &watch::Sender::new(Standing::Waiting), &cancel, lead).await;
        })
    }

    async fn leader_is(&self, expected: impl Fn(u32) -> bool) -> u32 {
        eventually("the leader changed", async || expected(*self.leader.borrow())).await;
        *self.leader.borrow()
    }
}

#[tokio::test]
async fn one_of_two_leads_and_the_other_takes_over() {
    let election = Election::new();
    let cancels = [CancellationToken::new(), CancellationToken::new()];
    let first = election.contend(1, &cancels[0]);
    election.leader_is(|leader| leader == 1).await;
    let second = election.contend(2, &cancels[1]);

    cancels[0].cancel();
    first.await.unwrap();
    election.leader_is(|leader| leader == 2).await;
    assert_eq!(election.most_at_once.load(Ordering::SeqCst), 1);
    cancels[1].cancel();
    second.await.unwrap();
    assert_eq!(election.fixture.count(KILL_LEADER).await, 0, "the lock is free");
}

#[tokio::test]
async fn a_leader_whose_connection_is_killed_steps_down_and_leadership_is_taken_again() {
    let election = Election::new();
    let cancel = CancellationToken::new();
    let contenders = [election.contend(1, &cancel), election.contend(2, &cancel)];
    for _ in 0..2 {
        election.leader_is(|leader| leader != 0).await;
        let mut changes = election.leader.subscribe();
        changes.mark_unchanged();
        assert_eq!(election.fixture.count(KILL_LEADER).await, 1);
        changes.changed().await.unwrap();
    }
    election.leader_is(|leader| leader != 0).await;
    cancel.cancel();
    for contender in contenders {
        contender.await.unwrap();
    }
}
