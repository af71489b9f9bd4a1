//! The harness of the black-box scenarios: the real programs as child processes, and everybody around them.
//!
//! * [`Pipeline`] runs `ingress`, `order-service` and `merchant-notifier`, one or more of each, on a fresh database and vhost (or
//!   on servers of its own, to crash them), and `payrelay` against them. A [`Service`] can be stopped, killed and restarted.
//! * [`Shop`] is what calls in: it makes orders and pay orders, and sends callbacks as the channel.
//! * [`Sandbox`] is what is called: the merchants' endpoints, which verify and remember every webhook.
//! * A [`Proxy`] stands between two of them and cuts, delays or swallows what passes.
//! * A [`Balancer`] stands before replicas and follows their readiness.
//! * [`Load`] makes payments until it is told to stop; [`check`] compares what callers were told with what orders and
//!   merchants got.
//!
//! What does not hold after a generous deadline panics, and says what was seen last. Nothing sleeps for a state.
#![expect(clippy::missing_panics_doc, reason = "panicking is how a harness fails a test")]

mod balancer;
pub mod check;
mod cli;
mod http;
mod identities;
mod load;
mod pipeline;
mod poll;
mod process;
mod proxy;
mod sandbox;
mod service;
mod shop;

pub use balancer::Balancer;
pub use cli::{Answer, run_program};
pub use http::http_client;
pub use identities::{ADMIN_TOKEN, CHANNEL, DEFAULT_MERCHANT, Merchant, ORDER_API_TOKEN};
pub use load::{Load, Payment};
pub use pipeline::{Options, Pipeline, Servers};
pub use poll::{LIMIT, until};
pub use process::{Process, is_alive, signal};
pub use proxy::{Mode, Proxy};
pub use sandbox::{Received, Reply, Sandbox};
pub use service::Service;
pub use shop::Shop;
