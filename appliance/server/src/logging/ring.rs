//! The last log lines, in memory, for support bundles: a box without journald has no other.
//!
//! Bounded in bytes; what is dropped is counted.
//! It keeps what the levels let through and nothing else.

use std::collections::VecDeque;
use std::fmt::{self, Write};
use std::sync::{Mutex, PoisonError};

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use crate::env;

/// Bytes of all kept lines.
const BYTES_MAX: usize = 256 * 1024;
/// Bytes of one line; the rest of it is cut off.
const LINE_BYTES_MAX: usize = 2048;

static KEPT: Mutex<Kept> = Mutex::new(Kept::new(BYTES_MAX));

/// The last lines, oldest first, and how many were dropped before them.
pub fn lines() -> (Vec<String>, u64) {
    let kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    (kept.lines.iter().cloned().collect(), kept.dropped)
}

/// Keeps the last lines of a process.
#[derive(Debug)]
pub(super) struct Ring;

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Ring {
    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let metadata = event.metadata();
        let mut line = Line(String::new());
        let (now, level) = (env::timestamp(), metadata.level());
        // Writing to a string never fails.
        let _ = write!(line.0, "{now} {level:>5} {}:", metadata.target());
        for span in context.event_scope(event).into_iter().flatten() {
            let _ = write!(line.0, " {}", span.name());
        }
        event.record(&mut line);
        let mut text = line.0;
        if text.len() > LINE_BYTES_MAX {
            text.truncate(text.floor_char_boundary(LINE_BYTES_MAX));
            text.push('…');
        }
        KEPT.lock().unwrap_or_else(PoisonError::into_inner).push(text);
    }
}

struct Kept {
    lines: VecDeque<String>,
    bytes: usize,
    bytes_max: usize,
    dropped: u64,
}

impl Kept {
    const fn new(bytes_max: usize) -> Self {
        Self { lines: VecDeque::new(), bytes: 0, bytes_max, dropped: 0 }
    }

    fn push(&mut self, line: String) {
        self.bytes += line.len();
        self.lines.push_back(line);
        while self.bytes > self.bytes_max {
            let oldest = self.lines.pop_front().map_or(0, |line| line.len());
            self.bytes -= oldest;
            self.dropped += 1;
        }
    }
}

/// A line that fields write themselves into; a line feed in a value does not begin a new line.
struct Line(String);

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if self.0.len() > LINE_BYTES_MAX {
            return;
        }
        let text = format!("{value:?}").replace(['\n', '\r'], " ");
        // Writing to a string never fails.
        let _ = match field.name() {
            "message" => write!(self.0, " {text}"),
            name => write!(self.0, " {name}={text}"),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing_subscriber::layer::SubscriberExt;

    #[test]
    fn the_oldest_lines_go_and_are_counted() {
        let mut kept = Kept::new(10);
        for line in ["aaaa", "bbbb", "cccc"] {
            kept.push(line.to_owned());
        }
        assert_eq!(kept.lines, ["bbbb", "cccc"]);
        assert_eq!((kept.bytes, kept.dropped), (8, 1));
    }

    #[test]
    fn an_event_is_one_line_with_its_fields() {
        let subscriber = tracing_subscriber::registry().with(Ring);
        tracing::subscriber::with_default(subscriber, || {
            tracing::warn!(till = "till-9", error = "a\nb", "a line for the ring");
        });
        let (lines, _) = lines();
        let line = lines.iter().find(|line| line.contains("a line for the ring")).unwrap();
        assert!(line.contains("till=till-9") && line.contains("error=a b"), "{line}");
    }
}
