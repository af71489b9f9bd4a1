//! What the handlers share.

use std::sync::Arc;
use std::time::Duration;

use storage::Database;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;
use webhooks::target::TargetPolicy;

use crate::accounts::Passwords;
use crate::api_keys::KeyCache;
use crate::callbacks::LargeBodies;
use crate::channels_file::Channels;
use crate::facts::FactWriter;
use crate::pay_orders::PayOrderWriter;
use crate::signals::Signals;

/// The state of the ingress.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) database: Database,
    pub(crate) channels: Channels,
    pub(crate) facts: FactWriter,
    pub(crate) pay_orders: PayOrderWriter,
    pub(crate) signals: Arc<Signals>,
    pub(crate) keys: KeyCache,
    pub(crate) passwords: Passwords,
    /// Refuses addresses that no webhook would ever be sent to, as the notifier judges them.
    pub(crate) targets: TargetPolicy,
    /// Bounds the memory of large callbacks.
    pub(crate) large_bodies: LargeBodies,
    /// Held by the trial balance that is being made.
    pub(crate) trial_balance_lock: Arc<Mutex<()>>,
    /// From the end of payability to the close.
    pub(crate) close_grace: Duration,
    /// Long polls answer at once when this is cancelled.
    pub(crate) draining: CancellationToken,
}
