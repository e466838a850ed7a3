//! A small release, for the tests of what writes and reads disks.

pub(crate) mod media;

use std::io::Cursor;

use crate::blockmap::{BLOCK_SIZE, BlockMap};
use crate::bundle::{self, Bundle, Sources};
use crate::gpt::{Entry, HEAD_BYTES, Table};
use crate::guid::Guid;
use crate::layout::MIB;
use crate::manifest::Manifest;
use crate::signature::ReleaseKey;

pub(crate) const IMAGE_BYTES: u64 = 16 * MIB;
/// A little larger than the least, so that the backup table moves.
pub(crate) const DISK_BYTES: u64 = IMAGE_BYTES + 300 * MIB;

pub(crate) fn key() -> ReleaseKey {
    ReleaseKey::from_seed([1; 32])
}

/// The partitions of the small release: an ESP and a kernel.
pub(crate) fn table(disk_bytes: u64) -> Table {
    let entry = |name: &str, start: u64, end: u64| Entry {
        kind: Guid::derived("test", "kind"),
        id: Guid::derived("test", name),
        first: start * MIB / 512,
        last: end * MIB / 512 - 1,
        attributes: 0,
        name: name.into(),
    };
    let entries = vec![entry("esp", 1, 3), entry("kernel-a", 3, 15)];
    Table::new(Guid::derived("test", "disk"), disk_bytes / 512, entries).unwrap()
}

/// The bytes of a release file whose content is `fill`: 1 MiB of ESP, 10 MiB of kernel.
pub(crate) fn release(fill: u8) -> Vec<u8> {
    let mut image = vec![0; usize::try_from(IMAGE_BYTES).unwrap()];
    let table = table(IMAGE_BYTES);
    image[..table.head().len()].copy_from_slice(&table.head());
    image[usize::try_from(table.tail_at()).unwrap()..].copy_from_slice(&table.tail());
    let content = [MIB..2 * MIB, 3 * MIB..13 * MIB];
    for range in &content {
        let place = usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap();
        for (number, block) in (0_u16..).zip(image[place].chunks_mut(BLOCK_SIZE)) {
            let [low, high] = number.to_le_bytes();
            block.fill(fill ^ low ^ high.rotate_left(4));
        }
    }
    let [esp, kernel] = content;
    let mapped = [0..HEAD_BYTES, esp, kernel, table.tail_at()..IMAGE_BYTES];
    let mut image = Cursor::new(image);
    let map = BlockMap::survey(&mut image, IMAGE_BYTES, &mapped).unwrap();
    let manifest = Manifest {
        format: 1,
        version: "1.0.0".parse().unwrap(),
        board: "x86-64".parse().unwrap(),
        min_version: "1.0.0".parse().unwrap(),
        disk: Some(map),
        files: vec![],
    };
    let mut out = Vec::new();
    let sources = Sources { disk: Some(image), files: Vec::<&[u8]>::new() };
    bundle::create(&mut out, &manifest, &key(), sources).unwrap();
    out
}

pub(crate) fn open(release: &[u8]) -> Bundle<Cursor<&[u8]>> {
    Bundle::open(Cursor::new(release), &[key().public()]).unwrap()
}
