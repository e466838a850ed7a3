//! A small release and media with faults, for the tests of what writes and reads disks.

use std::io::{self, Cursor};
use std::path::Path;

use crate::blockmap::{BLOCK_SIZE, BlockMap};
use crate::bundle::{self, Bundle, Sources};
use crate::gpt::{Entry, HEAD_BYTES, Table};
use crate::guid::Guid;
use crate::layout::MIB;
use crate::manifest::Manifest;
use crate::medium::{DiskMedium, Medium, ReadMode};
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

/// A disk with an earlier life: old bytes where tables, partitions and data lie.
pub(crate) fn used_disk(path: &Path) -> DiskMedium {
    let mut medium = DiskMedium::open_file(path, DISK_BYTES).unwrap();
    for at in [0, 2 * MIB, IMAGE_BYTES - 2 * MIB, DISK_BYTES - MIB] {
        medium.write_at(at, &[0xa5; 1 << 20]).unwrap();
    }
    medium
}

/// A medium with a write cache that loses power: what was not flushed is lost, kept or torn, sector
/// by sector.
pub(crate) struct PowerCut {
    /// What the computer sees while there is power.
    cache: DiskMedium,
    /// What is left afterwards.
    pub(crate) durable: DiskMedium,
    pending: Vec<(u64, Vec<u8>)>,
    writes_left: u32,
    dice: u64,
}

impl PowerCut {
    /// Two disks of the same earlier life; power fails at a write.
    pub(crate) fn new(dir: &Path, at_write: u32, seed: u64) -> Self {
        let (cache, durable) = (used_disk(&dir.join("cache")), used_disk(&dir.join("durable")));
        Self { cache, durable, pending: Vec::new(), writes_left: at_write, dice: seed | 1 }
    }

    fn roll(&mut self) -> bool {
        self.dice ^= self.dice << 13;
        self.dice ^= self.dice >> 7;
        self.dice ^= self.dice << 17;
        self.dice.is_multiple_of(3)
    }

    /// Some sectors of what was pending reach the medium.
    fn cut(&mut self) -> io::Error {
        for (at, bytes) in std::mem::take(&mut self.pending) {
            for (place, sector) in (at..).step_by(512).zip(bytes.chunks(512)) {
                if self.roll() {
                    self.durable.write_at(place, sector).unwrap();
                }
            }
        }
        io::Error::from_raw_os_error(5)
    }
}

impl Medium for PowerCut {
    fn bytes(&self) -> u64 {
        self.cache.bytes()
    }

    fn write_at(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.pending.push((at, bytes.to_vec()));
        self.writes_left -= 1;
        if self.writes_left == 0 {
            return Err(self.cut());
        }
        self.cache.write_at(at, bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        for (at, bytes) in self.pending.drain(..) {
            self.durable.write_at(at, &bytes)?;
        }
        Ok(())
    }

    fn read_back(&mut self, at: u64, len: usize) -> io::Result<Vec<u8>> {
        self.cache.read_back(at, len)
    }

    fn read_mode(&self) -> ReadMode {
        self.cache.read_mode()
    }

    fn is_gone(&self) -> bool {
        false
    }
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The device leaves before this write.
    PulledOut(u32),
    /// The device answers an error at this write and stays.
    Error(u32),
    /// This write never reaches the medium.
    Forgets(u32),
}

/// A medium with one fault.
pub(crate) struct Faulty {
    pub(crate) inner: DiskMedium,
    pub(crate) fault: Fault,
    writes: u32,
    gone: bool,
}

impl Faulty {
    pub(crate) fn new(inner: DiskMedium, fault: Fault) -> Self {
        Self { inner, fault, writes: 0, gone: false }
    }

    fn here(&self) -> io::Result<()> {
        if self.gone { Err(io::Error::from_raw_os_error(5)) } else { Ok(()) }
    }
}

impl Medium for Faulty {
    fn bytes(&self) -> u64 {
        self.inner.bytes()
    }

    fn write_at(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.writes += 1;
        match self.fault {
            Fault::PulledOut(write) if write == self.writes => self.gone = true,
            Fault::Error(write) if write == self.writes => {
                return Err(io::Error::from_raw_os_error(5));
            }
            Fault::Forgets(write) if write == self.writes => return Ok(()),
            Fault::PulledOut(_) | Fault::Error(_) | Fault::Forgets(_) => {}
        }
        self.here()?;
        self.inner.write_at(at, bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.here()
    }

    fn read_back(&mut self, at: u64, len: usize) -> io::Result<Vec<u8>> {
        self.here()?;
        self.inner.read_back(at, len)
    }

    fn read_mode(&self) -> ReadMode {
        self.inner.read_mode()
    }

    fn is_gone(&self) -> bool {
        self.gone
    }
}
