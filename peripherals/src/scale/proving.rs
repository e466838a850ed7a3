//! What every scale protocol must survive, stated once and used by each protocol's tests.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::{Ask, Event, Outcome, Pace, Protocol, Scale, Weigher};
use crate::line::{Line, start};

/// What one weighing came to when the scale answers `reply`.
pub(super) fn weigh<P: Protocol>(protocol: P, reply: &[u8]) -> Outcome {
    match ask(protocol, Ask::Weigh, reply) {
        Event::Reading(reading) => reading.outcome,
        other @ (Event::Done(_) | Event::Refused { .. }) => panic!("no reading but {other:?}"),
    }
}

/// What a question came to when the scale answers `reply`.
pub(super) fn ask<P: Protocol>(protocol: P, ask: Ask, reply: &[u8]) -> Event {
    let now = start();
    let mut scale = Scale::new(protocol, Pace { every: None, tries: 1 });
    scale.handle_opened(now);
    scale.ask(ask, now);
    scale.handle_input(reply, now);
    if let Some(event) = scale.poll_event() {
        return event;
    }
    while let Some(at) = scale.poll_timeout() {
        scale.handle_timeout(at);
    }
    scale.poll_event().expect("a question ends in an event")
}

/// The same bytes in any pieces give the same events, and no bytes at all panic.
pub(super) fn survives_anything<P: Protocol>(make: impl Fn() -> P, sample: &[u8]) {
    let bytes = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..160),
        (proptest::collection::vec(any::<u8>(), 0..6), 0..sample.len().max(1), any::<u8>())
            .prop_map(|(noise, at, byte)| {
                let mut bytes = noise;
                bytes.extend_from_slice(sample);
                bytes.extend_from_slice(sample);
                let at = at.min(bytes.len() - 1);
                bytes[at] = byte;
                bytes
            }),
    ];
    let cuts = proptest::collection::vec(any::<prop::sample::Index>(), 0..5);
    let mut runner = TestRunner::new(Config { cases: 200, ..Config::default() });
    runner
        .run(&(bytes, cuts), |(bytes, cuts)| {
            let mut at: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            at.sort_unstable();
            prop_assert_eq!(events(make(), &bytes, &[]), events(make(), &bytes, &at));
            Ok(())
        })
        .unwrap();
}

fn events<P: Protocol>(protocol: P, bytes: &[u8], cuts: &[usize]) -> Vec<Outcome> {
    let now = start();
    let mut scale = Scale::new(protocol, Pace { every: None, tries: 2 });
    scale.handle_opened(now);
    scale.ask(Ask::Weigh, now);
    let mut from = 0;
    for &cut in cuts.iter().chain([&bytes.len()]) {
        scale.handle_input(&bytes[from..cut], now);
        from = cut;
    }
    while let Some(at) = scale.poll_timeout() {
        scale.handle_timeout(at);
    }
    let mut seen = Vec::new();
    while let Some(event) = scale.poll_event() {
        if let Event::Reading(reading) = event {
            seen.push(reading.outcome);
        }
    }
    seen
}
