//! The beginning of the last request and its answer on a connection.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use hyper_util::client::legacy::connect::{Connected, Connection};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Of the request and of the answer: room for a head as it should be, and for what comes before it.
const MAX_BYTES: usize = 4 * 1024;
/// How every request begins.
const REQUEST: &[u8] = b"POST ";

/// The record of a connection. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Record(Arc<Mutex<Bytes>>);

#[derive(Debug, Default)]
struct Bytes {
    sent: Vec<u8>,
    received: Vec<u8>,
}

impl Record {
    /// What came since the request was sent that holds `marker`; none if another was sent last, or not yet this one. So the
    /// answer to an earlier request on the same connection is never taken for one to this.
    pub(super) fn answer_to(&self, marker: &str) -> Option<Vec<u8>> {
        let bytes = self.lock();
        let is_sent = bytes.sent.windows(marker.len()).any(|window| window == marker.as_bytes());
        is_sent.then(|| bytes.received.clone())
    }

    fn sent(&self, bytes: &[u8]) {
        let mut record = self.lock();
        if bytes.starts_with(REQUEST) {
            record.sent.clear();
            record.received.clear();
        }
        append(&mut record.sent, bytes);
    }

    fn received(&self, bytes: &[u8]) {
        append(&mut self.lock().received, bytes);
    }

    fn lock(&self) -> MutexGuard<'_, Bytes> {
        // Nothing that holds it can panic half-way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn append(record: &mut Vec<u8>, bytes: &[u8]) {
    let room = MAX_BYTES - record.len();
    record.extend_from_slice(&bytes[..bytes.len().min(room)]);
}

/// A stream that is recorded. The connection's metadata hold its [`Record`].
#[derive(Debug)]
pub(super) struct RecordedStream<S> {
    stream: S,
    record: Record,
}

impl<S> RecordedStream<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, record: Record::default() }
    }
}

impl<S: Connection> Connection for RecordedStream<S> {
    fn connected(&self) -> Connected {
        self.stream.connected().extra(self.record.clone())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for RecordedStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buffer);
        self.record.received(&buffer.filled()[before..]);
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for RecordedStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, bytes);
        if let Poll::Ready(Ok(written)) = polled {
            self.record.sent(&bytes[..written]);
        }
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exchanged(record: &Record, request: &str, answer: &[u8]) {
        record.sent(request.as_bytes());
        record.received(answer);
    }

    #[test]
    fn an_answer_belongs_to_the_last_request_only() {
        let record = Record::default();
        assert_eq!(record.answer_to("one"), None);
        exchanged(&record, "POST / HTTP/1.1\r\nid: one\r\n\r\n", b"HTTP/1.1 200 OK\r\n");
        assert_eq!(record.answer_to("one").as_deref(), Some(b"HTTP/1.1 200 OK\r\n".as_slice()));
        assert_eq!(record.answer_to("two"), None, "not sent yet");
        record.sent(b"POST / HTTP/1.1\r\nid: two\r\n\r\n");
        assert_eq!(record.answer_to("two").as_deref(), Some(b"".as_slice()));
        assert_eq!(record.answer_to("one"), None);
    }

    #[test]
    fn an_answer_that_comes_before_the_body_has_gone_out_stands() {
        let record = Record::default();
        exchanged(&record, "POST / HTTP/1.1\r\nid: one\r\n\r\n", b"HTTP/1.1 413 Too Large\r\n");
        record.sent(b"the rest of the body");
        assert!(record.answer_to("one").is_some_and(|answer| answer.starts_with(b"HTTP/1.1 413")));
    }

    #[test]
    fn a_record_is_bounded() {
        let record = Record::default();
        for _ in 0..10 {
            exchanged(&record, "one more kilobyte of it", &[b'x'; 1024]);
        }
        assert_eq!(record.answer_to("one").map(|answer| answer.len()), Some(MAX_BYTES));
    }
}
