//! Name resolution that gives the connector only addresses that were checked.

use std::io;
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
            let answer = lookup(name.as_str()).await?;
            let addresses: Vec<IpAddr> = answer.iter().map(SocketAddr::ip).collect();
            policy.check_answer(reach, &addresses)?;
            Ok(Box::new(answer.into_iter()) as Addrs)
        })
    }
}

/// All addresses of a name, as the system knows them. The connector replaces port 0 by that of the URL.
pub(super) async fn lookup(name: &str) -> io::Result<Vec<SocketAddr>> {
    Ok(tokio::net::lookup_host((name, 0)).await?.collect())
}
