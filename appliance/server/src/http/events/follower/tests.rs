use super::*;
use std::io::Cursor;
use std::path::Path;

use ed25519_dalek::SigningKey;
use storebox_proto::feed::Registry;
use storebox_proto::time::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::db::SegmentStore;
use crate::replica::author::{Author, Options};
use crate::replica::board::Board;
use crate::replica::import::{Importer, Limits, Weeks};
use crate::replica::till_changes::TillChanges;

struct Office {
    author: Author,
    importer: Importer,
    feeds: Feeds,
    _dir: tempfile::TempDir,
}

impl Office {
    fn open() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let segments = SegmentStore::open(&path("segments")).unwrap();
        let board = Board::new(Registry::built_in().feeds());
        let key = SigningKey::from_bytes(&[9; 32]);
        let (store, options) = (segments.clone(), Options::new(1));
        let author = Author::open(&path("heads"), store, key, board.clone(), options).unwrap();
        let spool: &Path = &path("spool");
        std::fs::create_dir_all(spool).unwrap();
        let importer = Importer::new(Registry::built_in(), Limits::default(), spool);
        let changes = TillChanges::new(board, segments);
        let names = Registry::built_in().feeds();
        let feeds = Feeds { names, changes, stop: CancellationToken::new() };
        Self { author, importer, feeds, _dir: dir }
    }

    fn import(&mut self, lines: &str) {
        let model = "Brand".parse().unwrap();
        let import = self.importer.model(&model, Cursor::new(lines.to_owned())).unwrap();
        self.author.publish(&import, Timestamp::from_unix_ms(1)).unwrap();
    }

    fn change(&mut self, line: &str) {
        let import = self.importer.changes(Cursor::new(line.to_owned()), Weeks::ALL).unwrap();
        self.author.publish(&import, Timestamp::from_unix_ms(1)).unwrap();
    }

    fn follow(&self, cursor: &str) -> Follower {
        Follower::new(self.feeds.clone(), cursor.parse().unwrap())
    }
}

#[tokio::test]
async fn a_till_that_comes_back_hears_every_change_since() {
    let mut office = Office::open();
    office.import("{\"id\":\"B1\",\"name\":\"One\"}\n{\"id\":\"B2\",\"name\":\"Two\"}\n");
    office.import("{\"id\":\"B1\",\"name\":\"Uno\"}\n{\"id\":\"B3\",\"name\":\"Tre\"}\n");
    let mut till = office.follow("catalogue:1.1");
    let told = till.next().await.unwrap();
    let data: serde_json::Value = serde_json::from_str(&told.data).unwrap();
    assert_eq!((told.name, told.id.as_str()), ("changes", "catalogue:1.2"));
    assert_eq!(data["models"]["Brand"], json!({"changed": ["B1", "B3"], "removed": ["B2"]}));
    assert_eq!(data["position"], "1.2");
}

#[tokio::test]
async fn a_till_from_another_life_of_the_author_starts_anew() {
    let mut office = Office::open();
    office.import("{\"id\":\"B1\",\"name\":\"One\"}\n");
    let told = office.follow("catalogue:7.40").next().await.unwrap();
    assert_eq!((told.name, told.id.as_str()), ("reset", "catalogue:1.1"));
}

#[tokio::test]
async fn a_till_that_waits_hears_the_next_revision_and_the_stop() {
    let mut office = Office::open();
    office.import("{\"id\":\"B1\",\"name\":\"One\"}\n");
    let mut till = office.follow("");
    let waiting = async { (till.next().await.unwrap().name, till.next().await) };
    let work = async {
        tokio::task::yield_now().await;
        office.change("{\"model\":\"Brand\",\"removed\":\"B1\"}\n");
        office.feeds.stop.cancel();
    };
    let ((told, end), ()) = tokio::join!(waiting, work);
    assert_eq!(told, "changes");
    assert_eq!(end, None);
}

#[test]
fn cursors_survive_their_text_and_nonsense_is_refused() {
    let text = "catalogue:1.42,estate:1.3";
    assert_eq!(text.parse::<Cursors>().unwrap().to_string(), text);
    for bad in ["catalogue", "catalogue:1", "Catalogue:1.2", "a:1.2,b"] {
        assert!(bad.parse::<Cursors>().is_err(), "{bad}");
    }
}
