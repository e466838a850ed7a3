//! The folder between the service, which brings updates, and the steward, who installs them.
//!
//! ```text
//! <release>.part    being put together
//! <release>.whole   whole, compared with what head office has signed; nobody installs it yet
//! <release>.raucb   the steward may install it
//! <release>.approval  who lets it be installed
//! hold              why nothing is to be installed now
//! ```
//!
//! The service keeps the hold locked (flock(2)), because the age of a file means nothing after a clock has made a step;
//! only one that nobody locks counts by its age, for an hour.
//! So a service that died does not hold anything up for ever: a release may be what mends it.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use storebox_proto::ids::Hash32;

use crate::files;

const HOLD: &str = "hold";
const WHOLE: &str = "whole";
const OPEN: &str = "raucb";
const PART: &str = "part";
const APPROVAL: &str = "approval";
/// What this service has put there begins so; what others put there is left alone.
const PREFIX: &str = "storebox-";

/// The folder.
#[derive(Debug, Clone)]
pub(super) struct Folder {
    path: PathBuf,
}

impl Folder {
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    pub(super) fn is_there(&self) -> bool {
        self.path.is_dir()
    }

    fn at(&self, id: &str, ending: &str) -> PathBuf {
        self.path.join(format!("{PREFIX}{id}.{ending}"))
    }

    /// Where a bundle is put together.
    pub(super) fn whole(&self, id: &str) -> PathBuf {
        self.at(id, WHOLE)
    }

    /// Where a bundle is before it is whole.
    pub(super) fn part(&self, id: &str) -> PathBuf {
        self.at(id, PART)
    }

    /// Bytes of a bundle that is not whole yet.
    pub(super) fn part_bytes(&self, id: &str) -> u64 {
        fs::metadata(self.part(id)).map_or(0, |part| part.len())
    }

    /// The bundle that is put together is whole.
    pub(super) fn complete(&self, id: &str) -> io::Result<()> {
        fs::rename(self.at(id, PART), self.at(id, WHOLE))?;
        fs::File::open(&self.path)?.sync_all()
    }

    /// Whether this bundle is whole, in either state, by this sum; reads all of it.
    pub(super) fn check(
        &self,
        id: &str,
        digest: Hash32,
        sum: fn(&Path) -> io::Result<Hash32>,
    ) -> io::Result<bool> {
        for ending in [WHOLE, OPEN] {
            let path = self.at(id, ending);
            match sum(&path) {
                Ok(found) if found == digest => return Ok(true),
                Ok(_) => fs::remove_file(&path)?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }

    /// Whether the bundle is still there, in either state.
    pub(super) fn has(&self, id: &str) -> bool {
        [WHOLE, OPEN].iter().any(|ending| self.at(id, ending).exists())
    }

    /// Lets the steward install it, with who has approved it.
    pub(super) fn hand_over(&self, id: &str, approval: &str) -> io::Result<()> {
        let beside = self.at(id, APPROVAL);
        let is_there = fs::read(&beside).is_ok_and(|bytes| bytes == approval.as_bytes());
        if !approval.is_empty() && !is_there {
            files::replace(&beside, approval.as_bytes(), files::PUBLIC)?;
        }
        move_if_there(&self.at(id, WHOLE), &self.at(id, OPEN))
    }

    /// Takes it back until it may be installed.
    pub(super) fn take_back(&self, id: &str) -> io::Result<()> {
        move_if_there(&self.at(id, OPEN), &self.at(id, WHOLE))
    }

    /// Removes every bundle of this service but one.
    pub(super) fn clear(&self, but: Option<&str>) -> io::Result<()> {
        for entry in fs::read_dir(&self.path)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let is_ours = [WHOLE, OPEN, PART, APPROVAL].iter().find_map(|ending| {
                name.strip_prefix(PREFIX)?.strip_suffix(ending)?.strip_suffix('.')
            });
            if is_ours.is_some_and(|id| Some(id) != but) {
                fs::remove_file(&path)?;
            }
        }
        Ok(())
    }

    /// Says why nothing is to be installed now, or that nothing is in the way.
    ///
    /// As long as the file that this returns is open, the steward believes it whatever the clock does: it is locked
    /// (flock(2)), and a service that ended has no locks.
    pub(super) fn hold(&self, why: Option<&str>) -> io::Result<Option<File>> {
        let path = self.path.join(HOLD);
        match why {
            Some(why) => {
                files::replace(&path, format!("{why}\n").as_bytes(), files::PUBLIC)?;
                let file = File::open(&path)?;
                // Where somebody else has locked it, its age still counts.
                Ok(file.try_lock().is_ok().then_some(file))
            }
            None => match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                Ok(()) | Err(_) => Ok(None),
            },
        }
    }
}

/// The BLAKE3 hash of a file.
pub(super) fn sum(path: &Path) -> io::Result<Hash32> {
    let mut hasher = blake3::Hasher::new();
    io::copy(&mut fs::File::open(path)?, &mut hasher)?;
    Ok(Hash32(*hasher.finalize().as_bytes()))
}

fn move_if_there(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_is_open_to_the_steward_only_after_it_was_handed_over() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::new(dir.path());
        fs::write(folder.whole("x-1.5.0"), b"bundle").unwrap();
        fs::write(dir.path().join("by-hand.raucb"), b"other").unwrap();
        let open = dir.path().join("storebox-x-1.5.0.raucb");
        assert!(folder.check("x-1.5.0", Hash32::of(b"bundle"), sum).unwrap() && !open.exists());
        folder.hand_over("x-1.5.0", "").unwrap();
        folder.hand_over("x-1.5.0", "{}").unwrap();
        assert!(open.exists() && folder.has("x-1.5.0"));
        let approval = dir.path().join("storebox-x-1.5.0.approval");
        assert_eq!(fs::read(&approval).unwrap(), b"{}");
        folder.take_back("x-1.5.0").unwrap();
        assert!(!open.exists() && folder.has("x-1.5.0"));
        assert!(!folder.check("x-1.5.0", Hash32::of(b"another"), sum).unwrap(), "it was changed");
        assert!(!folder.has("x-1.5.0"), "what is not what it should be is removed");
        fs::write(folder.whole("x-1.6.0"), b"bundle").unwrap();
        folder.clear(Some("x-1.6.0")).unwrap();
        assert!(folder.has("x-1.6.0") && !approval.exists());
        folder.clear(None).unwrap();
        assert!(!folder.has("x-1.6.0") && dir.path().join("by-hand.raucb").exists());
    }

    #[test]
    fn the_hold_says_why_and_is_gone_when_nothing_is_in_the_way() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::new(dir.path());
        folder.hold(None).unwrap();
        let holding = folder.hold(Some("the shop is open")).unwrap();
        let seen = File::open(dir.path().join("hold")).unwrap();
        assert!(seen.try_lock_shared().is_err(), "who looks sees that it still counts");
        drop(holding);
        assert!(seen.try_lock_shared().is_ok());
        assert_eq!(fs::read_to_string(dir.path().join("hold")).unwrap(), "the shop is open\n");
        folder.hold(None).unwrap();
        assert!(!dir.path().join("hold").exists());
    }
}
