//! A replica of many products: built from segments as they arrive, then read.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use storebox_proto::feed::{Manifest, Record};
use storebox_proto::ids::Hash32;
use storebox_proto::time::Timestamp;

use super::catalogue::{Catalogue, field, model};
use super::machine::{resident, size_of};
use super::table::{megabytes, row, seconds, spread};
use super::{Error, catalogue};
use crate::db::{
    BlockCache, FeedStore, Generation, Options, SegmentStore, Snapshot, SnapshotWriter,
};
use crate::demo::dataset::Dataset;
use crate::env;

/// Memory for decoded blocks, as configured by default.
const CACHE_BYTES: u64 = 28 << 20;
/// Records that are looked up.
const LOOKUPS: usize = 5000;
/// Hits of a search.
const HITS: usize = 20;
/// Files stored with one flush of their directory, as the refresher does it.
const FILES_AT_ONCE: usize = 64;

/// Builds a replica of so many records in `dir` and reads it.
pub(super) fn build_and_read(catalogue: &Catalogue, count: usize, dir: &Path) -> Result<(), Error> {
    let (author, manifest) = publish(catalogue, count, &dir.join("author"))?;
    let cache = BlockCache::new(CACHE_BYTES);
    let begun = env::instant();
    let store = replicate(&author, manifest, &dir.join("store"), &cache)?;
    row(&format!("{count} records: stored, verified, 3 indexes"), &seconds(begun.elapsed()));
    row(&format!("{count} records: on disk"), &megabytes(size_of(&dir.join("store"))));
    let Some(generation) = store.current() else { return Err(Error::Wrong("a replica".into())) };
    read(catalogue, count, &generation, &cache)
}

/// Opens a replica of so many records in a process that did not build it, reads it, and tells the memory.
pub(super) fn memory(data: &Dataset, count: usize, dir: &Path) -> Result<(), Error> {
    let store_dir = dir.join("store");
    if !store_dir.exists() {
        let (author, manifest) = publish(&Catalogue::load(data)?, count, &dir.join("author"))?;
        replicate(&author, manifest, &store_dir, &BlockCache::new(CACHE_BYTES))?;
        return Ok(());
    }
    let (before, _) = resident();
    let cache = BlockCache::new(CACHE_BYTES);
    let segments = SegmentStore::open(&store_dir.join("segments"))?;
    let begun = env::instant();
    let store = open(&store_dir, segments, &cache)?;
    row(&format!("{count} records: opened after a restart"), &seconds(begun.elapsed()));
    let Some(generation) = store.current() else { return Err(Error::Wrong("a replica".into())) };
    let model = model().name;
    let mut id = None;
    for _ in 0..count / HITS {
        let page = generation.list(&model, id.as_ref(), HITS)?;
        id = page.last().map(|record| record.id.clone());
    }
    let (after, most) = resident();
    let value = format!(
        "{} after reading all, {} at most, {} before",
        megabytes(after),
        megabytes(most),
        megabytes(before)
    );
    row(&format!("{count} records: resident memory"), &value);
    Ok(())
}

/// The author's side: cut, packed and stored.
fn publish(
    catalogue: &Catalogue,
    count: usize,
    dir: &Path,
) -> Result<(SegmentStore, Manifest), Error> {
    let segments = SegmentStore::open(&dir.join("segments"))?;
    let begun = env::instant();
    let mut writer = SnapshotWriter::new(&segments, catalogue::model().name)?;
    for record in catalogue.records(count) {
        writer.push(&record)?;
    }
    let manifest = writer.finish()?;
    row(&format!("{count} records: cut and packed by the author"), &seconds(begun.elapsed()));
    Ok((segments, manifest))
}

/// The store's side: every file checked and kept, then verified and indexed.
fn replicate(
    author: &SegmentStore,
    manifest: Manifest,
    dir: &Path,
    cache: &BlockCache,
) -> Result<FeedStore, Error> {
    let segments = SegmentStore::open(&dir.join("segments"))?;
    for entries in manifest.segments.chunks(FILES_AT_ONCE) {
        let load = |name: Hash32| author.read(name).map(|bytes| (name, bytes));
        let files = entries.iter().map(|entry| load(entry.name));
        let files: Vec<(Hash32, Bytes)> = files.collect::<Result<_, _>>()?;
        segments.put_many(files.iter().map(|(name, bytes)| (*name, bytes)))?;
    }
    let mut store = open(dir, segments, cache)?;
    let published = Timestamp::from_unix_ms(0);
    store.adopt(Snapshot { epoch: 1, revision: 1, published, manifests: vec![manifest] })?;
    Ok(store)
}

fn open(dir: &Path, segments: SegmentStore, cache: &BlockCache) -> Result<FeedStore, Error> {
    let options = Options { cache: cache.clone(), ..Options::default() };
    let feed = model().feed;
    Ok(FeedStore::open(&dir.join("feeds"), feed, vec![model()], segments, options)?.store)
}

fn read(
    catalogue: &Catalogue,
    count: usize,
    generation: &Arc<Generation>,
    cache: &BlockCache,
) -> Result<(), Error> {
    let name = model().name;
    let sample: Vec<Record> = catalogue.records(count).step_by(count.div_ceil(LOOKUPS)).collect();
    let mut cold = Vec::new();
    let mut warm = Vec::new();
    let mut prefix = Vec::new();
    for record in &sample {
        let barcode = field(record, "barcode");
        cache.clear();
        for times in [&mut cold, &mut warm] {
            let found = timed(times, || generation.find(&name, "barcode", &barcode, 2))?;
            if found != [record.clone()] {
                return Err(Error::Wrong(barcode));
            }
        }
        let start: String = field(record, "name").to_lowercase().chars().take(4).collect();
        timed(&mut prefix, || generation.prefix(&name, "name", &start, HITS))?;
    }
    row(&format!("{count} records: by barcode, nothing cached"), &spread(&mut cold));
    row(&format!("{count} records: by barcode, cached"), &spread(&mut warm));
    row(&format!("{count} records: {HITS} by the start of a name"), &spread(&mut prefix));
    Ok(())
}

fn timed<T>(times: &mut Vec<Duration>, work: impl FnOnce() -> T) -> T {
    let begun = env::instant();
    let result = work();
    times.push(begun.elapsed());
    result
}
