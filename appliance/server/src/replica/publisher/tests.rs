//! Publishing to a folder.

use std::fs;

use ed25519_dalek::SigningKey;
use storebox_proto::feed::Registry;
use storebox_proto::time::Timestamp;

use super::*;
use crate::replica::author::{Author, Options};
use crate::replica::import::{Importer, Limits, Weeks};
use crate::replica::storage::Settings;
use crate::trust::line::Lines;

struct Office {
    dir: tempfile::TempDir,
    author: Author,
    board: Board,
    segments: SegmentStore,
    blocks: SegmentStore,
}

fn key() -> SigningKey {
    SigningKey::from_bytes(&[3; 32])
}

impl Office {
    /// One with a price and a terminal: something in the catalogue and in the estate.
    fn open() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let open = |name: &str| SegmentStore::open(&dir.path().join(name)).unwrap();
        let (segments, blocks, board) = (open("segments"), open("blocks"), Board::default());
        let heads = dir.path().join("heads");
        let author = Author::open(&heads, segments.clone(), key(), board.clone(), Options::new(1));
        let mut office = Self { author: author.unwrap(), board, segments, blocks, dir };
        office.import(1);
        office
    }

    fn import(&mut self, price: u32) {
        let lines = format!(
            "{{\"model\":\"ProductPrice\",\"record\":{{\"id\":\"p\",\"listPrice\":\"{price}\"}}}}\n\
             {{\"model\":\"Terminal\",\"record\":{{\"id\":\"t\",\"searchKey\":\"till-{price}\"}}}}\n"
        );
        let spool = tempfile::tempdir().unwrap();
        let importer = Importer::new(Registry::built_in(), Limits::default(), spool.path());
        let import = importer.changes(lines.as_bytes(), Weeks::ALL).unwrap();
        self.author.publish(&import, Timestamp::from_unix_ms(0)).unwrap();
    }

    fn publisher(&self) -> Publisher {
        let root = self.dir.path().join("published");
        fs::create_dir_all(&root).unwrap();
        let settings = Settings { url: root.to_str().unwrap().to_owned(), ..Settings::default() };
        let storage = Storage::open(settings, &Lines::new(self.dir.path(), None)).unwrap();
        let (board, segments) = (self.board.clone(), self.segments.clone());
        let publisher = Publisher::new(storage, board, segments, vec![key().verifying_key()]);
        publisher.with_blocks(self.blocks.clone())
    }

    /// Where a feed is on the storage.
    fn published(&self, feed: &str) -> Option<u64> {
        let path = self.dir.path().join("published").join(head_path(&feed.parse().unwrap()));
        let signed = SignedHead::parse(&fs::read(path).ok()?).unwrap();
        Some(signed.open(&[key().verifying_key()]).unwrap().revision)
    }

    fn is_there(&self, name: &Hash32) -> bool {
        self.dir.path().join("published").join(object_path(name)).exists()
    }

    fn block(&self, content: &'static [u8]) -> Hash32 {
        let name = Hash32::of(content);
        self.blocks.put_many([(name, &Bytes::from_static(content))]).unwrap();
        name
    }

    /// Puts other bytes under the name of an object; what was there.
    fn damage(&self, store: &str, name: Hash32, bytes: &[u8]) -> Vec<u8> {
        let hex = name.to_string();
        let path = self.dir.path().join(store).join(&hex[..2]).join(&hex);
        let before = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        fs::write(&path, bytes).unwrap();
        before
    }
}

#[tokio::test]
async fn a_feed_that_is_damaged_here_keeps_no_other_away_and_its_damage_is_not_published() {
    let office = Office::open();
    let feed: FeedId = "catalogue".parse().unwrap();
    let head = office.board.current(&feed).unwrap().head;
    let entry = head.model(&"ProductPrice".parse().unwrap()).unwrap();
    let manifest = Manifest::parse(&office.segments.read(entry.manifest).unwrap()).unwrap();
    let segment = manifest.segments[0].name;
    let mut flipped = office.segments.read(segment).unwrap().to_vec();
    *flipped.last_mut().unwrap() ^= 1;
    let good = office.damage("segments", segment, &flipped);
    let mut publisher = office.publisher();
    let error = publisher.publish().await.unwrap_err();
    let is_named = matches!(&error, PublishError::Damaged { feed, name }
        if feed.as_str() == "catalogue" && *name == segment);
    assert!(is_named, "{error}");
    assert_eq!((office.published("catalogue"), office.published("estate")), (None, Some(1)));
    assert!(!office.is_there(&segment));
    let told = publisher.standing();
    let there = || {
        let standing = told.borrow();
        let all = standing.feeds.iter().map(|(feed, at)| (feed.to_string(), at.revision));
        all.collect::<Vec<_>>()
    };
    publisher.tell(Some(error.to_string()));
    assert_eq!(there(), [("estate".to_owned(), 1)], "what was published is told all the same");
    office.damage("segments", segment, &good);
    let done = publisher.publish().await.unwrap();
    assert_eq!(done.feeds.len(), 2);
    publisher.tell(None);
    assert_eq!(there(), [("catalogue".to_owned(), 1), ("estate".to_owned(), 1)]);
    // Somebody empties it, and damage keeps one from being written again.
    for entry in fs::read_dir(office.dir.path().join("published")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }.unwrap();
    }
    office.damage("segments", segment, &flipped);
    let error = publisher.publish().await.unwrap_err();
    publisher.tell(Some(error.to_string()));
    assert_eq!(there(), [("estate".to_owned(), 1)], "what is gone is not said to be there");
    office.damage("segments", segment, &good);
    publisher.publish().await.unwrap();
    assert_eq!(office.published("catalogue"), Some(1));
}

#[tokio::test]
async fn the_blocks_of_releases_are_there_before_the_head_of_the_estate() {
    let mut office = Office::open();
    let first = office.block(b"the first block");
    let mut publisher = office.publisher();
    publisher.publish().await.unwrap();
    assert!(office.is_there(&first) && office.published("estate") == Some(1));
    let second = office.block(b"a block that no record names yet");
    let done = publisher.publish().await.unwrap();
    assert_eq!((done.objects, office.is_there(&second)), (1, true));
    assert_eq!(publisher.publish().await.unwrap().objects, 0);
    let third = office.block(b"a block that is damaged here");
    let good = office.damage("blocks", third, b"other bytes");
    office.import(2);
    let error = publisher.publish().await.unwrap_err();
    assert!(matches!(error, PublishError::Damaged { name, .. } if name == third), "{error}");
    let at = (office.published("catalogue"), office.published("estate"));
    assert_eq!(at, (Some(2), Some(1)), "whoever reads the estate finds all that it names");
    office.damage("blocks", third, &good);
    publisher.publish().await.unwrap();
    assert!(office.is_there(&third) && office.published("estate") == Some(2));
}
