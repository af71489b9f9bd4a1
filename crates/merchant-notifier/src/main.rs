//! The binary of the merchant notifier.

use std::process::ExitCode;

use merchant_notifier::{Config, run};
use mimalloc::MiMalloc;

/// The allocator of glibc stood first in the profiles of all services.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    service::run_main("merchant-notifier", Config::load, run)
}
