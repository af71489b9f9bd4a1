//! Free loopback ports that stay free while a server is being restarted.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::Error;

/// Below the range from which systems take the local ports of outgoing connections: one of those could otherwise sit on
/// the port of a server that is stopped for a moment.
const FIRST: u32 = 15_000;
const COUNT: u32 = 16_384;
/// Each process starts looking in a block of its own, so that stacks started together do not race for one port.
const BLOCK: u32 = 16;

/// A TCP port on 127.0.0.1 on which nobody listens; never given out twice by one process until all have been.
pub(crate) fn free() -> Result<u16, Error> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let base = std::process::id().wrapping_mul(BLOCK);
    for _ in 0..COUNT {
        let offset = base.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT;
        if let Ok(port) = u16::try_from(FIRST + offset)
            && TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
        {
            return Ok(port);
        }
    }
    Err(Error::failed("looking for a free port", format!("none of {COUNT} from {FIRST} on")))
}
