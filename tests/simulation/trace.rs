//! What happened, as text for people and as a hash for comparing two runs.

use std::fmt::{self, Write};

/// The course of one run.
pub(crate) struct Trace {
    hasher: blake3::Hasher,
    line: String,
    printing: bool,
    steps: u64,
}

impl Trace {
    pub(crate) fn new(printing: bool) -> Self {
        Self { hasher: blake3::Hasher::new(), line: String::new(), printing, steps: 0 }
    }

    /// Notes one thing that happened.
    pub(crate) fn note(&mut self, now: u64, what: fmt::Arguments<'_>) {
        self.line.clear();
        writeln!(self.line, "{now:>8} ms  {what}").unwrap();
        self.hasher.update(self.line.as_bytes());
        self.steps += 1;
        if self.printing {
            eprint!("{}", self.line);
        }
    }

    pub(crate) fn steps(&self) -> u64 {
        self.steps
    }

    pub(crate) fn hash(&self) -> [u8; 32] {
        *self.hasher.finalize().as_bytes()
    }
}
