//! Whether an attempt at a URL would go out, asked without making one.

use std::io;
use std::net::{IpAddr, SocketAddr};

use thiserror::Error;
use url::{Host, Url};

use super::resolver::lookup;
use super::{Forbidden, TargetPolicy};

/// Why an attempt would not go out.
#[derive(Debug, Error)]
pub enum TargetRefusal {
    /// Nothing that could be called.
    #[error("it is no URL: {0}")]
    NotAUrl(#[from] url::ParseError),
    /// A rule forbids it.
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
    /// The name could not be looked up.
    #[error("the host name does not resolve: {0}")]
    Unresolved(#[from] io::Error),
}

impl TargetRefusal {
    /// The name for programs.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NotAUrl(_) => "not_a_url",
            Self::Forbidden(forbidden) => forbidden.code(),
            Self::Unresolved(_) => "unresolved",
        }
    }
}

/// Goes the way of an attempt as far as the connection: the URL, then every address of its host. Returns the addresses that may
/// be connected to. `assumed` stands for the answer of the lookup, unless it is empty.
pub async fn check(
    policy: &TargetPolicy,
    url: &str,
    assumed: &[IpAddr],
) -> Result<Vec<IpAddr>, TargetRefusal> {
    let url = Url::parse(url)?;
    let reach = policy.check_url(&url)?;
    let addresses = match url.host() {
        _ if !assumed.is_empty() => assumed.to_vec(),
        Some(Host::Domain(name)) => lookup(name).await?.iter().map(SocketAddr::ip).collect(),
        Some(Host::Ipv4(address)) => vec![address.into()],
        Some(Host::Ipv6(address)) => vec![address.into()],
        None => Vec::new(),
    };
    policy.check_answer(reach, &addresses)?;
    Ok(addresses)
}
