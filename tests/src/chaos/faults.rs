//! Carries out a schedule: every fault begins at its time, and is healed at its end.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use scenarios::{Mode, Reply, Service, signal};
use time::OffsetDateTime;
use tokio::sync::Mutex as Lock;
use tokio::task::{JoinSet, block_in_place};
use tokio::time::{Instant, sleep, sleep_until};

use crate::plan::{Fault, MERCHANTS, SERVICES, Server, Step, Target};
use crate::progress::Progress;
use crate::world::World;

/// How often it is looked whether a service has ended by itself.
const SUPERVISION: Duration = Duration::from_millis(300);

/// A fault as it took place.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Happened {
    pub(crate) step: Step,
    pub(crate) from: OffsetDateTime,
    pub(crate) to: OffsetDateTime,
}

/// What took place.
#[derive(Debug, Default)]
pub(crate) struct Incidents {
    pub(crate) faults: Vec<Happened>,
    /// Replicas that ended by themselves, and how; they were started again.
    pub(crate) exits: Vec<String>,
}

/// Faults under way.
pub(crate) struct Faults {
    world: Arc<World>,
    progress: Progress,
    incidents: Mutex<Incidents>,
    /// One server is down once at a time, however long it takes to start.
    servers: [Lock<()>; 2],
}

impl Faults {
    pub(crate) fn new(world: Arc<World>, progress: Progress) -> Arc<Self> {
        Arc::new(Self { world, progress, incidents: Mutex::default(), servers: Default::default() })
    }

    /// Runs the whole schedule; all is healed in the end.
    pub(crate) async fn run(self: &Arc<Self>, schedule: &[Step]) -> Result<()> {
        let (start, mut running) = (Instant::now(), JoinSet::new());
        for step in schedule.iter().copied() {
            sleep_until(start + step.at).await;
            let faults = Arc::clone(self);
            running.spawn(async move { faults.inflict(step).await });
            while let Some(ended) = running.try_join_next() {
                ended??;
            }
        }
        while let Some(ended) = running.join_next().await {
            ended??;
        }
        Ok(())
    }

    /// Starts again what ends by itself, as whoever runs services does. Never returns.
    pub(crate) async fn supervise(self: Arc<Self>) {
        loop {
            for (index, service) in self.world.services.iter().enumerate() {
                // Who holds it has taken it down on purpose.
                let Ok(mut service) = service.try_lock() else { continue };
                let Some(status) = service.exited() else { continue };
                let exit = format!("{} ended by itself: {status}", Target::Service(index));
                self.progress.say(&exit);
                self.incidents.lock().unwrap_or_else(PoisonError::into_inner).exits.push(exit);
                service.kill();
                service.start();
            }
            sleep(SUPERVISION).await;
        }
    }

    /// What has taken place so far.
    pub(crate) fn incidents(&self) -> Incidents {
        std::mem::take(&mut *self.incidents.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn inflict(&self, step: Step) -> Result<()> {
        let (target, fault) = (step.target, step.fault);
        let from = OffsetDateTime::now_utc();
        let what = format!("{target} {fault}, for {:.1} s", step.lasts.as_secs_f32());
        match target {
            Target::Service(index) => {
                let mut service = self.world.services[index].lock().await;
                self.progress.say(&what);
                disturb(&mut service, fault, step.lasts).await;
            }
            Target::Server(server) => {
                let _one = self.servers[usize::from(server == Server::RabbitMq)].lock().await;
                self.progress.say(&what);
                self.crash(server, step.lasts).await?;
            }
            Target::Link(index, server) => {
                self.progress.say(&what);
                self.world.link(index, server, mode(fault));
                sleep(step.lasts).await;
                self.world.link(index, server, Mode::Pass);
            }
            Target::Merchant(index) => {
                self.progress.say(&what);
                self.merchant(index, fault);
                sleep(step.lasts).await;
                self.world.sandbox.reply(MERCHANTS[index], Reply::Status(204));
                self.world.merchant_link(index, Mode::Pass);
            }
        }
        self.progress.say(&format!("{target} healed"));
        let happened = Happened { step, from, to: OffsetDateTime::now_utc() };
        self.incidents.lock().unwrap_or_else(PoisonError::into_inner).faults.push(happened);
        Ok(())
    }

    async fn crash(&self, server: Server, down: Duration) -> Result<()> {
        let stack = self.world.servers.stack();
        match server {
            Server::Postgres => block_in_place(|| stack.postgres().kill()).context("killing PostgreSQL")?,
            Server::RabbitMq => block_in_place(|| stack.rabbitmq().kill()).context("killing RabbitMQ")?,
        }
        sleep(down).await;
        match server {
            Server::Postgres => block_in_place(|| stack.postgres().start()).context("starting PostgreSQL"),
            Server::RabbitMq => block_in_place(|| stack.rabbitmq().start()).context("starting RabbitMQ"),
        }
    }

    fn merchant(&self, index: usize, fault: Fault) {
        match fault {
            Fault::Failing => self.world.sandbox.reply(MERCHANTS[index], Reply::Status(500)),
            Fault::Hanging => self.world.sandbox.reply(MERCHANTS[index], Reply::Never),
            other => self.world.merchant_link(index, mode(other)),
        }
    }
}

async fn disturb(service: &mut Service, fault: Fault, lasts: Duration) {
    if fault == Fault::Frozen && service.exited().is_none() {
        let pid = service.process().pid();
        signal(pid, "STOP");
        sleep(lasts).await;
        signal(pid, "CONT");
    } else {
        service.kill();
        sleep(lasts).await;
        service.start();
    }
}

const fn mode(fault: Fault) -> Mode {
    match fault {
        Fault::Delayed(delay) => Mode::Delay(delay),
        Fault::Swallowed => Mode::BlackHole,
        _ => Mode::Cut,
    }
}

impl Happened {
    /// Whether a replica of the notifier may have worked on what it had read long before: it was frozen, or slowed down.
    pub(crate) fn holds_up_a_notifier(&self) -> bool {
        let is_notifier = |index: usize| SERVICES[index].0 == "merchant-notifier";
        match self.step.target {
            Target::Service(index) => is_notifier(index) && self.step.fault == Fault::Frozen,
            Target::Link(index, Server::Postgres) => is_notifier(index) && self.step.fault != Fault::Cut,
            _ => false,
        }
    }
}
