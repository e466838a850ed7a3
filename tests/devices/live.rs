//! What can be watched: the live weight, the bytes on a line, the state of every device.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::Value;
use storebox_peripherals::sim::printer::Act as PaperAct;
use storebox_peripherals::sim::scale::Act;
use storebox_tests::wait;
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::counter::{Counter, PATIENCE};

#[tokio::test(flavor = "multi_thread")]
async fn the_live_weight_is_a_number_only_while_the_plate_is_at_rest_and_in_range()
-> anyhow::Result<()> {
    let counter = Counter::open("").await?;
    counter.await_link("scale", "open").await?;
    let mut events = counter.listen("/v1/scales/scale/events").await?;
    let scale = counter.scale.as_ref().expect("it is plugged in");
    for (act, state, weight) in [
        (Act::Put(1250), "stable", Some("1.250")),
        (Act::Move, "in_motion", None),
        (Act::Put(75), "stable", Some("0.075")),
        (Act::Put(-10), "under_zero", None),
        (Act::Put(20_000), "over_capacity", None),
        (Act::Put(14_995), "stable", Some("14.995")),
        (Act::Mute, "no_reply", None),
        (Act::Speak, "stable", Some("14.995")),
    ] {
        scale.act(act);
        if act == Act::Speak {
            scale.act(Act::Put(14_995));
        }
        let found = events
            .find(|event| {
                let is_number = event.get("weight").is_some();
                let broken = is_number != (event["state"] == "stable");
                let arrived = event["state"] == state && event["weight"].as_str() == weight;
                (broken || arrived).then(|| (broken, event.clone()))
            })
            .await?;
        ensure!(!found.0, "a weight without rest: {}", found.1);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_technician_sees_the_bytes_on_a_line() -> anyhow::Result<()> {
    let counter = Counter::open("").await?;
    counter.await_link("scale", "open").await?;
    counter.scale.as_ref().expect("it is plugged in").act(Act::Put(1250));
    let mut trace = counter
        .command()
        .args(["device", "trace", "scale"])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let mut lines = BufReader::new(trace.stdout.take().context("it is piped")?).lines();
    let (mut asked, mut answered) = (false, false);
    while !(asked && answered) {
        // Asked again and again: nobody knows when the listener hears.
        let weight =
            counter.ask(reqwest::Method::GET, "/v1/scales/scale/weight?timeout_ms=50", None);
        weight.await?;
        counter.scale.as_ref().expect("it is plugged in").act(Act::Put(1250));
        while let Ok(line) =
            tokio::time::timeout(Duration::from_millis(50), lines.next_line()).await
        {
            let line = line?.context("the trace ended")?;
            asked |= line.contains("sent") && line.contains("57");
            answered |= line.contains("received") && line.contains("0230312e3235300d");
        }
    }
    Ok(())
}

fn device<'a>(status: &'a Value, id: &str) -> &'a Value {
    let devices = status["devices"].as_array().map_or(&[][..], Vec::as_slice);
    devices.iter().find(|device| device["id"] == id).unwrap_or(&Value::Null)
}

#[tokio::test(flavor = "multi_thread")]
async fn status_and_metrics_say_how_every_device_does() -> anyhow::Result<()> {
    let odd = "[[device]]\nid = \"odd\"\nkind = \"printer\"\nat = \"@odd\"\nmodel = \"abacus\"\n\
        [[device]]\nid = \"absent\"\nkind = \"scanner\"\nat = \"@absent\"\n";
    let counter = Counter::open(odd).await?;
    let await_state = async |id: &str, state: &str| {
        wait::until(&format!("{id}: {state}"), PATIENCE, || async {
            let status = counter.store.control("GET", "/v1/status", None).await?;
            Ok(device(&status, id)["state"].as_str().is_some_and(|words| words.contains(state)))
        })
        .await
    };
    await_state("printer", "works").await?;
    await_state("scale", "works").await?;
    await_state("absent", "away: ").await?;
    await_state("odd", "abacus").await?;
    let slip = counter.place("store-1/data/devices/first-slip");
    wait::until("the first slip is printed", PATIENCE, || async { Ok(slip.exists()) }).await?;
    counter.printer.as_ref().expect("it is plugged in").act(PaperAct::PaperOut);
    await_state("printer", "out of paper").await?;
    let body = serde_json::json!({"key": "waits", "receiptline": "x"});
    counter.ask(reqwest::Method::POST, "/v1/printers/printer/jobs", Some(body)).await?;
    let status = counter.store.control("GET", "/v1/status", None).await?;
    ensure!(device(&status, "printer")["waiting"] == 1, "{status}");
    let shown = counter.store.ask(&["status"])?;
    ensure!(shown.contains("it is out of paper, 1 waiting"), "{shown}");
    let metrics = counter.text("/metrics").await?;
    for figure in [
        "storebox_device_works{device=\"printer\",kind=\"printer\"} 0",
        "storebox_device_works{device=\"scale\",kind=\"scale\"} 1",
        "storebox_device_works{device=\"absent\",kind=\"scanner\"} 0",
        "storebox_print_jobs_waiting{device=\"printer\",kind=\"printer\"} 1",
        "storebox_print_jobs_in_doubt{device=\"printer\",kind=\"printer\"} 0",
        "storebox_devices_unused 1",
    ] {
        ensure!(metrics.contains(figure), "{figure} in\n{metrics}");
    }
    // A passer-by does not hear where a device is looked for.
    let summary = counter.get("/v1/status").await?;
    ensure!(device(&summary, "absent")["state"] == "away", "{summary}");
    Ok(())
}
