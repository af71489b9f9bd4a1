//! What the facts mean. Pure: one function per concern, each from facts to findings.

mod servers;

use std::collections::BTreeSet;

use ipnet::IpNet;
use messaging::DoctorFinding;
use time::Duration;

use super::gather::{CheckupAnswer, Facts};

/// Clocks further apart are worth a warning: times of events are compared with those of channels.
const SKEW_WARNING: Duration = Duration::seconds(5);
/// Clocks further apart make callbacks too old or too new.
const SKEW_ERROR: Duration = Duration::seconds(60);
/// The cloud's address of a machine's own credentials.
const METADATA: &str = "169.254.169.254";

/// Everything that is not as it must be.
pub(super) fn examine(facts: &Facts) -> Vec<DoctorFinding> {
    let mut findings = unreachable(facts);
    findings.extend(disagreements(facts));
    findings.extend(clocks(facts));
    findings.extend(settings(facts));
    findings.extend(retention(facts));
    findings.extend(servers::database(facts));
    findings.extend(servers::connections(facts));
    findings.extend(servers::broker(facts));
    findings
}

fn unreachable(facts: &Facts) -> Vec<DoctorFinding> {
    let silent = facts.services.iter().filter_map(|told| Some((told, told.answer.as_ref().err()?)));
    let finding = |(told, problem): (&super::gather::ServiceCheckup, &String)| {
        DoctorFinding::error(
            "service_unreachable",
            format!("service {}", told.service),
            (format!("its checkup at {}", told.url), problem.as_str()),
            "start it (its log says why it ended), or correct its admin URL and PAYRELAY_ADMIN_TOKEN",
        )
    };
    silent.map(finding).collect()
}

/// What all services must be told alike.
fn disagreements(facts: &Facts) -> Vec<DoctorFinding> {
    let differing = |read: &dyn Fn(&CheckupAnswer) -> Option<String>| {
        let told: Vec<_> =
            facts.answers().filter_map(|(told, answer)| Some((told.service, read(answer)?))).collect();
        let values: BTreeSet<_> = told.iter().map(|(_, value)| value).collect();
        let all = told.iter().map(|(service, value)| format!("{service} {value}")).collect::<Vec<_>>();
        (values.len() > 1).then(|| all.join(", "))
    };
    let mut findings = Vec::new();
    if let Some(found) = differing(&|answer| Some(answer.common.version.clone())) {
        findings.push(DoctorFinding::warning(
            "versions_differ",
            "services",
            ("one version of all", found),
            "finish the rollout: run the same version everywhere",
        ));
    }
    let expected = facts.topology.retry.to_string();
    let same = |answer: &CheckupAnswer| answer.common.retry_delays == expected;
    if !facts.answers().all(|(_, answer)| same(answer)) {
        let all =
            facts.answers().map(|(told, answer)| format!("{} {}", told.service, answer.common.retry_delays));
        findings.push(DoctorFinding::error(
            "retry_delays_differ",
            "services",
            (
                format!("PAYRELAY_RETRY_DELAYS {expected} everywhere, here too"),
                all.collect::<Vec<_>>().join(", "),
            ),
            "set PAYRELAY_RETRY_DELAYS alike on every service: it names the retry queues",
        ));
    }
    let merchant = |answer: &CheckupAnswer| {
        // The ingress has none.
        let of_consumer = answer.channel_accounts.is_none();
        of_consumer.then(|| answer.default_merchant_id.clone().unwrap_or_else(|| "none".to_owned()))
    };
    if let Some(found) = differing(&merchant) {
        findings.push(DoctorFinding::warning(
            "default_merchant_differs",
            "services",
            ("one PAYRELAY_DEFAULT_MERCHANT_ID on order-service and merchant-notifier", found),
            "set it alike: bare order numbers are taken by the one and dead-lettered by the other",
        ));
    }
    findings
}

fn clocks(facts: &Facts) -> Vec<DoctorFinding> {
    let mut findings = Vec::new();
    for (told, answer) in facts.answers() {
        let database = Duration::milliseconds(answer.common.database.ahead_ms);
        for (whose, ahead) in [("this machine's", told.ahead), ("its database's", -database)] {
            if ahead.abs() <= SKEW_WARNING {
                continue;
            }
            let compared = (
                format!("a clock within {SKEW_WARNING} of {whose}"),
                format!("{} s apart", ahead.abs().whole_seconds()),
            );
            let make = if ahead.abs() > SKEW_ERROR { DoctorFinding::error } else { DoctorFinding::warning };
            let subject = format!("service {}", told.service);
            let to_do = "synchronise the clocks (NTP): signatures expire by them, and events are put into days by them";
            findings.push(make("clock_skew", subject, compared, to_do));
        }
    }
    findings
}

/// Settings of one service that leave it without work or without guard.
fn settings(facts: &Facts) -> Vec<DoctorFinding> {
    let mut findings = Vec::new();
    for (told, answer) in facts.answers() {
        let subject = format!("service {}", told.service);
        if answer.channel_accounts == Some(0) {
            findings.push(DoctorFinding::warning(
                "no_channel_account",
                &subject,
                ("at least one channel account", "none: every callback is refused"),
                "name the accounts in the file of PAYRELAY_CHANNELS_FILE",
            ));
        }
        if let Some(problem) = &answer.not_relayed {
            findings.push(DoctorFinding::error(
                "nobody_relays",
                &subject,
                ("a relay that leads each outbox shard", problem.as_str()),
                "see the log of every ingress, and whether the server has connections left; end a session that holds the lock and is no ingress: SELECT pg_terminate_backend(pid)",
            ));
        }
        for network in answer.allowed_networks.iter().filter(|network| is_wide(network)) {
            findings.push(DoctorFinding::warning(
                "webhook_networks_wide",
                &subject,
                ("PAYRELAY_ALLOWED_WEBHOOK_CIDRS as narrow as the merchants' networks", network.as_str()),
                "name the networks that merchants live in: merchants choose the URLs that we call",
            ));
        }
    }
    findings
}

/// More than one private network, or the machine's own credentials.
fn is_wide(network: &str) -> bool {
    let Ok(network) = network.parse::<IpNet>() else { return true };
    let shortest = if matches!(network, IpNet::V4(_)) { 8 } else { 7 };
    let metadata = METADATA.parse().is_ok_and(|address: std::net::IpAddr| network.contains(&address));
    network.prefix_len() < shortest || metadata
}

/// What may still come back must not be older than what is kept of it.
fn retention(facts: &Facts) -> Option<DoctorFinding> {
    let kept = facts.answers().map(|(_, answer)| answer.common.retention_days).min()?;
    let pending = facts.answers().filter_map(|(_, answer)| Some(("the outbox", answer.oldest_pending?)));
    let dead = facts.oldest_dead.iter().map(|(queue, at)| (queue.as_str(), *at));
    let (place, oldest) = pending.chain(dead).min_by_key(|(_, at)| *at)?;
    let age_days = (facts.now - oldest).whole_days();
    // A day to replay it in.
    (age_days + 1 >= i64::from(kept)).then(|| {
        DoctorFinding::warning(
            "retention_short",
            "services",
            (
                format!("PAYRELAY_RETENTION_DAYS above {age_days}, the age in days of the oldest message in {place}"),
                kept.to_string(),
            ),
            "replay or discard it (payrelay dlq), or raise the retention: what comes back later finds no record of its day",
        )
    })
}

#[cfg(test)]
mod tests;
