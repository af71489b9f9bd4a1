//! Panics as log lines.

use std::any::Any;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic::{self, PanicHookInfo};
use std::thread;

/// From now on each panic of the process is logged, in the format of all other lines, and no longer written to standard error as
/// text. The log shows the backtrace if `RUST_BACKTRACE` asks for one.
pub(crate) fn log_panics() {
    panic::set_hook(Box::new(log));
}

fn log(info: &PanicHookInfo<'_>) {
    let backtrace = Backtrace::capture();
    let backtrace = (backtrace.status() == BacktraceStatus::Captured).then(|| backtrace.to_string());
    tracing::error!(
        panic = message(info.payload()),
        location = info.location().map(ToString::to_string),
        thread = thread::current().name(),
        backtrace,
        "panicked"
    );
}

/// What the payload of a panic says.
pub fn message(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}
