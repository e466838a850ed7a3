//! A printer and a scale that misbehave in every way they can.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::ensure;
use serde_json::json;
use storebox::demo::device::Simulated;
use storebox_peripherals::printer::Profile;
use storebox_peripherals::scale::Model;
use storebox_peripherals::sim::printer::{Act, Event, PrinterSim};
use storebox_peripherals::sim::scale::{Act as PlateAct, Event as PlateEvent, ScaleSim};
use storebox_peripherals::sim::script::Script;
use storebox_tests::wait;

use crate::Measure;
use crate::sales::now;
use crate::shop::{Node, PATIENCE, Shop};
use crate::table::Row;

/// What happens to a printer, and what a shop does about it.
const TROUBLES: [(Act, Option<Act>); 5] = [
    (Act::PaperOut, Some(Act::PaperIn)),
    (Act::CoverOpen, Some(Act::CoverClose)),
    (Act::PowerCut, Some(Act::PowerOn)),
    (Act::PaperLow, None),
    // The box gives a job up a minute after this, so the short form does without.
    (Act::CutterJam, Some(Act::CutterFree)),
];
/// What lies on the plate, in grams; no other weight is true.
const GRAMS: [i32; 3] = [1250, 75, 3000];
const WEIGHTS: [&str; 3] = ["1.250", "0.075", "3.000"];

/// How the first box is told of its devices.
pub(crate) fn settings(folder: &Path) -> String {
    let device = |id: &str, model: &str| {
        let at = folder.join(id);
        format!("[[device]]\nid = \"{id}\"\nkind = \"{id}\"\nat = {at:?}\nmodel = \"{model}\"\n")
    };
    [device("printer", "epson-tm-m30"), device("scale", "toledo8217")].concat()
}

struct Counter {
    printer: Simulated<Act, Event>,
    scale: Simulated<PlateAct, PlateEvent>,
    paper: String,
}

impl Counter {
    fn plug_in(folder: &Path) -> anyhow::Result<Self> {
        let profile = Profile::named("epson-tm-m30").unwrap_or_else(Profile::epson_m30);
        let sim = PrinterSim::new(profile, Script::default());
        let printer = Simulated::plug_in(sim, PrinterSim::act, &folder.join("printer"))?;
        let sim = ScaleSim::new(Model::Toledo8217, Script::default());
        let scale = Simulated::plug_in(sim, ScaleSim::act, &folder.join("scale"))?;
        Ok(Self { printer, scale, paper: String::new() })
    }

    fn read(&mut self) -> &str {
        for event in self.printer.events() {
            match event {
                Event::Receipt(sheet) | Event::PowerLost(sheet) => {
                    self.paper.push_str(&sheet.to_text())
                }
                Event::DrawerOpened(_) | Event::Buzzed | Event::PowerBack => {}
            }
        }
        &self.paper
    }
}

/// Receipts are printed and weights are asked for, while both devices misbehave and the box is killed now and then.
pub(crate) async fn round(shop: &mut Shop, measure: Measure) -> anyhow::Result<Row> {
    let kinds = TROUBLES.len() - usize::from(measure.is_short);
    let mut counter = Counter::plug_in(shop.folder.path())?;
    await_open(shop).await?;
    let begun = now();
    let (mut jobs, mut troubles, mut weights) = (0, 0, 0);
    let mut wrong = Vec::new();
    while begun.elapsed() < measure.round || troubles < kinds {
        let (trouble, cure) = TROUBLES[troubles % kinds];
        counter.printer.act(trouble);
        for _ in 0..3 {
            send(shop, jobs).await?;
            jobs += 1;
        }
        for weight in weigh(shop, &counter.scale).await? {
            match WEIGHTS.contains(&weight.as_str()) {
                true => weights += 1,
                false => wrong.push(format!("weight {weight}")),
            }
        }
        if shop.roll(4) == 0 {
            shop.kill(Node::First).await?;
        }
        if let Some(cure) = cure {
            counter.printer.act(cure);
        }
        counter.printer.act(Act::PaperIn);
        troubles += 1;
    }
    let ended = now();
    let (mut lost, mut doubled, mut doubtful) = (0, 0, 0);
    let states = ended_jobs(shop, &counter, jobs).await?;
    let paper = counter.read().to_owned();
    for (number, state) in states {
        let printed = paper.matches(&format!("END {number}.")).count();
        doubled += usize::from(printed > 1);
        lost += usize::from(state == "printed" && printed == 0);
        doubtful += usize::from(state == "unknown");
    }
    let note = format!(
        "{jobs} receipts ({doubtful} in doubt, which a person decides), {weights} weights, kill -9 of the box in between"
    );
    let what = "printer and scale misbehave".to_owned();
    let back = Some(ended.elapsed());
    Ok(Row { what, times: troubles, accepted: jobs, lost, doubled, back, note, wrong })
}

async fn await_open(shop: &Shop) -> anyhow::Result<()> {
    wait::until("both devices are open", PATIENCE, || async {
        let list = shop.node(Node::First).control("GET", "/v1/devices", None).await?;
        let devices = list["devices"].as_array().cloned().unwrap_or_default();
        Ok(devices.iter().filter(|device| device["link"] == "open").count() == 2)
    })
    .await
}

/// Until the box has it; the same receipt may come twice to the box, never twice to paper.
async fn send(shop: &Shop, number: usize) -> anyhow::Result<()> {
    let text = format!("BEGIN {number}.\n---\none|1.00\n---\nEND {number}.\n=");
    let body = json!({"key": format!("receipt-{number}"), "receiptline": text});
    wait::until("the box takes a receipt", PATIENCE, || async {
        let path = "/v1/printers/printer/jobs";
        Ok(shop.node(Node::First).control("POST", path, Some(&body)).await.is_ok())
    })
    .await
}

/// Something is put on the plate while the scale misbehaves, and something else when it is well again; the numbers
/// that the box gives.
async fn weigh(
    shop: &mut Shop,
    scale: &Simulated<PlateAct, PlateEvent>,
) -> anyhow::Result<Vec<String>> {
    let bad = [PlateAct::Garble, PlateAct::Move, PlateAct::Mute, PlateAct::Settle];
    let bad = bad[usize::try_from(shop.roll(4))?];
    let mut told = Vec::new();
    for acts in [vec![bad], vec![PlateAct::Speak, PlateAct::Settle]] {
        let grams = GRAMS[usize::try_from(shop.roll(3))?];
        scale.act(PlateAct::Put(grams));
        acts.into_iter().for_each(|act| scale.act(act));
        let path = "/v1/scales/scale/weight?timeout_ms=1000";
        let answer = shop.node(Node::First).control("GET", path, None).await;
        let weight = answer.ok().and_then(|said| said["weight"].as_str().map(str::to_owned));
        told.extend(weight);
    }
    Ok(told)
}

/// What became of each job, once something has, while somebody looks after the printer.
async fn ended_jobs(
    shop: &Shop,
    counter: &Counter,
    jobs: usize,
) -> anyhow::Result<BTreeMap<usize, String>> {
    let mut states = BTreeMap::new();
    for number in 0..jobs {
        let path = format!("/v1/printers/printer/jobs/receipt-{number}?wait_s=1");
        let begun = now();
        let state = loop {
            // A knife may get stuck long after it was told to.
            TROUBLES
                .into_iter()
                .filter_map(|(_, cure)| cure)
                .for_each(|cure| counter.printer.act(cure));
            let job = shop.node(Node::First).control("GET", &path, None).await?;
            let state = job["state"].as_str().unwrap_or_default().to_owned();
            if ["printed", "unknown", "failed"].contains(&state.as_str()) {
                break state;
            }
            ensure!(begun.elapsed() < PATIENCE, "receipt {number}: {job}");
        };
        states.insert(number, state);
    }
    Ok(states)
}
