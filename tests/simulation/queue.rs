//! Virtual time: events in the order in which they happen.

use std::collections::BTreeMap;

/// Milliseconds since the start of the world.
pub(crate) type Ms = u64;

/// Events that have not happened yet; equal times happen in the order of scheduling.
pub(crate) struct Queue<E> {
    now: Ms,
    scheduled: u64,
    events: BTreeMap<(Ms, u64), E>,
}

impl<E> Queue<E> {
    pub(crate) fn new() -> Self {
        Self { now: 0, scheduled: 0, events: BTreeMap::new() }
    }

    pub(crate) fn now(&self) -> Ms {
        self.now
    }

    pub(crate) fn after(&mut self, delay: Ms, event: E) {
        self.scheduled += 1;
        self.events.insert((self.now + delay, self.scheduled), event);
    }

    /// The next event; time moves to it.
    pub(crate) fn next(&mut self) -> Option<E> {
        let ((at, _), event) = self.events.pop_first()?;
        self.now = at;
        Some(event)
    }
}
