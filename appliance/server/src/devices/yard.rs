//! The yard: which bays run now, as the catalogue says, and the way to each device.
//!
//! A reconciler without input: at every look it reads what should be and makes it so, so that a change of masterdata,
//! a nudge and a restart are the same thing.
//! It never waits for a bay that ends; a bay that has lost its definition gives its port back when it has ended,
//! and its successor tries until then.

mod posts;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use storebox_peripherals::display::Protocol;
use storebox_peripherals::scanner::Framing;
use storebox_peripherals::scanner::instore::Rule;
use storebox_proto::feed::Position;
use storebox_proto::ids::{DeviceId, NodeId};
use tokio::sync::{broadcast, watch};
use tokio_util::sync::CancellationToken;

use super::bay::display::DisplayCraft;
use super::bay::printer::{PrinterCraft, PrinterState};
use super::bay::scale::{Audience, ScaleCraft};
use super::bay::scanner::ScannerCraft;
use super::bay::{self, Bay, Berth};
use super::catalogue::{self, Known, Plan};
use super::definition::{Definition, Weighing, What};
use super::lease::Leases;
use super::place::Machine;
use super::spool::Spool;
use super::trace::Tap;
use crate::config;
use crate::masterdata::Masterdata;
pub use posts::{Devices, Post, PrinterPost, Roll, ScalePost, Station, Trouble};

/// Between two looks at what should be.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// All bays end within this, or the process exits without them.
const STOP_MAX: Duration = Duration::from_secs(6);
/// Between two looks at bays that end.
const HEED: Duration = Duration::from_millis(20);
/// Codes that a slow listener may be behind.
const CODES_BEHIND_MAX: usize = 64;

struct Running {
    definition: Definition,
    bay: Bay,
}

/// The owner of all bays.
pub struct Yard {
    configured: Known,
    node: NodeId,
    masterdata: Masterdata,
    spool: Spool,
    machine: Machine,
    roll: Arc<ArcSwap<Roll>>,
    running: BTreeMap<DeviceId, Running>,
    leaving: Vec<Bay>,
    /// Where masterdata stood at the last look, and what it said.
    described: (Option<Position>, Known),
}

impl Yard {
    /// A yard whose bays do not run yet, and the way to its devices.
    pub fn new(
        devices: &[config::Device],
        node: NodeId,
        masterdata: Masterdata,
        spool: Spool,
    ) -> (Self, Devices) {
        let (roll, machine) = (Arc::<ArcSwap<Roll>>::default(), Machine::default());
        let leases = Leases::default();
        let devices_handle = Devices {
            roll: Arc::clone(&roll),
            spool: spool.clone(),
            leases,
            machine: machine.clone(),
        };
        let yard = Self {
            configured: catalogue::configured(devices),
            node,
            masterdata,
            spool,
            machine,
            roll,
            running: BTreeMap::new(),
            leaving: Vec::new(),
            described: (None, Known::default()),
        };
        (yard, devices_handle)
    }

    /// Keeps the bays as they should be until the box stops; then ends them, within a bounded time.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut look = tokio::time::interval(LOOK_EVERY);
        while stop.run_until_cancelled(look.tick()).await.is_some() {
            let plan = self.plan();
            self.follow(plan);
        }
        for (_, running) in std::mem::take(&mut self.running) {
            running.bay.stop();
            self.leaving.push(running.bay);
        }
        let mut heed = tokio::time::interval(HEED);
        let gone = async {
            while !self.leaving.iter().all(Bay::has_ended) {
                heed.tick().await;
            }
        };
        if tokio::time::timeout(STOP_MAX, gone).await.is_err() {
            tracing::warn!("a device holds its thread; the box stops without it");
        }
    }

    fn plan(&mut self) -> Plan {
        let position = catalogue::position(&self.masterdata);
        if position.is_some() && position != self.described.0 {
            let known = catalogue::described(&self.masterdata, &self.node);
            self.described = (position, known);
        }
        catalogue::plan(&[self.configured.clone(), self.described.1.clone()])
    }

    fn follow(&mut self, plan: Plan) {
        self.leaving.retain(|bay| !bay.has_ended());
        let roll = self.roll.load_full();
        let mut posts = roll.posts.clone();
        let outdated = |id: &DeviceId, running: &mut Running| {
            plan.devices.get(id) != Some(&running.definition)
        };
        for (id, running) in self.running.extract_if(.., outdated) {
            tracing::info!(device = %id, "device is taken out of service");
            running.bay.stop();
            self.leaving.push(running.bay);
            posts.remove(&id);
        }
        for (id, definition) in &plan.devices {
            if self.running.contains_key(id) {
                continue;
            }
            match self.open(definition) {
                Ok((bay, post)) => {
                    posts.insert(id.clone(), post);
                    let definition = definition.clone();
                    self.running.insert(id.clone(), Running { definition, bay });
                }
                Err(error) => tracing::error!(device = %id, %error, "no thread for a device"),
            }
        }
        for refused in plan.refused.iter().filter(|refused| !roll.refused.contains(refused)) {
            tracing::warn!(
                device = refused.id,
                error = refused.why,
                from = refused.from,
                "the definition of a device is not used"
            );
        }
        self.roll.store(Arc::new(Roll::new(posts, plan.refused)));
    }

    fn open(&self, definition: &Definition) -> std::io::Result<(Bay, Post)> {
        let tap = Tap::default();
        let berth = Berth {
            id: definition.id.clone(),
            machine: self.machine.clone(),
            place: definition.place.clone(),
            line: definition.line,
            tap: tap.clone(),
        };
        let (bay, station) = match &definition.what {
            What::Printer { .. } => self.open_printer(berth, definition)?,
            What::Scale(way) => open_scale(berth, way)?,
            What::Display(protocol) => open_display(berth, *protocol)?,
            What::Scanner { framing, rules } => open_scanner(berth, framing, rules)?,
        };
        Ok((bay, Post { definition: definition.clone(), tap, station }))
    }

    fn open_printer(
        &self,
        berth: Berth,
        definition: &Definition,
    ) -> std::io::Result<(Bay, Station)> {
        let What::Printer { medium, drawers, sense } = &definition.what else {
            return Err(std::io::Error::other("not a printer"));
        };
        let (told, state) = watch::channel(PrinterState::default());
        let id = berth.id.clone();
        let drawer = drawers.first().unwrap_or(&id).clone();
        let craft = PrinterCraft::new(id, drawer, medium.clone(), *sense, self.spool.clone(), told);
        let line = craft.line();
        let (bay, counter) = bay::start(berth, line, craft)?;
        Ok((bay, Station::Printer { counter, state }))
    }
}

fn open_scale(berth: Berth, way: &Weighing) -> std::io::Result<(Bay, Station)> {
    let (told, seen) = watch::channel(None);
    let audience = Audience::default();
    let craft = ScaleCraft::new(berth.id.clone(), way.clone(), audience.clone(), told);
    let line = craft.line();
    let (bay, counter) = bay::start(berth, line, craft)?;
    Ok((bay, Station::Scale { counter, seen, audience }))
}

fn open_display(berth: Berth, protocol: Protocol) -> std::io::Result<(Bay, Station)> {
    let (bay, counter) = bay::start(berth, DisplayCraft::line(protocol), DisplayCraft)?;
    Ok((bay, Station::Display { counter }))
}

fn open_scanner(
    berth: Berth,
    framing: &Framing,
    rules: &[Rule],
) -> std::io::Result<(Bay, Station)> {
    let codes = broadcast::Sender::new(CODES_BEHIND_MAX);
    let craft = ScannerCraft::new(berth.id.clone(), rules.to_vec(), codes.clone());
    let (bay, counter) = bay::start(berth, ScannerCraft::line(framing), craft)?;
    Ok((bay, Station::Scanner { counter, codes }))
}
