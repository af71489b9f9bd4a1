//! The order service. See the library's documentation.

use std::process::ExitCode;

use tikv_jemallocator::Jemalloc;

/// Memory that was freed last is given out first, and is still in the cache; mimalloc and glibc stood first in the profiles.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    service::run_main("order-service", order_service::Config::load, order_service::run)
}
