//! What the facts say of PostgreSQL and RabbitMQ.

use std::collections::BTreeMap;

use messaging::DoctorFinding;
use messaging::management::HeldVhost;

use crate::commands::doctor::gather::{CheckupAnswer, Facts};

/// PostgreSQL 15
const OLDEST_POSTGRES: i32 = 150_000;
/// First and last minor versions of RabbitMQ, as (major, minor).
const RABBITMQ: ((u32, u32), u32) = ((3, 10), 4);
/// Below it a disk runs full before publishers are stopped.
const LOW_DISK_LIMIT_BYTES: u64 = 1_000_000_000;
/// Which consumer's queues a service consumes.
const CONSUMERS: [(&str, &str); 2] = [("order-service", "trade"), ("merchant-notifier", "merchant")];
/// What every ingress calls one of its connections.
const RELAY_CONNECTION: &str = "ingress relay 0";

pub(super) fn database(facts: &Facts) -> Vec<DoctorFinding> {
    facts.answers().flat_map(|(told, answer)| of_service(told.service, answer)).collect()
}

fn of_service(service: &str, answer: &CheckupAnswer) -> Vec<DoctorFinding> {
    let seen = &answer.common.database;
    let subject = format!("database of {service}");
    let mut findings = Vec::new();
    if !seen.fsync {
        let to_do = "set fsync = on: success is answered on a commit, and a crash may undo it";
        findings.push(DoctorFinding::error("database_fsync_off", &subject, ("fsync on", "fsync off"), to_do));
    }
    if seen.synchronous_commit == "off" {
        findings.push(DoctorFinding::error(
            "database_asynchronous_commit",
            &subject,
            ("synchronous_commit on", "synchronous_commit off"),
            "set it to on for the server, the database and the user: success is answered on a commit",
        ));
    }
    if seen.version < OLDEST_POSTGRES {
        let found = format!("{}", seen.version / 10_000);
        let to_do = "use PostgreSQL 15 or later: nobody tests with older ones";
        findings.push(DoctorFinding::warning("database_version", &subject, ("15 or later", found), to_do));
    }
    if let Some(problem) = &seen.pooled {
        let to_do = "use session pooling (pgbouncer: pool_mode = session), or let PAYRELAY_DATABASE_URL name PostgreSQL itself";
        findings.push(DoctorFinding::error(
            "database_transaction_pooling",
            &subject,
            ("a session that stays the same", problem.as_str()),
            to_do,
        ));
    }
    if !seen.differing_settings.is_empty() {
        findings.push(DoctorFinding::error(
            "database_settings",
            &subject,
            ("sessions with the settings of payrelay", seen.differing_settings.join("; ")),
            "use session pooling, or connect to PostgreSQL directly: something in between drops or changes them",
        ));
    }
    if !matches!(&*seen.server_encoding, "UTF8" | "") {
        findings.push(DoctorFinding::error(
            "database_encoding",
            &subject,
            ("server_encoding UTF8", seen.server_encoding.as_str()),
            "move the data into a database made with ENCODING 'UTF8': others cannot hold every text",
        ));
    }
    if !seen.missing_partitions.is_empty() {
        findings.push(DoctorFinding::error(
            "partitions_missing",
            &subject,
            ("partitions of today and tomorrow", format!("none for {}", seen.missing_partitions.join(", "))),
            format!(
                "restart {service}, which makes them, and see its log for why they could not be made before"
            ),
        ));
    }
    if answer.common.workers >= seen.pool {
        findings.push(DoctorFinding::warning(
            "pool_small",
            format!("service {service}"),
            (
                format!("a pool of more than {} connections, its own work's", answer.common.workers),
                seen.pool.to_string(),
            ),
            "raise PAYRELAY_DATABASE_CONNECTIONS, or lower PAYRELAY_OUTBOX_SHARDS: requests wait for the rest",
        ));
    }
    findings
}

/// Pools of all replicas against what each server gives.
pub(super) fn connections(facts: &Facts) -> Vec<DoctorFinding> {
    let mut servers = BTreeMap::<_, (i32, usize, Vec<String>)>::new();
    for (told, answer) in facts.answers() {
        let seen = &answer.common.database;
        let replicas = facts.held.as_ref().map_or(1, |held| replicas(facts, held, told.service));
        let of_one = seen.pool + answer.common.sessions;
        let (_, sum, parts) =
            servers.entry(seen.server_started_at).or_insert_with(|| (seen.max_connections, 0, Vec::new()));
        *sum += replicas * of_one;
        parts.push(format!("{replicas} × {of_one} of {}", told.service));
    }
    let exceeded = servers
        .into_values()
        .filter(|(given, sum, _)| usize::try_from(*given).is_ok_and(|given| *sum > given));
    let finding = |(given, sum, parts): (i32, usize, Vec<String>)| {
        DoctorFinding::warning(
            "database_connections",
            "database",
            (
                format!("pools of all replicas within its {given} connections"),
                format!("{sum}: {}", parts.join(", ")),
            ),
            "raise max_connections, or lower PAYRELAY_DATABASE_CONNECTIONS or the number of replicas: who gets no connection waits as in an outage",
        )
    };
    exceeded.map(finding).collect()
}

/// As many as the broker knows of; at least the one that answered.
fn replicas(facts: &Facts, held: &HeldVhost, service: &str) -> usize {
    let consumer = CONSUMERS.iter().find(|(name, _)| *name == service).map(|(_, consumer)| *consumer);
    let known = match consumer {
        Some(consumer) => {
            let queues = facts.topology.queues.iter().filter(|queue| queue.consumer == consumer);
            let most = queues.map(|queue| held.consumers(&queue.queue)).max().unwrap_or(0);
            usize::try_from(most).unwrap_or(usize::MAX)
        }
        None => held.connections_named(RELAY_CONNECTION),
    };
    known.max(1)
}

pub(super) fn broker(facts: &Facts) -> Vec<DoctorFinding> {
    let mut findings = facts.inspected.clone();
    match &facts.broker {
        None => findings.push(DoctorFinding::warning(
            "broker_unseen",
            "RabbitMQ",
            ("PAYRELAY_AMQP_URL", "not set: exchanges, queues, bindings and policies were not looked at"),
            "set PAYRELAY_AMQP_URL as the services have it",
        )),
        Some(Err(problem)) => findings.push(DoctorFinding::error(
            "broker_unreachable",
            "RabbitMQ",
            ("an answer over AMQP", problem.as_str()),
            "see whether it runs, and check PAYRELAY_AMQP_URL; events wait in the outbox meanwhile",
        )),
        Some(Ok(())) => {}
    }
    match &facts.held {
        Ok(held) => {
            findings.extend(held.examine(&facts.topology));
            findings.extend(nodes(held));
            findings.extend(version(held));
        }
        Err(problem) if facts.broker.is_some() => findings.push(DoctorFinding::warning(
            "bindings_unseen",
            "RabbitMQ",
            ("its management API, which alone shows bindings and policies", problem.as_str()),
            "enable it (rabbitmq-plugins enable rabbitmq_management), give the user the tag monitoring, and set PAYRELAY_MANAGEMENT_URL",
        )),
        Err(_) => {}
    }
    findings
}

fn nodes(held: &HeldVhost) -> Vec<DoctorFinding> {
    let Some(nodes) = &held.nodes else {
        return vec![DoctorFinding::warning(
            "alarms_unseen",
            "RabbitMQ",
            ("a user who may see the nodes", "one without the tag monitoring"),
            "rabbitmqctl set_user_tags USER monitoring",
        )];
    };
    let mut findings = Vec::new();
    for node in nodes {
        let subject = format!("RabbitMQ node {}", node.name);
        for (alarm, what) in [(node.mem_alarm, "memory"), (node.disk_free_alarm, "disk")] {
            if alarm {
                let found = format!("a {what} alarm: nothing is published");
                let to_do = format!("free {what} on the node; events wait in the outbox meanwhile");
                findings.push(DoctorFinding::error(
                    "broker_alarm",
                    &subject,
                    ("no alarm in force", found),
                    to_do,
                ));
            }
        }
        if let Some(limit) = node.disk_free_limit.filter(|limit| *limit < LOW_DISK_LIMIT_BYTES) {
            findings.push(DoctorFinding::warning(
                "disk_free_limit_low",
                subject,
                ("disk_free_limit of 1 GB or more", format!("{limit} bytes")),
                "set disk_free_limit.absolute = 4GB: a disk that runs full stops the node",
            ));
        }
    }
    findings
}

fn version(held: &HeldVhost) -> Option<DoctorFinding> {
    let mut numbers = held.version.split('.').map_while(|part| part.parse::<u32>().ok());
    let found = (numbers.next()?, numbers.next()?);
    let (oldest, newest_major) = RABBITMQ;
    (found < oldest || found.0 > newest_major).then(|| {
        DoctorFinding::warning(
            "broker_version",
            "RabbitMQ",
            ("3.10 to 4.x", held.version.as_str()),
            "use a version that is tested: arguments and limits of queues mean other things in others",
        )
    })
}
