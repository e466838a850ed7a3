//! What the campaign makes outside of its own mounts and networks, by names that say whose it is: folders for files, and
//! bounds on memory.
//!
//! An owner takes away what it made; what one left that was killed, the next one takes away.

use std::fs;
use std::io;
use std::path::Path;

use tempfile::TempDir;

use crate::programs::BOUNDS;

const PREFIX: &str = "sbfault-";

/// A name that says which process made it.
pub(crate) fn name(what: &str) -> String {
    format!("{PREFIX}{}-{what}", std::process::id())
}

/// A folder for files.
pub(crate) fn folder() -> io::Result<TempDir> {
    tempfile::Builder::new().prefix(&name("")).tempdir()
}

/// Takes away what processes have left that are gone.
pub(crate) fn sweep() {
    let temporary = std::env::temp_dir();
    for place in BOUNDS.iter().map(|(root, _, _)| Path::new(root)).chain([&*temporary]) {
        for entry in fs::read_dir(place).into_iter().flatten().flatten() {
            if is_left(&entry.file_name().to_string_lossy()) {
                // A bound is a folder that only the kernel may empty; it refuses the first and takes the second.
                let _ = fs::remove_dir_all(entry.path()).or_else(|_| fs::remove_dir(entry.path()));
            }
        }
    }
}

fn is_left(name: &str) -> bool {
    let owner = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next());
    let owner: Option<u32> = owner.and_then(|number| number.parse().ok());
    owner.is_some_and(|owner| !Path::new("/proc").join(owner.to_string()).exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_told_from_what_is_in_use_and_from_what_is_of_others() {
        assert!(is_left(&format!("{PREFIX}{}-first", u32::MAX)));
        assert!(!is_left(&name("first")));
        assert!(!is_left("first"));
        assert!(!is_left(&format!("{PREFIX}first")));
    }
}
