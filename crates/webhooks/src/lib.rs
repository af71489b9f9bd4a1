//! Standard Webhooks: signing and verifying. Pure.
