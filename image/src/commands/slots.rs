//! The slots of a box: what its boot loader will do, and RAUC's requests about it.

use std::fs;
use std::io::Write;

use super::{Failure, io_error};
use crate::args::SlotsArgs;
use crate::slot::grubenv::{Env, EnvFile, EnvFileError};
use crate::slot::rauc::{Request, running};
use crate::slot::{Slot, State};

pub(super) fn run(args: &SlotsArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let file = EnvFile::new(&args.env);
    let words: Vec<&str> = args.words.iter().map(String::as_str).collect();
    if words == ["new"] {
        let mut env = Env::default();
        env.set_state(&State::flashed());
        return Ok(file.store(&env)?);
    }
    let mut env = match file.load() {
        // A torn block starts a slot as if it were not there; the next change makes it whole.
        Err(EnvFileError::Invalid { .. }) => Env::default(),
        other => other?,
    };
    let mut state = env.state();
    if words == ["show"] {
        return show(&state, out);
    }
    let request = Request::parse(&words)?;
    let cmdline = fs::read_to_string(&args.cmdline).map_err(io_error("read", &args.cmdline))?;
    let answer = state.answer(request, running(&cmdline)?)?;
    if state != env.state() {
        env.set_state(&state);
        file.store(&env)?;
    }
    if !answer.is_empty() {
        writeln!(out, "{answer}")?;
    }
    Ok(())
}

fn show(state: &State, out: &mut dyn Write) -> Result<(), Failure> {
    writeln!(out, "next start: slot {}", state.clone().choose().slot)?;
    for slot in Slot::BOTH {
        let record = state.record(slot);
        let condition = match (record.whole, record.confirmed) {
            (false, _) => "empty or bad",
            (true, false) => "not confirmed yet",
            (true, true) => "confirmed",
        };
        let starts = record.tries;
        writeln!(out, "slot {slot}: {condition}, {starts} starts since it last proved itself")?;
    }
    Ok(())
}
