//! A release that fails: told upwards, not tried again, and stopped before it reaches everybody.

use std::fs;

use anyhow::{Context, ensure};
use serde_json::Value;
use storebox_image::steward::history::Event;
use storebox_tests::wait;

use crate::shop::{Office, PATIENCE, noise};

#[tokio::test(flavor = "multi_thread")]
async fn a_release_that_fails_on_two_boxes_halts_by_itself_and_everybody_is_told_why()
-> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let office = Office::open(folder.path()).await?;
    let shops = [
        office.shop("store-1", "").await?,
        office.shop("store-2", "").await?,
        office.shop("store-3", "").await?,
    ];
    office.add(&noise(400_000, 6), "1.5.0", "everyone")?;
    for shop in &shops {
        shop.await_state("handed-over").await?;
    }
    shops[0].steward_notes(Event::Installed, "1.5.0", "")?;
    shops[0].steward_notes(Event::FellBack, "1.5.0", "the service\ndid not start")?;
    let idle = shops[0].await_state("idle").await?;
    let why = idle["why"].as_str().unwrap_or_default();
    ensure!(why.contains("1.5.0 was tried and came back"), "{idle}");
    ensure!(!shops[0].bundle("1.5.0").exists(), "it is not tried again by itself");
    wait::until("head office hears of it", PATIENCE, || async {
        Ok(office.releases().await?[0]["failed"][0]["name"] == "store-1")
    })
    .await?;
    let first = office.releases().await?.remove(0);
    ensure!(first["release"]["state"] == "offered", "one box is no reason yet: {first}");

    shops[1].steward_notes(Event::Refused, "1.5.0", "its signature is not believed")?;
    wait::until("it halts", PATIENCE, || async {
        Ok(office.releases().await?[0]["release"]["state"] == "halted")
    })
    .await?;
    let halted = office.releases().await?.remove(0);
    let why = halted["release"]["why"].as_str().context("why")?;
    for words in ["store-1 (fell-back: the service did not start)", "store-2 (refused: its sig"] {
        ensure!(why.contains(words), "{why}");
    }
    let third = shops[2].await_update("it is halted", |update| update["why"] == "1.5.0 was halted");
    third.await?;
    ensure!(!shops[2].bundle("1.5.0").exists(), "the others are spared");
    let listed = office.main.ask(&["release", "list"])?;
    ensure!(listed.contains("is halted at ring everyone: it failed on store-1"), "{listed}");

    let boxes = office.main.control("GET", "/v1/boxes", None).await?;
    let said = boxes.as_array().and_then(|boxes| boxes.first()).context("a box")?;
    ensure!(said["said"]["release"]["running"] == "1.4.0", "{said}");
    ensure!(said["said"]["release"]["failed"][0]["event"] == "fell-back", "{said}");
    let sentence = shops[0].store.ask(&["status"])?;
    ensure!(sentence.contains("Release 1.5.0 came back"), "{sentence}");

    // Those two boxes still say so, and whoever lets it go on knows that.
    office.main.ask(&["release", "resume", "x86-64-1.5.0"])?;
    let resumed = office.releases().await?.remove(0);
    ensure!(resumed["release"]["state"] == "offered", "{resumed}");
    ensure!(resumed["release"]["failuresMax"] == 0, "it would halt again at once: {resumed}");
    shops[2].await_state("handed-over").await?;
    office.main.ask(&["release", "resume", "x86-64-1.5.0", "--failures-max", "2"])?;
    wait::until("it halts again, because that was asked for", PATIENCE, || async {
        Ok(office.releases().await?[0]["release"]["state"] == "halted")
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approval_that_is_over_is_told_and_a_renewed_one_is_taken() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let office = Office::open(folder.path()).await?;
    let pilot = office.shop("store-1", "").await?;
    let bundle = noise(400_000, 9);
    office.add(&noise(300_000, 10), "1.4.0", "pilot")?;
    office.add(&bundle, "1.5.0", "pilot")?;
    pilot.await_state("handed-over").await?;
    // What runs already was refused by a steward of the version before, which took that for a failure.
    pilot.steward_notes(Event::Refused, "1.4.0", "1.4.0 runs already")?;
    let why = "1.5.0 may not be installed: its approval expired 3 days ago";
    pilot.steward_notes(Event::Unapproved, "1.5.0", why)?;
    let told = pilot.await_update("why", |update| update["why"] == why).await?;
    ensure!(told["state"] == "handed-over" && told["failed"].is_null(), "{told}");
    ensure!(pilot.bundle("1.5.0").exists(), "the steward may look again");
    wait::until("head office hears of it", PATIENCE, || async {
        let releases = office.releases().await?;
        let said = |one: &Value| one["coming"][0]["word"].as_str().is_some_and(|w| w.contains(why));
        Ok(releases.iter().any(said))
    })
    .await?;
    for release in office.releases().await? {
        ensure!(release["failed"].as_array().is_some_and(Vec::is_empty), "{release}");
    }
    let approval = folder.path().join("update.approval");
    fs::write(&approval, "renewed")?;
    let file = folder.path().join("update-1.5.0.raucb");
    let (file, approval) = (file.to_string_lossy(), approval.to_string_lossy());
    let words = ["release", "add", &file, "--version", "1.5.0", "--ring", "pilot"];
    office.main.ask(&[&words[..], &["--approval", &approval]].concat())?;
    let beside = pilot.bundle("1.5.0").with_extension("approval");
    wait::until("the renewed approval", PATIENCE, || async {
        Ok(fs::read_to_string(&beside).is_ok_and(|text| text == "renewed"))
    })
    .await
}
