//! The binary of the merchant notifier.

use std::process::ExitCode;

use merchant_notifier::{Config, run};

fn main() -> ExitCode {
    service::run_main("merchant-notifier", Config::load, run)
}
