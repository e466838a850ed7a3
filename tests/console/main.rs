//! The console and the reference till in a real browser, against real boxes.
//!
//! A scenario is a script of Playwright (tests/console/browser) that drives Debian's chromium; what happens to the boxes
//! meanwhile (a line is cut, a box dies, paper runs out) it asks of the stage here, a line of JSON for each wish.
//! The browser may reach nothing but the boxes: every other address is refused, and noted as a failure.
//! Screenshots are left under target/browser/shots.

mod door;
mod machine;
mod past;
mod scenario;
mod stage;

use stage::Stage;

#[tokio::test]
async fn money_differences_and_keys_of_the_pages_are_exact() -> anyhow::Result<()> {
    scenario::compute("units.mjs").await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_is_shown_without_anything_serious_against_accessibility() -> anyhow::Result<()>
{
    scenario::play("pages.mjs", Stage::open().await?).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sentence_follows_a_line_that_is_cut_and_paper_that_is_out() -> anyhow::Result<()> {
    scenario::play("sentence.mjs", Stage::open().await?).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_sale_is_repaired_by_a_person_with_the_change_in_sight() -> anyhow::Result<()> {
    scenario::play("repair.mjs", Stage::open().await?).await
}

#[tokio::test(flavor = "multi_thread")]
async fn head_office_sees_all_its_boxes_and_says_unknown_where_it_does_not_know()
-> anyhow::Result<()> {
    let mut stage = Stage::open().await?;
    stage.remember_a_silent_box("store-998").await?;
    scenario::play("boxes.mjs", stage).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_lets_a_till_in_from_the_console_and_sees_what_is_served_in_the_open()
-> anyhow::Result<()> {
    let mut stage = Stage::open().await?;
    stage.adopt().await?;
    scenario::play("door.mjs", stage).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_believes_the_box_by_head_offices_root_and_only_listed_pages_may_use_it()
-> anyhow::Result<()> {
    let mut stage = Stage::open().await?;
    stage.adopt_both().await?;
    scenario::play("secure.mjs", stage).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_till_page_from_the_internet_reaches_the_box_only_with_a_persons_word()
-> anyhow::Result<()> {
    let mut stage = Stage::open().await?;
    stage.adopt_both().await?;
    scenario::play("lan.mjs", stage).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_till_goes_on_selling_when_line_and_box_are_lost_in_mid_sale() -> anyhow::Result<()> {
    scenario::play("till.mjs", Stage::open().await?).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_till_goes_on_at_the_neighbour_box_when_its_own_dies_in_mid_sale() -> anyhow::Result<()> {
    scenario::play("neighbour.mjs", Stage::open().await?).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_till_finds_the_second_box_by_itself_and_sells_there_when_its_own_is_killed()
-> anyhow::Result<()> {
    scenario::play("found.mjs", Stage::open().await?).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cashier_signs_on_with_a_pin_and_too_many_wrong_ones_lock_out() -> anyhow::Result<()> {
    scenario::play("persons.mjs", Stage::open().await?).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_reads_and_only_the_role_that_may_acts() -> anyhow::Result<()> {
    scenario::play("roles.mjs", Stage::open().await?).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_line_is_cut_and_mended_in_a_drill_from_the_console() -> anyhow::Result<()> {
    scenario::play("drill.mjs", Stage::open().await?).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_in_the_shop_is_on_its_page_as_it_happens() -> anyhow::Result<()> {
    scenario::play("facts.mjs", Stage::open().await?).await
}

#[tokio::test(flavor = "multi_thread")]
async fn head_office_sets_visits_and_the_box_shows_a_real_refresh_day_and_machine()
-> anyhow::Result<()> {
    scenario::play("care.mjs", Stage::open().await?).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paper_in_doubt_is_decided_by_a_person_at_the_console() -> anyhow::Result<()> {
    scenario::play("doubt.mjs", Stage::open().await?).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cashier_puts_off_a_refresh_that_is_announced_and_one_that_is_asked_for()
-> anyhow::Result<()> {
    scenario::play("later.mjs", Stage::open().await?).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_till_defers_an_announced_refresh_until_its_ticket_is_closed() -> anyhow::Result<()> {
    scenario::play("refresh.mjs", Stage::open().await?).await
}
