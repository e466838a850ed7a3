//! Patience with slow clients, measured per connection.
//!
//! A head must arrive within its time once it has begun (and the first one after connecting), an answer must be
//! read within its time, and a body must arrive within its time.
//! The time between requests is hyper's `header_read_timeout`.
//! Timers are armed only when a client makes us wait, so that a prompt client costs nothing.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// Where a connection is; shared between its stream and its service.
#[derive(Debug, Clone)]
pub(super) struct Phase(Arc<AtomicU8>);

const IDLE: u8 = 0;
const HEAD: u8 = 1;
const BUSY: u8 = 2;

impl Phase {
    /// A fresh connection owes us a head.
    pub(super) fn new() -> Self {
        Self(Arc::new(AtomicU8::new(HEAD)))
    }

    /// The head has arrived.
    pub(super) fn enter(&self) {
        self.0.store(BUSY, Ordering::Relaxed);
    }

    /// The answer is on its way.
    pub(super) fn leave(&self) {
        self.0.store(IDLE, Ordering::Relaxed);
    }

    fn begin_head(&self) {
        // Fails unless idle, which is what is wanted.
        let _ = self.0.compare_exchange(IDLE, HEAD, Ordering::Relaxed, Ordering::Relaxed);
    }

    fn is_head(&self) -> bool {
        self.0.load(Ordering::Relaxed) == HEAD
    }
}

/// A timer that exists only while somebody is waited for.
#[derive(Debug, Default)]
struct Patience(Option<Pin<Box<Sleep>>>);

impl Patience {
    /// Counts from the first call on; an error once the time is over.
    fn wait(&mut self, max: Duration, what: &'static str, cx: &mut Context<'_>) -> io::Result<()> {
        let timer = self.0.get_or_insert_with(|| Box::pin(sleep(max)));
        match timer.as_mut().poll(cx) {
            Poll::Pending => Ok(()),
            Poll::Ready(()) => Err(io::Error::new(io::ErrorKind::TimedOut, what)),
        }
    }

    fn end(&mut self) {
        self.0 = None;
    }
}

/// A stream whose other side may not dawdle.
#[derive(Debug)]
pub(super) struct Guarded<S> {
    stream: S,
    phase: Phase,
    head_max: Duration,
    write_max: Duration,
    head: Patience,
    write: Patience,
}

impl<S> Guarded<S> {
    pub(super) fn new(stream: S, phase: Phase, head_max: Duration, write_max: Duration) -> Self {
        let (head, write) = (Patience::default(), Patience::default());
        Self { stream, phase, head_max, write_max, head, write }
    }

    fn after_write<T>(
        &mut self,
        result: Poll<io::Result<T>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if result.is_ready() {
            self.write.end();
            return result;
        }
        self.write.wait(self.write_max, "the answer was not read in time", cx)?;
        Poll::Pending
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if !this.phase.is_head() {
            this.head.end();
        }
        if Pin::new(&mut this.stream).poll_read(cx, buffer)?.is_ready() {
            this.phase.begin_head();
            return Poll::Ready(Ok(()));
        }
        if this.phase.is_head() {
            this.head.wait(this.head_max, "the head did not arrive in time", cx)?;
        }
        Poll::Pending
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.after_write(result, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(cx, pieces);
        self.after_write(result, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_flush(cx);
        self.after_write(result, cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.after_write(result, cx)
    }
}

/// A request body that must arrive within its time.
#[derive(Debug)]
pub(super) struct PromptBody {
    body: Incoming,
    max: Duration,
    patience: Patience,
}

impl PromptBody {
    pub(super) fn new(body: Incoming, max: Duration) -> Self {
        Self { body, max, patience: Patience::default() }
    }
}

impl Body for PromptBody {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = &mut *self;
        let frame = Pin::new(&mut this.body).poll_frame(cx);
        if frame.is_pending() {
            this.patience.wait(this.max, "the body did not arrive in time", cx)?;
        }
        Poll::Ready(ready!(frame).map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
