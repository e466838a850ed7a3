//! A damaged disk under a running box: the read that meets it says so, and it is mended from head office.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::ensure;
use storebox_tests::wait;

use crate::site::{PATIENCE, Site, told};

const PRODUCTS: usize = 2000;

/// Every file below a folder.
fn files(folder: &Path, found: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        match path.is_dir() {
            true => files(&path, found)?,
            false => found.push(path),
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_that_meets_a_damaged_block_says_so_and_has_it_fetched_again() -> anyhow::Result<()>
{
    let folder = tempfile::tempdir()?;
    let site = Site::open(folder.path(), "").await?;
    let product = |id| format!("{{\"id\":\"P{id:05}\",\"name\":\"Product {id}\"}}\n");
    site.import(&[("Product", &(0..PRODUCTS).map(product).collect::<String>())])?;
    site.await_level().await?;
    let mut segments = Vec::new();
    files(&site.stage.store.data().join("segments"), &mut segments)?;
    for path in &segments {
        let mut bytes = fs::read(path)?;
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0x40;
        fs::write(path, bytes)?;
    }
    let mut refused = 0;
    for id in (0..PRODUCTS).step_by(50) {
        let path = format!("/v1/models/Product/records/P{id:05}");
        let (status, answer) = told(site.get(&path)).await?;
        if status != 200 {
            ensure!(status == 503 && answer["code"] == "replica_damaged", "{status} {answer}");
            refused += 1;
        }
        wait::until("the block is mended", PATIENCE, || async {
            Ok(told(site.get(&path)).await?.0 == 200)
        })
        .await?;
    }
    ensure!(refused > 0, "no read has met the damage in {} files", segments.len());
    let log = site.log()?;
    ensure!(log.contains("a read met a damaged segment") && log.contains("segment="), "{log}");
    ensure!(log.contains("fetching damaged segments again"), "{log}");
    Ok(())
}
