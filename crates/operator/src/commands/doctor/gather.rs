//! Asking services and servers. What does not answer is noted and the rest is asked all the same.

use futures_util::future::join_all;
use messaging::management::{HeldVhost, Management};
use messaging::{Broker, DeadLetters, DoctorFinding, Error, RetryDelays, Topology};
use serde::Deserialize;
use service::Loader;
use service::checkup::Checkup;
use service::config::AmqpSettings;
use time::{Duration, OffsetDateTime};

use crate::{
    admin::{Admin, AdminClient},
    failure::Failure,
};

/// Everything that is judged.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    pub(super) now: OffsetDateTime,
    pub(super) services: Vec<ServiceCheckup>,
    /// What the broker must hold.
    pub(super) topology: Topology,
    /// Whether RabbitMQ answers to AMQP; `None` without `PAYRELAY_AMQP_URL`.
    pub(super) broker: Option<Result<(), String>>,
    /// What AMQP alone shows; empty where the management API was read, which shows more.
    pub(super) inspected: Vec<DoctorFinding>,
    /// What the management API shows, or why it could not be read.
    pub(super) held: Result<HeldVhost, String>,
    /// The oldest message of each dead-letter queue that holds any.
    pub(super) oldest_dead: Vec<(String, OffsetDateTime)>,
}

/// What a service told.
#[derive(Clone, Debug)]
pub(super) struct ServiceCheckup {
    pub(super) service: &'static str,
    pub(super) url: String,
    pub(super) answer: Result<CheckupAnswer, String>,
    /// How far its clock is surely ahead of ours, or behind.
    pub(super) ahead: Duration,
}

/// The answer of `/admin/checkup`. What a service has nothing to say of it leaves out.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct CheckupAnswer {
    #[serde(flatten)]
    pub(super) common: Checkup<storage::Checkup>,
    pub(super) channel_accounts: Option<usize>,
    pub(super) management_url: Option<String>,
    #[serde(default, with = "time::serde::rfc3339::option")]
    pub(super) oldest_pending: Option<OffsetDateTime>,
    /// Why nobody seems to relay.
    pub(super) not_relayed: Option<String>,
    pub(super) default_merchant_id: Option<String>,
    #[serde(default)]
    pub(super) allowed_networks: Vec<String>,
}

impl Facts {
    /// Who answered.
    pub(super) fn asked(&self) -> Vec<&'static str> {
        let answered = self.services.iter().filter(|told| told.answer.is_ok()).map(|told| told.service);
        let broker = matches!(self.broker, Some(Ok(()))).then_some("rabbitmq");
        let management = self.held.is_ok().then_some("management API");
        answered.chain(broker).chain(management).collect()
    }

    pub(super) fn answers(&self) -> impl Iterator<Item = (&ServiceCheckup, &CheckupAnswer)> {
        self.services.iter().filter_map(|told| Some((told, told.answer.as_ref().ok()?)))
    }
}

/// The broker and the delays of retries, where the environment names them.
pub(crate) fn settings(loader: &mut Loader) -> (Option<AmqpSettings>, Option<RetryDelays>) {
    (AmqpSettings::optional(loader), loader.optional("PAYRELAY_RETRY_DELAYS", "5s,30s,5m"))
}

/// Asks everybody.
///
/// # Errors
/// For wrong usage only.
pub(super) async fn facts(admin: &Admin, management_url: Option<&str>) -> Result<Facts, Failure> {
    let mut loader = Loader::from_env();
    let (amqp, retry) = settings(&mut loader);
    loader.finish().map_err(|errors| Failure::Usage(errors.to_string()))?;
    let broker =
        amqp.map(|amqp| Broker::with_tls(amqp.url.expose(), amqp.tls, "payrelay doctor")).transpose();
    let broker = broker.map_err(|error| Failure::Usage(format!("PAYRELAY_AMQP_URL: {error}")))?;

    let clients = [&admin.ingress, &admin.order_service, &admin.notifier];
    let services = join_all(clients.map(ask)).await;
    let told = |read: fn(&CheckupAnswer) -> Option<String>| {
        services.iter().find_map(|told| read(told.answer.as_ref().ok()?))
    };
    let of_services =
        told(|answer| answer.common.retry_delays.parse::<RetryDelays>().ok().map(|d| d.to_string()));
    let retry = retry.or_else(|| of_services?.parse().ok()).unwrap_or_default();
    let topology = Topology::payrelay(&retry);
    let mut facts = Facts {
        now: OffsetDateTime::now_utc(),
        topology,
        broker: None,
        inspected: Vec::new(),
        held: Err("set PAYRELAY_AMQP_URL: it names the vhost and the user".to_owned()),
        oldest_dead: Vec::new(),
        services: Vec::new(),
    };
    if let Some(broker) = broker {
        let urls = match management_url.filter(|url| !url.is_empty()) {
            Some(url) => vec![url.to_owned()],
            None => told(|answer| answer.management_url.clone())
                .into_iter()
                .chain([Management::usual_url(&broker)])
                .collect(),
        };
        facts.held = held(&broker, &urls).await;
        ask_broker(&broker, &mut facts).await;
    }
    Ok(Facts { services, ..facts })
}

async fn ask(client: &AdminClient) -> ServiceCheckup {
    let asked_at = OffsetDateTime::now_utc();
    let answer =
        client.get::<CheckupAnswer>("/admin/checkup", &[]).await.map_err(|failure| failure.to_string());
    let took: Duration = OffsetDateTime::now_utc() - asked_at;
    let ahead = answer.as_ref().map_or(Duration::ZERO, |answer| {
        let now = OffsetDateTime::UNIX_EPOCH + Duration::milliseconds(answer.common.now_unix_ms);
        let ahead: Duration = now - (asked_at + took / 2);
        // The answer was given at some time in between.
        if ahead.abs() <= took / 2 { Duration::ZERO } else { ahead }
    });
    ServiceCheckup { service: client.service(), url: client.url().to_owned(), answer, ahead }
}

/// Reads the first management API that answers.
async fn held(broker: &Broker, urls: &[String]) -> Result<HeldVhost, String> {
    let mut problems = Vec::new();
    for url in urls {
        let read = match Management::new(url, broker) {
            Ok(management) => management.read().await,
            Err(error) => Err(error),
        };
        match read {
            Ok(held) => return Ok(held),
            Err(error) => problems.push(error.to_string()),
        }
    }
    Err(problems.join("; "))
}

/// Asks by AMQP for what the management API has not shown, and looks at the dead-letter queues.
async fn ask_broker(broker: &Broker, facts: &mut Facts) {
    let asked = if facts.held.is_ok() {
        broker.ping().await
    } else {
        broker.inspect(&facts.topology).await.map(|findings| facts.inspected = findings)
    };
    let answers = asked.is_ok();
    facts.broker = Some(asked.map_err(|error| error.to_string()));
    if !answers {
        return;
    }
    for queue in &facts.topology.queues {
        let name = queue.dead_letter_queue();
        match DeadLetters::look(broker, queue).await {
            Ok(Some((_, letters))) => {
                let oldest = letters.iter().filter_map(|letter| letter.first_seen).min();
                facts.oldest_dead.extend(oldest.map(|oldest| (name, oldest)));
            }
            Err(error @ Error::Denied { .. }) => facts.inspected.push(DoctorFinding::warning(
                "queue_unread",
                format!("queue {name}"),
                ("the right to look into it", error.to_string()),
                "grant it, or ask as the services' user: nobody knows how old its messages are",
            )),
            // One that is missing is found otherwise.
            Ok(None) | Err(_) => {}
        }
    }
}
