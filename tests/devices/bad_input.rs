//! Garbage, vanishing ports, silent devices, hostile jobs: a clear state, and the other devices undisturbed.

use anyhow::ensure;
use base64::Engine as _;
use reqwest::Method;
use serde_json::json;
use storebox::demo::device::Simulated;
use storebox_peripherals::printer::Profile;
use storebox_peripherals::receipt::Bitmap;
use storebox_peripherals::scale::Model;
use storebox_peripherals::sim::printer::{Act, PrinterSim};
use storebox_peripherals::sim::scale::{Act as PlateAct, ScaleSim};
use storebox_peripherals::sim::script::Script;
use storebox_tests::wait;

use crate::counter::{Counter, PATIENCE};

const JOBS: &str = "/v1/printers/printer/jobs";

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_printed_is_refused_by_name() -> anyhow::Result<()> {
    let bad =
        "[[device]]\nid = \"odd\"\nkind = \"printer\"\nat = \"/dev/null\"\nmodel = \"abacus\"\n";
    let counter = Counter::open(bad).await?;
    counter.await_link("printer", "open").await?;
    let raw = |bytes: &[u8]| base64::engine::general_purpose::STANDARD.encode(bytes);
    let text = "x".repeat(500_000);
    for (what, path, body, code) in [
        (
            "an unknown printer",
            "/v1/printers/none/jobs",
            json!({"key": "a", "receiptline": "x"}),
            "device_unknown",
        ),
        (
            "a refused one",
            "/v1/printers/odd/jobs",
            json!({"key": "a", "receiptline": "x"}),
            "device_unknown",
        ),
        (
            "a scale",
            "/v1/printers/scale/jobs",
            json!({"key": "a", "receiptline": "x"}),
            "device_unknown",
        ),
        ("no content", JOBS, json!({"key": "a"}), "field_invalid"),
        ("two contents", JOBS, json!({"key": "a", "receiptline": "x", "raw": ""}), "field_invalid"),
        ("a bad key", JOBS, json!({"key": "a b", "receiptline": "x"}), "field_invalid"),
        ("no base64", JOBS, json!({"key": "a", "raw": "%%"}), "field_invalid"),
        (
            "an unknown block",
            JOBS,
            json!({"key": "a", "document": {"blocks": [{"block": "x"}]}}),
            "document_invalid",
        ),
        ("a large job", JOBS, json!({"key": "a", "receiptline": text}), "too_large"),
        (
            "a raw job that changes settings",
            JOBS,
            json!({"key": "a", "raw": raw(b"\x1d(E\x03\x00\x01\x49\x4e")}),
            "raw_refused",
        ),
        (
            "a raw job that switches off",
            JOBS,
            json!({"key": "a", "raw": raw(b"\x10\x14\x02\x01\x08")}),
            "raw_refused",
        ),
        ("a drawer that is none", "/v1/drawers/printer/open", json!({}), "device_unknown"),
    ] {
        let refused = counter.refusal(Method::POST, path, Some(body)).await?;
        ensure!(refused == code, "{what}: {refused}");
    }
    let list = counter.get("/v1/devices").await?;
    ensure!(list["refused"][0]["id"] == "odd", "{list}");
    let job = counter.print("script", "Привет Γειά 日本語 مرحبا €|1\n=").await?;
    ensure!(job["state"] == "printed", "{job}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_picture_of_half_a_gigabyte_is_refused_by_its_header() -> anyhow::Result<()> {
    let counter = Counter::open("").await?;
    counter.await_link("printer", "open").await?;
    // The header of a picture of 40,000 by 100,000 dots, with its checksum, and nothing behind it.
    let png = "iVBORw0KGgoAAAANSUhEUgAAnEAAAYagAQAAAABgN+s0";
    let blocks = json!([{"block": "image", "png": png}, {"block": "text", "text": "below"}]);
    let body = json!({"key": "huge", "document": {"blocks": blocks}});
    let (status, refused) = counter.ask(Method::POST, JOBS, Some(body)).await?;
    ensure!(status == 413 && refused["code"] == "too_large", "{status} {refused}");
    ensure!(refused["detail"].as_str().is_some_and(|why| why.contains("4000000000")), "{refused}");
    // A logo that is only wider than the paper is scaled.
    let logo = Bitmap::white(1500, 60).to_png();
    let logo = base64::engine::general_purpose::STANDARD.encode(logo);
    let body = json!({"key": "logo", "document": {"blocks": [{"block": "image", "png": logo}]}});
    let (status, job) = counter.ask(Method::POST, &format!("{JOBS}?wait_s=20"), Some(body)).await?;
    ensure!(status == 201 && job["state"] == "printed" && job.get("warnings").is_none(), "{job}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_printer_that_vanishes_comes_back_under_another_name_and_goes_on() -> anyhow::Result<()> {
    let mut counter = Counter::open("").await?;
    counter.print("before", "before|1\n=").await?;
    counter.read_paper();
    counter.printer = None;
    counter.await_link("printer", "away").await?;
    let away = counter.refusal(Method::POST, "/v1/drawers/drawer/open", Some(json!({}))).await?;
    ensure!(away == "device_away", "{away}");
    let body = json!({"key": "meanwhile", "receiptline": "meanwhile|1\n="});
    let (status, job) = counter.ask(Method::POST, JOBS, Some(body)).await?;
    ensure!(status == 201 && job["state"] == "queued", "{job}");
    counter.plug_printer()?;
    let job = counter.get(&format!("{JOBS}/meanwhile?wait_s=30")).await?;
    ensure!(job["state"] == "printed", "{job}");
    ensure!(counter.read_paper().matches("meanwhile").count() == 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_printer_that_falls_silent_is_in_trouble_and_disturbs_nobody() -> anyhow::Result<()> {
    let counter = Counter::open("").await?;
    counter.await_link("printer", "open").await?;
    counter.await_link("scale", "open").await?;
    counter.printer.as_ref().expect("it is plugged in").act(Act::Mute);
    wait::until("its silence is noticed", PATIENCE, || async {
        Ok(counter.get("/v1/printers/printer").await?["trouble"] == "silent")
    })
    .await?;
    let body = json!({"key": "waits", "receiptline": "waits|1\n="});
    let (status, job) = counter.ask(Method::POST, JOBS, Some(body)).await?;
    ensure!(status == 201 && job["state"] == "queued", "{job}");
    counter.scale.as_ref().expect("it is plugged in").act(PlateAct::Put(300));
    wait::until("the scale weighs", PATIENCE, || async {
        let (_, answer) = counter.ask(Method::GET, "/v1/scales/scale/weight", None).await?;
        Ok(answer["weight"] == "0.300")
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn two_devices_whose_cables_were_crossed_print_nothing_and_weigh_nothing()
-> anyhow::Result<()> {
    let mut counter = Counter::open("").await?;
    counter.await_link("printer", "open").await?;
    (counter.printer, counter.scale) = (None, None);
    let scale = ScaleSim::new(Model::Toledo8217, Script::default());
    let scale = Simulated::plug_in(scale, ScaleSim::act, &counter.place("printer"))?;
    let paper = PrinterSim::new(Profile::epson_m30(), Script::default());
    let paper = Simulated::plug_in(paper, PrinterSim::act, &counter.place("scale"))?;
    scale.act(PlateAct::Put(1250));
    counter.await_link("scale", "open").await?;
    let body = json!({"key": "crossed", "receiptline": "crossed|1\n="});
    let (status, job) = counter.ask(Method::POST, JOBS, Some(body)).await?;
    ensure!(status == 201 && job["state"] == "queued", "{job}");
    wait::until("the printer is said to be silent", PATIENCE, || async {
        Ok(counter.get("/v1/printers/printer").await?["trouble"] == "silent")
    })
    .await?;
    let refused = counter.refusal(Method::GET, "/v1/scales/scale/weight", None).await?;
    ensure!(refused == "scale_fault", "{refused}");
    drop((scale, paper));
    counter.plug_printer()?;
    let job = counter.get(&format!("{JOBS}/crossed?wait_s=30")).await?;
    ensure!(job["state"] == "printed", "{job}");
    ensure!(counter.read_paper().matches("crossed").count() == 1);
    Ok(())
}
