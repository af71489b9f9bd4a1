//! What is behind an error, told without values of rows.

use std::error::Error as StdError;
use std::fmt::{self, Write as _};
use std::io;

use tokio_postgres::error::DbError;

/// What is behind an [`Error`](crate::Error). It tells no more than the error's own text, and names no cause of its own: the driver's error would
/// tell the `DETAIL` to whoever prints one cause after the other.
pub struct Cause(pub(crate) BoxedError);

pub(crate) type BoxedError = Box<dyn StdError + Send + Sync>;

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&describe(self.0.as_ref()))
    }
}

impl fmt::Debug for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl StdError for Cause {}

/// `error` and everything behind it, outermost first.
pub(crate) fn causes<'a>(
    error: &'a (dyn StdError + 'static),
) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |cause: &&'a (dyn StdError + 'static)| {
        match cause.downcast_ref::<Cause>() {
            Some(Cause(behind)) => Some(behind.as_ref()),
            None => (*cause).source(),
        }
    })
}

/// One line with every cause. The server's own error is cut to message and SQLSTATE.
fn describe(error: &(dyn StdError + 'static)) -> String {
    let mut text = String::new();
    for cause in causes(error) {
        let separator = if text.is_empty() { "" } else { ": " };
        if let Some(told) = cause.downcast_ref::<io::Error>().and_then(|io| transport::tls::told(io)) {
            return text + separator + &told;
        }
        let written = match cause.downcast_ref::<DbError>() {
            Some(server) => write!(text, "{separator}{} ({})", server.message(), server.code().code()),
            None => write!(text, "{separator}{cause}"),
        };
        debug_assert!(written.is_ok(), "writing to a string cannot fail");
    }
    text
}
