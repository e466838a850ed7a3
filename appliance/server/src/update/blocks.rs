//! The blocks of releases on the disk, each a file named by its hash.
//!
//! A bundle is cut where its bytes say so, so that a release shares most blocks with the one before.
//! Head office keeps the blocks of all releases on offer; a box those of the release it fetches and of the one before
//! it, so that the next one costs only what is new, and neighbours find them here.
//!
//! Blocks are apart from masterdata's segments: neither may sweep the other's.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use fastcdc::v2020::StreamCDC;
use storebox_proto::ids::Hash32;
use storebox_proto::limits::RELEASE_BYTES_MAX;
use storebox_proto::release::{Block, Index, InvalidIndex};

use crate::db::{SegmentStore, StoreError};
use crate::files;

/// Sizes of blocks: small enough that a changed word costs little, large enough that few requests do.
/// Half of it makes a small release cheaper by a sixth, and a whole one twice as many requests and files.
const BLOCK_BYTES: [usize; 3] = [8 * 1024, 32 * 1024, 128 * 1024];
/// Blocks that are written together.
const BATCH: usize = 32;
/// Releases whose blocks a box keeps.
const KEPT_MAX: usize = 2;
const KEPT: &str = "kept.json";

/// Why blocks cannot be kept or put together.
#[derive(Debug, thiserror::Error)]
pub enum BlocksError {
    /// The store of blocks refuses.
    #[error("keep the blocks of releases")]
    Store(#[from] StoreError),
    /// A file cannot be read or written.
    #[error("{what} {path}")]
    File {
        /// What was tried.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The bundle cannot be cut.
    #[error("cut {path} into blocks")]
    Cut {
        /// The bundle.
        path: PathBuf,
        /// Why.
        #[source]
        source: fastcdc::v2020::Error,
    },
    /// The object is no index, or no release is so large.
    #[error("read the index of a release")]
    Index(#[from] InvalidIndex),
    /// The bundle is larger than any, or empty.
    #[error("{path} has {bytes} bytes, a release has from 1 to {RELEASE_BYTES_MAX}")]
    Size {
        /// The bundle.
        path: PathBuf,
        /// Its size.
        bytes: u64,
    },
    /// A block was changed on the disk; it is fetched again.
    #[error("block {name} is damaged here")]
    Damaged {
        /// Its name.
        name: Hash32,
    },
    /// The blocks do not make up the bundle that head office has signed.
    #[error("the blocks make up {found}, head office has signed {signed}")]
    Whole {
        /// What they make up.
        found: Hash32,
        /// What they should.
        signed: Hash32,
    },
}

/// A bundle that was cut.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cut {
    pub(super) bytes: u64,
    pub(super) digest: Hash32,
    pub(super) index: Hash32,
    pub(super) index_bytes: u32,
    /// Bytes of blocks that no earlier release has.
    pub(super) new_bytes: u64,
}

/// The blocks; a cheap handle.
#[derive(Debug, Clone)]
pub struct Blocks {
    folder: PathBuf,
    store: SegmentStore,
}

fn file(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> BlocksError {
    let path = path.to_owned();
    move |source| BlocksError::File { what, path, source }
}

impl Blocks {
    /// Opens the blocks of a node.
    pub fn open(folder: &Path) -> Result<Self, BlocksError> {
        fs::create_dir_all(folder).map_err(file("create", folder))?;
        let store = SegmentStore::open(&folder.join("blocks"))?;
        Ok(Self { folder: folder.to_owned(), store })
    }

    /// Where other boxes read them.
    pub fn store(&self) -> SegmentStore {
        self.store.clone()
    }

    pub(super) fn contains(&self, name: &Hash32) -> bool {
        self.store.contains(*name)
    }

    pub(super) fn put(&self, fetched: &[(Hash32, Bytes)]) -> Result<(), BlocksError> {
        Ok(self.store.put_many(fetched.iter().map(|(name, bytes)| (*name, bytes)))?)
    }

    /// The index of this name, if it is here and whole.
    pub(super) fn index(&self, name: Hash32) -> Option<Index> {
        let bytes = self.store.read(name).ok().filter(|bytes| Hash32::of(bytes) == name)?;
        Index::decode(&bytes).ok()
    }

    /// Bytes of a release that are here.
    pub(super) fn have(&self, index: &Index) -> u64 {
        let here = index.blocks().iter().filter(|block| self.contains(&block.name));
        here.map(|block| u64::from(block.bytes)).sum()
    }

    pub(super) fn free_bytes(&self) -> Result<u64, BlocksError> {
        Ok(self.store.room()?.free_bytes)
    }

    /// Cuts a bundle and keeps its blocks; blocks for as long as the disk takes.
    pub(super) fn cut(&self, path: &Path) -> Result<Cut, BlocksError> {
        let bundle = File::open(path).map_err(file("open", path))?;
        let bytes = bundle.metadata().map_err(file("look at", path))?.len();
        if bytes == 0 || bytes > RELEASE_BYTES_MAX {
            return Err(BlocksError::Size { path: path.to_owned(), bytes });
        }
        let [min, mean, max] = BLOCK_BYTES;
        let (mut whole, mut blocks, mut new_bytes) = (blake3::Hasher::new(), Vec::new(), 0);
        let mut batch: Vec<(Hash32, Bytes)> = Vec::new();
        for piece in StreamCDC::new(bundle, min, mean, max) {
            let piece =
                piece.map_err(|source| BlocksError::Cut { path: path.to_owned(), source })?.data;
            whole.update(&piece);
            let name = Hash32::of(&piece);
            let length = u32::try_from(piece.len()).expect("a block has at most 128 KB");
            blocks.push(Block { name, bytes: length });
            if !self.contains(&name) && !batch.iter().any(|(other, _)| *other == name) {
                new_bytes += u64::from(length);
                batch.push((name, Bytes::from(piece)));
            }
            if batch.len() >= BATCH {
                self.put(&std::mem::take(&mut batch))?;
            }
        }
        self.put(&batch)?;
        let index = Bytes::from(Index::new(blocks)?.encode());
        let index_bytes = u32::try_from(index.len()).expect("an index is bounded");
        let digest = Hash32(*whole.finalize().as_bytes());
        Ok(Cut { bytes, digest, index: self.store.put(&index)?, index_bytes, new_bytes })
    }

    /// Puts a bundle together and compares it with what was signed; the file is whole or not there.
    pub(super) fn assemble(
        &self,
        index: &Index,
        signed: Hash32,
        to: &Path,
    ) -> Result<(), BlocksError> {
        let beside = to.with_extension("part");
        let written = self.write(index, signed, &beside);
        if written.is_err() {
            // On a full disk others need its room.
            let _ = fs::remove_file(&beside);
        }
        written?;
        fs::rename(&beside, to).map_err(file("name", to))?;
        let folder = to.parent().unwrap_or(Path::new("/"));
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(file("flush", folder))
    }

    fn write(&self, index: &Index, signed: Hash32, beside: &Path) -> Result<(), BlocksError> {
        let written = File::create(beside).map_err(file("create", beside))?;
        let (mut out, mut whole) = (BufWriter::new(written), blake3::Hasher::new());
        for Block { name, .. } in index.blocks() {
            let bytes = self.store.read(*name)?;
            if Hash32::of(&bytes) != *name {
                self.store.set_aside(*name)?;
                return Err(BlocksError::Damaged { name: *name });
            }
            whole.update(&bytes);
            out.write_all(&bytes).map_err(file("write", beside))?;
        }
        let written =
            out.into_inner().map_err(|error| file("write", beside)(error.into_error()))?;
        written.sync_all().map_err(file("flush", beside))?;
        let found = Hash32(*whole.finalize().as_bytes());
        if found == signed { Ok(()) } else { Err(BlocksError::Whole { found, signed }) }
    }

    /// Removes what none of these indexes names; nothing while one of them cannot be read.
    pub(super) fn keep_only(&self, indexes: &[Hash32]) -> Result<(), BlocksError> {
        let mut wanted: BTreeSet<Hash32> = indexes.iter().copied().collect();
        for name in indexes {
            let bytes = self.store.read(*name)?;
            if Hash32::of(&bytes) != *name {
                return Err(BlocksError::Damaged { name: *name });
            }
            let index = Index::decode(&bytes)?;
            wanted.extend(index.blocks().iter().map(|block| block.name));
        }
        self.store.sweep(&wanted)?;
        Ok(())
    }

    /// A box turns to this release: what neither it nor the one before it needs goes.
    pub(super) fn turn_to(&self, index: Hash32) -> Result<(), BlocksError> {
        let mut kept = self.kept();
        if kept.first() == Some(&index) {
            return Ok(());
        }
        // The blocks of one whose index is damaged here are of no use to anybody.
        kept.retain(|other| *other != index && self.index(*other).is_some());
        kept.insert(0, index);
        kept.truncate(KEPT_MAX);
        self.keep(&kept)
    }

    /// The same where the disk is full: what it alone does not need goes.
    pub(super) fn keep_alone(&self, index: Hash32) -> Result<(), BlocksError> {
        if self.kept() == [index] { Ok(()) } else { self.keep(&[index]) }
    }

    /// Removes what neither these releases nor those that are kept need, as far as their indexes are here.
    pub(super) fn sweep(&self, offered: &[Hash32]) -> Result<(), BlocksError> {
        let mut wanted = [self.kept().as_slice(), offered].concat();
        wanted.retain(|name| self.index(*name).is_some());
        self.keep_only(&wanted)
    }

    /// The indexes whose blocks are kept, the last one first.
    fn kept(&self) -> Vec<Hash32> {
        let read = fs::read(self.folder.join(KEPT)).ok();
        read.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
    }

    fn keep(&self, kept: &[Hash32]) -> Result<(), BlocksError> {
        let path = self.folder.join(KEPT);
        let text = serde_json::to_vec(kept).expect("hashes are JSON");
        files::replace(&path, &text, files::PRIVATE).map_err(file("write", &path))?;
        self.keep_only(kept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes that look like nothing and are the same every time.
    fn noise(bytes: usize, seed: u64) -> Vec<u8> {
        let mut out = vec![0; bytes];
        let mut hasher = blake3::Hasher::new();
        hasher.update(&seed.to_le_bytes());
        hasher.finalize_xof().fill(&mut out);
        out
    }

    #[test]
    fn a_small_release_is_few_new_blocks_and_is_put_together_again() {
        let dir = tempfile::tempdir().unwrap();
        let blocks = Blocks::open(&dir.path().join("releases")).unwrap();
        let (old, new) = (dir.path().join("old"), dir.path().join("new"));
        let mut bundle = noise(6_000_000, 1);
        fs::write(&old, &bundle).unwrap();
        let first = blocks.cut(&old).unwrap();
        assert_eq!(first.new_bytes, 6_000_000);
        // Something longer in the middle: everything behind it moves.
        bundle.splice(3_000_000..3_000_100, noise(5_000, 2));
        fs::write(&new, &bundle).unwrap();
        let second = blocks.cut(&new).unwrap();
        assert!(second.new_bytes < 600_000, "{} bytes are new", second.new_bytes);
        let index = blocks.index(second.index).unwrap();
        assert_eq!((index.bytes(), blocks.have(&index)), (second.bytes, second.bytes));
        let to = dir.path().join("bundle.whole");
        blocks.assemble(&index, second.digest, &to).unwrap();
        assert_eq!(fs::read(&to).unwrap(), bundle);
        let wrong = blocks.assemble(&index, first.digest, &dir.path().join("x")).unwrap_err();
        assert!(matches!(wrong, BlocksError::Whole { .. }) && !dir.path().join("x").exists());
    }

    #[test]
    fn changes_that_are_spread_over_a_bundle_cost_little_more_than_themselves() {
        let dir = tempfile::tempdir().unwrap();
        let blocks = Blocks::open(&dir.path().join("releases")).unwrap();
        let path = dir.path().join("bundle");
        let mut bundle = noise(8_000_000, 1);
        fs::write(&path, &bundle).unwrap();
        blocks.cut(&path).unwrap();
        // What a release changes in the images of a bundle: runs of their blocks, here and there.
        let runs = 16;
        for run in 0..runs {
            let bytes = 4096 * (1 + run % 3);
            let at = 96 + 4096 * (run * 120 + 7);
            bundle[at..at + bytes].copy_from_slice(&noise(bytes, run as u64 + 2));
        }
        // A program that grew: what lies behind it is moved by whole blocks.
        bundle.splice(5_000_000..5_000_000, noise(4096 * 50, 99));
        fs::write(&path, &bundle).unwrap();
        let new_bytes = usize::try_from(blocks.cut(&path).unwrap().new_bytes).unwrap();
        let changed = 4096 * (runs * 2 + 50);
        let beside = new_bytes.saturating_sub(changed) / (runs + 1);
        assert!(beside < 96 * 1024, "{beside} bytes beside each change are fetched again");
    }

    #[test]
    fn a_damaged_block_is_found_and_a_release_before_the_last_goes() {
        let dir = tempfile::tempdir().unwrap();
        let blocks = Blocks::open(&dir.path().join("releases")).unwrap();
        let cut = |seed| {
            let path = dir.path().join("bundle");
            fs::write(&path, noise(300_000, seed)).unwrap();
            blocks.cut(&path).unwrap()
        };
        let all = [1, 2, 3].map(|seed| {
            let cut = cut(seed);
            blocks.turn_to(cut.index).unwrap();
            cut
        });
        assert!(blocks.index(all[0].index).is_none() && blocks.index(all[1].index).is_some());
        let index = blocks.index(all[2].index).unwrap();
        let name = index.blocks()[0].name;
        let hex = name.to_string();
        let on_disk = dir.path().join("releases/blocks").join(&hex[..2]).join(&hex);
        fs::write(on_disk, b"rotten").unwrap();
        let to = dir.path().join("out");
        let error = blocks.assemble(&index, all[2].digest, &to).unwrap_err();
        assert!(matches!(error, BlocksError::Damaged { name: found } if found == name), "{error}");
        assert!(!blocks.contains(&name) && !to.exists(), "it is fetched again");
        let empty = dir.path().join("empty");
        fs::write(&empty, b"").unwrap();
        assert!(matches!(blocks.cut(&empty), Err(BlocksError::Size { bytes: 0, .. })));
    }

    #[test]
    fn a_full_disk_keeps_one_release_alone_and_an_index_that_cannot_be_read_ends_the_sweep() {
        let dir = tempfile::tempdir().unwrap();
        let blocks = Blocks::open(&dir.path().join("releases")).unwrap();
        let [old, new] = [1, 2].map(|seed| {
            let path = dir.path().join("bundle");
            fs::write(&path, noise(300_000, seed)).unwrap();
            let cut = blocks.cut(&path).unwrap();
            blocks.turn_to(cut.index).unwrap();
            cut
        });
        let [before, after] = [old.index, new.index].map(|name| blocks.index(name).unwrap());
        let unknown = Hash32::of(b"an index that is nowhere");
        assert!(blocks.keep_only(&[new.index, unknown]).is_err());
        assert_eq!(blocks.have(&before), old.bytes, "nothing was swept");
        blocks.keep_alone(new.index).unwrap();
        assert_eq!((blocks.have(&before), blocks.have(&after)), (0, new.bytes));
    }
}
