//! Users of merchants, their pay passwords, and what is on their accounts, over HTTP.
//!
//! Nothing here sets a balance: money comes by recharges and goes by balance payments, as flows of the [`ledger`].

mod create;
mod get;
mod password;
mod passwords;

pub(crate) use create::create;
pub(crate) use get::{flows, get};
pub(crate) use password::PayPassword;
pub(crate) use passwords::Passwords;
