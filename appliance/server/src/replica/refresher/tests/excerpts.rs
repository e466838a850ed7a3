//! Boxes that replicate a part of a feed.

use std::path::Path;

use storebox_proto::sync::ladder::Kind;

use super::world::{HeadOffice, Line, Shop, all, feed, key, options, put};
use super::*;
use crate::tiers::Tiers;

const PRODUCTS: u32 = 3000;

/// A head office whose assortment A has every tenth product.
async fn chain_store() -> HeadOffice {
    let office = HeadOffice::open().await;
    let products: String = (0..PRODUCTS)
        .map(|id| format!("{{\"id\":\"{id}\",\"name\":\"Product {id}\"}}\n"))
        .collect();
    office.whole("Product", products).await.unwrap();
    office.prices(0..PRODUCTS, 1).await;
    let entries: String = (0..PRODUCTS).step_by(10).map(|id| entry(id) + "\n").collect();
    office.changes(&entries).await;
    define(&office, "small", "s1").await;
    office
}

fn entry(product: u32) -> String {
    format!(
        "{{\"model\":\"AssortmentProduct\",\"record\":{{\"id\":\"A-{product}\",\"assortmentId\":\"A\",\"productId\":\"{product}\"}}}}"
    )
}

async fn define(office: &HeadOffice, id: &str, site: &str) {
    let line = format!(
        "{{\"model\":\"Excerpt\",\"record\":{{\"id\":\"{id}\",\"sites\":[\"{site}\"],\"assortmentIds\":[\"A\"]}}}}"
    );
    office.changes(&line).await;
}

fn member(site: &str) -> Options {
    let member = Some(("box-1".parse().unwrap(), site.parse().unwrap()));
    Options { member, ..options() }
}

/// Waits until as many products are here as are to be.
async fn has(shop: &Shop, excerpt: Option<&str>, products: usize) {
    let wanted = |status: &crate::replica::status::FeedStatus| {
        status.excerpt.as_deref() == excerpt && status.position.is_some()
    };
    shop.until(wanted).await;
    let mut watch = shop.handle.watch();
    let enough = watch.wait_for(|_| {
        let here = shop.readers.generation(&feed());
        here.is_some_and(|here| all(&here, "Product").len() == products)
    });
    let found = tokio::time::timeout(Duration::from_secs(30), enough).await;
    assert!(found.is_ok(), "{:?}", shop.handle.statuses());
}

fn prices(shop: &Shop) -> usize {
    all(&shop.generation(), "ProductPrice").len()
}

fn bytes(shop: &Shop) -> usize {
    let names = shop.segments.names().unwrap();
    names.into_iter().filter_map(|name| shop.segments.read(name).ok()).map(|b| b.len()).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_box_replicates_its_excerpt_verified_and_nothing_beside_it() {
    let office = chain_store().await;
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let whole = Shop::with(two.path(), &office, member("s2"));
    has(&whole, None, 3000).await;
    let small = Shop::with(one.path(), &office, member("s1"));
    has(&small, Some("small"), 300).await;
    assert_eq!((prices(&small), prices(&whole)), (300, 3000));
    let head = office.board.current(&"catalogue--small".parse().unwrap()).unwrap().head;
    for entry in &head.models {
        assert_eq!(small.generation().digest(&entry.model), Some(entry.digest), "{}", entry.model);
    }
    assert!(bytes(&small) * 4 < bytes(&whole), "{} of {}", bytes(&small), bytes(&whole));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_into_the_assortment_is_fetched_and_what_leaves_it_goes() {
    let (office, dir) = (chain_store().await, tempfile::tempdir().unwrap());
    let shop = Shop::with(dir.path(), &office, member("s1"));
    has(&shop, Some("small"), 300).await;
    let before = office.fetched();
    office.changes(&format!("{}\n{}", entry(1), entry(2))).await;
    has(&shop, Some("small"), 302).await;
    assert_eq!(shop.price(2).as_deref(), Some("1"), "its price has not changed and is here now");
    assert!(office.fetched() - before <= 3, "a page of each model that it changes");
    office.changes(r#"{"model":"AssortmentProduct","removed":"A-0"}"#).await;
    has(&shop, Some("small"), 301).await;
    assert_eq!((shop.price(0), prices(&shop)), (None, 301));
    let elsewhere = shop.generation().revision();
    office.changes(r#"{"model":"Product","record":{"id":"7","name":"not here"}}"#).await;
    office.changes(r#"{"model":"Product","record":{"id":"10","name":"here"}}"#).await;
    shop.until(|status| status.position.is_some_and(|at| at.revision == elsewhere + 1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_box_turns_to_another_extent_and_sells_on_what_it_has_until_that_is_here() {
    let (office, dir) = (chain_store().await, tempfile::tempdir().unwrap());
    let shop = Shop::with(dir.path(), &office, member("s1"));
    has(&shop, Some("small"), 300).await;
    office.line(Line::CutAfter(1));
    office.changes(r#"{"model":"Excerpt","removed":"small"}"#).await;
    shop.until(|status| !status.source_answers || status.progress.is_some()).await;
    assert_eq!(all(&shop.generation(), "Product").len(), 300);
    office.line(Line::Good);
    has(&shop, None, 3000).await;
    define(&office, "tiny", "s1").await;
    has(&shop, Some("tiny"), 300).await;
    office.prices(0..PRODUCTS, 2).await;
    shop.until(|_| shop.price(10).as_deref() == Some("2")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_extent_that_was_changed_while_the_box_was_off_is_taken_at_its_start() {
    let (office, dir) = (chain_store().await, tempfile::tempdir().unwrap());
    let shop = Shop::with(dir.path(), &office, member("s1"));
    has(&shop, Some("small"), 300).await;
    shop.stop().await;
    let shop = Shop::with(dir.path(), &office, member("s1"));
    has(&shop, Some("small"), 300).await;
    let before = office.fetched();
    office.changes(&entry(5)).await;
    has(&shop, Some("small"), 301).await;
    assert!(office.fetched() - before <= 3, "it goes on from where it stood");
    shop.stop().await;
    let shop = Shop::with(dir.path(), &office, member("s2"));
    has(&shop, None, 3000).await;
    shop.stop().await;
    let shop = Shop::with(dir.path(), &office, member("s1"));
    has(&shop, Some("small"), 301).await;
}

/// A shop that knows head office and a neighbour.
fn beside(dir: &Path, office: &HeadOffice, site: &str, neighbour: &str) -> Shop {
    let sources = Sources::new(Tiers::new(0), vec![key().verifying_key()]);
    put(&sources, "main", Kind::Primary, &office.address);
    put(&sources, "neighbour", Kind::Peer, neighbour);
    Shop::through(dir, sources, member(site))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_neighbour_with_another_extent_is_no_source_and_no_liar() {
    let office = chain_store().await;
    for (first, second, excerpt, products) in
        [("s1", "s2", None, 3000), ("s2", "s1", Some("small"), 300)]
    {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let old = Shop::with(one.path(), &office, member(first));
        old.until(|status| status.position.is_some()).await;
        let new = beside(two.path(), &office, second, &old.serve().await);
        has(&new, excerpt, products).await;
        office.line(Line::Broken);
        new.handle.refresh(None, Wish::Incremental).unwrap();
        new.until(|status| !status.source_answers).await;
        assert_eq!(all(&new.generation(), "Product").len(), products, "nothing less");
        assert_eq!(new.fault("neighbour"), None);
        office.line(Line::Good);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_neighbour_with_the_same_excerpt_seeds_a_new_box() {
    let office = chain_store().await;
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let old = Shop::with(one.path(), &office, member("s1"));
    has(&old, Some("small"), 300).await;
    let before = office.fetched();
    let sources = Sources::new(Tiers::new(0), vec![key().verifying_key()]);
    put(&sources, "neighbour", Kind::Peer, &old.serve().await);
    let new = Shop::through(two.path(), sources, member("s1"));
    has(&new, Some("small"), 300).await;
    assert_eq!(office.fetched(), before, "nothing came over the line");
}
