//! Which bytes of a FAT volume matter.
//!
//! A disk image that skips every block of zeros would leave old bytes where a file has zeros, and
//! old entries in the allocation table: a volume that reads well on a new disk and is corrupt on a
//! used one. So the blocks of a FAT volume are judged by its own table: everything before the data
//! and every cluster in use is content, whatever its bytes are; free clusters are not.
//!
//! A volume that is not understood is content from end to end; that is slow and never wrong.

use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;

/// Larger tables than this belong to volumes we never make (16 MiB hold 4 million clusters).
const TABLE_BYTES_MAX: u64 = 16 << 20;
const FAT12_CLUSTERS_MAX: u64 = 4084;
const FAT16_CLUSTERS_MAX: u64 = 65_524;

/// The byte ranges of a FAT volume that carry content, in order; nothing if it is no FAT volume.
pub fn content(volume: &mut (impl Read + Seek), bytes: u64) -> io::Result<Option<Vec<Range<u64>>>> {
    let mut sector = [0; 512];
    volume.seek(SeekFrom::Start(0))?;
    if bytes < 512 {
        return Ok(None);
    }
    volume.read_exact(&mut sector)?;
    let Some(geometry) = Geometry::parse(&sector, bytes) else { return Ok(None) };
    let len = usize::try_from(geometry.table_bytes).expect("Geometry::parse limits the table");
    let mut table = vec![0; len];
    volume.seek(SeekFrom::Start(geometry.table_at))?;
    volume.read_exact(&mut table)?;
    Ok(Some(geometry.content(&table)))
}

struct Geometry {
    table_at: u64,
    table_bytes: u64,
    data_at: u64,
    cluster_bytes: u64,
    clusters: u64,
}

impl Geometry {
    fn parse(sector: &[u8; 512], bytes: u64) -> Option<Self> {
        let u16_at = |at: usize| u64::from(u16::from_le_bytes([sector[at], sector[at + 1]]));
        let u32_at = |at: usize| u16_at(at) | u16_at(at + 2) << 16;
        let or = |small: u64, large: u64| if small == 0 { large } else { small };
        let sector_bytes = u16_at(11);
        let per_cluster = u64::from(sector[13]);
        let plausible = sector[510..] == [0x55, 0xaa]
            && matches!(sector_bytes, 512 | 1024 | 2048 | 4096)
            && per_cluster.is_power_of_two();
        if !plausible {
            return None;
        }
        let tables = u64::from(sector[16]);
        let sectors = or(u16_at(19), u32_at(32));
        let table_sectors = or(u16_at(22), u32_at(36));
        let root_sectors = (u16_at(17) * 32).div_ceil(sector_bytes);
        let table_at = u16_at(14) * sector_bytes;
        let table_bytes = table_sectors * sector_bytes;
        let data_at = table_at + tables * table_bytes + root_sectors * sector_bytes;
        let cluster_bytes = per_cluster * sector_bytes;
        let data_bytes = (sectors * sector_bytes).checked_sub(data_at)?;
        let clusters = data_bytes / cluster_bytes;
        let sane = (1..=2).contains(&tables)
            && table_at > 0
            && table_bytes > 0
            && table_bytes <= TABLE_BYTES_MAX
            && sectors * sector_bytes <= bytes
            && clusters > 0;
        sane.then_some(Self { table_at, table_bytes, data_at, cluster_bytes, clusters })
    }

    fn content(&self, table: &[u8]) -> Vec<Range<u64>> {
        let before_data = 0..self.data_at;
        let mut ranges = vec![before_data];
        for cluster in 0..self.clusters {
            if !self.in_use(table, cluster + 2) {
                continue;
            }
            let start = self.data_at + cluster * self.cluster_bytes;
            let end = start + self.cluster_bytes;
            match ranges.last_mut() {
                Some(last) if last.end == start => last.end = end,
                Some(_) | None => ranges.push(start..end),
            }
        }
        ranges
    }

    /// An entry beyond the table counts as in use: too much content is never wrong.
    fn in_use(&self, table: &[u8], cluster: u64) -> bool {
        let at = |byte: u64| {
            usize::try_from(byte).ok().and_then(|byte| table.get(byte)).copied().unwrap_or(0xff)
        };
        if self.clusters <= FAT12_CLUSTERS_MAX {
            let first = cluster + cluster / 2;
            let pair = u16::from_le_bytes([at(first), at(first + 1)]);
            return if cluster.is_multiple_of(2) { pair & 0x0fff != 0 } else { pair >> 4 != 0 };
        }
        if self.clusters <= FAT16_CLUSTERS_MAX {
            return (0..2).any(|byte| at(cluster * 2 + byte) != 0);
        }
        (0..3).any(|byte| at(cluster * 4 + byte) != 0) || at(cluster * 4 + 3) & 0x0f != 0
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write};

    use fatfs::{FatType, FileSystem, FormatVolumeOptions, FsOptions, format_volume};
    use proptest::prelude::*;

    use super::*;

    fn volume(mib: usize, kind: FatType) -> Cursor<Vec<u8>> {
        let mut disk = Cursor::new(vec![0; mib << 20]);
        let options = FormatVolumeOptions::new().fat_type(kind).bytes_per_cluster(512);
        format_volume(&mut disk, options).unwrap();
        disk
    }

    /// What a used disk would read like after only the content was written to it.
    fn on_a_used_disk(volume: &[u8], ranges: &[Range<u64>]) -> Vec<u8> {
        let mut disk = vec![0xa5; volume.len()];
        for range in ranges {
            let range = usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap();
            disk[range.clone()].copy_from_slice(&volume[range]);
        }
        disk
    }

    #[test]
    fn a_file_of_zeros_survives_on_a_used_disk_in_every_kind_of_fat() {
        for (mib, kind) in [(2, FatType::Fat12), (16, FatType::Fat16), (40, FatType::Fat32)] {
            let mut disk = volume(mib, kind);
            {
                let fs = FileSystem::new(&mut disk, FsOptions::new()).unwrap();
                let mut file = fs.root_dir().create_file("zeros.bin").unwrap();
                file.write_all(&[0; 70_000]).unwrap();
            }
            let bytes = disk.get_ref().len() as u64;
            let ranges = content(&mut disk, bytes).unwrap().unwrap();
            let total: u64 = ranges.iter().map(|range| range.end - range.start).sum();
            assert!(total < bytes / 2, "{kind:?}: free clusters are left out");
            let used = on_a_used_disk(disk.get_ref(), &ranges);
            let fs = FileSystem::new(Cursor::new(used), FsOptions::new()).unwrap();
            let mut read = Vec::new();
            fs.root_dir().open_file("zeros.bin").unwrap().read_to_end(&mut read).unwrap();
            assert!(read.len() == 70_000 && read.iter().all(|&b| b == 0), "{kind:?}");
        }
    }

    #[test]
    fn what_is_no_fat_volume_is_not_taken_for_one() {
        let mut zeros = Cursor::new(vec![0; 1 << 20]);
        assert!(content(&mut zeros, 1 << 20).unwrap().is_none());
        assert!(content(&mut Cursor::new(vec![0; 3]), 3).unwrap().is_none());
    }

    proptest! {
        #[test]
        fn any_boot_sector_never_panics_and_stays_inside(
            hits in prop::collection::vec((11_usize..64, any::<u8>()), 0..8),
        ) {
            let mut disk = volume(2, FatType::Fat12);
            for (at, byte) in hits {
                disk.get_mut()[at] = byte;
            }
            if let Ok(Some(ranges)) = content(&mut disk, 2 << 20) {
                prop_assert!(ranges.iter().all(|range| range.end <= 2 << 20));
            }
        }
    }
}
