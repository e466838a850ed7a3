//! How a bundle gets to boxes: ring by ring, over a bad line, and from a neighbour.

use std::fs;

use anyhow::ensure;
use storebox_tests::wait;

use crate::shop::{Office, PATIENCE, noise};

const BUNDLE_BYTES: usize = 6_000_000;
/// What masterdata, heads, polls and headers may cost beside a bundle.
const BESIDE: u64 = 500_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_line_and_a_lost_power_cost_nothing_that_had_arrived_and_a_neighbour_gives_the_rest()
-> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let office = Office::open(folder.path()).await?;
    let mut pilot = office.shop("store-1", "").await?;
    pilot.line.cut_after(2_000_000);
    let bundle = noise(BUNDLE_BYTES, 1);
    let said = office.add(&bundle, "1.5.0", "pilot")?;
    ensure!(said.contains("up to ring pilot; 6000000 of its 6000000 bytes are new"), "{said}");

    let cut = pilot
        .await_update("a cut line", |update| {
            update["haveBytes"].as_u64().unwrap_or(0) > 0
                && !update["why"].as_str().unwrap_or_default().is_empty()
        })
        .await?;
    ensure!(pilot.line.is_cut() && cut["state"] == "fetching" && cut["wanted"] == "1.5.0", "{cut}");
    ensure!(!pilot.bundle("1.5.0").exists(), "a part is never handed over");
    pilot.restart().await?;
    pilot.line.mend();
    let there = pilot.await_state("handed-over").await?;
    ensure!(fs::read(pilot.bundle("1.5.0"))? == bundle, "{there}");
    let fetched = there["fetchedBytes"].as_u64().unwrap_or(0);
    let had = cut["haveBytes"].as_u64().unwrap_or(0);
    eprintln!("{had} bytes were there at the cut, {fetched} were fetched afterwards");
    ensure!(fetched + had <= BUNDLE_BYTES as u64 + 100_000, "{fetched} after {had}");
    let carried = pilot.line.carried();
    eprintln!("{carried} bytes over the line for a bundle of {BUNDLE_BYTES}");
    ensure!(carried <= BUNDLE_BYTES as u64 + BESIDE, "{carried} bytes over the line");

    // Its address is another one since it was started again.
    let near =
        format!("[[source]]\nid = \"near\"\nkind = \"peer\"\nurl = \"http://{}\"\n", pilot.address);
    let second = office.shop("store-2", &near).await?;
    second
        .await_update("it is not its turn", |update| {
            let why = update["why"].as_str().unwrap_or_default();
            why == "1.5.0 is on offer; the turn of ring everyone has not come"
        })
        .await?;
    let promoted = office.main.ask(&["release", "promote", "x86-64-1.5.0"])?;
    ensure!(promoted == "x86-64-1.5.0 is on offer up to ring everyone", "{promoted}");
    second.await_state("handed-over").await?;
    ensure!(fs::read(second.bundle("1.5.0"))? == bundle);
    let carried = second.line.carried();
    eprintln!("{carried} bytes over the line of the box whose neighbour had the bundle");
    ensure!(carried <= BESIDE, "{carried} bytes over the second line");
    let listed = office.main.ask(&["release", "list"])?;
    ensure!(listed.contains("up to ring everyone"), "{listed}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_release_costs_what_is_new_in_it_and_a_withdrawn_one_is_taken_back()
-> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let office = Office::open(folder.path()).await?;
    let pilot = office.shop("store-1", "").await?;
    let mut bundle = noise(BUNDLE_BYTES, 2);
    office.add(&bundle, "1.5.0", "pilot")?;
    pilot.await_state("handed-over").await?;
    let before = pilot.line.carried();
    bundle.splice(2_000_000..2_000_010, noise(20_000, 3));
    let said = office.add(&bundle, "1.5.1", "pilot")?;
    pilot
        .await_update("the next one", |update| {
            update["state"] == "handed-over" && update["wanted"] == "1.5.1"
        })
        .await?;
    ensure!(fs::read(pilot.bundle("1.5.1"))? == bundle && !pilot.bundle("1.5.0").exists());
    let carried = pilot.line.carried() - before;
    eprintln!("{said}; {carried} bytes over the line");
    ensure!(carried <= BESIDE, "{carried} bytes for a small release");

    let other = office.add(b"something else", "1.5.1", "pilot").unwrap_err().to_string();
    ensure!(other.contains("state_conflict") && other.contains("other content"), "{other}");
    let nobody = office.add(&bundle, "1.6.0", "pilto").unwrap_err().to_string();
    ensure!(nobody.contains("no ring is called \"pilto\""), "{nobody}");
    let empty = office.add(b"", "1.6.0", "pilot").unwrap_err().to_string();
    ensure!(empty.contains("too_large") && empty.contains("has 0 bytes"), "{empty}");
    for version in ["1.5.1", "1.5.0"] {
        office.main.ask(&["release", "withdraw", &format!("x86-64-{version}")])?;
    }
    pilot.await_state("idle").await?;
    ensure!(!pilot.bundle("1.5.1").exists(), "what was withdrawn is not installed");
    let unknown = office.main.ask(&["release", "halt", "x86-64-1.5.1", "--why", "x"]).unwrap_err();
    ensure!(unknown.to_string().contains("release_unknown"), "{unknown}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_box_whose_line_is_cut_gets_a_release_from_storage() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let storage = folder.path().join("storage");
    fs::create_dir_all(&storage)?;
    let publish = format!("[[publish]]\nid = \"folder\"\nurl = {storage:?}\n");
    let office = Office::with(folder.path(), &publish).await?;
    let source = format!("[[source]]\nid = \"folder\"\nkind = \"storage\"\nurl = {storage:?}\n");
    let pilot = office.shop("store-1", &source).await?;
    pilot.line.cut_after(0);
    let bundle = noise(1_000_000, 8);
    office.add(&bundle, "1.5.0", "pilot")?;
    pilot.await_state("handed-over").await?;
    ensure!(fs::read(pilot.bundle("1.5.0"))? == bundle);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bundle_that_is_taken_in_while_another_is_withdrawn_keeps_all_its_blocks()
-> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let office = Office::open(folder.path()).await?;
    office.add(&noise(400_000, 20), "1.4.5", "pilot")?;
    let bundle = noise(3 * BUNDLE_BYTES, 21);
    std::thread::scope(|scope| -> anyhow::Result<()> {
        let adding = scope.spawn(|| office.add(&bundle, "1.5.0", "pilot"));
        // Its first blocks are there: it is being cut.
        let blocks = office.main.data().join("releases/blocks");
        let count = || fs::read_dir(&blocks).map_or(0, Iterator::count);
        wait::held_within(PATIENCE, || count() >= 40 || adding.is_finished());
        office.main.ask(&["release", "withdraw", "x86-64-1.4.5"])?;
        adding.join().expect("it does not panic").map(|_| ())
    })?;
    let pilot = office.shop("store-1", "").await?;
    pilot.await_state("handed-over").await?;
    ensure!(fs::read(pilot.bundle("1.5.0"))? == bundle);
    Ok(())
}
