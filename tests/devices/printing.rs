//! Receipts, copies, drawers: what a till asks for and what comes off the printer.

use anyhow::ensure;
use reqwest::Method;
use serde_json::json;
use storebox_peripherals::sim::printer::Act;
use storebox_peripherals::sim::scale::Act as PlateAct;
use storebox_tests::wait;

use crate::counter::{Counter, PATIENCE};

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_is_printed_once_however_often_it_is_sent() -> anyhow::Result<()> {
    let mut counter = Counter::open("").await?;
    let first = counter.print("sale-1", "Corner Shop\n---\nTea|2.50\n=").await?;
    ensure!(first["state"] == "printed" && first["level"] == "process_id", "{first}");
    let again = counter.print("sale-1", "Corner Shop\n---\nTea|2.50\n=").await?;
    ensure!(again["at"] == first["at"], "{again}");
    counter.restart().await?;
    let after = counter.print("sale-1", "Corner Shop\n---\nTea|2.50\n=").await?;
    ensure!(after["state"] == "printed" && after["at"] == first["at"], "{after}");
    let path = "/v1/printers/printer/jobs";
    let other = json!({"key": "sale-1", "receiptline": "Coffee|3.00"});
    ensure!(counter.refusal(Method::POST, path, Some(other)).await? == "job_conflict");
    let copy = json!({"decision": "reprint", "key": "sale-1.copy"});
    let (status, copied) = counter.decide("sale-1", copy.clone()).await?;
    ensure!(status == 200 && copied["copy"] == 1, "{copied}");
    counter.decide("sale-1", copy).await?;
    counter.get("/v1/printers/printer/jobs/sale-1.copy?wait_s=20").await?;
    let paper = counter.read_paper();
    ensure!(paper.matches("Tea").count() == 2, "{paper}");
    ensure!(paper.matches("COPY 1").count() == 1, "{paper}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_of_a_receipt_opens_no_drawer_again() -> anyhow::Result<()> {
    let mut counter = Counter::open("").await?;
    counter.await_link("printer", "open").await?;
    let blocks = json!([{"block": "drawer", "drawer": "first"}, {"block": "text", "text": "Tea"}]);
    let body = json!({"key": "sale-9", "document": {"blocks": blocks}});
    let path = "/v1/printers/printer/jobs?wait_s=20";
    let (status, job) = counter.ask(Method::POST, path, Some(body)).await?;
    ensure!(status == 201 && job["state"] == "printed", "{job}");
    wait::until("the opening is told with its job", PATIENCE, || async {
        let entries = counter.get("/v1/drawers/drawer").await?["entries"].clone();
        let acts = |act: &str| entries.as_array().into_iter().flatten().any(|e| e["act"] == act);
        ensure!(!acts("did_not_open"), "{entries}");
        Ok(acts("in_job") && acts("opened"))
    })
    .await?;
    counter.decide("sale-9", json!({"decision": "reprint", "key": "sale-9.copy"})).await?;
    let copy = counter.get("/v1/printers/printer/jobs/sale-9.copy?wait_s=20").await?;
    ensure!(copy["state"] == "printed" && copy["copy"] == 1, "{copy}");
    counter.print("sale-10", "after").await?;
    let paper = counter.read_paper();
    ensure!(paper.matches("<drawer>").count() == 1, "{paper}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_printer_without_paper_keeps_its_jobs_and_prints_them_with_the_next_roll()
-> anyhow::Result<()> {
    let counter = Counter::open("").await?;
    counter.await_link("printer", "open").await?;
    let printer = counter.printer.as_ref().expect("it is plugged in");
    printer.act(Act::PaperOut);
    wait::until("the printer says so", PATIENCE, || async {
        Ok(counter.get("/v1/printers/printer").await?["trouble"] == "paper_out")
    })
    .await?;
    let body = json!({"key": "sale-2", "document": {"blocks": [{"block": "text", "text": "Tea"}]}});
    let (status, job) = counter.ask(Method::POST, "/v1/printers/printer/jobs", Some(body)).await?;
    ensure!(status == 201 && job["state"] == "queued", "{job}");
    printer.act(Act::PaperIn);
    let job = counter.get("/v1/printers/printer/jobs/sale-2?wait_s=20").await?;
    ensure!(job["state"] == "printed", "{job}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drawer_opens_with_who_and_why_written_down() -> anyhow::Result<()> {
    let mut counter = Counter::open("").await?;
    counter.await_link("printer", "open").await?;
    wait::until("the sensor is known", PATIENCE, || async {
        Ok(counter.get("/v1/drawers/drawer").await?["open"] == false)
    })
    .await?;
    let reason = Some(json!({"reason": "change"}));
    let (status, kicked) = counter.ask(Method::POST, "/v1/drawers/drawer/open", reason).await?;
    ensure!(status == 200, "{status} {kicked}");
    wait::until("the drawer stands open", PATIENCE, || async {
        Ok(counter.get("/v1/drawers/drawer").await?["open"] == true)
    })
    .await?;
    let entries = counter.get("/v1/drawers/drawer").await?["entries"].clone();
    let [opened, asked] = entries.as_array().map_or(&[][..], Vec::as_slice) else {
        anyhow::bail!("{entries}")
    };
    ensure!(opened["act"] == "opened" && opened["kick"] == kicked["entry"], "{entries}");
    ensure!(asked["by"] == "till-1" && asked["reason"] == "change", "{entries}");
    ensure!(counter.read_paper().contains("<drawer>"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_technician_lists_and_tries_devices_from_the_command_line() -> anyhow::Result<()> {
    let mut counter = Counter::open("").await?;
    counter.await_link("printer", "open").await?;
    counter.await_link("scale", "open").await?;
    let listed = counter.store.ask(&["device", "list"])?;
    ensure!(listed.lines().filter(|line| line.ends_with("open")).count() == 2, "{listed}");
    let tried = counter.store.ask(&["device", "test", "printer"])?;
    ensure!(tried.contains("\"state\": \"printed\""), "{tried}");
    counter.scale.as_ref().expect("it is plugged in").act(PlateAct::Put(1250));
    wait::until("the scale is tried", PATIENCE, || async {
        Ok(counter.store.ask(&["device", "test", "scale"]).is_ok_and(|text| text.contains("1.250")))
    })
    .await?;
    let unknown = counter.store.ask(&["device", "test", "none"]);
    ensure!(unknown.is_err_and(|error| error.to_string().contains("device_unknown")));
    let paper = counter.read_paper();
    ensure!(paper.contains("left") && paper.contains("ЖДЯ"), "{paper}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_printer_that_is_found_tells_who_the_box_is_and_only_once() -> anyhow::Result<()>
{
    let mut counter = Counter::open("").await?;
    let done = counter.place("store-1/data/devices/first-slip");
    wait::until("the slip is on paper", PATIENCE, || async { Ok(done.exists()) }).await?;
    counter.restart().await?;
    counter.await_link("printer", "open").await?;
    counter.print("sale-3", "after").await?;
    let paper = counter.read_paper();
    ensure!(paper.matches("This printer works").count() == 1, "{paper}");
    ensure!(paper.contains("store-1") && paper.contains("127.0.0.1"), "{paper}");
    ensure!(paper.contains("articles none yet"), "{paper}");
    Ok(())
}
