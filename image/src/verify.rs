//! Comparing a disk with a release, in the depot or years later in the shop.
//!
//! What a box never writes must be as it was signed: the table's entries, and the slot the release
//! was flashed into. What it writes by itself (notes of the boot loader, provisioning) may differ
//! and is only told. A box that was updated runs from the other slot; the flashed one then differs
//! from its old release for a good reason, so name the release that is in question.

use std::io::{Read, Seek};

use crate::blockmap::Chunk;
use crate::bundle::Bundle;
use crate::digest::Digest;
use crate::flash::{self, FlashError};
use crate::gpt::{Entry, Health, NoTable};
use crate::layout::Role;
use crate::medium::Medium;
use crate::medium::reader::MediumReader;

/// How a disk compares to a release.
#[derive(Debug)]
pub struct Verified {
    pub table: Health,
    pub partitions: Vec<Partition>,
}

/// How one partition compares.
#[derive(Debug, PartialEq, Eq)]
pub struct Partition {
    pub name: String,
    pub bytes: u64,
    /// Where chunks differ.
    pub differs_at: Vec<u64>,
    /// Whether a box changes this partition in normal life.
    pub changes_in_use: bool,
}

impl Verified {
    /// Whether everything that must be as signed is.
    pub fn is_whole(&self) -> bool {
        let whole = |part: &Partition| part.differs_at.is_empty() || part.changes_in_use;
        matches!(self.table, Health::Whole) && self.partitions.iter().all(whole)
    }
}

#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    #[error(
        "this disk was never flashed to its end; repeat the flash, it goes on where it stopped"
    )]
    Unfinished,
    #[error("find the partition table of the disk")]
    NoTable(#[source] NoTable),
    #[error("partition {name} of the release is missing or lies elsewhere on this disk")]
    OtherLayout { name: String },
    #[error("use the release")]
    Release(#[source] FlashError),
    #[error("read the disk at byte {at}")]
    Read {
        at: u64,
        #[source]
        source: std::io::Error,
    },
}

/// Reads all content of a release from a disk; `progress` hears bytes done and total.
pub fn verify<R: Read + Seek>(
    bundle: &mut Bundle<R>,
    medium: &mut dyn Medium,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Verified, VerifyError> {
    let map = bundle.manifest().disk.clone();
    let map = map.ok_or(VerifyError::Release(FlashError::NoDisk))?;
    let expected = flash::table(bundle, &map).map_err(VerifyError::Release)?;
    let read_error = |at| move |source| VerifyError::Read { at, source };
    if flash::unfinished(medium).map_err(read_error(0))? {
        return Err(VerifyError::Unfinished);
    }
    let disk_bytes = medium.bytes();
    let found = crate::gpt::find(&mut MediumReader::new(medium), disk_bytes)
        .map_err(VerifyError::NoTable)?;
    let missing = |entry: &&Entry| !found.table.entries().contains(entry);
    if let Some(entry) = expected.entries().iter().find(missing) {
        return Err(VerifyError::OtherLayout { name: entry.name.clone() });
    }
    let total = map.content().iter().map(|chunk| chunk.bytes).sum();
    let mut done = 0;
    let mut partitions: Vec<Partition> = expected.entries().iter().map(untouched).collect();
    for chunk in map.content() {
        let bytes = medium.read_back(chunk.at, chunk.size()).map_err(read_error(chunk.at))?;
        let place = expected.entries().iter().position(|entry| holds(entry, chunk));
        if let Some(place) = place {
            partitions[place].bytes += chunk.bytes;
            if Digest::of(&bytes) != chunk.blake3 {
                partitions[place].differs_at.push(chunk.at);
            }
        }
        done += chunk.bytes;
        progress(done, total);
    }
    Ok(Verified { table: found.health, partitions })
}

fn untouched(entry: &Entry) -> Partition {
    let changing = [Role::Esp, Role::Config].map(Role::label);
    Partition {
        name: entry.name.clone(),
        bytes: 0,
        differs_at: Vec::new(),
        changes_in_use: changing.contains(&entry.name.as_str()),
    }
}

fn holds(entry: &Entry, chunk: &Chunk) -> bool {
    (entry.start_byte()..entry.start_byte() + entry.bytes()).contains(&chunk.at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flash::flash;
    use crate::guid::Guid;
    use crate::layout::MIB;
    use crate::testing::media::{Fault, Faulty, Memory, used_disk};
    use crate::testing::{DISK_BYTES, open, release, table};

    fn flashed() -> Memory {
        let mut medium = used_disk();
        flash(&mut open(&release(1)), &mut medium, &mut |_| {}).unwrap();
        medium
    }

    fn check(medium: &mut dyn Medium) -> Result<Verified, VerifyError> {
        verify(&mut open(&release(1)), medium, &mut |_, _| {})
    }

    #[test]
    fn a_flashed_disk_is_whole_and_the_growth_of_first_boot_keeps_it_so() {
        let mut medium = flashed();
        assert!(check(&mut medium).unwrap().is_whole());
        let mut entries = table(DISK_BYTES).entries().to_vec();
        let data = Entry {
            kind: Guid::derived("test", "var"),
            id: Guid::derived("test", "data"),
            first: 15 * MIB / 512,
            last: 200 * MIB / 512,
            attributes: 0,
            name: "data".into(),
        };
        entries.push(data);
        let grown =
            crate::gpt::Table::new(table(DISK_BYTES).disk(), DISK_BYTES / 512, entries).unwrap();
        medium.write_at(0, &grown.head()).unwrap();
        medium.write_at(grown.tail_at(), &grown.tail()).unwrap();
        assert!(check(&mut medium).unwrap().is_whole());
    }

    #[test]
    fn a_changed_slot_is_found_and_a_changed_esp_is_only_told() {
        let mut medium = flashed();
        medium.write_at(MIB + 7, b"x").unwrap();
        let verified = check(&mut medium).unwrap();
        assert!(verified.is_whole());
        assert_eq!(verified.partitions[0].differs_at, [MIB]);
        medium.write_at(8 * MIB, b"x").unwrap();
        let verified = check(&mut medium).unwrap();
        assert!(!verified.is_whole());
        assert_eq!(verified.partitions[1].differs_at, [7 * MIB]);
        assert_eq!(verified.partitions[1].bytes, 10 * MIB);
    }

    #[test]
    fn a_lost_copy_of_the_table_is_not_whole() {
        let mut medium = flashed();
        medium.write_at(DISK_BYTES - 512, &[0; 512]).unwrap();
        let verified = check(&mut medium).unwrap();
        assert!(matches!(verified.table, Health::BackupBad(_)) && !verified.is_whole());
    }

    #[test]
    fn an_unfinished_a_foreign_and_an_empty_disk_each_say_so() {
        let mut faulty = Faulty::new(used_disk(), Fault::PulledOut(7));
        flash(&mut open(&release(1)), &mut faulty, &mut |_| {}).unwrap_err();
        assert!(matches!(check(&mut faulty.inner), Err(VerifyError::Unfinished)));
        let mut empty = Memory::new(DISK_BYTES);
        assert!(matches!(check(&mut empty), Err(VerifyError::NoTable(_))));
        let other = crate::gpt::Table::new(Guid::NIL, DISK_BYTES / 512, vec![]).unwrap();
        empty.write_at(0, &other.head()).unwrap();
        empty.write_at(other.tail_at(), &other.tail()).unwrap();
        assert!(matches!(check(&mut empty), Err(VerifyError::OtherLayout { .. })));
    }
}
