//! Name resolution that gives the connector only addresses that were checked.

use std::error::Error as StdError;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::{io, vec};

use hyper_util::client::legacy::connect::dns::Name;
use tower_service::Service;

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

impl Service<Name> for CheckedResolver {
    type Response = vec::IntoIter<SocketAddr>;
    type Error = Box<dyn StdError + Send + Sync>;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let Self { policy, reach } = self.clone();
        Box::pin(async move {
            let answer = lookup(name.as_str()).await?;
            let addresses: Vec<IpAddr> = answer.iter().map(SocketAddr::ip).collect();
            policy.check_answer(reach, &addresses)?;
            Ok(answer.into_iter())
        })
    }
}

/// All addresses of a name, as the system knows them. The connector replaces port 0 by that of the URL.
pub(super) async fn lookup(name: &str) -> io::Result<Vec<SocketAddr>> {
    Ok(tokio::net::lookup_host((name, 0)).await?.collect())
}
