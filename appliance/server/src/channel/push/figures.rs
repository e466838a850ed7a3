//! How pushes do, in numbers that are ready when somebody asks for the state of the box.

use std::sync::{Arc, PoisonError};

use storebox_proto::estate::channel::{Delivery, PushDefinition};
use storebox_proto::time::Timestamp;

use super::Inner;

/// One definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Figure {
    /// Its id.
    pub id: String,
    /// Its channel.
    pub channel_id: String,
    /// How it gets there.
    pub delivery: Delivery,
    /// Records that wait.
    pub waiting: u64,
    /// When the first of them was noticed.
    pub oldest: Option<Timestamp>,
    /// Records that the target refused.
    pub dead: u64,
    /// The last delivery.
    pub last: Option<Timestamp>,
    /// Since when the target takes nothing.
    pub failing_since: Option<Timestamp>,
    /// Why.
    pub error: Option<String>,
}

/// Looks at all definitions: blocking.
pub(super) fn take(inner: &Inner) {
    let definitions = inner.parts.channels.definitions();
    let figure = |push: &Arc<PushDefinition>| {
        let course = inner.store.course(&push.id).unwrap_or_default();
        let first = inner.store.waiting(&push.id, 0, 1).ok().and_then(|mut first| first.pop());
        Figure {
            id: push.id.clone(),
            channel_id: push.channel_id.clone(),
            delivery: push.delivery,
            waiting: inner.store.count(&push.id),
            oldest: first.map(|record| record.at),
            dead: inner.store.dead_count(&push.id),
            last: course.last.map(|last| last.at),
            failing_since: course.failing_since,
            error: course.error,
        }
    };
    let figures = definitions.pushes().map(figure).collect();
    *inner.figures.lock().unwrap_or_else(PoisonError::into_inner) = figures;
}
