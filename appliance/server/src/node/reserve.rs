//! Room to start in, kept for the day on which the disk is full.
//!
//! sled does not open without some blocks, and addresses and heads are files too: on a full disk a box that crashed
//! would not come back, not even to send what fills the disk.
//! So a file keeps that room: it is given back before anything is opened, and taken again as soon as the box serves,
//! before others use it up.
//! A start of a shop's box with real data took between 1 and 260 KB of it.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::blocking;
use crate::files::{self, START_BYTES};

/// Its name within the data directory.
const FILE: &str = "reserve";
/// It is made only while there is plenty of room.
const PLENTY: u64 = 4 * START_BYTES;
/// What could not be kept is tried again after this long.
const EVERY: Duration = Duration::from_secs(600);
static BLOCK: [u8; 64 * 1024] = [0xa5; 64 * 1024];

/// The reserve of a data directory.
#[derive(Debug, Clone)]
pub(super) struct Reserve {
    path: PathBuf,
    /// What was given back for this start.
    owed: u64,
}

impl Reserve {
    /// Gives it back to the file system if there is less room than a start may need.
    pub(super) fn give_back(data_dir: &Path) -> Self {
        let path = data_dir.join(FILE);
        let is_short = files::free_bytes(data_dir).is_ok_and(|free| free < START_BYTES);
        let kept = fs::metadata(&path).map_or(0, |file| file.len());
        let is_given = is_short && fs::remove_file(&path).is_ok();
        if is_given {
            tracing::warn!(
                bytes = kept,
                "the disk is full, the box starts in the room that was kept for it"
            );
        }
        Self { path, owed: if is_given { kept } else { 0 } }
    }

    /// Keeps it for as long as the box runs.
    pub(super) async fn run(self, stop: CancellationToken) {
        loop {
            let reserve = self.clone();
            blocking::beside(move || reserve.keep()).await;
            if stop.run_until_cancelled(tokio::time::sleep(EVERY)).await.is_none() {
                return;
            }
        }
    }

    /// Takes what was given back, as far as it is still there; all of it where there is plenty of room.
    pub(super) fn keep(&self) {
        let free = self.path.parent().map_or(Ok(0), files::free_bytes).unwrap_or(0);
        let wanted = if free >= PLENTY { START_BYTES } else { self.owed };
        if let Err(error) = grow(&self.path, wanted)
            && !files::is_full(&error)
        {
            tracing::warn!(%error, file = FILE, "room to start on a full disk is not kept");
        }
    }
}

/// Makes a file at least this long, of blocks that are its own; a full disk leaves it as long as there was room.
fn grow(path: &Path, bytes: u64) -> io::Result<()> {
    let kept = fs::metadata(path).map_or(0, |file| file.len());
    if kept >= bytes {
        return Ok(());
    }
    let mut file = File::options().create(true).append(true).open(path)?;
    let mut missing = bytes - kept;
    while missing > 0 {
        let step = usize::try_from(missing).unwrap_or(usize::MAX).min(BLOCK.len());
        // Blocks that are never written are never its own.
        let written = file.write(&BLOCK[..step])?;
        missing = missing.saturating_sub(written.max(1) as u64);
    }
    // What a power cut takes of it is completed at the next start.
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn length(dir: &Path) -> u64 {
        fs::metadata(dir.join(FILE)).map_or(0, |file| file.len())
    }

    #[test]
    fn it_is_made_once_where_there_is_plenty_of_room_and_completed_if_it_was_cut() {
        let dir = tempfile::tempdir().unwrap();
        let reserve = Reserve::give_back(dir.path());
        reserve.keep();
        assert_eq!(length(dir.path()), START_BYTES);
        fs::write(dir.path().join(FILE), b"cut").unwrap();
        reserve.keep();
        reserve.keep();
        assert_eq!(length(dir.path()), START_BYTES);
    }

    #[test]
    fn what_was_given_back_is_taken_again_and_no_more() {
        let dir = tempfile::tempdir().unwrap();
        let reserve = Reserve { path: dir.path().join(FILE), owed: 100_000 };
        grow(&reserve.path, reserve.owed).unwrap();
        assert_eq!(length(dir.path()), 100_000);
        grow(&reserve.path, 0).unwrap();
        assert_eq!(length(dir.path()), 100_000);
    }
}
