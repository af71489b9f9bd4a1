//! The merchant notifier: delivers every event as a signed webhook to its merchant.
