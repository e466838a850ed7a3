//! The counter of the demo's shop: a simulated scale and a simulated receipt printer, plugged into the box.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::mpsc::Sender;

use storebox_peripherals::printer::Profile;
use storebox_peripherals::scale::Model;
use storebox_peripherals::sim::printer::{Act as PaperAct, Event as PaperEvent, PrinterSim};
use storebox_peripherals::sim::scale::{Act as PlateAct, Event as PlateEvent, ScaleSim};
use storebox_peripherals::sim::script::Script;
use storebox_proto::ids::TxKey;

use super::Error;
use super::device::Simulated;

/// The name of the scale.
pub const SCALE: &str = "counter-scale";
/// The name of the printer.
pub const PRINTER: &str = "counter-printer";
const PROFILE: &str = "epson-tm-m30";

/// The devices, plugged in until this is dropped.
pub(super) struct Counter {
    printer: Simulated<PaperAct, PaperEvent>,
    scale: Simulated<PlateAct, PlateEvent>,
    paper: String,
}

/// The plate of the scale, for whoever puts something on it.
pub struct Plate(Sender<PlateAct>);

impl Plate {
    /// So many grams lie on it.
    pub fn put(&self, grams: i32) {
        // A scale that is unplugged feels nothing.
        let _ = self.0.send(PlateAct::Put(grams));
    }
}

impl Counter {
    /// Plugs both in, below this folder.
    pub(super) fn set_up(folder: &Path) -> Result<Self, Error> {
        let profile = Profile::named(PROFILE).unwrap_or_else(Profile::epson_m30);
        let at = folder.join(PRINTER);
        let sim = PrinterSim::new(profile, Script::default());
        let printer = Simulated::plug_in(sim, PrinterSim::act, &at)
            .map_err(|source| Error::file(&at, source))?;
        let at = folder.join(SCALE);
        let sim = ScaleSim::new(Model::Toledo8217, Script::default());
        let scale = Simulated::plug_in(sim, ScaleSim::act, &at)
            .map_err(|source| Error::file(&at, source))?;
        Ok(Self { printer, scale, paper: String::new() })
    }

    /// How the box is told of them.
    pub(super) fn settings(folder: &Path) -> String {
        let device = |kind: &str, id: &str, model: &str| {
            let at = toml::Value::String(folder.join(id).to_string_lossy().into_owned());
            format!(
                "[[device]]\nid = \"{id}\"\nkind = \"{kind}\"\nat = {at}\nmodel = \"{model}\"\n"
            )
        };
        device("printer", PRINTER, PROFILE) + device("scale", SCALE, "toledo8217").as_str()
    }

    /// The plate of the scale.
    pub(super) fn plate(&self) -> Plate {
        Plate(self.scale.hand())
    }

    /// How many of these sales have exactly one receipt on paper.
    pub(super) fn receipts(&mut self, sold: &[TxKey]) -> usize {
        for event in self.printer.events() {
            match event {
                PaperEvent::Receipt(sheet) | PaperEvent::PowerLost(sheet) => {
                    self.paper.push_str(&sheet.to_text());
                }
                PaperEvent::DrawerOpened(_) | PaperEvent::Buzzed | PaperEvent::PowerBack => {}
            }
        }
        let keys: BTreeSet<String> = sold.iter().map(ToString::to_string).collect();
        keys.iter().filter(|key| self.paper.matches(key.as_str()).count() == 1).count()
    }
}
