//! Space kept for bad days: spare segments for further records, and a reserve for records that set space free.
//!
//! A spare is a whole segment's worth of blocks that are already on disk, so that writing into it neither needs
//! space nor changes the file's size.
//! Segments that are done become spares: their old content has another nonce and is never believed.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::disk::{Disk, DiskFile};
use crate::room::START_BYTES;

const RESERVE: &str = "reserve";
const UNFINISHED: &str = "unfinished";
/// A full disk is asked for room again after this many attempts to use it.
const PATIENCE: u32 = 64;
static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];

/// The spares and the reserve of one journal.
pub(super) struct Shelf {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    spares: Vec<String>,
    spares_max: usize,
    spare_bytes: u64,
    reserve_bytes: u64,
    has_reserve: bool,
    /// Calls until the disk is asked for room again, after it had none.
    patience: u32,
}

impl Shelf {
    /// Looks what is there; writes nothing.
    pub(super) fn find(
        disk: Arc<dyn Disk>,
        dir: &Path,
        names: &[String],
        spares_max: usize,
        spare_bytes: u64,
        reserve_bytes: u64,
    ) -> Self {
        let spares = names.iter().filter(|name| name.starts_with("spare-")).cloned().collect();
        let reserve = disk.open(&dir.join(RESERVE)).and_then(|file| file.size());
        let has_reserve = reserve.is_ok_and(|bytes| bytes >= reserve_bytes);
        let dir = dir.to_owned();
        Self { disk, dir, spares, spares_max, spare_bytes, reserve_bytes, has_reserve, patience: 0 }
    }

    /// A spare to be used, made now if there is none.
    pub(super) fn take(&mut self) -> io::Result<PathBuf> {
        match self.spares.pop() {
            Some(name) => Ok(self.dir.join(name)),
            None if self.is_waiting() => Err(io::ErrorKind::StorageFull.into()),
            None => match self.make_spare() {
                Ok(name) => Ok(self.dir.join(name)),
                Err(error) => {
                    self.patience = PATIENCE;
                    Err(error)
                }
            },
        }
    }

    /// Puts a spare back that could not be used.
    pub(super) fn put_back(&mut self, spare: &Path) {
        if let Some(name) = spare.file_name().and_then(|name| name.to_str()) {
            self.spares.push(name.to_owned());
        }
    }

    /// Makes a finished segment a spare, or removes it if there are enough.
    pub(super) fn recycle(&mut self, segment: &Path) -> io::Result<()> {
        if self.spares.len() < self.spares_max {
            let name = self.free_name();
            self.disk.rename(segment, &self.dir.join(&name))?;
            self.disk.sync_dir(&self.dir)?;
            self.spares.push(name);
        } else {
            self.patience = 0;
            self.disk.remove(segment)?;
            self.disk.sync_dir(&self.dir)?;
        }
        Ok(())
    }

    /// Makes what is missing, as far as the disk has room.
    pub(super) fn refill(&mut self) {
        if self.is_waiting() {
            return;
        }
        if !self.has_reserve {
            let path = self.dir.join(RESERVE);
            self.has_reserve = self.make_file(&path, self.reserve_bytes).is_ok();
        }
        if self.has_reserve
            && self.spares.len() < self.spares_max
            && let Ok(name) = self.make_spare()
        {
            self.spares.push(name);
            return;
        }
        if self.is_short() {
            self.patience = PATIENCE;
        }
    }

    fn is_waiting(&mut self) -> bool {
        let waiting = self.patience > 0;
        self.patience = self.patience.saturating_sub(1);
        waiting
    }

    /// Whether [`Shelf::refill`] has something to do.
    pub(super) fn is_short(&self) -> bool {
        !self.has_reserve || self.spares.len() < self.spares_max
    }

    /// Gives the reserve up; false if it is gone already.
    pub(super) fn spend_reserve(&mut self) -> bool {
        if !self.has_reserve {
            return false;
        }
        self.has_reserve = false;
        self.disk.remove(&self.dir.join(RESERVE)).is_ok()
    }

    /// The last of the disk is left for the next start; a disk that does not tell says so when it is written to.
    fn make_spare(&self) -> io::Result<String> {
        let needed = self.spare_bytes + START_BYTES;
        if self.disk.free_bytes(&self.dir).is_ok_and(|free| free < needed) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let name = self.free_name();
        let unfinished = self.dir.join(UNFINISHED);
        self.make_file(&unfinished, self.spare_bytes)?;
        self.disk.rename(&unfinished, &self.dir.join(&name))?;
        Ok(name)
    }

    fn make_file(&self, path: &Path, bytes: u64) -> io::Result<()> {
        let made = self.disk.create(path).and_then(|file| fill(&*file, bytes));
        if made.is_err() {
            let _ = self.disk.remove(path);
        }
        made
    }

    fn free_name(&self) -> String {
        (0_u32..)
            .map(|number| format!("spare-{number}"))
            .find(|name| !self.spares.contains(name))
            .expect("there are more numbers than spares")
    }
}

fn fill(file: &dyn DiskFile, bytes: u64) -> io::Result<()> {
    let mut at = 0;
    while at < bytes {
        let step = usize::try_from(bytes - at).unwrap_or(usize::MAX).min(ZEROS.len());
        file.write_all_at(&ZEROS[..step], at)?;
        at += u64::try_from(step).expect("a step is at most the zeros' length");
    }
    file.sync_data()
}
