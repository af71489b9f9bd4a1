//! `payrelay doctor`: whether anything about the pipeline and its servers would lose, hold up or mislead payments.
//!
//! [`gather`] asks everybody, [`examine`] judges what they said; nothing is changed.

mod examine;
mod gather;
#[cfg(test)]
pub(crate) use gather::settings;

use clap::Args;
use messaging::{DoctorFinding, Severity};
use serde_json::json;
use service::Secret;

use crate::{
    admin::Admin,
    failure::{CommandResult, Failure},
    output,
};

/// What to look at, and how strictly.
#[derive(Debug, Args)]
pub(crate) struct DoctorOptions {
    /// RabbitMQ's management API, as <http://host:15672>, by the user of `PAYRELAY_AMQP_URL` unless the URL names one.
    ///
    /// Without it the ingress is asked for it, then the broker's host is tried.
    #[arg(long, env = "PAYRELAY_MANAGEMENT_URL", hide_env_values = true, value_name = "URL")]
    management_url: Option<Secret>,
    /// Exit with 1 on warnings, too.
    #[arg(long)]
    strict: bool,
}

/// Prints the findings. What cannot be asked is a finding as well; only when nobody answers at all it is a failure.
pub(crate) async fn run(admin: &Admin, options: &DoctorOptions, json: bool) -> CommandResult {
    let facts = gather::facts(admin, options.management_url.as_ref().map(Secret::expose)).await?;
    let asked = facts.asked();
    let mut findings = examine::examine(&facts);
    findings.sort_by(|a, b| (a.severity, &a.subject).cmp(&(b.severity, &b.subject)));
    let count = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    if json {
        output::json(
            &json!({ "errors": errors, "warnings": warnings, "asked": asked, "findings": findings }),
        )?;
    } else {
        print(&findings)?;
        output::line(format!("doctor: asked {}", asked.join(", ")))?;
    }
    let told = format!("doctor: {errors} errors, {warnings} warnings");
    if asked.is_empty() {
        return Err(Failure::Unreachable(format!("{told}; nobody could be asked")));
    }
    if errors > 0 || options.strict && warnings > 0 {
        return Err(Failure::Findings(told));
    }
    if !json {
        output::line(told)?;
    }
    Ok(())
}

fn print(findings: &[DoctorFinding]) -> anyhow::Result<()> {
    for finding in findings {
        let severity = match finding.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        output::line(format!("{severity} {}: {finding}\n  to do: {}", finding.code, finding.advice))?;
    }
    Ok(())
}
