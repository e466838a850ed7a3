//! An ESC/POS printer of paper that is not there.
//!
//! It draws what a real one would: a [`Sheet`] per receipt, cut where it is cut.
//! Like a real one it keeps what it cannot print yet (no paper, cover open, knife stuck), answers
//! real-time requests meanwhile, prints the rest when it is helped, and loses everything in its
//! memory when its plug is pulled, printing the half-finished line first.

mod graphics;
mod paper;

use std::collections::VecDeque;
use std::str::FromStr;
use std::time::{Duration, Instant};

use super::script::Script;
use crate::line::{Line, Transmit};
use crate::printer::Profile;
use crate::printer::raw::{self, Step};
use crate::receipt::{Drawer, Sheet};
use paper::{Paper, Reaction};

/// Bytes of receive memory; what does not fit is lost, as in a printer without flow control.
const MEMORY_BYTES: usize = 1 << 20;
const EVENTS_MAX: usize = 256;

/// Something done to the printer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// The roll ends.
    PaperOut,
    /// The roll is nearly at its end.
    PaperLow,
    /// A new roll.
    PaperIn,
    /// Somebody opens the cover.
    CoverOpen,
    /// Somebody closes it.
    CoverClose,
    /// The knife gets stuck at its next cut.
    CutterJam,
    /// The knife is free again; a command must say how to go on.
    CutterFree,
    /// The plug is pulled.
    PowerCut,
    /// The plug is back.
    PowerOn,
    /// Somebody closes the drawer.
    DrawerClose,
    /// Somebody opens the drawer with a key.
    DrawerOpen,
    /// It answers nothing any more.
    Mute,
}

impl FromStr for Act {
    type Err = UnknownAct;

    fn from_str(text: &str) -> Result<Self, UnknownAct> {
        Ok(match text {
            "paper-out" => Self::PaperOut,
            "paper-low" => Self::PaperLow,
            "paper-in" => Self::PaperIn,
            "cover-open" => Self::CoverOpen,
            "cover-close" => Self::CoverClose,
            "cutter-jam" => Self::CutterJam,
            "cutter-free" => Self::CutterFree,
            "power-cut" => Self::PowerCut,
            "power-on" => Self::PowerOn,
            "drawer-close" => Self::DrawerClose,
            "drawer-open" => Self::DrawerOpen,
            "mute" => Self::Mute,
            _ => return Err(UnknownAct),
        })
    }
}

/// A text that names no act.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("act on the simulator: no such act")]
pub struct UnknownAct;

/// What happened at the printer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A receipt came off.
    Receipt(Sheet),
    /// A drawer opened.
    DrawerOpened(Drawer),
    /// It sounded.
    Buzzed,
    /// It lost its power; the port should go with it. What it had printed is given.
    PowerLost(Sheet),
    /// It has power again.
    PowerBack,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Roll {
    #[default]
    Full,
    Low,
    Out,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Knife {
    #[default]
    Fine,
    /// Gets stuck at the next cut.
    Bad,
    Stuck,
    /// Freed by hand; waits for a command.
    Freed,
}

/// A simulated printer.
#[derive(Debug)]
pub struct PrinterSim {
    paper: Paper,
    memory: VecDeque<u8>,
    /// The last two bytes received, in which a real-time command may have begun.
    recent: [u8; 2],
    roll: Roll,
    cover_open: bool,
    knife: Knife,
    drawer_open: bool,
    powered: bool,
    mute: bool,
    reports: u8,
    received: u64,
    script: Script<Act>,
    started: Option<Instant>,
    out: VecDeque<Transmit>,
    events: VecDeque<Event>,
}

impl PrinterSim {
    /// A printer of a model, in good order.
    #[must_use]
    pub fn new(profile: Profile, script: Script<Act>) -> Self {
        Self {
            paper: Paper::new(profile),
            memory: VecDeque::new(),
            recent: [0; 2],
            roll: Roll::Full,
            cover_open: false,
            knife: Knife::Fine,
            drawer_open: false,
            powered: true,
            mute: false,
            reports: 0,
            received: 0,
            script,
            started: None,
            out: VecDeque::new(),
            events: VecDeque::new(),
        }
    }

    /// Does something to it.
    pub fn act(&mut self, act: Act) {
        let before = self.report();
        match act {
            Act::PaperOut => self.roll = Roll::Out,
            Act::PaperLow => self.roll = Roll::Low,
            Act::PaperIn => self.roll = Roll::Full,
            Act::CoverOpen => self.cover_open = true,
            Act::CoverClose => self.cover_open = false,
            Act::CutterJam => self.knife = Knife::Bad,
            Act::CutterFree => {
                self.knife = if self.knife == Knife::Stuck { Knife::Freed } else { Knife::Fine };
            }
            Act::PowerCut if self.powered => return self.lose_power(),
            Act::PowerOn if !self.powered => {
                self.powered = true;
                return self.tell(Event::PowerBack);
            }
            Act::PowerCut | Act::PowerOn => {}
            Act::DrawerClose => self.drawer_open = false,
            Act::DrawerOpen => self.drawer_open = true,
            Act::Mute => self.mute = true,
        }
        self.report_change(before);
        self.print();
    }

    /// What was printed since the last cut.
    #[must_use]
    pub fn uncut(&self) -> Sheet {
        self.paper.sheet()
    }

    /// How many bytes it did not understand.
    #[must_use]
    pub fn unknown_bytes(&self) -> u64 {
        self.paper.unknown
    }

    fn tell(&mut self, event: Event) {
        if self.events.len() == EVENTS_MAX {
            self.events.pop_front();
        }
        self.events.push_back(event);
    }

    fn answer(&mut self, bytes: impl Into<Vec<u8>>) {
        if self.powered && !self.mute {
            self.out.push_back(Transmit::plain(bytes));
        }
    }

    fn lose_power(&mut self) {
        self.powered = false;
        self.paper.end_line();
        self.memory.clear();
        self.out.clear();
        self.recent = [0; 2];
        self.reports = 0;
        if self.knife == Knife::Freed {
            self.knife = Knife::Fine;
        }
        let sheet = self.paper.tear_off();
        self.paper.reset();
        self.tell(Event::PowerLost(sheet));
    }

    fn offline(&self) -> bool {
        let stuck = matches!(self.knife, Knife::Stuck | Knife::Freed);
        self.roll == Roll::Out || self.cover_open || stuck
    }

    fn report(&self) -> [u8; 4] {
        let bit = |set: bool, mask: u8| if set { mask } else { 0 };
        let stuck = matches!(self.knife, Knife::Stuck | Knife::Freed);
        [
            0x10 | bit(self.drawer_open, 0x04)
                | bit(self.offline(), 0x08)
                | bit(self.cover_open, 0x20),
            bit(stuck, 0x08),
            bit(self.roll != Roll::Full, 0x03) | bit(self.roll == Roll::Out, 0x0C),
            0,
        ]
    }

    fn report_change(&mut self, before: [u8; 4]) {
        let now = self.report();
        if self.reports != 0 && now != before {
            self.answer(now);
        }
    }

    fn real_time(&mut self, command: [u8; 3]) {
        let bit = |set: bool, mask: u8| if set { mask } else { 0 };
        let report = self.report();
        match command {
            [0x10, 0x04, 1] => {
                let state = bit(self.drawer_open, 0x04) | bit(self.offline(), 0x08);
                self.answer([0x12 | state]);
            }
            [0x10, 0x04, 2] => {
                let stuck = report[1] != 0;
                let state = bit(self.cover_open, 0x04)
                    | bit(self.roll == Roll::Out, 0x20)
                    | bit(stuck, 0x40);
                self.answer([0x12 | state]);
            }
            [0x10, 0x04, 3] => self.answer([0x12 | report[1]]),
            [0x10, 0x04, 4] => {
                let state = bit(self.roll != Roll::Full, 0x0C) | bit(self.roll == Roll::Out, 0x60);
                self.answer([0x12 | state]);
            }
            [0x10, 0x05, how @ (1 | 2)] if self.knife == Knife::Freed => {
                self.knife = Knife::Fine;
                if how == 2 {
                    self.memory.clear();
                    self.paper.drop_line();
                }
                self.report_change(report);
                self.print();
            }
            _ => {}
        }
    }

    /// A drawer's pulse in real time comes also while nothing else is worked through.
    fn pulse_at_once(&mut self) {
        let Some(at) = self.memory.len().checked_sub(5).filter(|_| self.offline()) else { return };
        if let [0x10, 0x14, 1, pin, _] = self.memory.make_contiguous()[at..] {
            self.memory.truncate(at);
            let drawer = if pin == 1 { Drawer::Second } else { Drawer::First };
            self.react(Reaction::Kick(drawer));
        }
    }

    /// Prints as much of its memory as it can.
    fn print(&mut self) {
        while self.powered && !self.offline() && !self.memory.is_empty() {
            let length = match raw::step(self.memory.make_contiguous()) {
                Step::Short => return,
                Step::Length(length) if length > self.memory.len() => return,
                Step::Length(length) => length,
                Step::Unknown => {
                    self.paper.unknown += 1;
                    1
                }
            };
            let command: Vec<u8> = self.memory.drain(..length).collect();
            for reaction in self.paper.take(&command) {
                self.react(reaction);
            }
        }
    }

    fn react(&mut self, reaction: Reaction) {
        match reaction {
            Reaction::Cut => {
                if self.knife == Knife::Bad {
                    let before = self.report();
                    self.knife = Knife::Stuck;
                    self.report_change(before);
                }
                let sheet = self.paper.tear_off();
                self.tell(Event::Receipt(sheet));
            }
            Reaction::Kick(drawer) => {
                let before = self.report();
                self.drawer_open = true;
                self.report_change(before);
                self.tell(Event::DrawerOpened(drawer));
            }
            Reaction::Buzz => self.tell(Event::Buzzed),
            Reaction::Reports(which) => {
                self.reports = which;
                if which != 0 {
                    self.answer(self.report());
                }
            }
            Reaction::Reset => self.reports = 0,
            Reaction::PaperStatus => self.answer([self.report()[2]]),
            Reaction::DrawerStatus => self.answer([u8::from(self.drawer_open)]),
            Reaction::ProcessId(digits) => {
                self.answer([&[0x37, 0x22][..], &digits, &[0]].concat());
            }
            Reaction::Identity(text) => self.answer([&[0x5F][..], text.as_bytes(), &[0]].concat()),
        }
    }

    fn elapsed(&self, now: Instant) -> Duration {
        self.started.map_or(Duration::ZERO, |from| now.saturating_duration_since(from))
    }

    fn run_script(&mut self, now: Instant) {
        for act in self.script.take_due(self.received, self.elapsed(now)) {
            self.act(act);
        }
    }
}

impl Line for PrinterSim {
    type Event = Event;

    fn handle_opened(&mut self, now: Instant) {
        self.started.get_or_insert(now);
        self.run_script(now);
    }

    fn handle_input(&mut self, bytes: &[u8], now: Instant) {
        for byte in bytes {
            if !self.powered {
                return;
            }
            self.received += 1;
            let command = [self.recent[0], self.recent[1], *byte];
            self.recent = [self.recent[1], *byte];
            if self.memory.len() < MEMORY_BYTES {
                self.memory.push_back(*byte);
            }
            if command[0] == 0x10 {
                self.real_time(command);
            }
            self.pulse_at_once();
            self.run_script(now);
        }
        self.print();
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.run_script(now);
    }

    fn handle_hangup(&mut self, _now: Instant) {}

    fn poll_transmit(&mut self) -> Option<Transmit> {
        self.out.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        Some(self.started? + self.script.next_time()?)
    }

    fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }
}

#[cfg(test)]
mod tests;
