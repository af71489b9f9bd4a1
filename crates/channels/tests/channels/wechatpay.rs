//! The `wechatpay` channel: the vectors, what its notices state, its configuration, and arbitrary input.

mod config;
mod notices;
mod properties;
mod support;
mod vectors;
