//! What is cut, and what must go on.

use std::time::Duration;

use anyhow::ensure;
use storebox_tests::wait::moment;

use crate::net;
use crate::shop::Shop;

/// So long is something cut.
const OUTAGE: Duration = Duration::from_secs(4);

async fn shop() -> anyhow::Result<Option<Shop>> {
    match net::build() {
        Some(net) => Shop::open(net).await.map(Some),
        None => Ok(None),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_line_is_down() -> anyhow::Result<()> {
    let Some(shop) = shop().await? else { return Ok(()) };
    shop.await_more(5).await?;
    shop.net.cable("hq", "wan0", false);
    let before = shop.settled().await?;
    moment(OUTAGE).await;
    ensure!(shop.settled().await? <= before + 64, "nothing gets through");
    shop.net.cable("hq", "wan0", true);
    shop.await_more(20).await?;
    let told = shop.close("line down").await?;
    ensure!(told.kept == 0 && told.unknown == 0, "the boxes took everything: {told:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_primary_is_down() -> anyhow::Result<()> {
    let Some(mut shop) = shop().await? else { return Ok(()) };
    shop.await_more(5).await?;
    shop.kill_main();
    moment(OUTAGE).await;
    shop.start_main().await?;
    shop.await_more(20).await?;
    shop.import(2)?;
    shop.await_level(0).await?;
    shop.await_level(1).await?;
    let told = shop.close("primary down").await?;
    ensure!(told.kept == 0 && told.unknown == 0, "the boxes took everything: {told:?}");
    Ok(())
}

/// The till sells at box1; its line is cut, then that of box2 instead.
#[tokio::test(flavor = "multi_thread")]
async fn one_box_is_blocked_and_goes_through_the_other_and_the_other_way_round()
-> anyhow::Result<()> {
    let Some(shop) = shop().await? else { return Ok(()) };
    shop.await_more(5).await?;
    for (blocked, at) in [("box1", 0), ("box2", 1)] {
        shop.net.cable(blocked, "wan0", false);
        shop.await_source(at, "main", false).await?;
        shop.import(10 + u32::try_from(at)?)?;
        shop.await_level(at).await?;
        shop.await_more(20).await?;
        shop.net.cable(blocked, "wan0", true);
        shop.await_source(at, "main", true).await?;
    }
    let told = shop.close("one box blocked, both ways").await?;
    ensure!(told.kept == 0, "the boxes took everything: {told:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_whole_lan_is_down() -> anyhow::Result<()> {
    let Some(shop) = shop().await? else { return Ok(()) };
    shop.await_more(5).await?;
    for host in ["box1", "box2", "till"] {
        shop.net.cable(host, "eth0", false);
    }
    moment(OUTAGE).await;
    for host in ["box1", "box2", "till"] {
        shop.net.cable(host, "eth0", true);
    }
    shop.await_more(10).await?;
    let told = shop.close("whole LAN down").await?;
    ensure!(told.kept > 0, "the till kept its tickets itself: {told:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_line_flaps() -> anyhow::Result<()> {
    let Some(shop) = shop().await? else { return Ok(()) };
    shop.await_more(5).await?;
    for round in 0..8 {
        shop.net.cable("hq", "wan0", round % 2 == 1);
        moment(Duration::from_millis(300 + 250 * round)).await;
    }
    shop.await_more(10).await?;
    shop.import(3)?;
    shop.await_level(0).await?;
    let told = shop.close("flapping line").await?;
    ensure!(told.kept == 0 && told.unknown == 0, "the boxes took everything: {told:?}");
    Ok(())
}
