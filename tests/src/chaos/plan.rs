//! The schedule: which faults begin when, and for how long. All of it follows from the seed.

use std::fmt;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// The merchants. The first is always well.
pub(crate) const MERCHANTS: [&str; 4] = ["steady", "moody-1", "moody-2", "moody-3"];
/// The replicas, two of each service.
pub(crate) const SERVICES: [(&str, usize); 6] = [
    ("ingress", 1),
    ("ingress", 2),
    ("order-service", 1),
    ("order-service", 2),
    ("merchant-notifier", 1),
    ("merchant-notifier", 2),
];
/// Faults at the same time.
const MOST_AT_ONCE: usize = 3;
/// Load alone, before the first fault.
const CALM_MS: u64 = 2_000;
/// From which length of a run on faults outlast leases, heartbeats and patience.
const LONG_RUN: Duration = Duration::from_secs(100);

/// A server that services stand on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Server {
    Postgres,
    RabbitMq,
}

/// What may fail, alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    /// A replica, by its place in [`SERVICES`].
    Service(usize),
    Server(Server),
    /// Between a replica and a server.
    Link(usize, Server),
    /// A merchant, by its place in [`MERCHANTS`].
    Merchant(usize),
}

/// How it fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// SIGKILL, or for a server the like; started again at the end.
    Killed,
    /// SIGSTOP, and SIGCONT at the end.
    Frozen,
    /// Connections are reset.
    Cut,
    /// Everything takes so long, each way.
    Delayed(Duration),
    /// Everything vanishes.
    Swallowed,
    /// A merchant answers with 500.
    Failing,
    /// A merchant does not answer.
    Hanging,
}

/// One fault of a schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Step {
    /// From the start of the load.
    pub(crate) at: Duration,
    pub(crate) lasts: Duration,
    pub(crate) target: Target,
    pub(crate) fault: Fault,
}

/// The faults of a run of this length, in the order of their beginning. All of them end within the run.
pub(crate) fn schedule(seed: u64, length: Duration) -> Vec<Step> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut steps: Vec<Step> = Vec::new();
    let end_ms = u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
    let mut at_ms = CALM_MS;
    while at_ms < end_ms {
        let at = Duration::from_millis(at_ms);
        let mut step = step(&mut random, length >= LONG_RUN, at);
        step.lasts = step.lasts.min(length.saturating_sub(at));
        let active = || steps.iter().filter(|other| other.at + other.lasts > at);
        if active().count() < MOST_AT_ONCE && active().all(|other| other.target != step.target) {
            steps.push(step);
        }
        at_ms += random.random_range(400..2_500);
    }
    steps
}

fn step(random: &mut StdRng, long: bool, at: Duration) -> Step {
    let mut lasts = |ms: std::ops::Range<u64>| Duration::from_millis(random.random_range(ms));
    let (short, frozen) = (lasts(100..4_000), lasts(2_000..12_000));
    let (disturbed, beyond) = (lasts(2_000..10_000), lasts(22_000..40_000));
    let delay = lasts(50..500);
    let service = random.random_range(0..SERVICES.len());
    let server = if random.random() { Server::Postgres } else { Server::RabbitMq };
    let merchant = random.random_range(1..MERCHANTS.len());
    // Of those that may last, one in four outlasts everybody's patience.
    let is_beyond = long && random.random_ratio(1, 4);
    let long_or = |short| if is_beyond { beyond } else { short };
    let (target, fault, lasts) = match random.random_range(0..20) {
        0..5 => (Target::Service(service), Fault::Killed, short),
        5..8 => (Target::Service(service), Fault::Frozen, long_or(frozen)),
        8..10 => (Target::Server(server), Fault::Killed, short),
        10..12 => (Target::Link(service, server), Fault::Cut, short),
        12..14 => (Target::Link(service, server), Fault::Delayed(delay), disturbed),
        14..16 => (Target::Link(service, server), Fault::Swallowed, long_or(disturbed)),
        16..18 => (Target::Merchant(merchant), Fault::Failing, disturbed),
        18 => (Target::Merchant(merchant), Fault::Hanging, long_or(frozen)),
        _ => (Target::Merchant(merchant), Fault::Cut, disturbed),
    };
    Step { at, lasts, target, fault }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Postgres => "PostgreSQL",
            Self::RabbitMq => "RabbitMQ",
        })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let service = |index: usize| format!("{}-{}", SERVICES[index].0, SERVICES[index].1);
        match *self {
            Self::Service(index) => f.write_str(&service(index)),
            Self::Server(server) => server.fmt(f),
            Self::Link(index, server) => write!(f, "{} to {server}", service(index)),
            Self::Merchant(index) => write!(f, "merchant {}", MERCHANTS[index]),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Killed => f.write_str("killed"),
            Self::Frozen => f.write_str("frozen"),
            Self::Cut => f.write_str("cut off"),
            Self::Delayed(delay) => write!(f, "delayed by {} ms each way", delay.as_millis()),
            Self::Swallowed => f.write_str("black-holed"),
            Self::Failing => f.write_str("answers 500"),
            Self::Hanging => f.write_str("does not answer"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(600);

    #[test]
    fn a_seed_makes_one_schedule() {
        assert_eq!(schedule(7, LONG), schedule(7, LONG));
        assert_ne!(schedule(7, LONG), schedule(8, LONG));
    }

    #[test]
    fn a_long_schedule_holds_every_kind_of_fault_within_its_bounds() {
        let steps = schedule(1, LONG);
        let kinds =
            [Fault::Killed, Fault::Frozen, Fault::Cut, Fault::Swallowed, Fault::Failing, Fault::Hanging];
        for kind in kinds {
            assert!(steps.iter().any(|step| step.fault == kind), "{kind}");
        }
        assert!(steps.iter().any(|step| matches!(step.fault, Fault::Delayed(_))));
        for server in [Server::Postgres, Server::RabbitMq] {
            assert!(steps.iter().any(|step| step.target == Target::Server(server)), "{server}");
        }
        assert!(steps.iter().any(|step| step.lasts > Duration::from_secs(30)), "beyond every lease");
        for step in &steps {
            assert!(step.at + step.lasts <= LONG, "{step:?}");
            assert_ne!(step.target, Target::Merchant(0), "the first merchant stays well");
            let others = steps
                .iter()
                .filter(|other| other.at <= step.at && other.at + other.lasts > step.at && *other != step);
            let others: Vec<_> = others.collect();
            assert!(others.len() < MOST_AT_ONCE, "{step:?} besides {others:?}");
            assert!(others.iter().all(|other| other.target != step.target), "{step:?} besides {others:?}");
        }
    }

    #[test]
    fn a_minute_holds_faults_of_the_processes_and_of_the_rest() {
        let steps = schedule(1, Duration::from_secs(60));
        assert!(steps.len() > 10, "{}", steps.len());
        assert!(steps.iter().any(|step| matches!(step.target, Target::Service(_))));
        assert!(steps.iter().any(|step| !matches!(step.target, Target::Service(_))));
    }
}
