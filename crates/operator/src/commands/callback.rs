//! `payrelay callback`: what the ingress would make of a callback, without a server.

mod report;
mod request;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use channels::{Account, Callback, CallbackOutcome, ChannelFact, ChannelSet, IGNORED};
use clap::{Args, Subcommand};
use events::{
    ContradictionReason, Currency, MerchantId, Money, OrderNo, PayOrder, Purpose, Status, Transition,
    transition,
};
use time::OffsetDateTime;
use transport::shown_path;

use self::report::Report;
use self::request::CallbackFile;
use crate::failure::{CommandResult, Failure};
use crate::output;

/// What to do with callbacks.
#[derive(Debug, Subcommand)]
pub(crate) enum CallbackCommand {
    /// Verify and read a callback as the ingress does; prints JSON, exits 0 if it is accepted and 1 if not.
    ///
    /// No server is asked, so this does not check whether the pay order exists or is paid.
    Check(CheckOptions),
}

/// Which callback, of which account, and what to compare it with.
#[derive(Debug, Args)]
pub(crate) struct CheckOptions {
    /// The channels file.
    #[arg(long, value_name = "FILE")]
    channels: PathBuf,
    /// The account in it that the callback was sent to.
    #[arg(long, value_name = "NAME")]
    account: String,
    /// The clock for the callback's age, in seconds since 1970; by default the `now` of the request's file, else that of this machine.
    #[arg(long, value_name = "UNIX_SECONDS")]
    at: Option<i64>,
    /// The amount of the pay order, in minor units of its currency.
    #[arg(long, value_name = "MINOR", requires = "order_currency", value_parser = clap::value_parser!(i64).range(1..))]
    order_amount: Option<i64>,
    /// The currency of the pay order, as CNY.
    #[arg(long, value_name = "CUR", requires = "order_amount")]
    order_currency: Option<Currency>,
    /// The request in JSON: `{"headers": {…}, "body_base64": "…"}`, or an object that holds it as `request`.
    #[arg(value_name = "REQUEST.json")]
    request: PathBuf,
}

/// Runs the command.
pub(crate) fn run(command: &CallbackCommand) -> CommandResult {
    let CallbackCommand::Check(options) = command;
    let channels = channels(&options.channels)?;
    let account = channels.account(&options.account).ok_or_else(|| {
        let known: Vec<_> = channels.names().collect();
        let (known, file) = (known.join(", "), options.channels.display());
        Failure::Usage(format!("--account: expected one of {file} ({known}), got {:?}", options.account))
    })?;
    let posted =
        CallbackFile::read(&options.request).map_err(|error| Failure::Usage(format!("{error:#}")))?;
    let seconds = options.at.or(posted.now).unwrap_or_else(|| OffsetDateTime::now_utc().unix_timestamp());
    let now = OffsetDateTime::from_unix_timestamp(seconds).map_err(|error| {
        Failure::Usage(format!("--at: expected seconds since 1970, got {seconds} ({error})"))
    })?;
    let order = options.order_amount.zip(options.order_currency);
    let order = order.map(|(amount_minor, currency)| Money::new(amount_minor, currency));

    let report = check(account, &posted, now, order);
    output::json(&report)?;
    if report.accepted {
        Ok(())
    } else {
        Err(Failure::Findings(format!("callback check: not accepted, {}", report.reason)))
    }
}

fn channels(file: &Path) -> Result<ChannelSet, Failure> {
    let text =
        fs::read_to_string(file).with_context(|| format!("--channels: cannot read {}", shown_path(file)));
    let text = text.map_err(|error| Failure::Usage(format!("{error:#}")))?;
    // Key files are named relative to the file that names them.
    let folder = file.parent().unwrap_or(Path::new(""));
    ChannelSet::parse(&text, |key| fs::read(folder.join(key)))
        .map_err(|errors| Failure::Usage(format!("{} is wrong:\n{errors}", file.display())))
}

fn check(account: &Account, posted: &CallbackFile, now: OffsetDateTime, order: Option<Money>) -> Report {
    let headers = posted.headers();
    let request = channels::CallbackRequest { headers: &headers.pairs(), body: &posted.body };
    let verdict = account.verify(&request, now);
    let answer = |told: &CallbackOutcome<'_>| account.answer(told);
    match &verdict {
        Err(refusal) => {
            Report::refused(refusal.code(), refusal.to_string(), answer(&CallbackOutcome::Refused(refusal)))
        }
        Ok(Callback::Ignored { reason, .. }) => {
            let reasons = (ignored_reason(account), reason.clone());
            Report::ignored(IGNORED, reasons, answer(&CallbackOutcome::Ignored))
        }
        Ok(Callback::Unbooked { code, reason, .. }) => {
            Report::ignored(code, (code, reason.clone()), answer(&CallbackOutcome::Ignored))
        }
        Ok(Callback::Fact(stated)) => match order.and_then(|order| contradiction(stated, order)) {
            Some(reason) => {
                let detail = format!("{reason}, compared with --order-amount and --order-currency");
                Report::contradicting(reason, detail, stated, answer(&CallbackOutcome::Contradiction(reason)))
            }
            None => Report::stating(stated, answer(&CallbackOutcome::Accepted)),
        },
    }
}

/// Stripe sends every event that there is; that one changes nothing is as it should be.
fn ignored_reason(account: &Account) -> &'static str {
    if account.kind() == "stripe" { "ok" } else { "no_transition" }
}

/// What the ingress would find wrong with the fact if the pay order were of this amount and waited for its buyer.
fn contradiction(stated: &ChannelFact, amount: Money) -> Option<ContradictionReason> {
    let anybody = "check".to_owned();
    let waiting = PayOrder {
        pay_order_no: stated.pay_order_no.clone(),
        merchant_id: MerchantId::parse(anybody.clone()).ok()?,
        order_no: OrderNo::parse(anybody).ok()?,
        purpose: Purpose::Order,
        amount,
        channel: stated.fact.account.clone()?,
        status: Status::WaitBuyerPay,
        version: 1,
        refunded_minor: 0,
        channel_trade_no: None,
        paid_at: None,
        subject: None,
        notify_url: None,
        attach: None,
    };
    match transition(&waiting, &stated.fact) {
        Transition::Contradiction(reason) => Some(reason),
        Transition::Applied(_) | Transition::Duplicate => None,
    }
}
