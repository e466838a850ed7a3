//! Printers: what they are told, what they answer, and when a receipt may be called printed.
//!
//! A [`Dialect`] is a printer's language; [`Printer`] is the job state machine all of them share.
//! What "printed" rests on is always said with it, as a [`Level`].

pub mod driver;
pub mod escpos;
mod job;
pub mod profile;
pub mod raw;
pub mod star;
pub mod zpl;

pub use driver::Printer;
pub use job::{Doubt, Event, JOB_BYTES_MAX, Job, NotReady, Verdict};
pub use profile::{Cut, Profile, Proof};

use serde::{Deserialize, Serialize};

use crate::receipt::Drawer;

/// How it is known that a job was printed, weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// The bytes were handed to the port, and that is all anyone knows.
    HandedOver,
    /// The bytes left this host and the printer reports no trouble afterwards.
    StatusGood,
    /// The printer answered a question placed behind the job's last byte.
    Processed,
    /// The printer returned the job's own number after printing.
    ProcessId,
}

/// How much paper is left.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Paper {
    /// The printer did not tell.
    #[default]
    Unknown,
    /// Enough.
    Present,
    /// The roll is nearly at its end: a warning, not an error.
    NearEnd,
    /// None.
    Out,
}

/// What a printer reports about itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Whether it says it is offline.
    pub offline: bool,
    /// Whether its cover is open.
    pub cover_open: bool,
    /// Its paper.
    pub paper: Paper,
    /// Its knife is stuck.
    pub cutter_error: bool,
    /// An error that a command can clear once its cause is gone.
    pub recoverable_error: bool,
    /// An error that needs a power cycle or a service.
    pub unrecoverable_error: bool,
    /// An error that clears itself, such as a hot print head.
    pub waits_to_recover: bool,
    /// The level of the drawer's sensor wire; what it means depends on the drawer.
    pub drawer_high: Option<bool>,
}

/// Why a printer cannot print now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Trouble {
    /// The cover is open.
    #[error("its cover is open")]
    CoverOpen,
    /// There is no paper.
    #[error("it is out of paper")]
    PaperOut,
    /// The knife is stuck.
    #[error("its cutter is stuck")]
    Cutter,
    /// A clearable error.
    #[error("it reports an error")]
    Error,
    /// A fatal error.
    #[error("it reports an error that needs a service")]
    Unrecoverable,
    /// It cools down.
    #[error("it waits to recover by itself")]
    Recovering,
    /// Offline for a reason it does not tell.
    #[error("it is offline")]
    Offline,
    /// It takes no bytes.
    #[error("it takes no data")]
    Stalled,
    /// It does not answer.
    #[error("it does not answer")]
    Silent,
}

impl Status {
    /// The gravest reason not to print, if there is one.
    #[must_use]
    pub fn trouble(&self) -> Option<Trouble> {
        if self.unrecoverable_error {
            Some(Trouble::Unrecoverable)
        } else if self.cover_open {
            Some(Trouble::CoverOpen)
        } else if self.paper == Paper::Out {
            Some(Trouble::PaperOut)
        } else if self.cutter_error {
            Some(Trouble::Cutter)
        } else if self.waits_to_recover {
            Some(Trouble::Recovering)
        } else if self.recoverable_error {
            Some(Trouble::Error)
        } else if self.offline {
            Some(Trouble::Offline)
        } else {
            None
        }
    }
}

/// What one received byte completed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// Nothing yet, or noise.
    Nothing,
    /// The printer spoke; its status may have changed.
    Spoke,
    /// The answer to the question asked last.
    Answered,
    /// The printer is past the job with this mark.
    Reached(u16),
}

/// What to do with a job that an error stopped, once the cause is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Recovery {
    /// Go on where the error struck.
    Resume,
    /// Forget what was not printed.
    Discard,
}

/// A printer's language.
pub trait Dialect: Send {
    /// Forgets everything heard: the printer may be another one now.
    fn reset(&mut self);

    /// What to send first on a new connection; never prints.
    fn greet(&self) -> Vec<u8>;

    /// What brings a parser that was left in the middle of a picture back to its senses.
    fn resync(&self) -> Vec<u8>;

    /// Whether [`Dialect::resync`] also throws away whole jobs that the printer still holds.
    fn resync_cancels(&self) -> bool;

    /// The `step`-th question of a round of status questions; `None` ends the round.
    fn ask(&mut self, step: usize) -> Option<Vec<u8>>;

    /// A job's bytes with what must stand before them and the proof behind them.
    fn frame(&mut self, body: &[u8], mark: u16) -> Vec<u8>;

    /// What was asked for and not answered by now never will be.
    fn give_up(&mut self);

    /// Takes one byte from the printer.
    fn handle_byte(&mut self, byte: u8) -> Heard;

    /// What the printer reported so far.
    fn status(&self) -> Status;

    /// Whether the printer answers at all.
    fn answers(&self) -> bool;

    /// Whether silence is how the printer says that it is in trouble, and not that it is gone.
    fn falls_silent_in_trouble(&self) -> bool;

    /// What a framed job can prove.
    fn level(&self) -> Level;

    /// Bytes the printer prints in a second, to know how long a job may take.
    fn bytes_per_second(&self) -> u32;

    /// Opens a drawer, when the bytes before this are worked through.
    fn kick(&self, drawer: Drawer) -> Option<Vec<u8>>;

    /// Opens a drawer at once, also while the printer works through nothing.
    fn kick_at_once(&self, drawer: Drawer) -> Option<Vec<u8>>;

    /// Clears an error.
    fn recover(&self, how: Recovery) -> Option<Vec<u8>>;
}

impl Dialect for Box<dyn Dialect> {
    fn reset(&mut self) {
        (**self).reset();
    }
    fn greet(&self) -> Vec<u8> {
        (**self).greet()
    }
    fn resync(&self) -> Vec<u8> {
        (**self).resync()
    }
    fn resync_cancels(&self) -> bool {
        (**self).resync_cancels()
    }
    fn ask(&mut self, step: usize) -> Option<Vec<u8>> {
        (**self).ask(step)
    }
    fn frame(&mut self, body: &[u8], mark: u16) -> Vec<u8> {
        (**self).frame(body, mark)
    }
    fn give_up(&mut self) {
        (**self).give_up();
    }
    fn handle_byte(&mut self, byte: u8) -> Heard {
        (**self).handle_byte(byte)
    }
    fn status(&self) -> Status {
        (**self).status()
    }
    fn answers(&self) -> bool {
        (**self).answers()
    }
    fn falls_silent_in_trouble(&self) -> bool {
        (**self).falls_silent_in_trouble()
    }
    fn level(&self) -> Level {
        (**self).level()
    }
    fn bytes_per_second(&self) -> u32 {
        (**self).bytes_per_second()
    }
    fn kick(&self, drawer: Drawer) -> Option<Vec<u8>> {
        (**self).kick(drawer)
    }
    fn kick_at_once(&self, drawer: Drawer) -> Option<Vec<u8>> {
        (**self).kick_at_once(drawer)
    }
    fn recover(&self, how: Recovery) -> Option<Vec<u8>> {
        (**self).recover(how)
    }
}
