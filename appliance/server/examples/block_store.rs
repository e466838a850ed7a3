//! Where should a replica's blocks lie: in sled, one key per block, or in segment files beside it?
//!
//! ```text
//! cargo run --release --example block_store -- products <Product.ndjson.zst> <dir> [records]
//! cargo run --release --example block_store -- sled <dir>
//! cargo run --release --example block_store -- files <dir>
//! cargo run --release --example block_store -- replica <dir>
//! cargo run --release --example block_store -- look <dir>
//! ```
//!
//! `products` repeats the products with changed ids and writes their segments;
//! the others read these and print what they cost, each in its own process so that memory can be compared.
//! The figures of one run are in decision 0002.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use bytes::Bytes;
use storebox::db::{
    BlockCache, ChangeSet, FeedStore, Options, SegmentStore, Snapshot, SnapshotWriter,
};
use storebox::env::instant;
use storebox_proto::feed::segment::{BlockEntry, Header, Kind};
use storebox_proto::feed::{
    Block, Change, IndexDef, IndexKind, Manifest, ModelDef, Record, Scope, Segment,
};
use storebox_proto::ids::Hash32;
use storebox_proto::time::Timestamp;

const RECORDS: usize = 1_000_000;
const LOOKUPS: u64 = 20_000;

/// Id, barcode and canonical JSON.
type Product = (String, String, String);
type Outcome = Result<(), Box<dyn std::error::Error>>;

fn main() -> Outcome {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["products", source, dir] => products(source, Path::new(dir), RECORDS),
        ["products", source, dir, records] => products(source, Path::new(dir), records.parse()?),
        ["sled", dir] => sled_blocks(Path::new(dir)),
        ["files", dir] => segment_files(Path::new(dir)),
        ["replica", dir] => replica(Path::new(dir)),
        ["look", dir] => look(Path::new(dir)),
        _ => Err("see the first lines of examples/block_store.rs".into()),
    }
}

fn tell(what: &str, value: impl Display) {
    let line = writeln!(std::io::stdout(), "{what:<44} {value}");
    line.expect("standard output is open");
}

fn took(what: &str, since: Instant) {
    tell(what, format!("{:.2} s", since.elapsed().as_secs_f64()));
}

/// The products of a file, sorted by id.
fn source(path: &str) -> Result<Vec<Product>, Box<dyn std::error::Error>> {
    let mut text = String::new();
    ruzstd::decoding::StreamingDecoder::new(File::open(path)?)?.read_to_string(&mut text)?;
    let mut products = Vec::new();
    for line in text.lines() {
        let value: serde_json::Value = serde_json::from_str(line)?;
        let field = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
        products.push((field("id"), field("barcode"), value.to_string()));
    }
    products.sort_unstable();
    Ok(products)
}

/// The products again and again, each time with other ids and barcodes, in the order of the ids.
fn repeated(products: &[Product], records: usize) -> impl Iterator<Item = Record> + '_ {
    let copies = (10..100u32).flat_map(move |copy| products.iter().map(move |p| (copy, p)));
    copies.take(records).map(|(copy, (id, barcode, body))| {
        let new_id = format!("{copy}{id}");
        let new_barcode = format!("{}{copy}{}", &barcode[..1], &barcode[3..]);
        let body = body.replacen(&format!("\"id\":\"{id}\""), &format!("\"id\":\"{new_id}\""), 1);
        let body = body.replacen(barcode, &new_barcode, 1);
        Record { id: new_id.parse().expect("digits are an id"), body: Bytes::from(body) }
    })
}

fn products(path: &str, dir: &Path, records: usize) -> Outcome {
    let products = source(path)?;
    let start = instant();
    let bytes: usize = repeated(&products, records).map(|record| record.body.len()).sum();
    took("making the records, without storing them", start);
    let store = SegmentStore::open(&dir.join("segments"))?;
    let start = instant();
    let mut writer = SnapshotWriter::new(&store, "Product".parse()?)?;
    for record in repeated(&products, records) {
        writer.push(&record)?;
    }
    let manifest = writer.finish()?;
    took("making, cutting, packing and storing them", start);
    tell("records", manifest.count());
    tell("JSON", megabytes(bytes as u64));
    tell("segments", manifest.segments.len());
    fs::write(dir.join("manifest"), manifest.to_bytes()?)?;
    tell("segment files", megabytes(size_of(&dir.join("segments"))));
    memory();
    Ok(())
}

fn load(dir: &Path) -> Result<(SegmentStore, Manifest), Box<dyn std::error::Error>> {
    let manifest = Manifest::parse(&fs::read(dir.join("manifest"))?)?;
    Ok((SegmentStore::open(&dir.join("segments"))?, manifest))
}

/// One key per block: the number of the segment and of the block.
fn key(segment: usize, block: usize) -> [u8; 8] {
    let number = (segment as u64) << 16 | block as u64;
    number.to_be_bytes()
}

fn sled_blocks(dir: &Path) -> Outcome {
    let (store, manifest) = load(dir)?;
    let target = fresh(dir, "in-sled")?;
    let config = sled::Config::new().path(&target).cache_capacity(16 << 20).flush_every_ms(None);
    let start = instant();
    let db = config.open()?;
    let mut headers: Vec<Header> = Vec::new();
    for (number, entry) in manifest.segments.iter().enumerate() {
        let bytes = store.read(entry.name)?;
        let header = Segment::parse(bytes.clone())?.into_header();
        for (block, at) in header.blocks.iter().enumerate() {
            let from = at.offset as usize;
            db.insert(key(number, block), &bytes[from..from + at.packed as usize])?;
        }
        headers.push(header);
    }
    db.flush()?;
    File::open(target.join("db"))?.sync_data()?;
    took("sled: storing", start);
    tell("sled: on disk", megabytes(size_of(&target)));
    memory();
    drop(db);
    let start = instant();
    let db = config.open()?;
    took("sled: opening again", start);
    memory();
    look_up("sled", &headers, |segment, block, _| {
        db.get(key(segment, block)).ok().flatten().map(|value| value.to_vec())
    })
}

fn segment_files(dir: &Path) -> Outcome {
    let (source, manifest) = load(dir)?;
    let target = fresh(dir, "in-files")?;
    let store = SegmentStore::open(&target)?;
    let start = instant();
    let mut headers: Vec<Header> = Vec::new();
    for entries in manifest.segments.chunks(256) {
        let mut files: Vec<(Hash32, Bytes)> = Vec::new();
        for entry in entries {
            let bytes = source.read(entry.name)?;
            headers.push(Segment::parse(bytes.clone())?.into_header());
            files.push((entry.name, bytes));
        }
        store.put_many(files.iter().map(|(name, bytes)| (*name, bytes)))?;
    }
    took("files: storing", start);
    tell("files: on disk", megabytes(size_of(&target)));
    memory();
    drop(store);
    let start = instant();
    let store = SegmentStore::open(&target)?;
    took("files: opening again", start);
    memory();
    look_up("files", &headers, |segment, _, at| {
        let name = manifest.segments[segment].name;
        store.read_part(name, at.offset, at.packed as usize).ok()
    })
}

/// Reads random blocks, checks and unpacks them and takes one record out of each.
fn look_up(
    name: &str,
    headers: &[Header],
    read: impl Fn(usize, usize, &BlockEntry) -> Option<Vec<u8>>,
) -> Outcome {
    for round in ["first", "second"] {
        let mut times = Vec::new();
        for number in 0..LOOKUPS {
            let segment = spread(number, headers.len());
            let block = spread(number + LOOKUPS, headers[segment].blocks.len());
            let entry = &headers[segment].blocks[block];
            let start = instant();
            let packed = read(segment, block, entry).ok_or("a block is missing")?;
            let block = Block::decode(entry, Kind::Snapshot, &packed)?;
            let record = block.record(block.len() / 2);
            times.push(start.elapsed());
            assert!(record.is_some());
        }
        percentiles(&format!("{name}: reading a block, {round} round"), &mut times);
    }
    memory();
    Ok(())
}

/// The replica in `<dir>/feeds`, over the segments in `<dir>/segments`.
fn open(dir: &Path, cache: &BlockCache) -> Result<FeedStore, Box<dyn std::error::Error>> {
    let segments = SegmentStore::open(&dir.join("segments"))?;
    let options = Options { cache: cache.clone(), ..Options::default() };
    let (feeds, feed) = (dir.join("feeds"), "catalogue".parse()?);
    Ok(FeedStore::open(&feeds, feed, vec![product()], segments, options)?.store)
}

fn replica(dir: &Path) -> Outcome {
    let (_, manifest) = load(dir)?;
    fresh(dir, "feeds")?;
    let mut store = open(dir, &BlockCache::new(16 << 20))?;
    let published = Timestamp::from_unix_ms(0);
    let manifests = vec![manifest];
    let start = instant();
    store.adopt(Snapshot { epoch: 1, revision: 1, published, manifests })?;
    took("replica: verifying and indexing", start);
    tell("replica: segments on disk", megabytes(size_of(&dir.join("segments"))));
    tell("replica: generation on disk", megabytes(size_of(&dir.join("feeds"))));
    memory();
    for (revision, count) in [(2, 10), (3, 1000)] {
        let changes = changed(&store, revision, count)?;
        let start = instant();
        store.apply(changes, None)?;
        took(&format!("replica: applying {count} scattered changes"), start);
    }
    let start = instant();
    store.fold()?;
    took("replica: folding them into a new base", start);
    memory();
    Ok(())
}

/// Changes to records in random places.
fn changed(
    store: &FeedStore,
    revision: u64,
    count: u64,
) -> Result<ChangeSet, Box<dyn std::error::Error>> {
    let mut changes = BTreeMap::new();
    for record in sample(store, count)? {
        let body = String::from_utf8(record.body.to_vec())?;
        let body = body.replacen("\"active\":true", &format!("\"active\":{revision}"), 1);
        changes.insert(record.id.clone(), Change { id: record.id, body: Some(body.into()) });
    }
    let changes = BTreeMap::from([(product().name, changes.into_values().collect())]);
    Ok(ChangeSet { epoch: 1, revision, published: Timestamp::from_unix_ms(0), changes })
}

/// Records in random places, the same in every run.
fn sample(store: &FeedStore, count: u64) -> Result<Vec<Record>, Box<dyn std::error::Error>> {
    let now = store.current().ok_or("the replica is empty")?;
    let mut records = Vec::new();
    for number in 0..count {
        let id = (1_000_000 + 99_000 * spread(number, 100_000) / 1000).to_string().parse()?;
        records.extend(now.list(&product().name, Some(&id), 1)?);
    }
    Ok(records)
}

fn look(dir: &Path) -> Outcome {
    let cache = BlockCache::new(16 << 20);
    let start = instant();
    let store = open(dir, &cache)?;
    took("look: opening", start);
    memory();
    let now = store.current().ok_or("the replica is empty")?;
    let model = product().name;
    let sample = sample(&store, 5000)?;
    let field = |record: &Record, name: &str| -> String {
        let value: serde_json::Value = serde_json::from_slice(&record.body).unwrap_or_default();
        value[name].as_str().unwrap_or_default().to_owned()
    };
    for (what, is_cold) in [("look: by barcode, no cache", true), ("look: by barcode", false)] {
        let mut times = Vec::new();
        for record in &sample {
            let barcode = field(record, "barcode");
            if is_cold {
                cache.clear();
            }
            let start = instant();
            let found = now.find(&model, "barcode", &barcode, 2)?;
            times.push(start.elapsed());
            assert!(found == [record.clone()], "{barcode} leads to another product");
        }
        percentiles(what, &mut times);
    }
    let mut times = Vec::new();
    for record in &sample {
        let name: String = field(record, "name").chars().take(4).collect();
        let start = instant();
        now.prefix(&model, "name", &name, 20)?;
        times.push(start.elapsed());
    }
    percentiles("look: 20 by four letters of a name", &mut times);
    let mut times = Vec::new();
    for record in &sample {
        let name = field(record, "name").to_lowercase().replacen('e', "o", 1);
        let start = instant();
        now.fuzzy(&model, "name", &name, 20)?;
        times.push(start.elapsed());
    }
    percentiles("look: 20 by a mistyped name", &mut times);
    memory();
    Ok(())
}

fn product() -> ModelDef {
    let index = |field: &str, kind| IndexDef { field: field.to_owned(), kind };
    ModelDef {
        name: "Product".parse().expect("a model's name"),
        feed: "catalogue".parse().expect("a feed's name"),
        scope: Scope::Central,
        indexes: vec![
            index("barcode", IndexKind::Exact),
            index("categoryId", IndexKind::Exact),
            index("name", IndexKind::Text),
        ],
    }
}

/// A number below `below` that looks random and is the same in every run.
fn spread(number: u64, below: usize) -> usize {
    let hash = Hash32::of(&number.to_le_bytes());
    let mut first = [0; 4];
    first.copy_from_slice(&hash.0[..4]);
    u32::from_le_bytes(first) as usize % below
}

fn percentiles(what: &str, times: &mut [std::time::Duration]) {
    times.sort_unstable();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100].as_secs_f64() * 1e6;
    tell(what, format!("p50 {:.1} µs, p99 {:.1} µs", at(50), at(99)));
}

fn fresh(dir: &Path, name: &str) -> Result<PathBuf, std::io::Error> {
    let target = dir.join(name);
    if target.exists() {
        fs::remove_dir_all(&target)?;
    }
    Ok(target)
}

fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

/// What the files of a directory take on disk, in blocks of the file system.
fn size_of(path: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let Ok(entries) = fs::read_dir(path) else {
        return fs::metadata(path).map_or(0, |file| file.blocks() * 512);
    };
    entries.flatten().map(|entry| size_of(&entry.path())).sum()
}

fn memory() {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        line.split_whitespace().nth(1).and_then(|kb| kb.parse::<u64>().ok()).unwrap_or_default()
    };
    let (now, peak) = (line("VmRSS:") / 1000, line("VmHWM:") / 1000);
    tell("  memory", format!("{now} MB, at most {peak} MB"));
}
