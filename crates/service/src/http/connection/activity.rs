//! What happens on a connection, as far as its end depends on it.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Instant;

/// How the preface of HTTP/2 begins: `PRI` is the method of no request.
const HTTP2: &[u8] = b"PRI";

/// What was seen so far.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen {
    /// Requests that wait for their answer.
    pub(super) under_way: usize,
    /// Whether there was a request.
    pub(super) has_asked: bool,
    /// When the last answer was given, or the connection made.
    pub(super) quiet_since: Instant,
    /// When the first byte after it came.
    pub(super) head_since: Option<Instant>,
    /// How many bytes of [`HTTP2`] have come; none once another has.
    preface: Option<usize>,
}

impl Seen {
    pub(super) fn is_http2(&self) -> bool {
        self.preface == Some(HTTP2.len())
    }

    /// Whether part of a request's head has come. HTTP/2 has frames between requests, and ends without losing a request.
    pub(super) fn is_in_head(&self) -> bool {
        !self.is_http2() && self.under_way == 0 && self.head_since.is_some()
    }

    fn read(&mut self, bytes: &[u8]) {
        if let Some(matched) = self.preface {
            let expected = &HTTP2[matched..];
            let compared = expected.len().min(bytes.len());
            let is_preface = bytes[..compared] == expected[..compared];
            self.preface = is_preface.then_some(matched + compared);
        }
        self.head_since.get_or_insert_with(Instant::now);
    }
}

/// Notes what happens on a connection. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Activity(Arc<Mutex<Seen>>);

impl Activity {
    /// Of a connection that was just made.
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(Seen {
            under_way: 0,
            has_asked: false,
            quiet_since: Instant::now(),
            head_since: None,
            preface: Some(0),
        })))
    }

    pub(super) fn seen(&self) -> Seen {
        *self.lock()
    }

    /// A request has come as a whole, apart from its body. It is under way until what this returns is dropped.
    pub(super) fn request(&self) -> UnderWay {
        let mut seen = self.lock();
        seen.under_way += 1;
        seen.has_asked = true;
        UnderWay(self.clone())
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        // Nothing that holds it can panic half-way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request that waits for its answer.
#[derive(Debug)]
pub(super) struct UnderWay(Activity);

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut seen = self.0.lock();
        seen.under_way -= 1;
        seen.quiet_since = Instant::now();
        // What came meanwhile was the body.
        seen.head_since = None;
    }
}

/// A stream whose reads are noted.
#[derive(Debug)]
pub(super) struct Watched {
    stream: TcpStream,
    activity: Activity,
}

impl Watched {
    pub(super) fn new(stream: TcpStream, activity: Activity) -> Self {
        Self { stream, activity }
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buffer);
        let read = &buffer.filled()[before..];
        if !read.is_empty() {
            self.activity.lock().read(read);
        }
        polled
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
