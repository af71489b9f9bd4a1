//! The ingress as a process.

use std::process::ExitCode;

use mimalloc::MiMalloc;

/// The allocator of glibc stood first in the profiles of all services.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    service::run_main("ingress", ingress::Config::load, ingress::run)
}
