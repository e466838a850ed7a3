//! A shop that replicates its assortment only: what comes over the line, what lies on its disk, what its tills are told.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::Path;

use anyhow::ensure;
use serde_json::{Value, json};
use storebox::demo::process::Process;
use storebox_tests::wait;

use crate::site::{PATIENCE, Site, told};

/// Products of the chain, and every how many of them is one of the shop's.
const PRODUCTS: u32 = 20_000;
const EVERY: usize = 10;

fn models() -> [(&'static str, String); 4] {
    let (mut products, mut prices, mut codes, mut entries) =
        (String::new(), String::new(), String::new(), String::new());
    for id in 0..PRODUCTS {
        let name = format!("Product number {id} of department {}", id % 40);
        let product = json!({"id": id.to_string(), "name": name, "barcode": format!("20{id:011}"),
            "searchKey": format!("K{id}"), "categoryId": (id % 40).to_string()});
        let price = json!({"id": format!("PL1-{id}"), "productId": id.to_string(),
            "priceListId": "PL1", "listPrice": format!("{}.{:02}", id % 90, id % 100)});
        let code = json!({"id": format!("U{id}"), "productId": id.to_string(), "upc": format!("9{id:012}")});
        writeln!(products, "{product}").expect("memory");
        writeln!(prices, "{price}").expect("memory");
        writeln!(codes, "{code}").expect("memory");
    }
    for id in (0..PRODUCTS).step_by(EVERY) {
        writeln!(entries, "{}", entry(id)).expect("memory");
    }
    [
        ("Product", products),
        ("ProductPrice", prices),
        ("MultiUPC", codes),
        ("AssortmentProduct", entries),
    ]
}

fn entry(product: u32) -> Value {
    json!({"id": format!("A-{product}"), "assortmentId": "A", "productId": product.to_string()})
}

fn change(model: &str, record: &Value) -> String {
    json!({"model": model, "record": record}).to_string()
}

/// Waits until the shop's box has so many products, in this extent.
async fn await_products(site: &Site, excerpt: Option<&str>, products: u64) -> anyhow::Result<()> {
    wait::until("the extent of the catalogue", PATIENCE, || async {
        let status = site.stage.store.control("GET", "/v1/status", None).await?;
        let feeds = status["feeds"].as_array().cloned().unwrap_or_default();
        let Some(feed) = feeds.iter().find(|feed| feed["feed"] == "catalogue") else {
            return Ok(false);
        };
        let (_, models) = told(site.get("/v1/models")).await?;
        let models = models.as_array().cloned().unwrap_or_default();
        let product = models.iter().find(|model| model["name"] == "Product");
        Ok(feed["excerpt"].as_str() == excerpt
            && product.is_some_and(|product| product["records"] == products))
    })
    .await
}

fn bytes_in(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    let size = |entry: fs::DirEntry| match entry.metadata() {
        Ok(meta) if meta.is_dir() => bytes_in(&entry.path()),
        Ok(meta) => meta.len(),
        Err(_) => 0,
    };
    entries.flatten().map(size).sum()
}

/// What is fetched lies in the segments; a replica is these and its indexes.
fn sizes(process: &Process) -> (u64, u64) {
    let data = process.data();
    let segments = bytes_in(&data.join("segments"));
    (segments, segments + bytes_in(&data.join("feeds")))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shop_has_its_assortment_only_and_its_tills_are_told_where_that_ends()
-> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let whole = Site::open(&folder.path().join("whole"), "").await?;
    let small = Site::open(&folder.path().join("small"), "").await?;
    let models = models();
    let mut lines: Vec<(&str, &str)> =
        models.iter().map(|(name, lines)| (*name, &**lines)).collect();
    whole.import(&lines)?;
    await_products(&whole, None, PRODUCTS.into()).await?;
    let excerpt = json!({"id": "small", "sites": ["store"], "assortmentIds": ["A"]}).to_string();
    small.import(&[("Excerpt", &excerpt)])?;
    lines.push(("Excerpt", &excerpt));
    small.import(&lines)?;
    await_products(&small, Some("small"), u64::from(PRODUCTS) / EVERY as u64).await?;
    let ((line, disk), (part_line, part_disk)) =
        (sizes(&whole.stage.store), sizes(&small.stage.store));
    let kb = |bytes: u64| bytes / 1000;
    let _ = writeln!(
        std::io::stderr(),
        "{PRODUCTS} products: {} KB over the line, {} KB on disk; one in {EVERY}: {} KB, {} KB",
        kb(line),
        kb(disk),
        kb(part_line),
        kb(part_disk)
    );
    ensure!(part_line * 5 < line, "much less comes over the line");
    // The databases of the feeds and their reserve are there whatever is in them.
    ensure!(disk - part_disk >= line - part_line, "and so much less lies on the disk, at least");

    let (status, _) = told(small.get("/v1/models/Product/records/10")).await?;
    ensure!(status == 200);
    let (status, problem) = told(small.get("/v1/models/Product/records/7")).await?;
    ensure!(status == 404 && problem["code"] == "outside_excerpt", "{problem}");
    let (status, problem) = told(whole.get("/v1/models/Product/records/none")).await?;
    ensure!(status == 404 && problem["code"] == "record_unknown", "{problem}");
    let scan =
        small.get("/v1/models/Product/records?field=barcode&value=2000000000007").send().await?;
    ensure!(scan.headers().get("storebox-excerpt").is_some_and(|excerpt| excerpt == "small"));
    ensure!(scan.text().await? == r#"{"records":[]}"#);

    small.change(&change("AssortmentProduct", &entry(7)))?;
    wait::until("what was left out is here", PATIENCE, || async {
        let (found, _) = told(small.get("/v1/models/Product/records/7")).await?;
        let (price, _) = told(small.get("/v1/models/ProductPrice/records/PL1-7")).await?;
        Ok(found == 200 && price == 200)
    })
    .await?;
    small.change(&change("Terminal", &json!({"id": "till-1", "assortmentId": "B"})))?;
    wait::until("a till with another assortment is told so", PATIENCE, || async {
        let (status, problem) = told(small.get("/v1/models/Product/records")).await?;
        Ok(status == 404 && problem["code"] == "outside_excerpt")
    })
    .await?;
    small.change(&change("BusinessPartner", &json!({"id": "c", "searchKey": "c"})))?;
    wait::until("models of a feed that is here whole are listed", PATIENCE, || async {
        let (status, listed) = told(small.get("/v1/models/BusinessPartner/records")).await?;
        Ok(status == 200 && listed["records"].as_array().is_some_and(|all| all.len() == 1))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_excerpt_that_contradicts_another_is_refused_by_name() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let site = Site::open(folder.path(), "").await?;
    let one = json!({"id": "one", "sites": ["store"], "assortmentIds": ["A"]});
    site.change(&change("Excerpt", &one))?;
    let two = json!({"id": "two", "sites": ["store"], "assortmentIds": ["B"]});
    let refused = site.change(&change("Excerpt", &two)).unwrap_err().to_string();
    ensure!(
        refused.contains("MDR-47") && refused.contains("site store has the excerpt one"),
        "{refused}"
    );
    let cut = json!({"id": "cut", "keep": [{"model": "Server", "field": "updated", "days": 1}]});
    let refused = site.change(&change("Excerpt", &cut)).unwrap_err().to_string();
    ensure!(refused.contains("model Server is unknown, or in a feed that is not cut"), "{refused}");
    Ok(())
}
