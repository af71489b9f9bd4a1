//! The command `payrelay`.

use std::process::ExitCode;

fn main() -> ExitCode {
    operator::run()
}
