//! One turn: one version, fresh, under a fixed rate.

use anyhow::Result;

use crate::figures::Figures;
use crate::machine::Machine;
use crate::measure::{self, Steady};
use crate::pipeline::Pipeline;
use crate::plan::{Span, count};
use crate::process::Programs;

/// By how much the rate that was measured may differ from the one that was wanted. Half a second in which all stands still is
/// a fortieth of the usual turn.
const MOST_DEVIATION: f64 = 0.05;
/// Database and vhost of all turns: also in their names both versions are alike.
const NAME: &str = "compared";
/// What is compared.
const SERVICES: [&str; 3] = ["ingress", "order-service", "merchant-notifier"];
/// The CPU of all of the [`SERVICES`] for one payment, in microseconds.
pub(super) const CPU: &str = "cpu_us_per_payment.services";
/// The same of a process, or of a server.
const CPU_GROUP: &str = "cpu_us_per_payment";
/// Milliseconds from when a callback was to be sent to its webhook: the median, and the slowest hundredth.
pub(super) const P50: &str = "end_to_end_p50_ms";
pub(super) const P99: &str = "end_to_end_p99_ms";

/// What is run.
pub(super) struct Turn<'a> {
    pub(super) machine: &'a Machine,
    /// Of the version.
    pub(super) programs: Programs,
    /// Payments.
    pub(super) per_second: f64,
    pub(super) span: Span,
}

/// What came of a turn.
pub(super) enum Outcome {
    /// What it showed.
    Kept(Figures),
    /// The part of the wanted rate that was reached, so its figures are of another load.
    NotKept(f64),
}

/// The whole pipeline, made of these programs.
pub(super) async fn whole(machine: &Machine, programs: &Programs, payments: usize) -> Result<Pipeline> {
    Pipeline::start(machine, programs, NAME, &SERVICES.map(|service| (service, 1)), payments).await
}

impl Turn<'_> {
    /// Runs it. Anything lost or doubled is an error.
    pub(super) async fn measure(&self) -> Result<Outcome> {
        let payments = count(self.per_second, self.span.warm + self.span.measured);
        let pipeline = whole(self.machine, &self.programs, payments).await?;
        let steady = measure::steady(&pipeline.subject, 0..payments, self.per_second, self.span.warm).await?;
        pipeline.verify(self.machine).await?;
        pipeline.stop(self.machine).await?;
        Ok(outcome(&steady, self.per_second))
    }
}

/// A rate is kept if callbacks are accepted, and webhooks sent, as fast as it wants.
fn outcome(steady: &Steady, per_second: f64) -> Outcome {
    for reached in [steady.accepted_per_s, steady.delivered_per_s] {
        let share = reached / per_second;
        if (share - 1.0).abs() > MOST_DEVIATION {
            return Outcome::NotKept(share);
        }
    }
    Outcome::Kept(figures(steady))
}

fn figures(steady: &Steady) -> Figures {
    let mut figures = steady.latencies.clone();
    let mut services = 0.0;
    for (name, seconds_per_10k) in steady.costs.group("cpu_s_per_10k") {
        let micros = seconds_per_10k * 100.0;
        figures.set(format!("{CPU_GROUP}.{name}"), micros);
        if SERVICES.contains(&name) {
            services += micros;
        }
    }
    figures.set(CPU, services);
    for name in ["machine_busy", "foreign_busy", "wal_bytes_per_payment"] {
        if let Some(value) = steady.costs.get(name) {
            figures.set(name, value);
        }
    }
    figures.set("delivered_per_s", steady.delivered_per_s);
    figures
}

/// A line about a turn.
pub(super) fn summary(figures: &Figures) -> String {
    let of = |name: &str| figures.get(name).unwrap_or(f64::NAN);
    format!(
        "{:.1} us of CPU per payment, end to end p50 {:.1} ms, p99 {:.1} ms, machine busy {:.2}, others {:.2}",
        of(CPU),
        of(P50),
        of(P99),
        of("machine_busy"),
        of("foreign_busy"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steady(accepted_per_s: f64, delivered_per_s: f64) -> Steady {
        let (mut costs, mut latencies) = (Figures::default(), Figures::default());
        for (name, seconds) in
            [("ingress", 0.5), ("order-service", 0.25), ("merchant-notifier", 0.75), ("postgresql", 2.0)]
        {
            costs.set(format!("cpu_s_per_10k.{name}"), seconds);
        }
        latencies.set(P50, 30.0);
        Steady { accepted_per_s, delivered_per_s, costs, latencies }
    }

    #[test]
    fn the_services_cost_what_all_three_cost_and_the_servers_are_apart() {
        let Outcome::Kept(figures) = outcome(&steady(1000.0, 1000.0), 1000.0) else { panic!("not kept") };
        assert_eq!(figures.get(CPU), Some(150.0));
        assert_eq!(figures.get("cpu_us_per_payment.postgresql"), Some(200.0));
        assert_eq!(figures.get(P50), Some(30.0));
    }

    #[test]
    fn a_rate_that_was_not_kept_gives_no_figures() {
        for (accepted, delivered) in [(940.0, 1000.0), (1000.0, 940.0), (1000.0, 1060.0)] {
            assert!(
                matches!(outcome(&steady(accepted, delivered), 1000.0), Outcome::NotKept(_)),
                "{accepted} {delivered}"
            );
        }
        assert!(matches!(outcome(&steady(960.0, 1040.0), 1000.0), Outcome::Kept(_)));
    }
}
