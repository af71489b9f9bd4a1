//! Pay orders over HTTP: creating, looking up, waiting, closing.

mod close;
mod create;
mod get;
mod view;
mod writer;

pub(crate) use close::close;
pub(crate) use create::create;
pub(crate) use get::{get_by_number, get_by_order};
pub(crate) use writer::PayOrderWriter;

use service::Problem;

fn not_found() -> Problem {
    Problem::not_found("there is no such pay order")
}
