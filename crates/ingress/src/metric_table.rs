//! Every metric of this crate. A test compares this table with what the sources record.

use channels::{CallbackRefusal, ChannelSet, unbooked};
use events::ContradictionReason;
use metrics::{Unit, counter, describe_counter, describe_gauge};

/// In metrics, the account of every address that no account has: anybody may make up names.
pub(crate) const UNKNOWN_ACCOUNT: &str = "(unknown)";
/// What a callback comes to, beside what is not booked and the reasons of refusals and contradictions.
const CALLBACKS: [&str; 4] = ["applied", "duplicate", "ignored", "not_persisted"];
/// What a balance payment comes to: paid, repeated, or the code of the refusal.
const BALANCE_PAYMENTS: [&str; 12] = [
    "paid",
    "repeated",
    "not_found",
    "not_a_balance_payment",
    "already_paid_or_closed",
    "no_account_in_currency",
    "insufficient_balance",
    "wrong_pay_password",
    "too_many_attempts",
    "busy",
    "unavailable",
    "internal",
];

/// Describes the metrics and starts the counters at zero: a counter that first appears with its first event hides that event
/// from `rate()`.
pub fn describe_metrics() {
    describe_counters();
    describe_gauges();
    counter!("payrelay_callbacks_total", "account" => UNKNOWN_ACCOUNT, "outcome" => "unknown_account")
        .increment(0);
    for outcome in BALANCE_PAYMENTS {
        counter!("payrelay_balance_payments_total", "outcome" => outcome).increment(0);
    }
    counter!("payrelay_pay_orders_closed_total").increment(0);
}

/// Starts what is counted by account; accounts that have been started go on as they are.
pub(crate) fn start_accounts(accounts: &ChannelSet) {
    let outcomes = || {
        let reasons = ContradictionReason::ALL.map(ContradictionReason::as_str);
        CALLBACKS.into_iter().chain(unbooked::ALL).chain(reasons).chain(CallbackRefusal::CODES)
    };
    for account in accounts.names() {
        for outcome in outcomes() {
            let account = account.to_owned();
            counter!("payrelay_callbacks_total", "account" => account, "outcome" => outcome).increment(0);
        }
    }
}

fn describe_counters() {
    describe_counter!(
        "payrelay_callbacks_total",
        Unit::Count,
        "Callbacks of channels, by channel account and outcome: applied, duplicate, ignored, not_persisted, or why not taken."
    );
    describe_counter!(
        "payrelay_balance_payments_total",
        Unit::Count,
        "Payments from balances, by outcome: paid, repeated, or the code of the refusal."
    );
    describe_counter!(
        "payrelay_pay_orders_closed_total",
        Unit::Count,
        "Pay orders that this process closed after their time was over."
    );
}

fn describe_gauges() {
    describe_gauge!(
        "payrelay_outbox_pending",
        Unit::Count,
        "Committed events that are not published yet; the same on every replica."
    );
    describe_gauge!(
        "payrelay_outbox_unroutable",
        Unit::Count,
        "Events of the outbox that the broker returned because no queue is bound; the same on every replica."
    );
    describe_gauge!(
        "payrelay_outbox_oldest_age_seconds",
        Unit::Seconds,
        "Seconds that the oldest event of the outbox has waited, 0 if there is none; the same on every replica."
    );
    describe_gauge!(
        "payrelay_contradictions_open",
        Unit::Count,
        "Contradictions that wait for an operator, by reason; the same on every replica."
    );
    describe_gauge!(
        "payrelay_relay_held",
        Unit::Count,
        "1 while the relay publishes nothing because a policy of the broker would lose messages, else 0."
    );
    describe_gauge!(
        "payrelay_channels_file_refused",
        Unit::Count,
        "1 while the channels file has errors and the earlier accounts stay, else 0."
    );
    describe_gauge!(
        "payrelay_channels_file_read_timestamp_seconds",
        Unit::Seconds,
        "When the channels file was last read without errors, in seconds since 1970."
    );
}
