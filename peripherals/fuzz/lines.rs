//! The promise of every line: how its bytes were split never changes its events.

use std::fmt::Debug;
use std::time::{Duration, Instant};

use storebox_peripherals::line::Line;

use crate::driver::now;

/// Events and bytes that one input may come to.
const STEPS_MAX: usize = 10_000;

fn drain<L: Line>(line: &mut L, told: &mut Vec<L::Event>) {
    for _ in 0..STEPS_MAX {
        let sent = line.poll_transmit().is_some();
        let event = line.poll_event();
        if event.is_none() && !sent {
            return;
        }
        told.extend(event);
    }
    panic!("the line never comes to rest");
}

fn events<L: Line>(mut line: L, pieces: &[&[u8]], start: Instant) -> Vec<L::Event> {
    let mut told = Vec::new();
    line.handle_opened(start);
    drain(&mut line, &mut told);
    line.handle_drained(start);
    // The first question is asked when its time has come.
    if line.poll_timeout().is_some_and(|at| at <= start) {
        line.handle_timeout(start);
    }
    drain(&mut line, &mut told);
    for piece in pieces {
        line.handle_input(piece, start);
        drain(&mut line, &mut told);
    }
    let later = start + Duration::from_secs(3600);
    if line.poll_timeout().is_some() {
        line.handle_timeout(later);
    }
    drain(&mut line, &mut told);
    line.handle_hangup(later);
    drain(&mut line, &mut told);
    told
}

/// Feeds the input whole, byte by byte and in two pieces; gives the events, which must agree.
pub(crate) fn split_anywhere<L: Line>(make: impl Fn() -> L, input: &[u8]) -> Vec<L::Event>
where
    L::Event: Debug + PartialEq,
{
    let start = now();
    let whole = events(make(), &[input], start);
    let bytes: Vec<&[u8]> = input.chunks(1).collect();
    assert_eq!(events(make(), &bytes, start), whole, "byte by byte");
    let (head, tail) = input.split_at(input.len() / 2);
    assert_eq!(events(make(), &[head, tail], start), whole, "in two pieces");
    whole
}
