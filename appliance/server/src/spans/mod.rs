//! Traces: how a sale travelled from its till to the company's systems, told to a collector that takes OTLP.
//!
//! The trace of a sale has the sale's key as its id, and each step has an id that follows from the key, the step and
//! who took it.
//! So no hop has to carry anything: a step knows its parent although hours, a restart or a neighbour lie between them.
//! What is told are keys, names, times and codes, never what was sold or to whom.
//!
//! Nothing waits for a collector: what it does not take in time is dropped and counted (decision 0016).
//! Like the log, this is a matter of the whole process; without a collector a step costs one look at a flag.

mod exporter;
mod otlp;
mod span;

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use storebox_proto::ids::{NodeId, TxKey};
use tokio::sync::mpsc;

pub use exporter::Exporter;
pub use span::{Begun, Kind, Span, Step};

use crate::config::Traces;
use crate::trust::line::{LineError, Lines};

/// Spans that wait for the collector.
const WAITING_MAX: usize = 4096;
/// Of so many sales `of_1000` are told.
const SHARE_WHOLE: u64 = 1000;

/// Where spans go, once a collector is configured.
static SPANS: OnceLock<Spans> = OnceLock::new();

#[derive(Debug)]
struct Spans {
    node: NodeId,
    of_1000: u64,
    sender: mpsc::Sender<Span>,
    sent: AtomicU64,
    dropped: AtomicU64,
}

/// What became of spans since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// The collector has them.
    pub sent: u64,
    /// Nobody will ever see them.
    pub dropped: u64,
}

/// Why the collector cannot be addressed.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// It cannot be reached over TLS.
    #[error(transparent)]
    Line(#[from] LineError),
    /// The HTTP client does not start.
    #[error("start the HTTP client")]
    Client(#[from] reqwest::Error),
}

/// Tells spans from now on, if a collector is configured; what comes back carries them there.
pub fn start(
    traces: &Traces,
    lines: &Lines,
    node: &NodeId,
    role: &str,
) -> Result<Option<Exporter>, StartError> {
    if traces.url.is_empty() {
        return Ok(None);
    }
    let (sender, receiver) = mpsc::channel(WAITING_MAX);
    let exporter = Exporter::new(traces, lines, node, role, receiver)?;
    let (node, of_1000) = (node.clone(), u64::from(traces.of_1000));
    let (sent, dropped) = (AtomicU64::new(0), AtomicU64::new(0));
    // A process is one box; a second one in a test tells nothing.
    let is_first = SPANS.set(Spans { node, of_1000, sender, sent, dropped }).is_ok();
    Ok(is_first.then_some(exporter))
}

/// A step of this sale begins, if it is one that is told.
pub fn begin(key: &TxKey) -> Option<Begun> {
    let spans = SPANS.get()?;
    // Every box must tell the same sales: the last bytes of a key are random.
    let number = u64::from_be_bytes(*key.0.as_bytes().last_chunk().unwrap_or(&[0; 8]));
    (number % SHARE_WHOLE < spans.of_1000).then(Begun::now)
}

/// Something begins that belongs to no sale.
pub fn begin_other() -> Option<Begun> {
    SPANS.get().map(|_| Begun::now())
}

/// Who tells.
pub fn node() -> Option<&'static NodeId> {
    SPANS.get().map(|spans| &spans.node)
}

/// Tells a span, or drops it: nobody waits.
pub fn tell(span: Span) {
    let Some(spans) = SPANS.get() else { return };
    if spans.sender.try_send(span).is_err() {
        spans.dropped.fetch_add(1, Ordering::Relaxed);
    }
}

/// What became of spans.
pub fn counts() -> Counts {
    let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
    let of = |spans: &Spans| Counts { sent: count(&spans.sent), dropped: count(&spans.dropped) };
    SPANS.get().map(of).unwrap_or_default()
}

fn note(counts: Counts) {
    let Some(spans) = SPANS.get() else { return };
    spans.sent.fetch_add(counts.sent, Ordering::Relaxed);
    spans.dropped.fetch_add(counts.dropped, Ordering::Relaxed);
}
