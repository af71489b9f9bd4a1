//! Recharges: a user's account is credited once its pay order has succeeded at a channel.
//!
//! The pay order has the purpose `RECHARGE` and goes the way of every other. What its events mean for the books is
//! [posted](posting::post) by the writer of facts, in the transaction of the transition.

mod create;
mod get;
mod posting;
mod trades;
mod view;

pub(crate) use create::create;
pub(crate) use get::get;
pub(crate) use posting::{Before, post};
pub(crate) use trades::{Trades, trades};

use events::PayOrder;

/// What the flow of a paid recharge is known by: the channel account, and the number of its trade. An account has no slash in
/// its name, and no other `trans_no` has one at all.
fn trans_no(channel: &str, trade: &str) -> String {
    format!("{channel}/{trade}")
}

/// The same of a recharge that is paid. A channel that names no trade knows it by our number.
fn trans_no_of(order: &PayOrder) -> String {
    trans_no(order.channel.as_str(), order.channel_trade_no.as_deref().unwrap_or(order.pay_order_no.as_str()))
}
