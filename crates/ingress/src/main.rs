//! The ingress as a process.

use std::process::ExitCode;

fn main() -> ExitCode {
    service::run_main("ingress", ingress::Config::load, ingress::run)
}
