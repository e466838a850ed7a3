//! Finding the table on a disk that may be damaged.
//!
//! Both copies are read and judged on their own; a disk with one good copy is still readable and
//! says which copy is bad and why. Nothing on the disk is believed before its checksum: sizes and
//! positions are bounded first, so that no input makes us read much or panic.

use std::io::{self, Cursor, Read, Seek, SeekFrom};

use super::{
    ARRAY_SECTORS, ENTRIES, ENTRY_BYTES, Entry, HEADER_BYTES, InvalidTable, NAME_UNITS, REVISION,
    SECTOR_BYTES, SECTORS_MIN, SIGNATURE, Table,
};
use crate::guid::Guid;

/// A table and the state of its copies.
#[derive(Debug)]
pub struct Found {
    pub table: Table,
    pub health: Health,
}

/// Which copies of the table are good.
#[derive(Debug)]
pub enum Health {
    Whole,
    BackupBad(BadCopy),
    PrimaryBad(BadCopy),
}

/// Why no table was found.
#[derive(Debug, thiserror::Error)]
pub enum NoTable {
    #[error("disk of {sectors} sectors is too small for a partition table")]
    DiskTooSmall { sectors: u64 },
    #[error("no protective MBR: the disk is empty, half flashed or partitioned the old way")]
    NoProtectiveMbr,
    #[error("both copies of the partition table are bad: first {primary}, second {backup}")]
    BothBad { primary: BadCopy, backup: BadCopy },
    #[error("the first copy of the partition table is bad: {0}")]
    HeadBad(BadCopy),
    #[error("the two copies of the partition table are good and differ")]
    Differ,
    #[error("read the partition table")]
    Io(#[from] io::Error),
}

/// Why one copy is bad.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadCopy {
    #[error("there is none")]
    Signature,
    #[error("its revision is {found:#x}")]
    Revision { found: u32 },
    #[error("its {field} is {found}")]
    Field { field: &'static str, found: u64 },
    #[error("the checksum of its header is wrong")]
    HeaderCrc,
    #[error("the checksum of its entries is wrong")]
    EntriesCrc,
    #[error("the name of its entry {number} is not UTF-16")]
    Name { number: usize },
    #[error("{0}")]
    Rule(InvalidTable),
}

enum CopyError {
    Bad(BadCopy),
    Io(io::Error),
}

impl From<BadCopy> for CopyError {
    fn from(bad: BadCopy) -> Self {
        Self::Bad(bad)
    }
}

impl From<io::Error> for CopyError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Reads the table of a disk of `disk_bytes`.
pub fn find(disk: &mut (impl Read + Seek), disk_bytes: u64) -> Result<Found, NoTable> {
    let sectors = disk_bytes / SECTOR_BYTES;
    if sectors < SECTORS_MIN {
        return Err(NoTable::DiskTooSmall { sectors });
    }
    let mbr = read_sectors(disk, 0, 1)?;
    if mbr[510..] != [0x55, 0xaa] || mbr[450] != 0xee {
        return Err(NoTable::NoProtectiveMbr);
    }
    let primary = copy(disk, 1, sectors);
    let backup = copy(disk, sectors - 1, sectors);
    match (primary, backup) {
        (Err(CopyError::Io(error)), _) | (_, Err(CopyError::Io(error))) => Err(error.into()),
        (Ok(table), Ok(other)) if table == other => Ok(Found { table, health: Health::Whole }),
        (Ok(_), Ok(_)) => Err(NoTable::Differ),
        (Ok(table), Err(CopyError::Bad(bad))) => {
            Ok(Found { table, health: Health::BackupBad(bad) })
        }
        (Err(CopyError::Bad(bad)), Ok(table)) => {
            Ok(Found { table, health: Health::PrimaryBad(bad) })
        }
        (Err(CopyError::Bad(primary)), Err(CopyError::Bad(backup))) => {
            Err(NoTable::BothBad { primary, backup })
        }
    }
}

/// Reads the first copy alone, from the start of a disk of `disk_bytes`.
pub fn primary(head: &[u8], disk_bytes: u64) -> Result<Table, NoTable> {
    let sectors = disk_bytes / SECTOR_BYTES;
    if sectors < SECTORS_MIN {
        return Err(NoTable::DiskTooSmall { sectors });
    }
    copy(&mut Cursor::new(head), 1, sectors).map_err(|error| match error {
        CopyError::Bad(bad) => NoTable::HeadBad(bad),
        CopyError::Io(error) => NoTable::Io(error),
    })
}

fn copy(disk: &mut (impl Read + Seek), own: u64, sectors: u64) -> Result<Table, CopyError> {
    let sector = read_sectors(disk, own, 1)?;
    let header = Header::parse(&sector, own)?;
    if header.array_at == 0 || header.array_at > sectors - ARRAY_SECTORS {
        return Err(field("place of entries", header.array_at).into());
    }
    let array = read_sectors(disk, header.array_at, ARRAY_SECTORS)?;
    if crc32fast::hash(&array) != header.array_crc {
        return Err(BadCopy::EntriesCrc.into());
    }
    let mut entries = Vec::new();
    for (number, bytes) in array.chunks_exact(ENTRY_BYTES as usize).enumerate() {
        entries.extend(entry(number, bytes)?);
    }
    entries.sort_by_key(|entry| entry.first);
    Ok(Table::new(header.disk, sectors, entries).map_err(BadCopy::Rule)?)
}

struct Header {
    disk: Guid,
    array_at: u64,
    array_crc: u32,
}

impl Header {
    fn parse(sector: &[u8], own: u64) -> Result<Self, BadCopy> {
        if &sector[..8] != SIGNATURE {
            return Err(BadCopy::Signature);
        }
        let u32_at = |at: usize| u32::from_le_bytes(array(&sector[at..at + 4]));
        let u64_at = |at: usize| u64::from_le_bytes(array(&sector[at..at + 8]));
        if u32_at(8) != REVISION {
            return Err(BadCopy::Revision { found: u32_at(8) });
        }
        if u32_at(12) != HEADER_BYTES {
            return Err(field("header size", u32_at(12).into()));
        }
        let mut header = sector[..HEADER_BYTES as usize].to_vec();
        header[16..20].fill(0);
        if crc32fast::hash(&header) != u32_at(16) {
            return Err(BadCopy::HeaderCrc);
        }
        if u64_at(24) != own {
            return Err(field("own place", u64_at(24)));
        }
        if u32_at(80) != ENTRIES {
            return Err(field("number of entries", u32_at(80).into()));
        }
        if u32_at(84) != ENTRY_BYTES {
            return Err(field("size of an entry", u32_at(84).into()));
        }
        Ok(Self { disk: Guid(array(&sector[56..72])), array_at: u64_at(72), array_crc: u32_at(88) })
    }
}

fn entry(number: usize, bytes: &[u8]) -> Result<Option<Entry>, BadCopy> {
    let kind = Guid(array(&bytes[..16]));
    if kind == Guid::NIL {
        return Ok(None);
    }
    let u64_at = |at: usize| u64::from_le_bytes(array(&bytes[at..at + 8]));
    let units: Vec<u16> = bytes[56..56 + 2 * NAME_UNITS]
        .chunks_exact(2)
        .map(|unit| u16::from_le_bytes([unit[0], unit[1]]))
        .take_while(|&unit| unit != 0)
        .collect();
    let name = String::from_utf16(&units).map_err(|_| BadCopy::Name { number })?;
    Ok(Some(Entry {
        kind,
        id: Guid(array(&bytes[16..32])),
        first: u64_at(32),
        last: u64_at(40),
        attributes: u64_at(48),
        name,
    }))
}

fn field(field: &'static str, found: u64) -> BadCopy {
    BadCopy::Field { field, found }
}

fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.try_into().expect("callers slice exactly N bytes")
}

fn read_sectors(disk: &mut (impl Read + Seek), at: u64, count: u64) -> io::Result<Vec<u8>> {
    let len = usize::try_from(count * SECTOR_BYTES).expect("callers read at most 33 sectors");
    let mut bytes = vec![0; len];
    disk.seek(SeekFrom::Start(at * SECTOR_BYTES))?;
    disk.read_exact(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::ARRAY_BYTES;
    use super::*;
    use crate::layout::{Layout, MIB};

    fn small() -> Table {
        let entry = |name: &str, first, last| Entry {
            kind: Guid::derived("test", "kind"),
            id: Guid::derived("test", name),
            first,
            last,
            attributes: 1 << 63,
            name: name.into(),
        };
        let entries = vec![entry("esp", 34, 99), entry("Größe ✓", 100, 2014)];
        Table::new(Guid::derived("test", "disk"), 2048, entries).unwrap()
    }

    fn laid_down(table: &Table) -> Vec<u8> {
        let mut disk = vec![0; usize::try_from(table.disk_bytes()).unwrap()];
        let (head, tail) = (table.head(), table.tail());
        disk[..head.len()].copy_from_slice(&head);
        let at = disk.len() - tail.len();
        disk[at..].copy_from_slice(&tail);
        disk
    }

    fn found(disk: &[u8]) -> Result<Found, NoTable> {
        find(&mut Cursor::new(disk), disk.len() as u64)
    }

    #[test]
    fn what_was_written_is_found_whole() {
        let found = found(&laid_down(&small())).unwrap();
        assert!(matches!(found.health, Health::Whole));
        assert_eq!(found.table, small());
    }

    #[test]
    fn the_head_alone_tells_the_table() {
        let table = small();
        assert_eq!(primary(&table.head(), table.disk_bytes()).unwrap(), table);
        assert!(matches!(primary(&table.head()[..600], table.disk_bytes()), Err(NoTable::Io(_))));
        let bad = primary(&[0; 17_408], table.disk_bytes());
        assert!(matches!(bad, Err(NoTable::HeadBad(BadCopy::Signature))));
    }

    #[test]
    fn a_damaged_copy_is_named_and_the_other_one_used() {
        let mut disk = laid_down(&small());
        disk[512 + 60] ^= 1;
        let one = found(&disk).unwrap();
        assert!(matches!(one.health, Health::PrimaryBad(BadCopy::HeaderCrc)), "{:?}", one.health);
        assert_eq!(one.table, small());

        let mut disk = laid_down(&small());
        let in_backup_array = disk.len() - 512 - 128 * 128 + 5;
        disk[in_backup_array] ^= 1;
        let one = found(&disk).unwrap();
        assert!(matches!(one.health, Health::BackupBad(BadCopy::EntriesCrc)));

        disk[1024] ^= 1;
        assert!(matches!(found(&disk), Err(NoTable::BothBad { .. })));
    }

    #[test]
    fn an_empty_disk_has_no_table() {
        assert!(matches!(found(&[0; 1 << 20]), Err(NoTable::NoProtectiveMbr)));
        assert!(matches!(found(&[0; 100]), Err(NoTable::DiskTooSmall { .. })));
    }

    #[test]
    fn copies_of_two_different_tables_are_not_trusted() {
        let mut disk = laid_down(&small());
        let other = Table::new(Guid::derived("test", "other"), 2048, vec![]).unwrap().tail();
        let at = disk.len() - other.len();
        disk[at..].copy_from_slice(&other);
        assert!(matches!(found(&disk), Err(NoTable::Differ)));
    }

    #[test]
    fn the_shipped_layout_survives_the_round_trip() {
        let layout = Layout::shipped();
        let table = layout.table(layout.image_bytes()).unwrap();
        let mut disk = tempfile::tempfile().unwrap();
        disk.set_len(table.disk_bytes()).unwrap();
        use std::os::unix::fs::FileExt;
        disk.write_all_at(&table.head(), 0).unwrap();
        disk.write_all_at(&table.tail(), table.tail_at()).unwrap();
        let found = find(&mut disk, table.disk_bytes()).unwrap();
        assert_eq!(found.table.entries().len(), 6);
        assert_eq!(found.table.entry("SBXCONFIG").unwrap().bytes(), 40 * MIB);
        assert_eq!(found.table, table);
    }

    proptest! {
        #[test]
        fn any_bytes_never_panic(
            hits in prop::collection::vec((0_usize..17_408, any::<u8>()), 0..20),
            fix_crc in any::<bool>(),
        ) {
            let mut disk = laid_down(&small());
            for (at, byte) in hits {
                disk[at] = byte;
            }
            if fix_crc {
                let array_crc = crc32fast::hash(&disk[1024..1024 + ARRAY_BYTES]);
                disk[512 + 88..512 + 92].copy_from_slice(&array_crc.to_le_bytes());
                disk[512 + 16..512 + 20].fill(0);
                let crc = crc32fast::hash(&disk[512..512 + HEADER_BYTES as usize]);
                disk[512 + 16..512 + 20].copy_from_slice(&crc.to_le_bytes());
            }
            let _ = found(&disk);
        }
    }
}
