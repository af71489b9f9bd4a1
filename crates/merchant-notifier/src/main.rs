//! The binary of the merchant notifier.

use std::process::ExitCode;

use merchant_notifier::{Config, run};

/// Memory that was freed last is given out first, and is still in the cache; mimalloc and glibc stood first in the profiles.
#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    service::run_main("merchant-notifier", Config::load, run)
}
