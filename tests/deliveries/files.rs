//! Lines in files.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::ensure;
use serde_json::Value;
use storebox_tests::wait;

use crate::office::{Office, key};

/// The keys of all lines, in the order of the files' names.
fn lines(folder: &Path) -> anyhow::Result<Vec<String>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder)? {
        paths.push(entry?.path());
    }
    paths.sort();
    let mut keys = Vec::new();
    for path in paths {
        for line in fs::read_to_string(path)?.lines() {
            let line: Value = serde_json::from_str(line)?;
            keys.push(line["envelope"]["key"].as_str().unwrap_or_default().to_owned());
        }
    }
    Ok(keys)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_settled_transaction_is_one_line_however_often_the_box_is_killed()
-> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let out = folder.path().join("out");
    let settings = format!(
        "[[deliver]]\nid = \"erp\"\nto = \"files\"\nurl = {:?}\nrotate_bytes = 100000\n",
        out.to_string_lossy()
    );
    let mut office = Office::open(folder.path(), &settings).await?;
    office.settle(1..101).await?;
    office.await_level().await?;
    for round in 0..5_u64 {
        let first = 101 + round * 300;
        let known = office.remember()?;
        office.settle(first..first + 300).await?;
        wait::moment(Duration::from_millis(5 * round)).await;
        match round % 2 {
            0 => office.restart().await?,
            _ => office.forget(&known).await?,
        }
    }
    office.await_level().await?;
    let found = lines(&out)?;
    ensure!(found == (1..1601).map(key).collect::<Vec<_>>(), "{} lines", found.len());
    let finished = fs::read_dir(&out)?.count();
    ensure!(finished > 3, "{finished} files");
    Ok(())
}
