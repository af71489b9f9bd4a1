//! Name resolution that gives the connector only addresses that were checked.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::{Reach, TargetPolicy};

/// Resolves a name once per connection and refuses the whole answer if one address of it is denied.
#[derive(Debug, Clone)]
pub struct CheckedResolver {
    policy: Arc<TargetPolicy>,
    reach: Reach,
}

impl CheckedResolver {
    /// For requests whose URLs were found to have this `reach`.
    pub fn new(policy: Arc<TargetPolicy>, reach: Reach) -> Self {
        Self { policy, reach }
    }
}

impl Resolve for CheckedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let Self { policy, reach } = self.clone();
        Box::pin(async move {
            // The connector replaces port 0 by that of the URL.
            let answer: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let addresses: Vec<IpAddr> = answer.iter().map(SocketAddr::ip).collect();
            policy.check_answer(reach, &addresses)?;
            Ok(Box::new(answer.into_iter()) as Addrs)
        })
    }
}
