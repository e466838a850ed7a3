//! Which of the two slots starts, as a pure machine.
//!
//! The boot loader counts a try before every start and writes it down; a start that reaches a good
//! self-test confirms its slot. What never confirms runs out of tries, and the other slot starts.
//!
//! ```text
//!            begin_install            finish_install              confirm
//!   any ───────────────────▶ unwritten ─────────────▶ fresh (3 tries) ────────▶ confirmed (9 tries)
//!                                                       │ tries used up              │ tries used up
//!                                                       ▼                            ▼
//!                                            the other slot starts; its confirmation condemns
//!                                            a fresh slot that never made it
//! ```
//!
//! Counting tries counts power cuts too: three quick ones in a shop with bad wiring would throw a
//! good release back. A slot that was confirmed once therefore has many more tries.
//!
//! GRUB runs the same machine as a script, `grub/grub.cfg`; a test compares the two in every state.
//!
//! Invariants: [`State::choose`] always names a slot, whatever the state; a slot that works is
//! started within [`STARTS_MAX`] starts from any state; a slot that is being written is started
//! only when the other one has used up its tries.

pub mod grubenv;
pub mod rauc;

use std::fmt;

/// Tries of a release that never proved itself.
pub const TRIES_FRESH: u8 = 3;
/// Tries of a release that did: power cuts, not the release, are the likely reason.
pub const TRIES_CONFIRMED: u8 = 9;
/// Tries of a slot that is not whole, once nothing better is left.
const TRIES_LAST_RESORT: u8 = 1;
/// Every slot is started at least once in as many starts: one slot's rest, and a whole round.
pub const STARTS_MAX: u32 = 2 * (TRIES_CONFIRMED as u32 + TRIES_LAST_RESORT as u32) + 1;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Slot {
    A,
    B,
}

impl Slot {
    pub const BOTH: [Self; 2] = [Self::A, Self::B];

    pub fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::A => "A",
            Self::B => "B",
        })
    }
}

/// What is known of one slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record {
    /// Wholly written and not condemned.
    pub whole: bool,
    /// Starts since the last confirmation.
    pub tries: u8,
    /// A start of this release once passed its self-test.
    pub confirmed: bool,
}

impl Record {
    fn tries_max(self) -> u8 {
        match (self.whole, self.confirmed) {
            (false, _) => TRIES_LAST_RESORT,
            (true, false) => TRIES_FRESH,
            (true, true) => TRIES_CONFIRMED,
        }
    }

    fn has_tries(self) -> bool {
        self.tries < self.tries_max()
    }
}

/// The whole state, as the boot loader keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State {
    first: Slot,
    a: Record,
    b: Record,
}

/// What the boot loader does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Choice {
    pub slot: Slot,
    pub why: Why,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// It comes first.
    Preferred,
    /// The first one has no tries left, or is not whole.
    FellBack,
    /// Nothing whole has tries left; a slot that is not whole is better than a dark box.
    LastResort,
    /// Everything was tried: from the beginning.
    StartedOver,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum InstallError {
    #[error("slot {target} is running, an update goes into the other one")]
    Running { target: Slot },
    #[error("slot {running} is running and not confirmed yet, its way back must stay")]
    Unconfirmed { running: Slot },
    #[error("slot {target} was not being written")]
    NotBegun { target: Slot },
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("slot {to} is not whole, there is nothing to go back to")]
pub struct RollbackError {
    to: Slot,
}

impl State {
    /// A box as it leaves the depot: one release in slot A.
    pub fn flashed() -> Self {
        let a = Record { whole: true, tries: 0, confirmed: false };
        Self { first: Slot::A, a, b: Record { whole: false, ..a } }
    }

    /// What a boot loader assumes that lost its notes: both may be good.
    pub fn unknown() -> Self {
        let either = Record { whole: true, tries: 0, confirmed: false };
        Self { first: Slot::A, a: either, b: either }
    }

    pub fn first(&self) -> Slot {
        self.first
    }

    pub fn record(&self, slot: Slot) -> Record {
        match slot {
            Slot::A => self.a,
            Slot::B => self.b,
        }
    }

    fn record_mut(&mut self, slot: Slot) -> &mut Record {
        match slot {
            Slot::A => &mut self.a,
            Slot::B => &mut self.b,
        }
    }

    fn order(&self) -> [Slot; 2] {
        [self.first, self.first.other()]
    }

    /// The boot loader's step: which slot starts now. Counts the try; write the state down before
    /// the start.
    pub fn choose(&mut self) -> Choice {
        if let Some(choice) = self.choose_with_tries() {
            return choice;
        }
        self.a.tries = 0;
        self.b.tries = 0;
        let again = self.choose_with_tries().expect("with no tries used every slot may be tried");
        Choice { why: Why::StartedOver, ..again }
    }

    fn choose_with_tries(&mut self) -> Option<Choice> {
        let find = |whole: bool| {
            let record = |slot: &Slot| self.record(*slot);
            self.order().into_iter().find(|s| record(s).whole == whole && record(s).has_tries())
        };
        let whole = find(true)
            .map(|slot| (slot, if slot == self.first { Why::Preferred } else { Why::FellBack }));
        let (slot, why) = whole.or_else(|| find(false).map(|slot| (slot, Why::LastResort)))?;
        self.record_mut(slot).tries += 1;
        Some(Choice { slot, why })
    }

    /// The running slot passed its self-test. It stays first; a fresh slot that used up its tries
    /// is condemned, so that nobody starts it again by starting over.
    pub fn confirm(&mut self, running: Slot) {
        let other = self.record_mut(running.other());
        if other.whole && !other.confirmed && !other.has_tries() {
            other.whole = false;
        }
        other.tries = 0;
        *self.record_mut(running) = Record { whole: true, tries: 0, confirmed: true };
        self.first = running;
    }

    /// Before the first byte of an update is written.
    pub fn begin_install(&mut self, target: Slot, running: Slot) -> Result<(), InstallError> {
        if target == running {
            return Err(InstallError::Running { target });
        }
        if !self.record(running).confirmed || self.record(running).tries != 0 {
            return Err(InstallError::Unconfirmed { running });
        }
        *self.record_mut(target) = Record { whole: false, tries: 0, confirmed: false };
        self.first = running;
        Ok(())
    }

    /// After the last byte of an update was written, flushed and read back.
    pub fn finish_install(&mut self, target: Slot) -> Result<(), InstallError> {
        if self.record(target).whole {
            return Err(InstallError::NotBegun { target });
        }
        *self.record_mut(target) = Record { whole: true, tries: 0, confirmed: false };
        self.first = target;
        Ok(())
    }

    /// A slot is known to be bad; the other one comes first if there is anything in it.
    pub fn condemn(&mut self, slot: Slot) {
        *self.record_mut(slot) = Record { whole: false, tries: 0, confirmed: false };
        if self.record(slot.other()).whole {
            self.prefer(slot.other());
        }
    }

    fn prefer(&mut self, slot: Slot) {
        self.record_mut(slot).tries = 0;
        self.first = slot;
    }

    /// A person wants the other release back.
    pub fn roll_back(&mut self, running: Slot) -> Result<Slot, RollbackError> {
        let to = running.other();
        if !self.record(to).whole {
            return Err(RollbackError { to });
        }
        self.prefer(to);
        Ok(to)
    }
}

#[cfg(test)]
mod script;
#[cfg(test)]
mod tests;
