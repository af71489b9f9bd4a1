//! Which addresses a webhook may be sent to: never one inside our own network, unless the configuration says so.
//!
//! Merchants choose the URLs, so every URL is an attempt to make us call our own database until shown otherwise. Whoever takes a
//! URL judges it by [`TargetPolicy::check_new`], so that a mistake is seen where it is made. Whoever calls it judges it again, with
//! every address that its host resolves to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use thiserror::Error;
use url::{Host, Url};

/// Special-purpose IPv4 networks (IANA registry, RFC 6890).
const DENIED_V4: [Ipv4Net; 15] = {
    const fn net(a: u8, b: u8, c: u8, prefix: u8) -> Ipv4Net {
        Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, 0), prefix)
    }
    [
        net(0, 0, 0, 8),
        net(10, 0, 0, 8),
        net(100, 64, 0, 10),
        net(127, 0, 0, 8),
        net(169, 254, 0, 16),
        net(172, 16, 0, 12),
        net(192, 0, 0, 24),
        net(192, 0, 2, 24),
        net(192, 88, 99, 24),
        net(192, 168, 0, 16),
        net(198, 18, 0, 15),
        net(198, 51, 100, 24),
        net(203, 0, 113, 24),
        net(224, 0, 0, 4),
        net(240, 0, 0, 4),
    ]
};

/// Special-purpose IPv6 networks, and those that embed IPv4 addresses. Mapped addresses are judged as IPv4.
const DENIED_V6: [Ipv6Net; 13] = {
    const fn net(a: u16, b: u16, c: u16, prefix: u8) -> Ipv6Net {
        Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0), prefix)
    }
    [
        net(0, 0, 0, 96),
        net(0x64, 0xff9b, 0, 96),
        net(0x64, 0xff9b, 1, 48),
        net(0x100, 0, 0, 64),
        net(0x2001, 0, 0, 23),
        net(0x2001, 0xdb8, 0, 32),
        net(0x2002, 0, 0, 16),
        net(0x3fff, 0, 0, 20),
        net(0x5f00, 0, 0, 16),
        net(0xfc00, 0, 0, 7),
        net(0xfe80, 0, 0, 10),
        net(0xfec0, 0, 0, 10),
        net(0xff00, 0, 0, 8),
    ]
};

/// The longest URL in bytes.
pub const MAX_URL_BYTES: usize = 2048;
const PORTS: [u16; 2] = [443, 8443];
const DENIED_SUFFIXES: [&str; 3] = [".localhost", ".internal", ".local"];

/// Why a webhook is not sent.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Forbidden {
    /// Neither `https` nor, where the configuration allows its target, `http`.
    #[error("the URL must begin with https://")]
    Scheme,
    /// Passwords in URLs end in logs.
    #[error("the URL must hold no user name or password")]
    UserInfo,
    /// Another port than those of web servers.
    #[error("the port must be 443 or 8443")]
    Port,
    /// The port to which nothing can connect, whatever the configuration allows.
    #[error("the port must not be 0, to which nothing can connect")]
    ZeroPort,
    /// A name that means a machine of ours.
    #[error("the host name is one of a private network")]
    HostName,
    /// An address that is private, or resolves to nothing public.
    #[error("the host is or resolves to {0}, which is no public address")]
    Address(IpAddr),
    /// A name that resolves to nothing.
    #[error("the host name resolves to no address")]
    NoAddress,
}

impl Forbidden {
    /// The name for programs.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Scheme => "scheme",
            Self::UserInfo => "user_info",
            Self::Port | Self::ZeroPort => "port",
            Self::HostName => "host_name",
            Self::Address(_) => "address",
            Self::NoAddress => "no_address",
        }
    }
}

/// Why a URL is not taken for webhooks.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BadTarget {
    /// It would not fit the events that carry it.
    #[error("expected at most {MAX_URL_BYTES} bytes, got {0}")]
    TooLong(usize),
    /// Nothing that could be called.
    #[error("it is no URL: {0}")]
    NotAUrl(#[from] url::ParseError),
    /// A rule forbids it.
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
}

/// Which addresses a checked URL may still resolve to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Public addresses, and allowed networks.
    Public,
    /// Allowed networks only: the URL breaks a rule that holds for public targets.
    AllowedOnly,
}

/// The rules, and the networks that are exempt from them.
#[derive(Debug, Clone, Default)]
pub struct TargetPolicy {
    allowed: Vec<IpNet>,
}

impl TargetPolicy {
    /// Targets in the `allowed` networks are let through, with `http`, any port and any host name.
    pub fn new(allowed: Vec<IpNet>) -> Self {
        Self { allowed }
    }

    /// Checks a URL that somebody wants webhooks to be sent to, as far as that can be judged before its host is looked up.
    ///
    /// # Errors
    /// When no attempt would ever call it.
    pub fn check_new(&self, url: &str) -> Result<(), BadTarget> {
        if url.len() > MAX_URL_BYTES {
            return Err(BadTarget::TooLong(url.len()));
        }
        self.check_url(&Url::parse(url)?)?;
        Ok(())
    }

    /// Checks all that the URL itself tells, and says what its host may resolve to. A fragment is no reason against it: it is not sent.
    pub fn check_url(&self, url: &Url) -> Result<Reach, Forbidden> {
        let host =
            url.host().filter(|_| matches!(url.scheme(), "http" | "https")).ok_or(Forbidden::Scheme)?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Forbidden::UserInfo);
        }
        if url.port() == Some(0) {
            return Err(Forbidden::ZeroPort);
        }
        let address = match host {
            Host::Domain(name) => return self.check_name(name, url),
            Host::Ipv4(address) => IpAddr::V4(address),
            Host::Ipv6(address) => IpAddr::V6(address),
        };
        if self.is_allowed(address) {
            return Ok(Reach::AllowedOnly);
        }
        self.check_address(Reach::Public, address)?;
        check_scheme_and_port(url).map(|()| Reach::Public)
    }

    fn check_name(&self, name: &str, url: &Url) -> Result<Reach, Forbidden> {
        match check_scheme_and_port(url).and_then(|()| check_host_name(name)) {
            Ok(()) => Ok(Reach::Public),
            Err(_) if !self.allowed.is_empty() => Ok(Reach::AllowedOnly),
            Err(forbidden) => Err(forbidden),
        }
    }

    /// Checks every address of an answer: one that is denied spoils them all, for who mixes them means harm.
    pub fn check_answer(&self, reach: Reach, addresses: &[IpAddr]) -> Result<(), Forbidden> {
        if addresses.is_empty() {
            return Err(Forbidden::NoAddress);
        }
        addresses.iter().try_for_each(|address| self.check_address(reach, *address))
    }

    fn check_address(&self, reach: Reach, address: IpAddr) -> Result<(), Forbidden> {
        let passes = self.is_allowed(address) || (reach == Reach::Public && is_public(address));
        if passes { Ok(()) } else { Err(Forbidden::Address(address)) }
    }

    fn is_allowed(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.allowed.iter().any(|network| network.contains(&address))
    }
}

/// Networks as one variable holds them: divided by commas, none if it is blank.
#[derive(Debug, Clone, Default)]
pub struct Networks(pub Vec<IpNet>);

impl Networks {
    /// An example, for a person who has set it wrongly.
    pub const EXAMPLE: &str = "10.1.0.0/16,fd00::/8";
}

impl FromStr for Networks {
    type Err = ipnet::AddrParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        text.split(',').map(|network| network.trim().parse()).collect::<Result<_, _>>().map(Self)
    }
}

fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => !DENIED_V4.iter().any(|network| network.contains(&address)),
        IpAddr::V6(address) => !DENIED_V6.iter().any(|network| network.contains(&address)),
    }
}

fn check_scheme_and_port(url: &Url) -> Result<(), Forbidden> {
    if url.scheme() != "https" {
        return Err(Forbidden::Scheme);
    }
    let port = url.port_or_known_default();
    if port.is_some_and(|port| PORTS.contains(&port)) { Ok(()) } else { Err(Forbidden::Port) }
}

/// `name` is in lower case, as the URL parser leaves it.
fn check_host_name(name: &str) -> Result<(), Forbidden> {
    let name = name.strip_suffix('.').unwrap_or(name);
    let private = !name.contains('.') || DENIED_SUFFIXES.iter().any(|suffix| name.ends_with(suffix));
    if private { Err(Forbidden::HostName) } else { Ok(()) }
}

#[cfg(test)]
mod tests;
