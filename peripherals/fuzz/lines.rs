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

fn events<L: Line>(
    mut line: L,
    begin: impl Fn(&mut L, Instant),
    input: &[u8],
    piece: usize,
) -> Vec<L::Event> {
    let start = now();
    let mut told = Vec::new();
    line.handle_opened(start);
    begin(&mut line, start);
    drain(&mut line, &mut told);
    line.handle_drained(start);
    // The first question is asked when its time has come.
    if line.poll_timeout().is_some_and(|at| at <= start) {
        line.handle_timeout(start);
    }
    drain(&mut line, &mut told);
    for piece in input.chunks(piece) {
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

/// Feeds the input in pieces of `at_once` bytes, of one and of three; gives the events, of which
/// what `counts` makes of them must agree.
pub(crate) fn split_anywhere<L: Line, C: Debug + PartialEq>(
    make: impl Fn() -> L,
    begin: impl Fn(&mut L, Instant),
    input: &[u8],
    at_once: usize,
    counts: impl Fn(&[L::Event]) -> C,
) -> Vec<L::Event> {
    let told = events(make(), &begin, input, at_once);
    for piece in [1, 3] {
        let split = events(make(), &begin, input, piece);
        assert_eq!(counts(&split), counts(&told), "in pieces of {piece} bytes");
    }
    told
}
