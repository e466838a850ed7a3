//! A customer display's bay: what was asked for last is what it shows, also after it was plugged in again.

use std::time::Instant;

use storebox_peripherals::display::{Display, Event, Letters, Protocol};
use storebox_proto::problem::Problem;
use tokio::sync::oneshot;

use super::Craft;

/// Two rows to show.
#[derive(Debug)]
pub struct Command {
    /// The upper one.
    pub upper: String,
    /// The lower one.
    pub lower: String,
    /// The way back.
    pub answer: oneshot::Sender<Result<(), Problem>>,
}

/// What the thread of a display does.
pub(in crate::devices) struct DisplayCraft;

impl DisplayCraft {
    /// The line of a display.
    pub(in crate::devices) fn line(protocol: Protocol) -> Display {
        Display::new(protocol, Letters::of(protocol))
    }
}

impl Craft for DisplayCraft {
    type Line = Display;
    type Command = Command;

    fn take(&mut self, line: &mut Display, command: Command, _now: Instant) {
        line.show(&command.upper, &command.lower);
        let _ = command.answer.send(Ok(()));
    }

    fn turn_away(&mut self, command: Command, why: Problem) {
        let _ = command.answer.send(Err(why));
    }

    fn hear(&mut self, event: Event, _now: Instant) {
        match event {}
    }
}
