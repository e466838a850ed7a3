//! Boxes that were away, or went down, while their author published on.

use storebox_proto::sync::ladder::Kind;

use super::world::{HeadOffice, Line, Shop, feed, key, model, options, price_of, put_patient};
use super::*;
use crate::replica::till_changes::{CHANGES_MAX, Told};
use crate::tiers::Tiers;

fn price(id: u32, price: u32) -> String {
    format!(
        r#"{{"model":"ProductPrice","record":{{"id":"PL1-{id:06}","productId":"{id}","listPrice":"{price}"}}}}"#
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_box_that_missed_several_revisions_takes_their_changes_and_nothing_else() {
    let (office, dir) = (HeadOffice::open().await, tempfile::tempdir().unwrap());
    office.prices(0..3000, 1).await;
    let shop = Shop::open(dir.path(), &office);
    shop.reaches(office.position()).await;
    shop.stop().await;
    office.changes(&format!("{}\n{}", price(1, 2), price(2, 2))).await;
    office.changes(&price(1, 3)).await;
    office.changes(r#"{"model":"ProductPrice","removed":"PL1-000002"}"#).await;
    let before = office.fetched();
    let shop = Shop::open(dir.path(), &office);
    shop.reaches(office.position()).await;
    assert_eq!(office.fetched() - before, 3, "a page of each revision and nothing else");
    assert_eq!([1, 2, 3].map(|id| shop.price(id)), [Some("3".to_owned()), None, Some("1".into())]);
    let last = shop.until(|status| status.last.is_some()).await.last.unwrap();
    assert_eq!((last.mode, last.records, last.error), (Mode::Incremental, 4, None));
    let entries = shop.history.own_after(0);
    assert!(entries.iter().all(|entry| entry.refresh.error.is_none()), "{entries:?}");
    let head = office.board.current(&feed()).unwrap().head;
    let digest = head.model(&model("ProductPrice")).map(|entry| entry.digest);
    assert_eq!(shop.generation().digest(&model("ProductPrice")), digest);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_box_that_ended_between_the_switch_and_the_remembered_head_offers_it_again() {
    let (office, dir) = (HeadOffice::open().await, tempfile::tempdir().unwrap());
    office.prices(0..100, 1).await;
    let shop = Shop::open(dir.path(), &office);
    shop.reaches(office.position()).await;
    let remembered = lane::head_path(&dir.path().join("feeds"), &feed());
    let before = std::fs::read(&remembered).unwrap();
    office.changes(&price(1, 2)).await;
    shop.reaches(office.position()).await;
    shop.stop().await;
    std::fs::write(&remembered, before).unwrap();
    let shop = Shop::open(dir.path(), &office);
    let offered = shop.board.newer(&feed(), None, Duration::from_secs(30)).await;
    assert_eq!(offered.map(|posted| posted.position()), Some(office.position()));
    let id = "PL1-000001".parse().unwrap();
    let record = shop.generation().get(&model("ProductPrice"), &id).unwrap().unwrap();
    assert_eq!(price_of(&record), "2");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_is_too_slow_for_all_objects_at_once_brings_them_all_the_same() {
    let (office, dir) = (HeadOffice::open().await, tempfile::tempdir().unwrap());
    office.prices(0..20_000, 1).await;
    let names = SegmentStore::open(&office.dir.path().join("segments")).unwrap();
    let bytes: usize =
        names.names().unwrap().iter().map(|name| names.read(*name).unwrap().len()).sum();
    // Eight objects together take longer than a source may be silent, one does not.
    let silence = Duration::from_secs(1);
    office.line(Line::Slow(u32::try_from(bytes / 6).unwrap()));
    let sources = Sources::new(Tiers::new(0), vec![key().verifying_key()]);
    put_patient(&sources, "main", Kind::Primary, &office.address, silence);
    let options = Options { page_timeout: silence, ..options() };
    let shop = Shop::through(dir.path(), sources, options);
    shop.reaches(office.position()).await;
    assert_eq!(shop.handle.statuses()[&feed()].last.as_ref().unwrap().error, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_waits_for_its_turn_on_the_line_is_not_sent_for_twice() {
    let (office, dir) = (HeadOffice::open().await, tempfile::tempdir().unwrap());
    office.prices(0..10, 1).await;
    let shop = Shop::open(dir.path(), &office);
    shop.reaches(office.position()).await;
    shop.stop().await;
    let before = office.fetched();
    for round in 2..8 {
        let lines: Vec<_> = (0..50).map(|id| price(id, round)).collect();
        office.changes(&lines.join("\n")).await;
    }
    // All six are asked for at once, and each may take two seconds; the last one waits longer for its turn.
    let silence = Duration::from_secs(2);
    let thrift = crate::replica::sources::Thrift { bytes_per_s: 400, ..Default::default() };
    let sources = Sources::new(Tiers::new(0), vec![key().verifying_key()]).with(&thrift);
    put_patient(&sources, "main", Kind::Primary, &office.address, silence);
    let shop = Shop::through(dir.path(), sources, Options { page_timeout: silence, ..options() });
    shop.reaches(office.position()).await;
    assert_eq!(office.fetched() - before, 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_that_one_answer_does_not_hold_are_all_told() {
    let (office, dir) = (HeadOffice::open().await, tempfile::tempdir().unwrap());
    office.prices(0..5000, 1).await;
    let shop = Shop::open(dir.path(), &office);
    let first = office.position();
    shop.reaches(first).await;
    for round in 2..4 {
        let lines: Vec<_> = (0..2500).map(|id| price(id, round)).collect();
        office.changes(&lines.join("\n")).await;
    }
    office.changes(&price(4999, 7)).await;
    shop.reaches(office.position()).await;
    let till = TillChanges::new(shop.board.clone(), shop.segments.clone());
    let mut told = Vec::new();
    let to = till.tell_all(&feed(), first, |change| told.push(change.change.id.clone()));
    assert_eq!(to, Told::All { to: office.position() });
    assert!(told.len() == 5001 && told.len() > CHANGES_MAX);
    assert_eq!(told.last().map(ToString::to_string).as_deref(), Some("PL1-004999"));
}
