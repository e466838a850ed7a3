//! Reading through several sources, some of which are no good.

use std::path::Path;
use std::sync::{Arc, Mutex};

use storebox_proto::sync::ladder::{Kind, Service};

use super::world::{HeadOffice, Line, Shop, feed, key, options, put, serve};
use super::*;
use crate::http::feeds::Sync;
use crate::tiers::Tiers;

/// A further address of head office's feeds, with a line of its own.
pub(super) async fn second(office: &HeadOffice, line: Line) -> (String, Arc<Mutex<Line>>) {
    let line = Arc::new(Mutex::new(line));
    let sync = Sync {
        board: office.board.clone(),
        segments: SegmentStore::open(&office.dir.path().join("segments")).unwrap(),
        releases: SegmentStore::open(&office.dir.path().join("releases")).unwrap(),
        history: office.history.clone(),
        shutdown: CancellationToken::new(),
    };
    (serve(sync, line.clone(), Arc::default()).await, line)
}

/// A shop that knows head office and one more source.
fn shop(dir: &Path, office: &HeadOffice, id: &str, kind: Kind, address: &str) -> Shop {
    let sources = Sources::new(Tiers::new(0), vec![key().verifying_key()]);
    put(&sources, "main", Kind::Primary, &office.address);
    put(&sources, id, kind, address);
    Shop::through(dir, sources, options())
}

fn chosen(shop: &Shop) -> Option<String> {
    shop.sources.tiers().best(Service::Feeds).map(|id| id.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn when_head_office_does_not_answer_the_next_source_does_and_head_office_again_when_it_is_back()
 {
    let (office, dir) = (HeadOffice::open().await, tempfile::tempdir().unwrap());
    let (address, _) = second(&office, Line::Good).await;
    let shop = shop(dir.path(), &office, "second", Kind::Additional, &address);
    office.prices(0..100, 1).await;
    shop.reaches(office.position()).await;
    assert_eq!(chosen(&shop).as_deref(), Some("main"));
    office.line(Line::Broken);
    shop.handle.refresh(None, Wish::Incremental).unwrap();
    office.prices(0..100, 2).await;
    shop.reaches(office.position()).await;
    assert_eq!(chosen(&shop).as_deref(), Some("second"));
    assert_eq!(shop.fault("main").as_deref(), Some("answers that it cannot"));
    office.line(Line::Good);
    shop.sources.tiers().until_not_best(&"second".parse().unwrap(), Service::Feeds).await;
    office.prices(0..100, 3).await;
    shop.reaches(office.position()).await;
    assert_eq!((chosen(&shop).as_deref(), shop.fault("main")), (Some("main"), None));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_neighbour_that_lies_is_named_and_the_refresh_goes_on_elsewhere() {
    for (line, fault) in [
        (Line::Flips, "gave something forged or damaged"),
        (Line::Endless, "gave something forged or damaged"),
        (Line::Redirects, "sends elsewhere, which is not followed"),
    ] {
        let (office, dir) = (HeadOffice::open().await, tempfile::tempdir().unwrap());
        office.prices(0..3000, 1).await;
        let (address, _) = second(&office, line).await;
        let shop = shop(dir.path(), &office, "neighbour", Kind::Peer, &address);
        shop.reaches(office.position()).await;
        assert_eq!(shop.fault("neighbour").as_deref(), Some(fault), "{line:?}");
        assert_eq!(shop.handle.statuses()[&feed()].last.as_ref().unwrap().error, None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_neighbour_that_hangs_costs_a_moment_and_not_the_refresh() {
    let (office, dir) = (HeadOffice::open().await, tempfile::tempdir().unwrap());
    office.prices(0..3000, 1).await;
    let (address, _) = second(&office, Line::Hangs).await;
    let shop = shop(dir.path(), &office, "neighbour", Kind::Peer, &address);
    let begun = env::instant();
    shop.reaches(office.position()).await;
    let took = env::instant() - begun;
    assert!(took < options().page_timeout * 2, "{took:?}");
    assert!(shop.sources.tiers().hedges() > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_signed_head_is_known_for_what_it_is() {
    let (office, dir) = (HeadOffice::open().await, tempfile::tempdir().unwrap());
    office.prices(0..100, 1).await;
    let old = office.board.current(&feed()).unwrap();
    let (address, _) = second(&office, Line::Good).await;
    let shop = shop(dir.path(), &office, "neighbour", Kind::Peer, &address);
    office.prices(0..100, 2).await;
    shop.reaches(office.position()).await;
    let newest = office.position();
    office.board.post(&feed(), old);
    office.line(Line::Broken);
    shop.handle.refresh(None, Wish::Incremental).unwrap();
    // Head office may fail for the question that was on its way; the neighbour is asked with the next one.
    assert_eq!(shop.faulted("neighbour").await, "offers older masterdata than is here");
    assert_eq!(shop.handle.statuses()[&feed()].position, Some(newest));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_any_source_the_shop_reads_what_it_has() {
    let (office, dir) = (HeadOffice::open().await, tempfile::tempdir().unwrap());
    office.prices(0..100, 1).await;
    let (address, line) = second(&office, Line::Good).await;
    let shop = shop(dir.path(), &office, "second", Kind::Hosted, &address);
    shop.reaches(office.position()).await;
    *line.lock().unwrap() = Line::Broken;
    office.line(Line::Broken);
    shop.handle.refresh(None, Wish::Incremental).unwrap();
    shop.until(|status| !status.source_answers).await;
    assert_eq!(shop.price(7).as_deref(), Some("1"));
    office.prices(0..100, 2).await;
    office.line(Line::Good);
    shop.reaches(office.position()).await;
    assert_eq!(shop.price(7).as_deref(), Some("2"));
}

const CHANGE: &str =
    r#"{"model":"ProductPrice","record":{"id":"PL1-000007","productId":"7","listPrice":"9"}}"#;

/// A box that has so many prices, and the change that came after them.
async fn old_box(dir: &Path, office: &HeadOffice, prices: u32) -> Shop {
    let old = Shop::open(dir, office);
    office.prices(0..prices, 1).await;
    old.reaches(office.position()).await;
    office.changes(CHANGE).await;
    old.reaches(office.position()).await;
    old
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_box_begins_with_what_its_neighbour_holds_whole_and_follows_it_from_there() {
    let office = HeadOffice::open().await;
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let old = old_box(one.path(), &office, 5000).await;
    let before = office.fetched();
    let sources = Sources::new(Tiers::new(0), vec![key().verifying_key()]);
    put(&sources, "neighbour", Kind::Peer, &old.serve().await);
    let new = Shop::through(two.path(), sources, options());
    new.reaches(office.position()).await;
    assert_eq!(new.price(7).as_deref(), Some("9"));
    assert_eq!(office.fetched(), before, "nothing came over the line");
    assert_eq!(new.fault("neighbour"), None);
    office.changes(&CHANGE.replace("\"9\"", "\"10\"")).await;
    old.reaches(office.position()).await;
    new.reaches(office.position()).await;
    assert_eq!(new.price(7).as_deref(), Some("10"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_box_that_reaches_head_office_takes_what_its_neighbour_has_from_there() {
    let office = HeadOffice::open().await;
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let old = old_box(one.path(), &office, 20_000).await;
    let before = office.fetched();
    let new = shop(two.path(), &office, "neighbour", Kind::Peer, &old.serve().await);
    new.reaches(office.position()).await;
    assert_eq!(new.price(7).as_deref(), Some("9"));
    let over = office.fetched() - before;
    let names = new.segments.names().unwrap();
    let held = names.len() as u64;
    assert!(held >= 8, "{held} objects");
    // The head is that of head office: its manifest and the segment with the change are nowhere else yet.
    // Where the neighbour took long, head office was asked as well.
    let most = 2 + new.sources.tiers().hedges();
    assert!(over <= most, "{over} of {held} objects came over the line, at most {most}");
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_narrow_line_objects_come_no_faster_than_they_may() {
    let (office, dir) = (HeadOffice::open().await, tempfile::tempdir().unwrap());
    office.prices(0..20_000, 1).await;
    let thrift = crate::replica::sources::Thrift { bytes_per_s: 60_000, ..Default::default() };
    let sources = Sources::new(Tiers::new(0), vec![key().verifying_key()]).with(&thrift);
    put(&sources, "main", Kind::Primary, &office.address);
    let begun = env::instant();
    let options = Options { in_flight_max: 2, ..options() };
    let shop = Shop::through(dir.path(), sources, options);
    shop.reaches(office.position()).await;
    let bytes: usize = office_bytes(&shop);
    let least =
        Duration::from_secs_f64(bytes as f64 / 60_000.0).saturating_sub(Duration::from_secs(3));
    assert!(begun.elapsed() >= least, "{bytes} bytes in {:?}", begun.elapsed());
}

/// What the shop has fetched.
fn office_bytes(shop: &Shop) -> usize {
    let names = shop.segments.names().unwrap();
    names.into_iter().filter_map(|name| shop.segments.read(name).ok()).map(|b| b.len()).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_have_an_object_is_not_asked_for_it_again_at_once() {
    let office = HeadOffice::open().await;
    office.prices(0..100, 1).await;
    let head = office.board.current(&feed()).unwrap().head;
    let (name, bytes) = (head.models[0].manifest, head.models[0].manifest_bytes);
    for status in [404, 410] {
        let sources = Sources::new(Tiers::new(0), vec![key().verifying_key()]);
        let before = office.fetched();
        office.line(Line::Lacks(status));
        put(&sources, "main", Kind::Primary, &office.address);
        for _ in 0..5 {
            let refused = sources.object(&feed(), &name, bytes).await.unwrap_err();
            assert!(refused.is_gone(), "{status}: {refused}");
        }
        assert_eq!(office.fetched() - before, 1, "{status}");
        // Another source is asked in its place, however near the first one is.
        let (address, _) = second(&office, Line::Good).await;
        put(&sources, "second", Kind::Additional, &address);
        sources.object(&feed(), &name, bytes).await.unwrap();
        assert_eq!(office.fetched() - before, 1, "{status}");
    }
}
