//! A box burns while the line is down; another takes its place, and nothing that was sold is missing.

use std::time::Duration;

use anyhow::ensure;
use storebox_tests::wait::{moment, until};

use crate::net;
use crate::shop::{PATIENCE, Shop};

#[tokio::test(flavor = "multi_thread")]
async fn a_new_box_takes_over_the_terminals_and_what_was_not_settled() -> anyhow::Result<()> {
    let Some(net) = net::build() else { return Ok(()) };
    let mut shop = Shop::open(net).await?;
    shop.await_mirror(0, true).await?;
    shop.await_more(5).await?;
    shop.net.cable("hq", "wan0", false);
    until("sales during the outage", PATIENCE, || async { Ok(shop.waiting(0).await? > 5) }).await?;
    shop.burn(0)?;
    moment(Duration::from_secs(2)).await;
    shop.net.cable("hq", "wan0", true);
    let said = shop.replace(0, "box1").await?;
    ensure!(said.starts_with("took over 1 terminals and "), "{said}");
    ensure!(!said.contains(" 0 transactions"), "{said}");
    shop.await_mirror(1, true).await?;
    shop.await_more(5).await?;
    let told = shop.close("a box burns and is replaced").await?;
    // At most once did it believe itself alone, which it does for two seconds of ten tickets each.
    ensure!(told.kept <= 25, "the till went on at the other box: {told:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn losing_the_mirror_stops_no_sale() -> anyhow::Result<()> {
    let Some(net) = net::build() else { return Ok(()) };
    let shop = Shop::open(net).await?;
    shop.await_mirror(0, true).await?;
    shop.await_more(5).await?;
    shop.net.cable("box2", "eth0", false);
    shop.await_mirror(0, false).await?;
    shop.await_more(10).await?;
    shop.net.cable("box2", "eth0", true);
    shop.await_mirror(0, true).await?;
    let told = shop.close("mirror lost and back").await?;
    ensure!(told.kept == 0, "{told:?}");
    Ok(())
}
