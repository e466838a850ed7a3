//! Devices: how long a till waits for a weight and for a receipt, with simulators that answer at once.
//!
//! What is measured is the box: the spool's flushes, the bays, the drivers, a pseudo-terminal.
//! Real devices add their own time, a receipt printer a second or two.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use storebox_peripherals::printer::Profile;
use storebox_peripherals::scale::{Ask, Model};
use storebox_peripherals::sim::printer::PrinterSim;
use storebox_peripherals::sim::scale::{Act, ScaleSim};
use storebox_peripherals::sim::script::Script;
use storebox_peripherals::spool::{Class, Key, Request};
use storebox_proto::problem::{Code, Problem};
use tokio::sync::oneshot;

use super::Error;
use super::table::{row, spread};
use crate::config::Device;
use crate::demo::device::Simulated;
use crate::devices::bay::{Link, scale};
use crate::devices::rendering::Source;
use crate::devices::spool::{Order, Spool};
use crate::devices::yard::{Devices, Yard};
use crate::env;
use crate::masterdata::Masterdata;
use crate::replica::readers::Readers;
use crate::supervise::Supervisor;

/// Weights that are asked for, one after the other.
const WEIGHTS: usize = 300;
/// Receipts that are printed, one after the other and then all at once.
const RECEIPTS: usize = 200;
/// A device that does not get ready within this is broken.
const READY_MAX: Duration = Duration::from_secs(20);
/// Between two looks for that.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// Between two weights, a random number of up to 255 of these.
const PAUSE_UNIT: Duration = Duration::from_micros(200);
/// How long a weight may take.
const WEIGHT_MAX: Duration = Duration::from_secs(5);

/// Measures a scale and a printer.
pub(super) async fn measure(dir: &Path) -> Result<(), Error> {
    let system = |source| Error::System { what: "plug simulated devices in", source };
    std::fs::create_dir_all(dir).map_err(system)?;
    // A device's place is a whole path.
    let dir = &dir.canonicalize().map_err(system)?;
    let (printer_at, scale_at) = (dir.join("printer"), dir.join("scale"));
    let sim = PrinterSim::new(Profile::epson_m30(), Script::default());
    let _printer = Simulated::plug_in(sim, PrinterSim::act, &printer_at).map_err(system)?;
    let sim = ScaleSim::new(Model::Toledo8217, Script::default());
    let scale = Simulated::plug_in(sim, ScaleSim::act, &scale_at).map_err(system)?;
    scale.act(Act::Put(1250));
    let opened = Spool::open(&dir.join("spool"))?;
    let configured =
        [device("printer", &printer_at, "epson-tm-m30"), device("scale", &scale_at, "toledo8217")];
    let node = "bench".parse().expect("a literal name");
    let masterdata = Masterdata::new(Readers::new());
    let (yard, devices) = Yard::new(&configured, node, masterdata, opened.spool.clone());
    let supervisor = Supervisor::new();
    supervisor.spawn_owner("devices", |stop| yard.run(stop));
    await_ready(&devices).await?;
    weigh(&devices).await?;
    print(&devices).await?;
    supervisor.stop(READY_MAX).await;
    opened.spool.stop().await;
    Ok(())
}

fn device(kind: &str, at: &Path, model: &str) -> Device {
    let (id, kind) = (kind.to_owned(), kind.to_owned());
    let (at, model) = (at.to_string_lossy().into_owned(), model.to_owned());
    // The same plate is asked for again and again.
    let nothing_new = if kind == "scale" { "confirms".to_owned() } else { String::new() };
    Device { id, kind, at, model, nothing_new, ..Device::default() }
}

async fn await_ready(devices: &Devices) -> Result<(), Error> {
    let begun = env::instant();
    let is_open = |id: &str| devices.post(id).is_ok_and(|post| post.link() == Link::Open);
    while !(is_open("printer") && is_open("scale")) {
        if begun.elapsed() > READY_MAX {
            return Err(Problem::new(Code::DeviceAway, "a simulated device is away").into());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok(())
}

async fn weigh(devices: &Devices) -> Result<(), Error> {
    let scale = devices.scale("scale")?;
    let mut times = Vec::new();
    for _ in 0..WEIGHTS {
        // A till asks when it wants to, not when the last answer came.
        let [moment, _] = env::random::<2>();
        tokio::time::sleep(PAUSE_UNIT * u32::from(moment)).await;
        let asked = env::instant();
        let (answer, answered) = oneshot::channel();
        let until = asked + WEIGHT_MAX;
        scale.counter.give(scale::Command::Weigh { ask: Ask::Weigh, until, answer })?;
        let gone = |_| Problem::new(Code::DeviceAway, "the scale left");
        answered.await.map_err(gone)??;
        times.push(asked.elapsed());
    }
    row("a settled weight, from request to answer", &spread(&mut times));
    Ok(())
}

async fn print(devices: &Devices) -> Result<(), Error> {
    let mut times = Vec::new();
    for number in 0..RECEIPTS {
        let asked = env::instant();
        submit(devices.spool(), &format!("one-{number}")).await?;
        await_end(devices.spool(), &format!("one-{number}")).await?;
        times.push(asked.elapsed());
    }
    row("a receipt, from request to proof of printing", &spread(&mut times));
    let begun = env::instant();
    for number in 0..RECEIPTS {
        submit(devices.spool(), &format!("all-{number}")).await?;
    }
    await_end(devices.spool(), &format!("all-{}", RECEIPTS - 1)).await?;
    let rate = RECEIPTS as f64 / begun.elapsed().as_secs_f64();
    row("receipts in a row on one printer", &format!("{rate:.0} a second"));
    Ok(())
}

fn key(text: &str) -> Key {
    text.parse().expect("made from letters, digits and '-'")
}

async fn submit(spool: &Spool, name: &str) -> Result<(), Error> {
    let lines: String = (0..20).map(|line| format!("article {line}|{line}.99\n")).collect();
    let content = Bytes::from(format!("{name}\n---\n{lines}---\ntotal|199.80\n=\n"));
    let mut digest = [0; 16];
    digest.copy_from_slice(&blake3::hash(&content).as_bytes()[..16]);
    let (key, printer) = (key(name), "printer".to_owned());
    let request = Request { key, printer, class: Class::Receipt, digest, expires_at: None };
    let by = "bench".to_owned();
    let order = Order {
        request,
        source: Source::Receiptline,
        content,
        secret: false,
        by,
        kicks: Vec::new(),
    };
    spool.submit(order).await?;
    Ok(())
}

async fn await_end(spool: &Spool, name: &str) -> Result<(), Error> {
    let mut turns = spool.turns();
    while !spool.find(key(name)).await?.is_some_and(|job| job.record.state.is_final()) {
        if turns.changed().await.is_err() {
            return Err(Problem::new(Code::Stopping, "the spool is closed").into());
        }
    }
    Ok(())
}
