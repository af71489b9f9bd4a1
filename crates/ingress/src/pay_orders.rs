//! Pay orders over HTTP: creating, looking up, waiting, closing.

mod close;
mod create;
mod get;
mod view;
mod writer;

pub(crate) use close::close;
pub(crate) use create::{NewPayOrder, check_notify_url, create};
pub(crate) use get::{get_by_number, get_by_order};
pub(crate) use view::PayOrderView;
pub(crate) use writer::{PayOrderWriter, same_content};

use service::Problem;

fn not_found() -> Problem {
    Problem::not_found("there is no such pay order")
}
