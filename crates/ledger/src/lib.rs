//! The ledger: accounts in minor units per currency, and double-entry flows between them, on PostgreSQL.
//!
//! * An [`Account`] belongs to an [`Owner`] and holds one currency. Above zero is what is owed to the owner, below zero what
//!   the owner owes: a recharge takes from its channel's account, which so owes us the money, and gives to the user's.
//! * A [`Flow`] moves money between accounts for one reason, once per `trans_no`. Its [`Entries`] sum to zero.
//! * [`post`] writes flows in the caller's transaction, together with the status change that they belong to. Users' accounts
//!   keep a running balance, which is never negative; all others are sums over their entries, so that payments do not wait
//!   for one another at the row of a channel or a merchant.
//! * [`lock`] tells users' balances that stand until the end of the transaction.
//! * [`trial_balance`] proves that all of it holds.
//!
//! Flows and entries are immutable, and sums are checked at the commit: the database refuses what does not hold, whoever
//! writes it. Locks are taken in one order: pay orders by number, then accounts by owner and currency.

mod account;
mod flow;
mod post;
mod read;
mod trial;

pub use account::{Account, Owner, UnknownOwner};
pub use flow::{Entries, Entry, Flow, FlowKind, InvalidFlow, UnknownKind};
pub use post::{PostError, Posted, lock, open_account, post};
pub use read::{AccountFlow, Balance, balance, balances, flows, moved, pay_orders_of};
pub use trial::trial_balance;
