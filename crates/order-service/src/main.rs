//! The order service. See the library's documentation.

use std::process::ExitCode;

/// Memory that was freed last is given out first, and is still in the cache; mimalloc and glibc stood first in the profiles.
#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    service::run_main("order-service", order_service::Config::load, order_service::run)
}
