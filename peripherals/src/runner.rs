//! One loop for every device: moves bytes between a [`Port`] and a [`Line`].
//!
//! A runner is one device's thread in the making; it shares nothing, so a stuck device disturbs no
//! other.
//! One turn reads and sends a bounded amount, so a device that never stops talking cannot starve
//! its own timers, and all events of a turn are collected before the next bytes are read.
//!
//! It never retries and never reopens: after an error the owner drops it, finds the device again
//! by its identity, and goes on with the same line in a new runner.

use std::time::{Duration, Instant};

use crate::line::{INPUT_BYTES_MAX, Line, Transmit};
use crate::port::{Port, PortError, Want};

/// How often undelivered bytes are looked at while a line waits for them to leave.
const DRAIN_LOOK: Duration = Duration::from_millis(10);

/// A line on a port.
#[derive(Debug)]
pub struct Runner<L, P> {
    line: L,
    port: P,
    sending: Vec<u8>,
    sent: usize,
    drained: bool,
    over: bool,
}

impl<L: Line, P: Port> Runner<L, P> {
    /// Joins a line and a port that was just opened.
    pub fn new(mut line: L, port: P, now: Instant) -> Self {
        line.handle_opened(now);
        Self { line, port, sending: Vec::new(), sent: 0, drained: true, over: false }
    }

    /// The line, to give it commands; the next turn carries them out.
    pub fn line(&mut self) -> &mut L {
        &mut self.line
    }

    /// Takes the line back, to go on with another port.
    pub fn into_line(self) -> L {
        self.line
    }

    /// Does everything possible now, waiting at most `wait_max` for more, and returns what happened.
    ///
    /// After an error the line has been told of the hang-up; collect its last events through
    /// [`Runner::line`] and drop the runner, which closes the port.
    pub fn turn(
        &mut self,
        clock: &impl Fn() -> Instant,
        wait_max: Duration,
    ) -> Result<Vec<L::Event>, PortError> {
        match self.try_turn(clock, wait_max) {
            Ok(()) => Ok(std::iter::from_fn(|| self.line.poll_event()).collect()),
            Err(error) => {
                if !self.over {
                    self.over = true;
                    self.line.handle_hangup(clock());
                }
                Err(error)
            }
        }
    }

    fn try_turn(
        &mut self,
        clock: &impl Fn() -> Instant,
        wait_max: Duration,
    ) -> Result<(), PortError> {
        self.send(clock)?;
        let moved = self.receive(clock)?;
        self.fire_timer(clock());
        self.send(clock)?;
        if moved {
            return Ok(());
        }
        let pause = self.pause(clock(), wait_max);
        let want = Want { read: true, write: self.sent < self.sending.len() };
        self.port.wait(want, pause)?;
        self.receive(clock)?;
        self.fire_timer(clock());
        self.send(clock)
    }

    fn pause(&self, now: Instant, wait_max: Duration) -> Duration {
        let wait = if self.drained { wait_max } else { wait_max.min(DRAIN_LOOK) };
        self.line.poll_timeout().map_or(wait, |at| at.saturating_duration_since(now).min(wait))
    }

    fn fire_timer(&mut self, now: Instant) {
        if self.line.poll_timeout().is_some_and(|at| at <= now) {
            self.line.handle_timeout(now);
        }
    }

    fn receive(&mut self, clock: &impl Fn() -> Instant) -> Result<bool, PortError> {
        let mut buffer = [0; INPUT_BYTES_MAX];
        let count = self.port.read(&mut buffer)?;
        if count > 0 {
            self.line.handle_input(&buffer[..count], clock());
        }
        Ok(count > 0)
    }

    fn send(&mut self, clock: &impl Fn() -> Instant) -> Result<(), PortError> {
        loop {
            if self.sent == self.sending.len() {
                let Some(Transmit { bytes, discard_input }) = self.line.poll_transmit() else {
                    break;
                };
                if discard_input {
                    self.port.discard_input()?;
                }
                (self.sending, self.sent, self.drained) = (bytes, 0, false);
            }
            let count = self.port.write(&self.sending[self.sent..])?;
            self.sent += count;
            if count == 0 && self.sent < self.sending.len() {
                return Ok(());
            }
        }
        if !self.drained && self.port.undelivered().unwrap_or(0) == 0 {
            self.drained = true;
            self.line.handle_drained(clock());
        }
        Ok(())
    }
}
