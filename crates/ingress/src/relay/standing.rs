//! Whether somebody relays.

use messaging::Publisher;
use storage::Database;
use storage::leadership::{Standing, holder};
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};
use tokio::sync::watch;

use super::{Gate, leadership_key};

/// While the broker takes messages, the same event is not the next to be published for longer.
const WAIT_LIMIT: Duration = Duration::seconds(60);

/// What is published next, and since when that has not changed. An event may be old because it was returned, or is published
/// once more: its own age says nothing of the relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Waiting {
    next: Option<i64>,
    since: OffsetDateTime,
}

impl Waiting {
    /// What is known at `now`, when `next` is measured after `before`.
    pub(super) fn after(before: Option<Self>, next: Option<i64>, now: OffsetDateTime) -> Self {
        before.filter(|before| before.next == next).unwrap_or(Self { next, since: now })
    }
}

/// How this process stands to the leadership of each shard, and what waits. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Relaying {
    /// By shard.
    pub(crate) standings: Vec<watch::Receiver<Standing>>,
    /// As last measured.
    pub(crate) backlog: watch::Receiver<Option<Waiting>>,
    pub(crate) publishers: Vec<Publisher>,
    pub(crate) gate: Gate,
}

impl Relaying {
    /// Whether this process could publish.
    pub(crate) fn is_connected(&self) -> bool {
        self.publishers.iter().all(Publisher::is_ready)
    }

    /// Why nobody seems to relay some shard, as of `now`.
    pub(crate) fn problem(&self, now: OffsetDateTime) -> Option<String> {
        // Who tells it no more has ended, by a panic if the process goes on.
        if let Some(shard) = self.standings.iter().position(|told| told.has_changed().is_err()) {
            return Some(format!("the relay of outbox shard {shard} has ended; restart this process"));
        }
        let standings: Vec<_> = self.standings.iter().map(|told| told.borrow().clone()).collect();
        let may_publish = self.is_connected() && self.gate.shut().is_none();
        problem(&standings, *self.backlog.borrow(), may_publish, now)
    }

    /// As [`Self::problem`], and who holds the locks.
    pub(crate) async fn explained(&self, database: &Database, now: OffsetDateTime) -> Option<String> {
        let mut problem = self.problem(now)?;
        let Ok(client) = database.client().await else { return Some(problem) };
        for (shard, told) in (0_i16..).zip(&self.standings) {
            let waits = *told.borrow() == Standing::Waiting;
            if waits && let Ok(Some(holder)) = holder(&client, leadership_key(shard)).await {
                problem = format!("{problem}; {holder} holds the lock of shard {shard}");
            }
        }
        Some(problem)
    }
}

fn problem(
    standings: &[Standing],
    waiting: Option<Waiting>,
    may_publish: bool,
    now: OffsetDateTime,
) -> Option<String> {
    let hindered = standings.iter().enumerate().find_map(|(shard, standing)| match standing {
        Standing::Hindered(why) => Some(format!(
            "leadership of outbox shard {shard} cannot be sought, and unless another ingress leads it, events wait: {why}"
        )),
        _ => None,
    });
    if hindered.is_some() {
        return hindered;
    }
    let Waiting { since, .. } = waiting
        .filter(|waiting| waiting.next.is_some() && now - waiting.since > WAIT_LIMIT && may_publish)?;
    let shard = standings.iter().position(|standing| *standing == Standing::Waiting)?;
    let since = since.format(&Rfc3339).unwrap_or_else(|_| since.to_string());
    Some(format!(
        "events wait since {since}, RabbitMQ takes messages, and another session leads outbox shard {shard}"
    ))
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    const NOW: OffsetDateTime = datetime!(2026-01-31 12:00 UTC);

    #[test]
    fn what_moves_does_not_wait() {
        let (later, last) = (NOW + Duration::seconds(50), NOW + Duration::seconds(100));
        let first = Waiting::after(None, Some(7), NOW);
        assert_eq!(Waiting::after(Some(first), Some(7), later), first);
        assert_eq!(Waiting::after(Some(first), Some(9), last), Waiting { next: Some(9), since: last });
        assert_eq!(Waiting::after(Some(first), None, last).next, None);
    }

    #[test]
    fn nobody_relays_when_none_can_be_sought_or_another_leads_and_events_wait() {
        let waits = |seconds, next| Some(Waiting { next, since: NOW - Duration::seconds(seconds) });
        let waiting = [Standing::Leading, Standing::Waiting];
        let told = problem(&waiting, waits(61, Some(7)), true, NOW).expect("a problem");
        assert!(told.contains("shard 1") && told.contains("2026-01-31T11:58:59Z"), "{told}");
        for (waits, may_publish) in
            [(waits(59, Some(7)), true), (waits(61, None), true), (waits(61, Some(7)), false), (None, true)]
        {
            assert_eq!(problem(&waiting, waits, may_publish, NOW), None, "{waits:?} {may_publish}");
        }
        assert_eq!(
            problem(&[Standing::Leading], waits(61, Some(7)), true, NOW),
            None,
            "it relays, if slowly"
        );
        let hindered = [Standing::Hindered("too many clients".to_owned())];
        let told = problem(&hindered, None, false, NOW).expect("a problem");
        assert!(told.contains("too many clients"), "{told}");
    }
}
