//! The order service. See the library's documentation.

use std::process::ExitCode;

fn main() -> ExitCode {
    service::run_main("order-service", order_service::Config::load, order_service::run)
}
