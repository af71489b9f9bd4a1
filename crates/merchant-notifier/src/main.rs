//! The binary of the merchant notifier.

use std::process::ExitCode;

use merchant_notifier::{Config, run};
use tikv_jemallocator::Jemalloc;

/// Memory that was freed last is given out first, and is still in the cache; mimalloc and glibc stood first in the profiles.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    service::run_main("merchant-notifier", Config::load, run)
}
