//! What channels call back with: what is taken, what it states, and what is refused. One program, for each one more is linked anew.

mod alipay;
mod config;
mod grammar;
mod properties;
mod recorded;
mod refusals;
mod standard;
mod standard_vectors;
mod stripe;
mod wechatpay;
