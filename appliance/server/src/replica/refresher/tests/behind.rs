//! Sources that have nothing new must not hide those behind them.

use std::path::Path;

use storebox_proto::feed::Position;
use storebox_proto::sync::ladder::{Kind, Rung};

use super::tiers::second;
use super::world::{HeadOffice, Line, Shop, feed, key, options, put};
use super::*;
use crate::replica::source::{HttpSource, Source};
use crate::replica::sources::Thrift;
use crate::tiers::Tiers;

/// Head office's line is cut; a neighbour stands at the revision before the newest, and so does the shop.
struct Cut {
    office: HeadOffice,
    neighbour: Shop,
    shop: Shop,
    /// Where the newest revision can still be read.
    address: String,
    _dirs: [tempfile::TempDir; 2],
}

const PRICE: &str =
    r#"{"model":"ProductPrice","record":{"id":"PL1-000007","productId":"7","listPrice":"9"}}"#;

impl Cut {
    /// `behind`: what stands behind the neighbour.
    async fn with(behind: Option<Kind>, options: Options) -> (Self, Position) {
        let office = HeadOffice::open().await;
        let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        office.prices(0..100, 1).await;
        let neighbour = Shop::open(dirs[0].path(), &office);
        neighbour.reaches(office.position()).await;
        let (address, _) = second(&office, Line::Good).await;
        let shop = Self::shop(dirs[1].path(), &office, &neighbour, options).await;
        if let Some(kind) = behind {
            put(&shop.sources, "yonder", kind, &address);
        }
        shop.reaches(office.position()).await;
        office.line(Line::Broken);
        for cut in [&neighbour, &shop] {
            cut.handle.refresh(None, Wish::Incremental).unwrap();
        }
        neighbour.until(|status| !status.source_answers).await;
        shop.faulted("main").await;
        office.changes(PRICE).await;
        let newest = office.position();
        (Self { office, neighbour, shop, address, _dirs: dirs }, newest)
    }

    async fn shop(dir: &Path, office: &HeadOffice, neighbour: &Shop, options: Options) -> Shop {
        let sources = Sources::new(Tiers::new(0), vec![key().verifying_key()]);
        let sources = sources.looking(Duration::from_secs(2));
        put(&sources, "main", Kind::Primary, &office.address);
        put(&sources, "neighbour", Kind::Peer, &neighbour.serve().await);
        Shop::through(dir, sources, options)
    }

    /// Nothing came by the way that is cut, nor by the neighbour.
    fn check(&self, newest: Position) {
        assert_eq!(self.shop.price(7).as_deref(), Some("9"));
        assert_ne!(self.neighbour.handle.statuses()[&feed()].position, Some(newest));
        assert!(self.shop.fault("main").is_some());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_neighbour_with_nothing_new_does_not_hide_storage_that_has_it() {
    let (cut, newest) = Cut::with(Some(Kind::Storage), options()).await;
    cut.shop.handle.refresh(None, Wish::Incremental).unwrap();
    cut.shop.reaches(newest).await;
    cut.check(newest);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_follows_a_neighbour_hears_of_what_others_have_without_a_wish() {
    let (cut, newest) = Cut::with(Some(Kind::Peer), options()).await;
    cut.shop.reaches(newest).await;
    cut.check(newest);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lent_stick_is_read_beside_a_neighbour_that_has_nothing_new() {
    let options = Options { schedule: super::timed(600), ..options() };
    let (cut, newest) = Cut::with(None, options).await;
    let source = HttpSource::new(&cut.address, "token", Duration::from_secs(5)).unwrap();
    let rung = Rung::new("lent".parse().unwrap(), Kind::Storage);
    let rung = Rung { found: true, near: true, ..rung };
    assert!(cut.shop.sources.put(rung, "a stick", Source::Http(source)));
    cut.shop.handle.refresh(None, Wish::Incremental).unwrap();
    cut.shop.reaches(newest).await;
    cut.check(newest);
    assert_eq!(cut.office.position(), newest);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_window_is_closed_news_comes_from_the_neighbour() {
    let office = HeadOffice::open().await;
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    office.prices(0..100, 1).await;
    let neighbour = Shop::open(one.path(), &office);
    neighbour.reaches(office.position()).await;
    let minutes = env::timestamp().unix_ms() / 60_000 + 12 * 60;
    let clock = |minutes: i64| format!("{:02}:{:02}", minutes / 60 % 24, minutes % 60);
    let window = format!("{}-{}", clock(minutes), clock(minutes + 1)).parse().unwrap();
    let thrift = Thrift { window, ..Thrift::default() };
    let sources = Sources::new(Tiers::new(0), vec![key().verifying_key()]).with(&thrift);
    put(&sources, "main", Kind::Primary, &office.address);
    put(&sources, "neighbour", Kind::Peer, &neighbour.serve().await);
    let before = office.fetched();
    let shop = Shop::through(two.path(), sources, options());
    shop.reaches(office.position()).await;
    assert_eq!(office.fetched(), before, "nothing came over the line");
    office.changes(PRICE).await;
    neighbour.reaches(office.position()).await;
    shop.reaches(office.position()).await;
    assert_eq!(shop.price(7).as_deref(), Some("9"));
}
