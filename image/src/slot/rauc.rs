//! The questions RAUC asks a custom boot loader backend, answered by the machine.
//!
//! RAUC's own backend for GRUB knows nothing of confirmed slots and rewrites the block by
//! truncating it. With `bootloader=custom` RAUC calls a program with the words below instead:
//! `set-state X bad` before it writes a slot, `set-primary X` after, `set-state X good` when the
//! running release has proved itself (`rauc status mark-good`).
//!
//! What RAUC asks for is granted only where the machine allows it: an update over an unconfirmed
//! way back fails before its first byte.

use std::str::FromStr;

use super::{InstallError, RollbackError, Slot, State};

/// What RAUC, or a person, asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    GetPrimary,
    GetCurrent,
    GetState(Slot),
    SetPrimary(Slot),
    SetGood(Slot),
    SetBad(Slot),
    RollBack,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    #[error("install")]
    Install(#[from] InstallError),
    #[error("go back")]
    Rollback(#[from] RollbackError),
    #[error("slot {slot} cannot be confirmed, {running} is running")]
    NotRunning { slot: Slot, running: Slot },
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRequest {
    #[error("{0:?} is no slot (A or B)")]
    Slot(String),
    #[error("kernel command line has no rauc.slot=A or rauc.slot=B")]
    NoRunningSlot,
    #[error("{0:?} is no request of RAUC")]
    Words(String),
}

impl FromStr for Slot {
    type Err = InvalidRequest;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "A" => Ok(Self::A),
            "B" => Ok(Self::B),
            _ => Err(InvalidRequest::Slot(text.to_owned())),
        }
    }
}

/// The slot that runs, from the kernel's command line.
pub fn running(cmdline: &str) -> Result<Slot, InvalidRequest> {
    let slot = cmdline.split_whitespace().find_map(|word| word.strip_prefix("rauc.slot="));
    slot.ok_or(InvalidRequest::NoRunningSlot)?.parse()
}

impl Request {
    /// The words as RAUC gives them.
    pub fn parse(words: &[&str]) -> Result<Self, InvalidRequest> {
        match words {
            ["get-primary"] => Ok(Self::GetPrimary),
            ["get-current"] => Ok(Self::GetCurrent),
            ["roll-back"] => Ok(Self::RollBack),
            ["get-state", slot] => Ok(Self::GetState(slot.parse()?)),
            ["set-primary", slot] => Ok(Self::SetPrimary(slot.parse()?)),
            ["set-state", slot, "good"] => Ok(Self::SetGood(slot.parse()?)),
            ["set-state", slot, "bad"] => Ok(Self::SetBad(slot.parse()?)),
            _ => Err(InvalidRequest::Words(words.join(" "))),
        }
    }
}

impl State {
    /// Answers a request; a change must be written down by the caller.
    pub fn answer(&mut self, request: Request, running: Slot) -> Result<String, RequestError> {
        match request {
            Request::GetPrimary => Ok(self.clone().choose().slot.to_string()),
            Request::GetCurrent => Ok(running.to_string()),
            Request::GetState(slot) => {
                let record = self.record(slot);
                // The running slot used a try to get here; that is no fault.
                let good = record.whole && (record.has_tries() || slot == running);
                Ok(if good { "good" } else { "bad" }.to_owned())
            }
            Request::SetPrimary(slot) if self.record(slot).whole => {
                self.prefer(slot);
                Ok(String::new())
            }
            Request::SetPrimary(slot) => {
                self.finish_install(slot)?;
                Ok(String::new())
            }
            Request::SetGood(slot) if slot == running => {
                self.confirm(slot);
                Ok(String::new())
            }
            Request::SetGood(slot) => Err(RequestError::NotRunning { slot, running }),
            Request::SetBad(slot) if slot == running => {
                self.condemn(slot);
                Ok(String::new())
            }
            Request::SetBad(slot) => {
                self.begin_install(slot, running)?;
                Ok(String::new())
            }
            Request::RollBack => Ok(self.roll_back(running)?.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(state: &mut State, running: Slot, words: &str) -> Result<String, RequestError> {
        let words: Vec<&str> = words.split(' ').collect();
        state.answer(Request::parse(&words).unwrap(), running)
    }

    #[test]
    fn an_update_by_rauc_goes_its_way_and_only_when_the_way_back_is_confirmed() {
        let mut state = State::flashed();
        let running = state.choose().slot;
        assert_eq!(ask(&mut state, running, "get-current").unwrap(), "A");
        let refused = ask(&mut state, running, "set-state B bad").unwrap_err();
        assert_eq!(refused, RequestError::Install(InstallError::Unconfirmed { running: Slot::A }));
        ask(&mut state, running, "set-state A good").unwrap();
        ask(&mut state, running, "set-state B bad").unwrap();
        assert_eq!(ask(&mut state, running, "get-primary").unwrap(), "A");
        assert_eq!(ask(&mut state, running, "get-state B").unwrap(), "bad");
        ask(&mut state, running, "set-primary B").unwrap();
        assert_eq!(ask(&mut state, running, "get-primary").unwrap(), "B");
        assert_eq!(state.choose().slot, Slot::B);
        assert_eq!(ask(&mut state, Slot::B, "get-state B").unwrap(), "good");
        ask(&mut state, Slot::B, "set-state B good").unwrap();
        assert_eq!(ask(&mut state, Slot::B, "roll-back").unwrap(), "A");
        assert_eq!(state.choose().slot, Slot::A);
    }

    #[test]
    fn a_slot_that_does_not_run_cannot_be_confirmed_and_a_running_one_can_be_condemned() {
        let mut state = State::unknown();
        let error = ask(&mut state, Slot::A, "set-state B good").unwrap_err();
        assert_eq!(error, RequestError::NotRunning { slot: Slot::B, running: Slot::A });
        ask(&mut state, Slot::A, "set-state A bad").unwrap();
        assert_eq!(state.choose().slot, Slot::B);
    }

    #[test]
    fn words_that_rauc_does_not_say_are_refused() {
        for words in [&["get-state"][..], &["set-state", "A", "fine"], &["set-primary", "C"], &[]] {
            assert!(Request::parse(words).is_err(), "{words:?}");
        }
        assert_eq!(running("quiet rauc.slot=B rw\n"), Ok(Slot::B));
        assert_eq!(running("quiet"), Err(InvalidRequest::NoRunningSlot));
        assert_eq!(running("rauc.slot=C"), Err(InvalidRequest::Slot("C".into())));
    }
}
