//! Files in places that others may write to: the folder of the service, and what lies beside a bundle.
//!
//! Root reads them, so nothing about them is believed before they are open: a link would lead to what is nobody else's
//! to read, a pipe would never end, and a name may mean another file a moment later.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::fcntl::OFlag;

/// Opens a plain file; everything else is refused.
pub(super) fn open(path: &Path) -> io::Result<(File, Metadata)> {
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits()).open(path)?;
    let meta = file.metadata()?;
    match meta.is_file() {
        true => Ok((file, meta)),
        false => Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no plain file")),
    }
}

/// Reads the first bytes of a plain file.
pub(super) fn read(path: &Path, bytes_max: u64) -> io::Result<(Vec<u8>, Metadata)> {
    let (file, meta) = open(path)?;
    let mut bytes = Vec::new();
    file.take(bytes_max).read_to_end(&mut bytes)?;
    Ok((bytes, meta))
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::stat::Mode;
    use std::fs;

    #[test]
    fn links_pipes_and_folders_are_not_read_and_a_long_file_ends() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("plain"), b"0123456789").unwrap();
        assert_eq!(read(&at("plain"), 4).unwrap().0, b"0123");
        std::os::unix::fs::symlink(at("plain"), at("link")).unwrap();
        nix::unistd::mkfifo(&at("pipe"), Mode::S_IRWXU).unwrap();
        fs::create_dir(at("folder")).unwrap();
        for name in ["link", "pipe", "folder", "nothing"] {
            assert!(read(&at(name), 4).is_err(), "{name} was read");
        }
    }
}
