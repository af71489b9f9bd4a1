//! What this machine can bear: each part of a payment alone, done as cheaply as the same libraries can.

mod http;
mod postgres;
mod rabbitmq;

use std::time::Duration;

use anyhow::{Context, Result};

use crate::figures::Figures;
use crate::machine::{Machine, cores, own_group};
use crate::output::progress;
use crate::procfs::{Group, cpu_seconds};
use crate::stats::{composite_limit, float};

/// What one part of a payment costs.
#[derive(Debug, Clone, Copy)]
struct Cost {
    /// Payments per second of this part alone.
    per_second: f64,
    /// CPU seconds of the server for one payment.
    server: f64,
    /// CPU seconds of this process for one payment.
    own: f64,
}

/// How much of a payment's life is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Extent {
    /// From the callback to the webhook's record.
    Whole,
    /// Until its event is in both queues: what goes on while callbacks are accepted and no consumer runs.
    Accepted,
}

/// One round of all limits, and the composite limits: what the cores bear of all parts together.
pub(crate) async fn round(machine: &Machine, duration: Duration) -> Result<Figures> {
    let mut figures = Figures::default();
    for (extent, prefix, composite) in
        [(Extent::Whole, "", "composite_limit_per_s"), (Extent::Accepted, "accept_", "accept_limit_per_s")]
    {
        let mut costs = Vec::new();
        progress(format!("{prefix}limits: PostgreSQL"));
        let cost = postgres::measure(machine, extent, duration).await;
        costs.push(("postgresql", cost.context("limit of PostgreSQL")?));
        progress(format!("{prefix}limits: RabbitMQ"));
        let cost = rabbitmq::measure(machine, extent, duration).await;
        costs.push(("rabbitmq", cost.context("limit of RabbitMQ")?));
        progress(format!("{prefix}limits: HTTP"));
        costs.push(("http", http::measure(extent, duration).await.context("limit of HTTP")?));
        let mut parts = Vec::new();
        for (name, cost) in costs {
            figures.set(format!("{prefix}limit_per_s.{name}"), cost.per_second);
            figures.set(format!("{prefix}limit_cpu_us_per_payment.{name}-server"), cost.server * 1e6);
            figures.set(format!("{prefix}limit_cpu_us_per_payment.{name}-own"), cost.own * 1e6);
            parts.extend([cost.server, cost.own]);
        }
        figures.set(composite, composite_limit(cores(), &parts));
    }
    Ok(figures)
}

/// Measures the CPU of a server and of this process while something runs.
struct Meter {
    groups: Vec<Group>,
    server: &'static str,
    before: (f64, f64),
    started: std::time::Instant,
}

impl Meter {
    /// Begins; `server` is the name of one of `servers`, or of none.
    fn start(mut servers: Vec<Group>, server: &'static str) -> Result<Self> {
        servers.push(own_group());
        let mut meter =
            Self { groups: servers, server, before: (0.0, 0.0), started: std::time::Instant::now() };
        meter.before = meter.seconds()?;
        Ok(meter)
    }

    fn seconds(&self) -> Result<(f64, f64)> {
        let seconds = cpu_seconds(&self.groups)?;
        let of = |name: &str| seconds.get(name).copied().unwrap_or_default();
        Ok((of(self.server), of(own_group().name)))
    }

    /// The cost of each of so many payments.
    fn stop(self, payments: usize) -> Result<Cost> {
        let after = self.seconds()?;
        let payments = float(payments as u64);
        Ok(Cost {
            per_second: payments / self.started.elapsed().as_secs_f64(),
            server: (after.0 - self.before.0) / payments,
            own: (after.1 - self.before.1) / payments,
        })
    }
}
