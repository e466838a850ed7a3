//! Room to start in, kept for the day on which the disk is full.
//!
//! sled does not open without some blocks, and addresses and heads are files too: on a full disk a box that crashed
//! would not come back, not even to send what fills the disk.
//! So a file keeps that room: it is emptied before anything is opened, and filled again as soon as the box serves,
//! before others use the room up.
//! The empty file says that the room is the box's, so that a start that is cut off forgets nothing.
//! A start of a shop's box with real data took between 1 and 260 KB of it.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::blocking;
use crate::room::{self, START_BYTES};

/// Its name within the data directory.
const FILE: &str = "reserve";
/// It is made only while there is plenty of room.
const PLENTY: u64 = 4 * START_BYTES;
/// What could not be kept is tried again after this long.
const EVERY: Duration = Duration::from_secs(600);
static BLOCK: [u8; 64 * 1024] = [0xa5; 64 * 1024];

/// The reserve of a data directory.
#[derive(Debug, Clone)]
pub(super) struct Reserve(PathBuf);

impl Reserve {
    /// Gives it to the start if there is less room than that may need.
    pub(super) fn give(data_dir: &Path) -> Self {
        let reserve = Self(data_dir.join(FILE));
        if room::around(data_dir).is_ok_and(|room| room.free_bytes < START_BYTES) {
            reserve.empty();
        }
        reserve
    }

    fn empty(&self) {
        let bytes = length(&self.0);
        match File::options().write(true).open(&self.0).and_then(|file| file.set_len(0)) {
            Ok(()) => tracing::warn!(bytes, "the disk is full, the box starts in its reserve"),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                tracing::warn!("the disk is full, and there never was room for a reserve");
            }
            Err(error) => tracing::warn!(%error, file = FILE, "the disk is full"),
        }
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

    /// Fills it, as far as there is room.
    pub(super) fn keep(&self) {
        let room = self.0.parent().map(room::around);
        let free = room.and_then(Result::ok).map_or(0, |room| room.free_bytes);
        if let Err(error) = self.fill(free)
            && !room::is_out(&error)
        {
            tracing::warn!(%error, file = FILE, "room to start on a full disk is not kept");
        }
    }

    /// What was the box's once is so again; a disk that is nearly full is not made full by a first reserve.
    fn fill(&self, free: u64) -> io::Result<()> {
        if free < PLENTY && !self.0.exists() {
            return Ok(());
        }
        let mut missing = START_BYTES.saturating_sub(length(&self.0));
        let mut file = File::options().create(true).append(true).open(&self.0)?;
        while missing > 0 {
            // Only blocks that are written are its own; what a power cut takes of them is filled again.
            let step = usize::try_from(missing).unwrap_or(usize::MAX).min(BLOCK.len());
            missing = missing.saturating_sub(file.write(&BLOCK[..step])?.max(1) as u64);
        }
        Ok(())
    }
}

fn length(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |file| file.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_begun_where_there_is_plenty_of_room_and_given_and_filled_again_wherever_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let reserve = Reserve(dir.path().join(FILE));
        reserve.fill(PLENTY - 1).unwrap();
        assert!(!reserve.0.exists(), "it makes no disk full");
        reserve.empty();
        assert!(!reserve.0.exists(), "what there never was is not owed");
        reserve.fill(PLENTY).unwrap();
        assert_eq!(length(&reserve.0), START_BYTES);
        reserve.empty();
        assert_eq!(length(&reserve.0), 0);
        reserve.fill(0).unwrap();
        reserve.fill(0).unwrap();
        assert_eq!(length(&reserve.0), START_BYTES, "also by a start that did not empty it");
    }
}
