//! Building a base: every segment is read once, verified and indexed, by a few threads in order.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};

use storebox_proto::feed::segment::{Header, Kind};
use storebox_proto::feed::{IndexDef, ModelDef, Segment, SegmentEntry};
use storebox_proto::ids::{Hash32, ModelName};

use super::base::{Base, IndexState};
use super::cache::BlockCache;
use super::index::{Extract, FieldBuilder, FieldIndex};
use super::segments::{SegmentStore, StoreError};

/// Threads that decode; more would only wait for the one that merges.
const WORKERS_MAX: usize = 4;
/// Segments that a worker may be ahead of the merging thread: what bounds the memory.
const AHEAD_MAX: usize = 4;

/// A segment that a base cannot be built with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("segment {name} of model {model} {why}")]
pub struct BadSegment {
    /// The model whose manifest names it.
    pub model: ModelName,
    /// Its name.
    pub name: Hash32,
    /// What is wrong with it, as it reads after its name.
    pub why: &'static str,
}

struct Decoded {
    header: Header,
    extract: Extract,
}

/// Builds the base of a model from segments that are all in the store.
///
/// All segments that cannot be used are named at once, so that one fetch can bring them all.
pub(super) fn assemble(
    def: &ModelDef,
    entries: Vec<SegmentEntry>,
    store: &SegmentStore,
    cache: &BlockCache,
) -> Result<Base, Vec<BadSegment>> {
    let mut base = Base::new(def.name.clone(), entries, store, cache);
    let mut fields: Vec<FieldBuilder> =
        def.indexes.iter().map(|_| FieldBuilder::default()).collect();
    let mut bad = Vec::new();
    let workers = workers().min(base.entries().len().max(1));
    std::thread::scope(|scope| {
        let lines: Vec<Receiver<Result<Decoded, &'static str>>> = (0..workers)
            .map(|worker| {
                let (send, receive) = sync_channel(AHEAD_MAX);
                let mine = base.entries().skip(worker).step_by(workers);
                scope.spawn(move || {
                    for entry in mine {
                        // The receiver goes away only when the merging thread gives up.
                        if send.send(decode(def, entry, store)).is_err() {
                            return;
                        }
                    }
                });
                receive
            })
            .collect();
        let mut start = 0;
        for (number, entry) in base.entries().enumerate() {
            match lines[number % workers].recv().unwrap_or(Err("could not be read")) {
                Ok(decoded) => {
                    for (field, builder) in fields.iter_mut().enumerate() {
                        builder.add(&decoded.extract, field, start);
                    }
                    base.learn(number, decoded.header);
                }
                Err(why) => {
                    bad.push(BadSegment { model: def.name.clone(), name: entry.name, why });
                }
            }
            start += entry.count;
        }
    });
    if bad.is_empty() {
        base.indexes = finish(&def.indexes, fields, base.digest());
        Ok(base)
    } else {
        Err(bad)
    }
}

fn workers() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from).min(WORKERS_MAX)
}

/// Reads, verifies and extracts one segment.
fn decode(
    def: &ModelDef,
    entry: &SegmentEntry,
    store: &SegmentStore,
) -> Result<Decoded, &'static str> {
    let bytes = store.read(entry.name).map_err(|error| match error {
        StoreError::Missing { .. } => "is missing",
        StoreError::DiskFull { .. } | StoreError::Io { .. } => "cannot be read",
    })?;
    if Hash32::of(&bytes) != entry.name {
        return Err("is damaged");
    }
    let segment = Segment::parse(bytes).map_err(|_| "is not a segment")?;
    if segment.header().kind != Kind::Snapshot || segment.header().model != def.name {
        return Err("is of another model or kind");
    }
    let mut extract = Extract::new(&def.indexes);
    let contents = segment.verify(|block| extract.take(&def.indexes, block));
    let contents = contents.map_err(|_| "has a block that cannot be used")?;
    let header = segment.into_header();
    let told = (&entry.digest, &entry.first, &entry.last, entry.count, entry.bytes);
    if told != (&contents.digest, &contents.first, &contents.last, header.count, header.file) {
        return Err("is not what the manifest says");
    }
    Ok(Decoded { header, extract })
}

fn finish(
    defs: &[IndexDef],
    fields: Vec<FieldBuilder>,
    base: Hash32,
) -> BTreeMap<String, IndexState> {
    let workers = workers();
    let mut lots: Vec<Vec<(String, FieldBuilder)>> = (0..workers).map(|_| Vec::new()).collect();
    for (number, (def, field)) in defs.iter().zip(fields).enumerate() {
        lots[number % workers].push((def.field.clone(), field));
    }
    std::thread::scope(|scope| {
        let threads: Vec<_> = lots
            .into_iter()
            .map(|lot| {
                scope.spawn(move || {
                    let built = lot.into_iter().map(|(name, field)| (name, field.finish(base)));
                    built.collect::<Vec<(String, FieldIndex)>>()
                })
            })
            .collect();
        let built = threads.into_iter().flat_map(|thread| match thread.join() {
            Ok(built) => built,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        built.map(|(name, index)| (name, IndexState::Ready(Arc::new(index)))).collect()
    })
}
