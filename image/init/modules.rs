//! The kernel modules that the initrd brings, in the order in which they need each other.

use std::fs::{self, File};

use nix::errno::Errno;
use nix::kmod::{ModuleInitFlags, finit_module};

pub(crate) const FOLDER: &str = "/modules";
const LIST: &str = "/modules/list";

/// Loads all that the list names. One that has no hardware here, or is built in, is no failure:
/// whether the root can be reached shows soon enough.
pub(crate) fn load_all() {
    let list = fs::read_to_string(LIST).unwrap_or_default();
    for name in list.lines() {
        match load(name) {
            Ok(()) | Err(Errno::EEXIST | Errno::ENODEV) => {}
            Err(error) => crate::log(&format!("module {name}: {error}")),
        }
    }
}

fn load(name: &str) -> Result<(), Errno> {
    let file = File::open(format!("{FOLDER}/{name}"))
        .map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or_default()))?;
    finit_module(&file, c"", ModuleInitFlags::empty())
}
