mod excerpts;

use std::collections::BTreeMap;

use proptest::prelude::*;
use storebox_proto::feed::segment::Segment;

use super::*;
use crate::db::Health;
use crate::replica::import::{Importer, Limits, Weeks};

#[expect(clippy::disallowed_methods, reason = "a test gets its zero here")]
fn start() -> Instant {
    Instant::now()
}

struct Office {
    dir: tempfile::TempDir,
    author: Author,
}

fn open(dir: &Path) -> Result<Author, AuthorError> {
    let store = SegmentStore::open(&dir.join("segments")).unwrap();
    let key = SigningKey::from_bytes(&[3; 32]);
    let options = Options { runs_max: 8, grace: Duration::from_secs(60), ..Options::new(5) };
    Author::open(&dir.join("heads"), store, key, Board::default(), options)
}

impl Office {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let author = open(dir.path()).unwrap();
        Self { dir, author }
    }

    fn import(&mut self, read: impl FnOnce(&Importer) -> Import) -> Vec<Published> {
        let spool = tempfile::tempdir().unwrap();
        let importer = Importer::new(Registry::built_in(), Limits::default(), spool.path());
        self.author.publish(&read(&importer), Timestamp::from_unix_ms(0)).unwrap()
    }

    fn whole(&mut self, model: &str, records: &BTreeMap<u32, u32>) -> Vec<Published> {
        let lines: String = records.iter().map(|(id, price)| line(*id, *price)).collect();
        self.import(|importer| importer.model(&model.parse().unwrap(), lines.as_bytes()).unwrap())
    }

    fn changes(&mut self, model: &str, changes: &BTreeMap<u32, Option<u32>>) -> Vec<Published> {
        let lines: String = changes
            .iter()
            .map(|(id, price)| match price {
                Some(price) => {
                    format!("{{\"model\":\"{model}\",\"record\":{}}}\n", line(*id, *price).trim())
                }
                None => format!("{{\"model\":\"{model}\",\"removed\":\"{id:06}\"}}\n"),
            })
            .collect();
        self.import(|importer| importer.changes(lines.as_bytes(), Weeks::ALL).unwrap())
    }

    fn head(&self) -> Arc<Head> {
        self.author.head(&"catalogue".parse().unwrap()).unwrap()
    }

    /// Reads a model back from the head's objects alone, checking every digest on the way.
    fn content(&self, model: &str) -> BTreeMap<u32, u32> {
        let head = self.head();
        let entry = head.model(&model.parse().unwrap()).unwrap();
        let manifest = Manifest::parse(&self.author.store.read(entry.manifest).unwrap()).unwrap();
        assert_eq!((manifest.digest(), manifest.count()), (entry.digest, entry.count));
        let mut content = BTreeMap::new();
        for segment in &manifest.segments {
            let (contents, changes) = self.object(segment.name).changes().unwrap();
            assert_eq!(contents.digest, segment.digest);
            content
                .extend(changes.into_iter().map(|change| parse(&change.id, change.body.unwrap())));
        }
        content
    }

    fn object(&self, name: Hash32) -> Segment {
        assert_eq!(self.author.store.check(name), Health::Intact);
        Segment::parse(self.author.store.read(name).unwrap()).unwrap()
    }
}

fn line(id: u32, price: u32) -> String {
    format!("{{\"id\":\"{id:06}\",\"listPrice\":\"{price}\"}}\n")
}

fn parse(id: &storebox_proto::ids::RecordId, body: Bytes) -> (u32, u32) {
    let value: serde_json::Value = serde_json::from_slice(&body).unwrap();
    (id.as_str().parse().unwrap(), value["listPrice"].as_str().unwrap().parse().unwrap())
}

fn many(count: u32) -> BTreeMap<u32, u32> {
    (0..count).map(|id| (id, 1)).collect()
}

#[test]
fn the_first_import_is_revision_one_without_history() {
    let mut office = Office::new();
    let published = office.whole("ProductPrice", &many(5000));
    assert_eq!(published[0].position, Position { epoch: 5, revision: 1 });
    assert_eq!(published[0].changes.values().sum::<u64>(), 5000);
    let head = office.head();
    assert_eq!((head.horizon, head.runs.len()), (1, 0));
    assert_eq!(office.content("ProductPrice"), many(5000));
}

#[test]
fn what_changes_nothing_is_no_revision() {
    let mut office = Office::new();
    office.whole("ProductPrice", &many(50));
    assert_eq!(office.whole("ProductPrice", &many(50)), []);
    assert_eq!(office.changes("ProductPrice", &BTreeMap::from([(3, Some(1)), (99, None)])), []);
    assert_eq!(office.head().revision, 1);
}

#[test]
fn an_empty_model_can_be_published_and_filled() {
    let mut office = Office::new();
    assert_eq!(office.whole("Brand", &many(0)).len(), 1);
    assert_eq!(office.content("Brand"), many(0));
    office.changes("Brand", &BTreeMap::from([(1, Some(2))]));
    assert_eq!(office.content("Brand"), BTreeMap::from([(1, 2)]));
}

#[test]
fn a_change_writes_few_segments_and_one_run() {
    let mut office = Office::new();
    office.whole("ProductPrice", &many(30_000));
    let published = office.changes("ProductPrice", &BTreeMap::from([(7, Some(2)), (9, None)]));
    assert!(published[0].segments <= 2, "{published:?}");
    let head = office.head();
    assert_eq!((head.revision, head.horizon, head.runs[0].pages[0].count), (2, 1, 2));
    let (_, changes) = office.object(head.runs[0].pages[0].name).changes().unwrap();
    assert_eq!((changes[0].body.is_some(), changes[1].body.is_none()), (true, true));
}

#[test]
fn a_whole_import_removes_what_it_does_not_name() {
    let mut office = Office::new();
    office.whole("ProductPrice", &many(100));
    let fewer: BTreeMap<u32, u32> = many(100).into_iter().filter(|(id, _)| id % 2 == 0).collect();
    let published = office.whole("ProductPrice", &fewer);
    assert_eq!(published[0].changes.values().sum::<u64>(), 50);
    assert_eq!(office.content("ProductPrice"), fewer);
}

#[test]
fn old_runs_are_dropped_and_the_horizon_rises() {
    let mut office = Office::new();
    office.whole("ProductPrice", &many(100));
    for price in 2..30 {
        office.changes("ProductPrice", &BTreeMap::from([(1, Some(price))]));
        let head = office.head();
        assert!(head.check().is_ok() && head.runs.len() <= 8);
    }
    assert_eq!(office.head().horizon, 29 - 8);
    office.whole("ProductPrice", &many(11_000));
    let head = office.head();
    assert!(head.runs.iter().flat_map(|run| &run.pages).count() >= 1);
}

#[test]
fn a_crash_before_the_head_leaves_the_previous_revision_whole() {
    let mut office = Office::new();
    office.whole("ProductPrice", &many(5000));
    let path = office.dir.path().join("heads/catalogue.head");
    let before = std::fs::read(&path).unwrap();
    office.changes("ProductPrice", &BTreeMap::from([(7, Some(2))]));
    let after = office.head();
    // Everything but the head reached the disk.
    std::fs::write(&path, before).unwrap();
    office.author = open(office.dir.path()).unwrap();
    assert_eq!(office.head().revision, 1);
    assert_eq!(office.content("ProductPrice"), many(5000));
    office.changes("ProductPrice", &BTreeMap::from([(7, Some(2))]));
    assert_eq!(office.head().models, after.models, "the same again, under the same names");
}

#[test]
fn a_damaged_head_is_restored_from_its_twin_and_both_damaged_stop_the_author() {
    let mut office = Office::new();
    office.whole("ProductPrice", &many(5));
    let path = office.dir.path().join("heads/catalogue.head");
    let text = std::fs::read_to_string(&path).unwrap();
    let damaged = text.replace("revision", "revisoin");
    std::fs::write(&path, &damaged).unwrap();
    open(office.dir.path()).unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    for path in [path.with_extension("twin"), path] {
        std::fs::write(path, &damaged).unwrap();
    }
    assert!(matches!(open(office.dir.path()), Err(AuthorError::Head { .. })));
}

#[test]
fn a_head_that_is_gone_or_cannot_be_read_is_restored_from_its_twin() {
    let mut office = Office::new();
    office.whole("ProductPrice", &many(5));
    let path = office.dir.path().join("heads/catalogue.head");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    office.author = open(office.dir.path()).unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    // A name that leads to itself: whoever reads it gets an error of the file system.
    std::fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink(&path, &path).unwrap();
    assert!(std::fs::read(&path).is_err());
    office.author = open(office.dir.path()).unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    assert_eq!((office.head().revision, office.content("ProductPrice")), (1, many(5)));
    std::fs::remove_file(path.with_extension("twin")).unwrap();
    std::fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink(&path, &path).unwrap();
    assert!(matches!(open(office.dir.path()), Err(AuthorError::File { .. })));
}

#[test]
fn damage_at_the_author_is_named_and_mended_by_a_whole_import() {
    let mut office = Office::new();
    office.whole("ProductPrice", &many(3000));
    let head = office.head();
    let entry = head.models[0].clone();
    let manifest = Manifest::parse(&office.author.store.read(entry.manifest).unwrap()).unwrap();
    office.author.store.remove(manifest.segments[0].name).unwrap();
    let spool = tempfile::tempdir().unwrap();
    let importer = Importer::new(Registry::built_in(), Limits::default(), spool.path());
    let change = br#"{"model":"ProductPrice","removed":"000001"}"#;
    let import = importer.changes(change.as_slice(), Weeks::ALL).unwrap();
    let error = office.author.publish(&import, Timestamp::from_unix_ms(0)).unwrap_err();
    assert!(matches!(error, AuthorError::Damaged { what: "segment", .. }));
    let mut all = many(3000);
    all.insert(1, 9);
    office.whole("ProductPrice", &all);
    assert_eq!(office.content("ProductPrice"), all);
    assert_eq!(office.head().horizon, 2, "the history begins anew");
}

#[test]
fn what_no_head_names_is_swept_after_its_time_of_grace() {
    let mut office = Office::new();
    office.whole("ProductPrice", &many(5000));
    let old = office.author.store.names().unwrap();
    for id in 0..20 {
        office.changes("ProductPrice", &BTreeMap::from([(id, Some(2))]));
    }
    let now = start();
    assert_eq!(office.author.sweep(now).unwrap(), 0);
    assert_eq!(office.author.sweep(now + Duration::from_secs(59)).unwrap(), 0);
    assert!(office.author.sweep(now + Duration::from_secs(60)).unwrap() > 20);
    let left = office.author.store.names().unwrap();
    assert!(left.len() <= old.len() + 1 + 8, "{} {}", left.len(), old.len());
    assert_eq!(office.content("ProductPrice").len(), 5000);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]
    #[test]
    fn imports_of_any_kind_lead_to_their_content_and_runs_lead_there_too(
        first in prop::collection::btree_map(0u32..9000, 0u32..3, 0..6000),
        edits in prop::collection::vec(
            (any::<bool>(), prop::collection::btree_map(0u32..9000, prop::option::of(0u32..3), 0..400)),
            1..5,
        ),
    ) {
        let mut office = Office::new();
        office.whole("ProductPrice", &first);
        let mut model = first.clone();
        let mut replica = first;
        let mut at = office.head().revision;
        for (whole, changes) in edits {
            for (id, price) in &changes {
                match price {
                    Some(price) => model.insert(*id, *price),
                    None => model.remove(id),
                };
            }
            if whole {
                office.whole("ProductPrice", &model);
            } else {
                office.changes("ProductPrice", &changes);
            }
            prop_assert_eq!(&office.content("ProductPrice"), &model);
            let head = office.head();
            for run in head.runs.iter().filter(|run| run.revision > at) {
                for page in &run.pages {
                    for change in office.object(page.name).changes().unwrap().1 {
                        match change.body {
                            Some(body) => { let (id, price) = parse(&change.id, body); replica.insert(id, price); }
                            None => { replica.remove(&change.id.as_str().parse().unwrap()); }
                        }
                    }
                }
            }
            at = head.revision;
            prop_assert_eq!(&replica, &model);
        }
    }
}
