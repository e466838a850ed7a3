//! Lines in files.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
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

#[tokio::test(flavor = "multi_thread")]
async fn what_the_ledger_cannot_give_is_set_aside_and_named_and_the_rest_is_delivered()
-> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let out = folder.path().join("out");
    let settings =
        format!("[[deliver]]\nid = \"erp\"\nto = \"files\"\nurl = {:?}\n", out.to_string_lossy());
    let mut office = Office::open(folder.path(), &settings).await?;
    office.settle(1..41).await?;
    // What stands behind it proves that the damaged group was durable, and not cut off in the middle.
    office.settle(41..46).await?;
    office.await_level().await?;
    office.main.kill();
    let segment = office.main.data().join("ledger/journal/seg-0000000001.log");
    let mut bytes = fs::read(&segment)?;
    let at = bytes.windows(10).position(|part| part == b"\"order-17\"").context("a sale")?;
    bytes[at + 2] ^= 1;
    fs::write(&segment, bytes)?;
    // The company lost its files and wants all of it once more.
    fs::remove_dir_all(&out)?;
    fs::remove_dir_all(office.main.data().join("deliver"))?;
    office.restart().await?;
    office.await_level().await?;
    let found = lines(&out)?;
    let wanted: Vec<_> = (1..46).filter(|number| *number != 17).map(key).collect();
    ensure!(found == wanted, "{} lines", found.len());
    ensure!(office.delivery().await?["aside"] == 1);
    let aside: Value = serde_json::from_str(&office.main.ask(&["ledger", "aside", "erp"])?)?;
    let one = &aside["aside"][0];
    ensure!(one["position"] == 17 && one["to"] == 17, "{aside}");
    ensure!(one["why"].as_str().is_some_and(|why| why.contains("ledger/journal")), "{aside}");
    let listed: Value = serde_json::from_str(&office.main.ask(&["ledger", "list"])?)?;
    ensure!(listed["entries"].as_array().map(Vec::len) == Some(44), "{listed}");
    let lost = &listed["unreadable"][0];
    ensure!(lost["key"] == key(17) && lost["position"] == 17, "{listed}");
    let detail = lost["problem"]["detail"].as_str().unwrap_or_default();
    ensure!(detail.contains(&*segment.to_string_lossy()), "{listed}");
    Ok(())
}
