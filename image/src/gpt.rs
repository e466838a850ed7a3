//! GUID partition tables as the UEFI specification (chapter 5.3) wants them.
//!
//! A [`Table`] is the meaning: disk, entries, size. It can be laid down as bytes ([`Table::head`]
//! and [`Table::tail`]) and [found](read::find) again, from either copy. The module only computes:
//! it never opens a disk. Sectors are 512 bytes; disks with 4 KiB logical sectors are refused where
//! disks are listed, because our boot loader's FAT volume would not be readable on them.
//!
//! Invariants of a `Table`: entries lie in the usable sectors, in order, without overlap; names fit
//! 36 UTF-16 units; there are at most [`ENTRIES`].

mod read;

pub use read::{BadCopy, Found, Health, NoTable, find, primary};

use crate::guid::Guid;

pub const SECTOR_BYTES: u64 = 512;
/// Entries in the array: what every tool writes and what firmware expects.
pub const ENTRIES: u32 = 128;
/// Protective MBR, header and the array of entries.
pub const HEAD_BYTES: u64 = SECTOR_BYTES * (2 + ARRAY_SECTORS);
/// The array and the header, at the end of the disk.
pub const TAIL_BYTES: u64 = SECTOR_BYTES * (1 + ARRAY_SECTORS);

const SIGNATURE: &[u8; 8] = b"EFI PART";
const REVISION: u32 = 0x0001_0000;
const HEADER_BYTES: u32 = 92;
const ENTRY_BYTES: u32 = 128;
const NAME_UNITS: usize = 36;
const ARRAY_BYTES: usize = (ENTRIES * ENTRY_BYTES) as usize;
const ARRAY_SECTORS: u64 = ARRAY_BYTES as u64 / SECTOR_BYTES;
const FIRST_USABLE: u64 = 2 + ARRAY_SECTORS;
/// Both copies and one sector in between.
const SECTORS_MIN: u64 = FIRST_USABLE + 1 + ARRAY_SECTORS + 1;

/// One partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub kind: Guid,
    pub id: Guid,
    pub first: u64,
    /// The last sector, which still belongs to the partition.
    pub last: u64,
    pub attributes: u64,
    pub name: String,
}

impl Entry {
    pub fn start_byte(&self) -> u64 {
        self.first * SECTOR_BYTES
    }

    pub fn bytes(&self) -> u64 {
        (self.last - self.first + 1) * SECTOR_BYTES
    }
}

/// The partition table of a disk of a given size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    disk: Guid,
    sectors: u64,
    entries: Vec<Entry>,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTable {
    #[error("disk of {sectors} sectors is too small for a partition table ({SECTORS_MIN})")]
    DiskTooSmall { sectors: u64 },
    #[error("{count} partitions, a table holds {ENTRIES}")]
    TooMany { count: usize },
    #[error(
        "partition {name:?} lies in {first}..={last}, usable are {usable_first}..={usable_last}"
    )]
    OutOfBounds { name: String, first: u64, last: u64, usable_first: u64, usable_last: u64 },
    #[error("partitions {one:?} and {other:?} overlap or are out of order")]
    Overlap { one: String, other: String },
    #[error("partition name {name:?} is longer than {NAME_UNITS} UTF-16 units")]
    Name { name: String },
    #[error("partition {name:?} has no type")]
    NoType { name: String },
}

impl Table {
    pub fn new(disk: Guid, sectors: u64, entries: Vec<Entry>) -> Result<Self, InvalidTable> {
        if sectors < SECTORS_MIN {
            return Err(InvalidTable::DiskTooSmall { sectors });
        }
        if entries.len() > ENTRIES as usize {
            return Err(InvalidTable::TooMany { count: entries.len() });
        }
        let table = Self { disk, sectors, entries };
        for entry in &table.entries {
            table.check_entry(entry)?;
        }
        for pair in table.entries.windows(2) {
            if pair[0].last >= pair[1].first {
                let (one, other) = (pair[0].name.clone(), pair[1].name.clone());
                return Err(InvalidTable::Overlap { one, other });
            }
        }
        Ok(table)
    }

    pub fn disk(&self) -> Guid {
        self.disk
    }

    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    pub fn entry(&self, name: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.name == name)
    }

    pub fn disk_bytes(&self) -> u64 {
        self.sectors * SECTOR_BYTES
    }

    /// The same partitions on a disk of another size.
    pub fn resized(&self, disk_bytes: u64) -> Result<Self, InvalidTable> {
        Self::new(self.disk, disk_bytes / SECTOR_BYTES, self.entries.clone())
    }

    /// The first [`HEAD_BYTES`] of the disk.
    pub fn head(&self) -> Vec<u8> {
        let array = self.array();
        let mut bytes = self.protective_mbr();
        bytes.extend(self.header(1, self.sectors - 1, 2, &array));
        bytes.extend(array);
        bytes
    }

    /// The last [`TAIL_BYTES`] of the disk.
    pub fn tail(&self) -> Vec<u8> {
        let array = self.array();
        let at = self.sectors - 1 - ARRAY_SECTORS;
        let header = self.header(self.sectors - 1, 1, at, &array);
        let mut bytes = array;
        bytes.extend(header);
        bytes
    }

    /// Where [`tail`](Self::tail) goes.
    pub fn tail_at(&self) -> u64 {
        self.disk_bytes() - TAIL_BYTES
    }

    fn last_usable(&self) -> u64 {
        self.sectors - 1 - ARRAY_SECTORS - 1
    }

    fn check_entry(&self, entry: &Entry) -> Result<(), InvalidTable> {
        let name = || entry.name.clone();
        if entry.kind == Guid::NIL {
            return Err(InvalidTable::NoType { name: name() });
        }
        if entry.name.encode_utf16().count() > NAME_UNITS || entry.name.contains('\0') {
            return Err(InvalidTable::Name { name: name() });
        }
        let Entry { first, last, .. } = *entry;
        let (usable_first, usable_last) = (FIRST_USABLE, self.last_usable());
        if first < usable_first || last > usable_last || first > last {
            let name = name();
            return Err(InvalidTable::OutOfBounds { name, first, last, usable_first, usable_last });
        }
        Ok(())
    }

    /// One partition of type 0xEE over the whole disk, so that old tools keep their hands off.
    fn protective_mbr(&self) -> Vec<u8> {
        let mut bytes = vec![0; 512];
        let sectors = u32::try_from(self.sectors - 1).unwrap_or(u32::MAX);
        let record = &mut bytes[446..462];
        record[1..4].copy_from_slice(&[0x00, 0x02, 0x00]);
        record[4] = 0xee;
        record[5..8].copy_from_slice(&[0xff, 0xff, 0xff]);
        record[8..12].copy_from_slice(&1_u32.to_le_bytes());
        record[12..16].copy_from_slice(&sectors.to_le_bytes());
        bytes[510..].copy_from_slice(&[0x55, 0xaa]);
        bytes
    }

    fn header(&self, own: u64, other: u64, array_at: u64, array: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(512);
        bytes.extend(SIGNATURE);
        bytes.extend(REVISION.to_le_bytes());
        bytes.extend(HEADER_BYTES.to_le_bytes());
        bytes.extend([0; 8]);
        for number in [own, other, FIRST_USABLE, self.last_usable()] {
            bytes.extend(number.to_le_bytes());
        }
        bytes.extend(self.disk.0);
        bytes.extend(array_at.to_le_bytes());
        bytes.extend(ENTRIES.to_le_bytes());
        bytes.extend(ENTRY_BYTES.to_le_bytes());
        bytes.extend(crc32fast::hash(array).to_le_bytes());
        assert_eq!(bytes.len(), HEADER_BYTES as usize, "the fields above are the specification's");
        let crc = crc32fast::hash(&bytes);
        bytes[16..20].copy_from_slice(&crc.to_le_bytes());
        bytes.resize(512, 0);
        bytes
    }

    fn array(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(ARRAY_BYTES);
        for entry in &self.entries {
            bytes.extend(entry.kind.0);
            bytes.extend(entry.id.0);
            for number in [entry.first, entry.last, entry.attributes] {
                bytes.extend(number.to_le_bytes());
            }
            let mut name = [0_u16; NAME_UNITS];
            for (place, unit) in name.iter_mut().zip(entry.name.encode_utf16()) {
                *place = unit;
            }
            bytes.extend(name.iter().flat_map(|unit| unit.to_le_bytes()));
        }
        bytes.resize(ARRAY_BYTES, 0);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, first: u64, last: u64) -> Entry {
        let kind = Guid::derived("test", "kind");
        Entry {
            kind,
            id: Guid::derived("test", name),
            first,
            last,
            attributes: 0,
            name: name.into(),
        }
    }

    fn refused(entries: Vec<Entry>) -> InvalidTable {
        Table::new(Guid::derived("test", "disk"), 2048, entries).expect_err("a rule is broken")
    }

    #[test]
    fn both_copies_have_the_size_the_specification_gives() {
        let table = Table::new(Guid::NIL, 2048, vec![entry("one", 34, 2014)]).unwrap();
        assert_eq!(table.head().len() as u64, HEAD_BYTES);
        assert_eq!(table.tail().len() as u64, TAIL_BYTES);
        assert_eq!(table.tail_at() + TAIL_BYTES, 2048 * 512);
    }

    #[test]
    fn a_table_that_breaks_a_rule_is_refused_by_that_rule() {
        assert!(matches!(refused(vec![entry("a", 33, 40)]), InvalidTable::OutOfBounds { .. }));
        assert!(matches!(refused(vec![entry("a", 34, 2015)]), InvalidTable::OutOfBounds { .. }));
        assert!(matches!(refused(vec![entry("a", 41, 40)]), InvalidTable::OutOfBounds { .. }));
        let overlap = vec![entry("a", 34, 50), entry("b", 50, 60)];
        assert!(matches!(refused(overlap), InvalidTable::Overlap { .. }));
        assert!(matches!(refused(vec![entry(&"x".repeat(37), 34, 40)]), InvalidTable::Name { .. }));
        let many = (0..129).map(|at| entry("a", 34 + at, 34 + at)).collect();
        assert!(matches!(refused(many), InvalidTable::TooMany { count: 129 }));
        let mut untyped = entry("a", 34, 40);
        untyped.kind = Guid::NIL;
        assert!(matches!(refused(vec![untyped]), InvalidTable::NoType { .. }));
        let tiny = Table::new(Guid::NIL, 67, vec![]);
        assert_eq!(tiny, Err(InvalidTable::DiskTooSmall { sectors: 67 }));
    }
}
