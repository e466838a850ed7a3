//! What the service may know of the two slots: a small file for it to read, written anew whenever something changes.
//!
//! The boot loader's block and the history of updates are root's; this is a copy that anybody on the box may read.
//! It lies where it is gone with the next start, so that it never tells of a start that is over.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use serde::Serialize;

use super::{Error, Places, announce, history, io_error, load_env, replace};
use crate::slot::rauc::running;
use crate::slot::{Slot, State};

/// Lines that are told, the newest first.
const UPDATES_MAX: usize = 20;

#[derive(Serialize)]
struct Told {
    running: String,
    version: String,
    slots: Vec<ToldSlot>,
    updates: Vec<history::Line>,
    /// How far an update is that is being written, in percent.
    #[serde(skip_serializing_if = "Option::is_none")]
    installing: Option<u8>,
}

#[derive(Serialize)]
struct ToldSlot {
    name: String,
    first: bool,
    whole: bool,
    confirmed: bool,
    tries: u8,
}

/// Writes the copy; a box that cannot goes on, and its console says why.
pub fn publish(places: &Places) {
    publish_while(places, None);
}

/// The same while an update is being written, so many percent of it.
pub fn publish_while(places: &Places, installing: Option<u8>) {
    if let Err(error) = write(places, installing) {
        announce::on_console(places, &format!("the service does not hear of the slots: {error}"));
    }
}

fn write(places: &Places, installing: Option<u8>) -> Result<(), Error> {
    let state = load_env(&places.env())?.state();
    let mut updates = history::load(places)?;
    history::trim(&mut updates, UPDATES_MAX);
    updates.reverse();
    let told = Told {
        running: running(&places.cmdline()?)?.to_string(),
        version: places.version()?,
        slots: Slot::BOTH.into_iter().map(|slot| told(&state, slot)).collect(),
        updates,
        installing,
    };
    let path = places.run().join("slots.json");
    let text = serde_json::to_vec(&told).expect("texts and numbers are JSON");
    replace(&path, &text)?;
    for (path, mode) in [(places.run(), 0o755), (path, 0o644)] {
        fs::set_permissions(&path, Permissions::from_mode(mode))
            .map_err(io_error("open", &path))?;
    }
    Ok(())
}

fn told(state: &State, slot: Slot) -> ToldSlot {
    let record = state.record(slot);
    ToldSlot {
        name: slot.to_string(),
        first: state.first() == slot,
        whole: record.whole,
        confirmed: record.confirmed,
        tries: record.tries,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slot::grubenv::Env;
    use crate::steward::history::Event;
    use serde_json::Value;

    #[test]
    fn everybody_on_the_box_may_read_which_slot_runs_and_what_became_of_releases() {
        let dir = tempfile::tempdir().unwrap();
        let places = Places::new(dir.path());
        for (path, text) in [
            ("proc/cmdline", "quiet rauc.slot=B ro"),
            ("usr/lib/os-release", "ID=debian\nIMAGE_VERSION=\"1.4.0\"\n"),
        ] {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        fs::create_dir_all(dir.path().join("efi/grub")).unwrap();
        let mut env = Env::default();
        let mut state = State::flashed();
        state.confirm(Slot::A);
        env.set_state(&state);
        places.env().store(&env).unwrap();
        for event in [Event::Installed, Event::Confirmed] {
            history::note(&places, event, "1.4.0", "aa", "").unwrap();
        }
        write(&places, None).unwrap();
        let path = dir.path().join("run/storebox-box/slots.json");
        let told: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        assert_eq!((&told["running"], &told["version"]), (&"B".into(), &"1.4.0".into()), "{told}");
        assert_eq!(
            (&told["slots"][0]["confirmed"], &told["slots"][1]["whole"]),
            (&true.into(), &false.into())
        );
        assert_eq!(told["updates"][0]["event"], "confirmed", "{told}");
        assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o644);
    }
}
