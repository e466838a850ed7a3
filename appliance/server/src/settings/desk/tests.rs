use std::collections::BTreeMap;

use super::*;

fn wanted(revision: u64) -> Wanted {
    let values = BTreeMap::from([("log.level".to_owned(), serde_json::json!("warn"))]);
    Wanted { revision, values, prove_s: 60 }
}

fn desk(dir: &std::path::Path, book: Book) -> Desk {
    let file = dir.join("storebox.toml");
    std::fs::write(&file, format!("data_dir = {dir:?}\n")).unwrap();
    let origin = Origin { file, data_dir: None };
    let config = origin.load().unwrap();
    Desk::open(&config, book, &origin, CancellationToken::new())
}

#[test]
fn no_writer_takes_back_what_another_has_written() {
    const WRITERS: u64 = 16;
    let dir = tempfile::tempdir().unwrap();
    let desk = desk(dir.path(), Book::default());
    std::thread::scope(|scope| {
        for revision in 1..=WRITERS {
            let inner = &desk.inner;
            scope.spawn(move || {
                let refuse = |book: &mut Book, at| {
                    book.refuse(wanted(revision), "no", at);
                    Some(())
                };
                inner.change(refuse).unwrap().unwrap();
            });
        }
    });
    for book in [desk.view().book, book::open(dir.path())] {
        let revisions: std::collections::BTreeSet<_> =
            book.steps.iter().map(|step| step.revision).collect();
        assert_eq!(revisions, (1..=WRITERS).collect());
    }
}

#[tokio::test]
async fn what_cannot_be_written_down_is_in_force_nowhere() {
    let dir = tempfile::tempdir().unwrap();
    let mut book = Book::default();
    book.begin(wanted(1), env::timestamp());
    let desk = desk(dir.path(), book.clone());
    std::fs::create_dir(dir.path().join(book::FILE).with_extension("new")).unwrap();
    assert!(desk.take_back("anna".to_owned()).await.is_err());
    desk.take(wanted(2)).await;
    assert_eq!(desk.view().book, book);
    assert!(!desk.begins_again());
}

#[tokio::test]
async fn what_a_person_took_back_is_not_tried_by_a_look_from_before() {
    let dir = tempfile::tempdir().unwrap();
    let mut book = Book::default();
    book.begin(wanted(1), env::timestamp());
    let desk = desk(dir.path(), book);
    assert!(desk.take_back("anna".to_owned()).await.unwrap());
    desk.take(wanted(1)).await;
    let book = desk.view().book;
    assert!(book.trial.is_none() && book.refused.is_some());
    assert!(!desk.take_back("anna".to_owned()).await.unwrap(), "there is nothing before");
}

#[test]
fn the_estate_is_read_again_when_it_has_changed_or_could_not_be_read() {
    let at = env::instant();
    let (here, there) = (Position { epoch: 1, revision: 7 }, Position { epoch: 1, revision: 8 });
    let found = Rollout { position: here, ring: String::new(), wanted: wanted(1) };
    let read = Look { position: here, at, found: Some(found) };
    let late = at + UNREADABLE_REST;
    assert!(read.is_current(here, late) && !read.is_current(there, at));
    let failed = Look { position: here, at, found: None };
    assert!(failed.is_current(here, at) && !failed.is_current(here, late));
}
