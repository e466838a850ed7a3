//! A release that fails: told upwards, not tried again, and stopped before it reaches everybody.

use anyhow::{Context, ensure};
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
    Ok(())
}
