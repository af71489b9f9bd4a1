//! Which addresses a webhook may be sent to: the rules are those of [`webhooks::target`], which the ingress has as well.
//!
//! The URL is checked before each attempt, and every address that its host resolves to inside the connector, which then connects
//! to exactly what was checked: there is no second lookup that could answer differently.

mod check;
mod resolver;

pub use webhooks::target::{Forbidden, Reach, TargetPolicy};

pub use check::{TargetRefusal, check};
pub use resolver::CheckedResolver;
