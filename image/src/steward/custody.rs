//! A bundle in the hands of root alone, as long as it is judged and installed.
//!
//! Where it comes from, somebody else may write: the service owns its folder, and a stick may answer otherwise when it
//! is asked again. RAUC of Debian 13 cannot be told which manifest it is to find either.
//! So what is looked at, approved and installed is one copy that nobody else can change; it is gone afterwards.
//!
//! Never: two updates at a time, a link that is followed, or a disk that is filled for it.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::update::Refusal;
use super::{Error, Places, foreign, io_error};
use crate::approval::APPROVAL_BYTES_MAX;

const FOLDER: &str = "update";
const LOCK: &str = "update.lock";
const BUNDLE: &str = "update.raucb";
/// Head office offers none that is larger.
const BUNDLE_BYTES_MAX: u64 = 2_000_000_000;
/// What stays free on the data partition beside the copy.
const FREE_BYTES_MIN: u64 = 32 << 20;

/// A bundle and its approval, of which nobody else has a handle.
#[derive(Debug)]
pub(super) struct Custody {
    folder: PathBuf,
    /// Given back when this ends.
    _lock: File,
}

impl Custody {
    /// Copies a bundle and the approval that lies beside it.
    pub(super) fn take(places: &Places, bundle: &Path) -> Result<Self, Error> {
        let lock = lock(places)?.ok_or(Refusal::Busy)?;
        let folder = places.state().join(FOLDER);
        remove(&folder)?;
        let (from, meta) = foreign::open(bundle).map_err(|error| Refusal::Unreadable {
            path: bundle.display().to_string(),
            why: error.to_string(),
        })?;
        let made = DirBuilder::new().mode(0o700).create(&folder);
        made.map_err(io_error("create", &folder))?;
        // From here on it is removed whatever happens.
        let custody = Self { folder, _lock: lock };
        let stat = nix::sys::statvfs::statvfs(&custody.folder).map_err(io::Error::from);
        let stat = stat.map_err(io_error("measure", &custody.folder))?;
        room(meta.len(), product(stat.blocks_available(), stat.fragment_size()))?;
        let to = custody.bundle();
        copy(&mut from.take(meta.len()), &to).map_err(io_error("write", &to))?;
        // One that cannot be read is as good as none.
        let beside = foreign::read(&bundle.with_extension("approval"), APPROVAL_BYTES_MAX);
        if let Ok((approval, _)) = beside {
            let to = to.with_extension("approval");
            copy(&mut approval.as_slice(), &to).map_err(io_error("write", &to))?;
        }
        Ok(custody)
    }

    /// The copy; its approval is beside it.
    pub(super) fn bundle(&self) -> PathBuf {
        self.folder.join(BUNDLE)
    }
}

impl Drop for Custody {
    fn drop(&mut self) {
        let _ = remove(&self.folder);
    }
}

/// Removes what an update that lost its power has left.
pub(super) fn sweep(places: &Places) -> Result<(), Error> {
    match lock(places)? {
        Some(_lock) => remove(&places.state().join(FOLDER)),
        None => Ok(()),
    }
}

/// One update at a time; nothing: there is another.
pub(super) fn lock(places: &Places) -> Result<Option<File>, Error> {
    let path = places.state().join(LOCK);
    fs::create_dir_all(places.state()).map_err(io_error("create", &places.state()))?;
    let file = OpenOptions::new().create(true).append(true).mode(0o600).open(&path);
    let file = file.map_err(io_error("open", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(io_error("lock", &path)(error)),
    }
}

fn remove(folder: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(io_error("remove", folder)(error))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

fn room(bytes: u64, free: u64) -> Result<(), Refusal> {
    if bytes > BUNDLE_BYTES_MAX {
        return Err(Refusal::Size { bytes });
    }
    let needs = bytes.saturating_add(FREE_BYTES_MIN);
    if free < needs { Err(Refusal::Room { needs, free }) } else { Ok(()) }
}

/// The width of the fields of `statvfs` differs between platforms.
fn product(blocks: impl Into<u64>, size: impl Into<u64>) -> u64 {
    blocks.into().saturating_mul(size.into())
}

fn copy(from: &mut impl Read, to: &Path) -> io::Result<()> {
    let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(to)?;
    io::copy(from, &mut file)?;
    file.flush()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn what_the_service_does_to_its_file_afterwards_does_not_reach_what_is_installed() {
        let dir = tempfile::tempdir().unwrap();
        let places = Places::new(dir.path());
        let theirs = places.updates().join("storebox-x86-64-1.5.0.raucb");
        fs::create_dir_all(places.updates()).unwrap();
        fs::write(&theirs, b"what was looked at").unwrap();
        fs::write(theirs.with_extension("approval"), b"{}").unwrap();
        let custody = Custody::take(&places, &theirs).unwrap();
        let bundle = custody.bundle();
        assert!(!bundle.starts_with(places.updates()), "{bundle:?}");
        let mode = fs::metadata(bundle.parent().unwrap()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        let theirs_open = OpenOptions::new().write(true).open(&theirs);
        theirs_open.unwrap().write_all(b"something else, longer").unwrap();
        fs::write(places.updates().join("other"), b"another").unwrap();
        fs::rename(places.updates().join("other"), &theirs).unwrap();
        assert_eq!(fs::read(&bundle).unwrap(), b"what was looked at");
        assert_eq!(fs::read(bundle.with_extension("approval")).unwrap(), b"{}");
        let second = Custody::take(&places, &theirs).unwrap_err();
        assert!(matches!(second, Error::Refused(Refusal::Busy)), "{second}");
        drop(custody);
        assert!(!bundle.exists());
        assert!(Custody::take(&places, &theirs).is_ok(), "what is over is in nobody's way");
    }

    #[test]
    fn links_are_not_followed_and_what_a_lost_power_left_goes() {
        let dir = tempfile::tempdir().unwrap();
        let places = Places::new(dir.path());
        let secret = dir.path().join("secret");
        fs::write(&secret, b"root's alone").unwrap();
        fs::create_dir_all(places.updates()).unwrap();
        let bundle = places.updates().join("x.raucb");
        symlink(&secret, &bundle).unwrap();
        let refused = Custody::take(&places, &bundle).unwrap_err();
        assert!(matches!(refused, Error::Refused(Refusal::Unreadable { .. })), "{refused}");
        fs::remove_file(&bundle).unwrap();
        fs::write(&bundle, b"bundle").unwrap();
        symlink(&secret, bundle.with_extension("approval")).unwrap();
        let custody = Custody::take(&places, &bundle).unwrap();
        assert!(!custody.bundle().with_extension("approval").exists());
        drop(custody);
        let left = places.state().join(FOLDER);
        fs::create_dir_all(&left).unwrap();
        fs::write(left.join(BUNDLE), b"half").unwrap();
        sweep(&places).unwrap();
        assert!(!left.exists());
    }

    #[test]
    fn a_copy_that_would_fill_the_disk_is_not_made() {
        assert_eq!(room(100 << 20, 132 << 20), Ok(()));
        let (needs, free) = (132 << 20, (132 << 20) - 1);
        assert_eq!(room(100 << 20, free), Err(Refusal::Room { needs, free }));
        let bytes = BUNDLE_BYTES_MAX + 1;
        assert_eq!(room(bytes, u64::MAX), Err(Refusal::Size { bytes }));
    }
}
