//! Asking for the events of the minutes that differ.

use std::{collections::HashSet, time::Duration};

use admin_api::audit::{Entry, Page, Span, Stage};
use events::EventType;
use time::OffsetDateTime;

use super::compare::{Comparison, Consumer, Key, Look};
use super::judge::{self, AuditFinding, HeldEvents};
use super::rfc3339;
use crate::{
    admin::{Admin, AdminClient},
    failure::Failure,
};

/// What one audit names at most, what may be wrong before what is explained, the oldest first.
const MAX_FINDINGS: usize = 10_000;

/// What there is to find in `span`, and whether there is more than is named. Gaps that have closed meanwhile are taken out of
/// the comparison.
pub(super) async fn findings(
    admin: &Admin,
    span: Span,
    comparison: &mut Comparison,
    retries: Duration,
) -> Result<(Vec<AuditFinding>, bool), Failure> {
    let mut findings: Vec<_> = comparison.eventless.drain(..).map(judge::eventless).collect();
    let mut closed: HashSet<Key> = HashSet::new();
    let mut more = findings.len() > MAX_FINDINGS;
    for &(look, minute, event_type) in &comparison.looks {
        if findings.len() >= MAX_FINDINGS {
            more = true;
            break;
        }
        let end = (minute + time::Duration::MINUTE).min(span.to);
        let minute_span = Span { from: minute.max(span.from), to: end };
        let found = look_at(admin, minute_span, event_type, look, retries).await?;
        if found.iter().all(|finding| finding.stage.is_explained()) {
            closed.insert((minute, event_type));
        }
        findings.extend(found);
    }
    more |= findings.len() > MAX_FINDINGS;
    findings.truncate(MAX_FINDINGS);
    comparison.gaps.retain(|gap| !closed.contains(&(gap.minute, gap.event_type)));
    Ok((findings, more))
}

async fn look_at(
    admin: &Admin,
    span: Span,
    event_type: EventType,
    look: Look,
    retries: Duration,
) -> Result<Vec<AuditFinding>, Failure> {
    let all = async |client, stage| entries(client, span, event_type, stage).await;
    let held = match look {
        Look::Everything => {
            // The consumers first: what they hold by now, the ingress must have committed before.
            let order_service = all(&admin.order_service, None).await?;
            let notifier = all(&admin.notifier, None).await?;
            HeldEvents { ingress: Some(all(&admin.ingress, None).await?), order_service, notifier }
        }
        Look::Pending => HeldEvents {
            notifier: all(&admin.notifier, Some(Stage::Pending)).await?,
            ..HeldEvents::default()
        },
        Look::Parked(Consumer::Notifier) => {
            HeldEvents { notifier: all(&admin.notifier, Some(Stage::Parked)).await?, ..HeldEvents::default() }
        }
        Look::Parked(Consumer::OrderService) => HeldEvents {
            order_service: all(&admin.order_service, Some(Stage::Parked)).await?,
            ..HeldEvents::default()
        },
    };
    Ok(judge::judge(event_type, &held, OffsetDateTime::now_utc(), retries))
}

/// Our own events of one service, page by page.
async fn entries(
    client: &AdminClient,
    span: Span,
    event_type: EventType,
    stage: Option<Stage>,
) -> Result<Vec<Entry>, Failure> {
    let mut entries: Vec<Entry> = Vec::new();
    let (mut from, mut after) = (span.from, None);
    loop {
        let mut query =
            vec![("from", rfc3339(from)?), ("to", rfc3339(span.to)?), ("type", event_type.to_string())];
        query.extend(after.map(|id: events::EventId| ("after", id.to_string())));
        query.extend(stage.map(|stage| ("stage", stage.as_str().to_owned())));
        let page: Page = client.get("/admin/audit/events", &query).await?;
        if let Some(last) = page.events.last() {
            (from, after) = (last.occurred_at, Some(last.event_id));
        }
        let more = page.more && !page.events.is_empty();
        entries.extend(page.events.into_iter().filter(|entry| !entry.upstream));
        if !more {
            return Ok(entries);
        }
    }
}
