//! The order service. See the library's documentation.

use std::process::ExitCode;

use mimalloc::MiMalloc;

/// The allocator of glibc stood first in the profiles of all services.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    service::run_main("order-service", order_service::Config::load, order_service::run)
}
