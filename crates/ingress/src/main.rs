//! The ingress as a process.

use std::process::ExitCode;

use tikv_jemallocator::Jemalloc;

/// Memory that was freed last is given out first, and is still in the cache; mimalloc and glibc stood first in the profiles.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    service::run_main("ingress", ingress::Config::load, ingress::run)
}
