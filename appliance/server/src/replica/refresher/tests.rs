mod behind;
mod excerpts;
mod late;
mod tiers;
mod world;

use std::time::Duration;

use storebox_proto::feed::{IndexKind, Position, SignedHead};
use storebox_proto::sync::fetch::{Mode, Wish};

use self::world::{HeadOffice, Line, Shop, all, feed, key, model, options, price_of, timed};
use super::*;
use crate::replica::history::Filter;
use crate::replica::reporter::Reporter;
use crate::replica::scrub::{self, Scrub};
use crate::replica::source::HttpSource;
use crate::replica::till_changes::{Since, TillChanges};

#[tokio::test(flavor = "multi_thread")]
async fn an_import_arrives_in_the_shop_and_its_digests_are_the_authors() {
    let (office, dir) = (HeadOffice::open().await, tempfile::tempdir().unwrap());
    let shop = Shop::open(dir.path(), &office);
    office.prices(0..5000, 1).await;
    shop.reaches(office.position()).await;
    office.prices(1000..6000, 2).await;
    shop.reaches(office.position()).await;
    let head = office.board.current(&feed()).unwrap().head;
    let generation = shop.generation();
    for entry in &head.models {
        assert_eq!(generation.digest(&entry.model), Some(entry.digest), "{}", entry.model);
        assert_eq!(generation.count(&entry.model), Some(entry.count));
    }
    assert_eq!((shop.price(999), shop.price(1000)), (None, Some("2".to_owned())));
    assert_eq!(all(&generation, "ProductPrice").len(), 5000);
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_removals_and_inactive_records_arrive_as_an_increment() {
    let (office, dir) = (HeadOffice::open().await, tempfile::tempdir().unwrap());
    office.prices(0..3000, 1).await;
    let shop = Shop::open(dir.path(), &office);
    shop.reaches(office.position()).await;
    let before = office.fetched();
    let lines = r#"{"model":"ProductPrice","record":{"id":"PL1-000001","productId":"1","listPrice":"7"}}
{"model":"ProductPrice","removed":"PL1-000002"}
{"model":"ProductPrice","record":{"id":"PL1-000003","active":false}}"#;
    office.changes(lines).await;
    shop.reaches(office.position()).await;
    assert_eq!(office.fetched() - before, 1, "one page and nothing else");
    let prices = [1, 2, 3, 4].map(|id| shop.price(id));
    assert_eq!(prices, [Some("7".to_owned()), None, None, Some("1".to_owned())]);
    let last = shop.until(|status| status.last.is_some()).await.last.unwrap();
    assert_eq!((last.mode, last.records, last.error), (Mode::Incremental, 3, None));
    let entries = shop.history.own_after(0);
    let models: Vec<_> =
        entries.iter().map(|entry| (entry.refresh.mode, entry.refresh.models.len())).collect();
    assert_eq!(models, [(Mode::Full, 1), (Mode::Incremental, 1)]);
    assert_eq!(office.history.report(&"box-1".parse().unwrap(), entries), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_sees_all_of_a_change_or_nothing_of_it() {
    let (office, dir) = (HeadOffice::open().await, tempfile::tempdir().unwrap());
    office.prices(0..400, 0).await;
    let shop = Shop::open(dir.path(), &office);
    shop.reaches(office.position()).await;
    let readers = shop.readers.clone();
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    let reading = tokio::task::spawn_blocking(move || {
        let mut seen = 0;
        while !stopped.is_cancelled() {
            let generation = readers.generation(&feed()).unwrap();
            let mut prices: Vec<String> = Vec::new();
            let each = generation.each(&model("ProductPrice"), |record| {
                prices.push(price_of(&record));
                true
            });
            each.unwrap();
            assert_eq!(prices.len(), 400);
            assert!(prices.iter().all(|price| *price == prices[0]), "half of a change");
            seen += 1;
        }
        seen
    });
    for price in 1..20 {
        office.prices(0..400, price).await;
        shop.reaches(office.position()).await;
    }
    stop.cancel();
    assert!(reading.await.unwrap() > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_that_was_cut_off_goes_on_after_a_restart_where_it_stopped() {
    let (office, dir) = (HeadOffice::open().await, tempfile::tempdir().unwrap());
    office.prices(0..20_000, 1).await;
    office.line(Line::CutAfter(6));
    let shop = Shop::open(dir.path(), &office);
    shop.until(|status| {
        status
            .progress
            .as_ref()
            .is_some_and(|progress| !progress.manifests && progress.objects == 5)
    })
    .await;
    assert!(shop.readers.generation(&feed()).is_none(), "nothing half is shown");
    shop.stop().await;
    let before = office.fetched();
    assert_eq!(before, 6);
    office.line(Line::Good);
    let shop = Shop::open(dir.path(), &office);
    shop.reaches(office.position()).await;
    let head = office.board.current(&feed()).unwrap().head;
    let manifest = shop.segments.read(head.models[0].manifest).unwrap();
    let manifest = storebox_proto::feed::Manifest::parse(&manifest).unwrap();
    let once = manifest.segments.len() as u64 + 1;
    assert_eq!(office.fetched(), once, "no object came twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lying_line_is_found_out_and_the_old_generation_stays() {
    let (office, dir) = (HeadOffice::open().await, tempfile::tempdir().unwrap());
    office.prices(0..2000, 1).await;
    let shop = Shop::open(dir.path(), &office);
    shop.reaches(office.position()).await;
    let before = shop.handle.statuses()[&feed()].last.clone();
    for (line, price) in [(Line::Flips, 2), (Line::Endless, 3), (Line::Redirects, 4)] {
        office.line(line);
        office.prices(0..2000, price).await;
        shop.handle.refresh(Some(feed()), Wish::Incremental).unwrap();
        shop.until(|status| status.phase == Phase::Waiting).await;
        assert_eq!(shop.price(7).as_deref(), Some("1"), "{line:?}");
    }
    office.line(Line::Good);
    shop.handle.refresh(None, Wish::Incremental).unwrap();
    shop.reaches(office.position()).await;
    assert_eq!(shop.price(7).as_deref(), Some("4"));
    assert_ne!(shop.handle.statuses()[&feed()].last, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_head_and_a_foreign_key_are_refused() {
    let (office, dir) = (HeadOffice::open().await, tempfile::tempdir().unwrap());
    office.prices(0..100, 1).await;
    let old = office.board.current(&feed()).unwrap();
    office.prices(0..100, 2).await;
    let shop = Shop::open(dir.path(), &office);
    shop.reaches(office.position()).await;
    let new = office.board.current(&feed()).unwrap();
    office.board.post(&feed(), old);
    let refused = |word: &'static str| {
        let shop = &shop;
        async move {
            shop.handle.refresh(Some(feed()), Wish::Full).unwrap();
            shop.until(|status| status.phase == Phase::Waiting).await;
            assert_eq!(shop.price(7).as_deref(), Some("2"), "{word}");
        }
    };
    refused("rollback").await;
    let mut head = new.head.as_ref().clone();
    head.revision += 1;
    head.horizon = head.revision;
    head.runs.clear();
    let foreign = ed25519_dalek::SigningKey::from_bytes(&[8; 32]);
    let signed = serde_json::to_vec(&SignedHead::sign(&head, &foreign).unwrap()).unwrap();
    let posted = super::super::board::Posted { head: head.into(), bytes: signed.into() };
    office.board.post(&feed(), posted);
    refused("foreign key").await;
    assert!(shop.handle.statuses()[&feed()].last.as_ref().is_some_and(|last| last.error.is_none()));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_author_whose_digests_do_not_fit_is_not_believed() {
    let (office, dir) = (HeadOffice::open().await, tempfile::tempdir().unwrap());
    office.prices(0..100, 1).await;
    let shop = Shop::open(dir.path(), &office);
    shop.reaches(office.position()).await;
    office.prices(0..100, 2).await;
    let mut head = office.board.current(&feed()).unwrap().head.as_ref().clone();
    head.revision += 1;
    head.horizon = head.revision;
    head.runs.clear();
    head.models[0].digest = Hash32::of(b"something else");
    let signed = serde_json::to_vec(&SignedHead::sign(&head, &key()).unwrap()).unwrap();
    let posted = super::super::board::Posted { head: head.into(), bytes: signed.into() };
    office.board.post(&feed(), posted);
    shop.until(|status| {
        status.last.as_ref().is_some_and(|last| last.mode == Mode::Rebuild && last.error.is_some())
    })
    .await;
    shop.until(|status| status.phase == Phase::Waiting).await;
    assert!(["1", "2"].contains(&shop.price(7).unwrap().as_str()), "the last verified one");
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_the_horizon_the_snapshot_is_taken_and_only_what_differs_is_fetched() {
    let (office, dir) = (HeadOffice::open().await, tempfile::tempdir().unwrap());
    office.prices(0..20_000, 1).await;
    let shop = Shop::open(dir.path(), &office);
    shop.reaches(office.position()).await;
    shop.stop().await;
    for price in 2..20 {
        let line = format!(
            r#"{{"model":"ProductPrice","record":{{"id":"PL1-000001","productId":"1","listPrice":"{price}"}}}}"#
        );
        office.changes(&line).await;
    }
    assert!(office.board.current(&feed()).unwrap().head.horizon > 1);
    let before = office.fetched();
    let shop = Shop::open(dir.path(), &office);
    shop.reaches(office.position()).await;
    assert_eq!(office.fetched() - before, 2, "the manifest and one segment");
    assert_eq!(shop.price(1).as_deref(), Some("19"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_segment_is_found_by_the_scrub_and_fetched_again() {
    let (office, dir) = (HeadOffice::open().await, tempfile::tempdir().unwrap());
    office.prices(0..8000, 1).await;
    let shop = Shop::open(dir.path(), &office);
    shop.reaches(office.position()).await;
    let (_, name) = shop.generation().segments()[2].clone();
    let hex = name.to_string();
    let path = dir.path().join("segments").join(&hex[..2]).join(&hex);
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x40;
    std::fs::write(&path, bytes).unwrap();
    let options = scrub::Options { every: Duration::ZERO, bytes_per_s: u64::MAX };
    let scrub =
        Scrub::new(shop.readers.clone(), shop.segments.clone(), shop.handle.clone(), options);
    let before = office.fetched();
    let round = scrub.round().await;
    assert_eq!(round.damaged[&feed()].len(), 1);
    shop.until(|status| {
        status.last.as_ref().is_some_and(|last| last.mode == Mode::Full && last.error.is_none())
            && shop.segments.check(name) == crate::db::Health::Intact
    })
    .await;
    assert_eq!(office.fetched() - before, 1, "the damaged range and nothing else");
    assert!(scrub.round().await.damaged.is_empty());
    assert_eq!(all(&shop.generation(), "ProductPrice").len(), 8000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_model_arrives_with_its_index_and_without_a_release() {
    let (office, dir) = (HeadOffice::open().await, tempfile::tempdir().unwrap());
    let shop = Shop::open(dir.path(), &office);
    let recipe = r#"{"id":"Recipe","feed":"catalogue","indexes":[{"field":"name","kind":"text"}]}"#;
    office.whole("Model", recipe.to_owned()).await.unwrap();
    office.whole("Recipe", r#"{"id":"1","name":"Tomato Soup"}"#.to_owned()).await.unwrap();
    let position = office.position();
    shop.until(|status| {
        let found = shop.readers.of_model(&model("Recipe")).and_then(|(_, generation)| {
            generation?.prefix(&model("Recipe"), "name", "soup", 10).ok()
        });
        status.position == Some(position) && found.is_some_and(|records| records.len() == 1)
    })
    .await;
    let (def, _) = shop.readers.of_model(&model("Recipe")).unwrap();
    assert_eq!(def.indexes[0].kind, IndexKind::Text);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_publication_of_a_new_feed_arrives_at_once() {
    let (office, dir) = (HeadOffice::open().await, tempfile::tempdir().unwrap());
    let shop = Shop::open(dir.path(), &office);
    let kitchen: FeedId = "kitchen".parse().unwrap();
    let recipe = r#"{"id":"Recipe","feed":"kitchen","indexes":[]}"#;
    office.whole("Model", recipe.to_owned()).await.unwrap();
    let mut watch = shop.handle.watch();
    let asks = |statuses: &Statuses| statuses.contains_key(&kitchen);
    tokio::time::timeout(Duration::from_secs(30), watch.wait_for(asks)).await.unwrap().unwrap();
    let published = env::instant();
    office.whole("Recipe", r#"{"id":"1","name":"Tomato Soup"}"#.to_owned()).await.unwrap();
    let there = |statuses: &Statuses| statuses[&kitchen].position.is_some();
    tokio::time::timeout(Duration::from_secs(30), watch.wait_for(there)).await.unwrap().unwrap();
    // Long before the next look at a feed that had nothing, on a machine that is slow as well.
    assert!(published.elapsed() < Duration::from_secs(10), "{:?}", published.elapsed());
    assert_eq!(shop.readers.generation(&kitchen).unwrap().count(&model("Recipe")), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn tills_are_told_what_changed_or_to_list_again() {
    let (office, dir) = (HeadOffice::open().await, tempfile::tempdir().unwrap());
    office.prices(0..100, 1).await;
    let shop = Shop::open(dir.path(), &office);
    let first = office.position();
    shop.reaches(first).await;
    office.changes(r#"{"model":"ProductPrice","removed":"PL1-000002"}"#).await;
    shop.reaches(office.position()).await;
    office.prices(5..100, 2).await;
    shop.reaches(office.position()).await;
    let till = TillChanges::new(shop.board.clone(), shop.segments.clone());
    let to = office.position();
    let Since::Changes { to: next, changes } = till.since(&feed(), first) else { panic!() };
    assert_eq!((next, changes.len()), (to, 1 + 4 + 95));
    assert_eq!(till.since(&feed(), to), Since::Nothing);
    for old in [Position { epoch: 0, revision: 1 }, Position { revision: 0, ..first }] {
        assert_eq!(till.since(&feed(), old), Since::Relist { to });
    }
    assert_eq!(till.since(&"partners".parse().unwrap(), first), Since::Nothing);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timed_box_asks_at_its_start_and_on_wish_only() {
    let (office, dir) = (HeadOffice::open().await, tempfile::tempdir().unwrap());
    office.prices(0..10, 1).await;
    let options = Options { schedule: timed(60), ..options() };
    let shop = Shop::with(dir.path(), &office, options);
    let first = office.position();
    shop.reaches(first).await;
    office.prices(0..10, 2).await;
    shop.until(|status| status.phase == Phase::Resting).await;
    assert_eq!(shop.handle.statuses()[&feed()].position, Some(first));
    shop.handle.refresh(Some(feed()), Wish::Incremental).unwrap();
    shop.reaches(office.position()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timed_box_asks_again_when_its_period_is_over() {
    let (office, dir) = (HeadOffice::open().await, tempfile::tempdir().unwrap());
    office.prices(0..10, 1).await;
    let shop = Shop::open(dir.path(), &office);
    shop.reaches(office.position()).await;
    shop.stop().await;
    for (minutes_ago, asks) in [(59, false), (61, true)] {
        let history =
            History::open(&dir.path().join(format!("history-{minutes_ago}")), "b".parse().unwrap());
        let history = history.unwrap();
        let at = env::timestamp().unix_ms() - minutes_ago * 60_000;
        history.record(crate::replica::history::Refresh {
            terminal: None,
            feed: feed(),
            mode: Mode::Incremental,
            position: Some(office.position()),
            at: storebox_proto::time::Timestamp::from_unix_ms(at),
            took_ms: 1,
            error: None,
            models: Vec::new(),
        });
        let segments = SegmentStore::open(&dir.path().join("segments")).unwrap();
        let (sources, feeds) = (Sources::local(office.board.clone()), dir.path().join("feeds"));
        let options = Options { schedule: timed(60), ..options() };
        let opened = Refresher::open(&feeds, segments, sources, Board::default(), history, options);
        let (mut refresher, _handle, _readers) = opened.unwrap();
        refresher.on_tick();
        let lane = refresher.lane(&feed()).unwrap();
        assert_eq!(lane.machine.poll_request(env::instant()).is_some(), asks, "{minutes_ago}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn head_offices_own_reads_follow_its_author() {
    let office = HeadOffice::open().await;
    let dir = tempfile::tempdir().unwrap();
    let segments = SegmentStore::open(&office.dir.path().join("segments")).unwrap();
    let history = office.history.clone();
    let (sources, own) = (Sources::local(office.board.clone()), Board::default());
    let options = Options { grace: None, ..options() };
    let opened = Refresher::open(dir.path(), segments, sources, own, history, options);
    let (refresher, handle, readers) = opened.unwrap();
    let shutdown = CancellationToken::new();
    let (_, ()) = tokio::join!(refresher.run(shutdown.clone()), async {
        office.prices(0..100, 1).await;
        office.prices(0..100, 2).await;
        let mut watch = handle.watch();
        let there = |statuses: &Statuses| {
            statuses.get(&feed()).is_some_and(|status| status.position == Some(office.position()))
        };
        tokio::time::timeout(Duration::from_secs(30), watch.wait_for(there))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(readers.generation(&feed()).unwrap().count(&model("ProductPrice")), Some(100));
        assert_eq!(office.fetched(), 0);
        shutdown.cancel();
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn head_office_hears_of_every_refresh_once() {
    let (office, dir) = (HeadOffice::open().await, tempfile::tempdir().unwrap());
    office.prices(0..10, 1).await;
    let shop = Shop::open(dir.path(), &office);
    shop.reaches(office.position()).await;
    let mut heard = office.history.clone();
    for round in 1..=2 {
        let source = HttpSource::new(&office.address, "token", Duration::from_secs(5)).unwrap();
        let reporter = Reporter::new(shop.history.clone(), source, &dir.path().join("reported"));
        let done = CancellationToken::new();
        tokio::join!(reporter.run(done.clone()), async {
            shop.until(|_| shop.history.own_after(0).len() >= round).await;
            while heard.list(&Filter { limit: 10, ..Filter::default() }).len() < round {
                tokio::task::yield_now().await;
            }
            done.cancel();
        });
        heard = office.history.clone();
        office.prices(0..10, 1 + u32::try_from(round).unwrap()).await;
        shop.reaches(office.position()).await;
    }
    let list = office.history.list(&Filter { limit: 10, ..Filter::default() });
    assert_eq!(list.iter().map(|entry| entry.number).collect::<Vec<_>>(), [2, 1]);
}
