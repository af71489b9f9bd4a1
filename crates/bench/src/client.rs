//! The load generator's HTTP client: prepared bytes out, a status in. It shares the cores with what is measured, so it does
//! as little as can be.

use std::net::SocketAddr;

use anyhow::{Context, Result, bail, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The largest answer that is taken.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// A kept connection, one request at a time.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    answer: Vec<u8>,
}

/// What the head of an answer says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Head {
    status: u16,
    /// Of the head, the empty line included.
    bytes: usize,
    body_bytes: usize,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await.with_context(|| format!("connecting to {address}"))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, answer: Vec::with_capacity(4096) })
    }

    /// Sends a request and reads its answer, the body included; the status.
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> Result<u16> {
        self.answer.clear();
        self.stream.write_all(request).await.context("sending a request")?;
        let head = loop {
            self.read().await?;
            if let Some(head) = head(&self.answer)? {
                break head;
            }
        };
        while self.answer.len() < head.bytes + head.body_bytes {
            self.read().await?;
        }
        Ok(head.status)
    }

    /// What the last answer said besides its status.
    pub(crate) fn answer_text(&self) -> String {
        String::from_utf8_lossy(&self.answer).into_owned()
    }

    async fn read(&mut self) -> Result<()> {
        let read = self.stream.read_buf(&mut self.answer).await.context("reading an answer")?;
        ensure!(read > 0, "the connection ended before the answer did");
        ensure!(self.answer.len() <= MAX_ANSWER_BYTES, "the answer is larger than {MAX_ANSWER_BYTES} bytes");
        Ok(())
    }
}

/// The head, once it is complete.
fn head(answer: &[u8]) -> Result<Option<Head>> {
    let Some(end) = answer.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(None) };
    let text = std::str::from_utf8(&answer[..end]).context("the head of an answer is no text")?;
    let mut lines = text.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok());
    let status = status.context("an answer without a status")?;
    let mut body_bytes = 0;
    for line in lines {
        let Some((name, value)) = line.split_once(':') else { continue };
        if name.eq_ignore_ascii_case("content-length") {
            body_bytes = value.trim().parse().context("content-length")?;
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            bail!("an answer in chunks, which this client does not read");
        }
    }
    Ok(Some(Head { status, bytes: end + 4, body_bytes }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_once_it_is_complete() {
        assert_eq!(head(b"HTTP/1.1 204 No Content\r\ndate: x\r\n").unwrap(), None);
        let whole = b"HTTP/1.1 409 Conflict\r\nContent-Length: 3\r\n\r\nabc";
        assert_eq!(head(whole).unwrap(), Some(Head { status: 409, bytes: 44, body_bytes: 3 }));
        let empty = b"HTTP/1.1 204 No Content\r\n\r\n";
        assert_eq!(head(empty).unwrap(), Some(Head { status: 204, bytes: 27, body_bytes: 0 }));
    }

    #[test]
    fn what_is_not_understood_is_an_error() {
        assert!(head(b"hello\r\n\r\n").is_err());
        assert!(head(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").is_err());
    }
}
