//! The way to each device, for whoever serves tills.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use serde::Serialize;
use storebox_proto::ids::DeviceId;
use storebox_proto::problem::{Code, Problem};
use tokio::sync::{broadcast, watch};

use crate::devices::bay::printer::PrinterState;
use crate::devices::bay::scale::{Audience, Seen};
use crate::devices::bay::scanner::Scanned;
use crate::devices::bay::{Counter, Link, display, printer, scale, scanner};
use crate::devices::catalogue::Refused;
use crate::devices::definition::{Definition, What};
use crate::devices::lease::Leases;
use crate::devices::place::{Machine, Plugged};
use crate::devices::rendering::Medium;
use crate::devices::spool::Spool;
use crate::devices::trace::Tap;

/// A device that has a bay.
#[derive(Debug, Clone)]
pub struct Post {
    /// What it is.
    pub definition: Definition,
    /// Where its line can be listened to.
    pub tap: Tap,
    /// The way to it.
    pub station: Station,
}

/// The way to a device of each kind.
#[derive(Debug, Clone)]
pub enum Station {
    /// A printer.
    Printer {
        /// Its queue.
        counter: Counter<printer::Command>,
        /// What it reports.
        state: watch::Receiver<PrinterState>,
    },
    /// A scale.
    Scale {
        /// Its queue.
        counter: Counter<scale::Command>,
        /// What it said last.
        seen: watch::Receiver<Option<Seen>>,
        /// Who watches its live weight.
        audience: Audience,
    },
    /// A display.
    Display {
        /// Its queue.
        counter: Counter<display::Command>,
    },
    /// A scanner.
    Scanner {
        /// Its queue.
        counter: Counter<scanner::Command>,
        /// Where its codes are heard.
        codes: broadcast::Sender<Scanned>,
    },
}

/// Why a device that is there does not do its work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// What programs act on, such as `paper_out`.
    pub code: String,
    /// In words.
    pub words: String,
}

impl Post {
    /// Why the device does not do its work although it is there, if so.
    pub fn trouble(&self) -> Option<Trouble> {
        if self.link() != Link::Open {
            return None;
        }
        match &self.station {
            Station::Printer { state, .. } => {
                let trouble = state.borrow().trouble?;
                Some(Trouble { code: word(trouble)?, words: trouble.to_string() })
            }
            Station::Scale { seen, .. } => {
                let seen = seen.borrow();
                let outcome = &seen.as_ref()?.outcome;
                let words = scale::fault(outcome)?.detail;
                let code = word(outcome)?;
                Some(Trouble { code, words })
            }
            Station::Display { .. } | Station::Scanner { .. } => None,
        }
    }

    /// Whether the device can be talked to.
    pub fn link(&self) -> Link {
        match &self.station {
            Station::Printer { counter, .. } => counter.link(),
            Station::Scale { counter, .. } => counter.link(),
            Station::Display { counter } => counter.link(),
            Station::Scanner { counter, .. } => counter.link(),
        }
    }
}

/// All devices of the box as of the last look.
#[derive(Debug, Default)]
pub struct Roll {
    /// Those that have a bay.
    pub posts: BTreeMap<DeviceId, Post>,
    /// Definitions that are not used.
    pub refused: Vec<Refused>,
    /// The printer and the pin of each drawer.
    pub drawers: BTreeMap<DeviceId, (DeviceId, usize)>,
}

impl Roll {
    pub(super) fn new(posts: BTreeMap<DeviceId, Post>, refused: Vec<Refused>) -> Self {
        let mut drawers = BTreeMap::new();
        for (id, post) in &posts {
            if let What::Printer { drawers: names, .. } = &post.definition.what {
                let pins = names.iter().enumerate();
                drawers.extend(pins.map(|(pin, name)| (name.clone(), (id.clone(), pin))));
            }
        }
        Self { posts, refused, drawers }
    }
}

/// A printer and what is needed to print on it.
#[derive(Debug, Clone)]
pub struct PrinterPost {
    /// Its name.
    pub id: DeviceId,
    /// Its paper and language.
    pub medium: Medium,
    /// The drawers on it.
    pub drawers: Vec<DeviceId>,
    /// Its queue.
    pub counter: Counter<printer::Command>,
    /// What it reports.
    pub state: watch::Receiver<PrinterState>,
}

/// A scale.
#[derive(Debug, Clone)]
pub struct ScalePost {
    /// Its name.
    pub id: DeviceId,
    /// Its queue.
    pub counter: Counter<scale::Command>,
    /// What it said last.
    pub seen: watch::Receiver<Option<Seen>>,
    /// Who watches its live weight.
    pub audience: Audience,
}

/// The devices of the box; cheap to clone.
#[derive(Debug, Clone)]
pub struct Devices {
    pub(super) roll: Arc<ArcSwap<Roll>>,
    pub(super) spool: Spool,
    pub(super) leases: Leases,
    pub(super) machine: Machine,
}

impl Devices {
    /// All devices as of the last look.
    pub fn roll(&self) -> Arc<Roll> {
        self.roll.load_full()
    }

    /// The print jobs.
    pub fn spool(&self) -> &Spool {
        &self.spool
    }

    /// Who has which device.
    pub fn leases(&self) -> &Leases {
        &self.leases
    }

    /// What is plugged in, configured or not; nothing is opened for it.
    pub fn plugged(&self) -> Vec<Plugged> {
        self.machine.plugged()
    }

    /// A device of any kind.
    pub fn post(&self, id: &str) -> Result<Post, Problem> {
        let post = self.roll().posts.get(id).cloned();
        post.ok_or_else(|| unknown("device", id))
    }

    /// A printer.
    pub fn printer(&self, id: &str) -> Result<PrinterPost, Problem> {
        let Post { definition, station, .. } = self.post(id).map_err(|_| unknown("printer", id))?;
        match (definition.what, station) {
            (What::Printer { medium, drawers, .. }, Station::Printer { counter, state }) => {
                Ok(PrinterPost { id: definition.id, medium, drawers, counter, state })
            }
            (
                _,
                Station::Printer { .. }
                | Station::Scale { .. }
                | Station::Display { .. }
                | Station::Scanner { .. },
            ) => Err(unknown("printer", id)),
        }
    }

    /// A scale.
    pub fn scale(&self, id: &str) -> Result<ScalePost, Problem> {
        match self.post(id).map(|post| (post.definition.id, post.station)) {
            Ok((id, Station::Scale { counter, seen, audience })) => {
                Ok(ScalePost { id, counter, seen, audience })
            }
            Ok((
                _,
                Station::Printer { .. } | Station::Display { .. } | Station::Scanner { .. },
            ))
            | Err(_) => Err(unknown("scale", id)),
        }
    }

    /// A display's queue.
    pub fn display(&self, id: &str) -> Result<Counter<display::Command>, Problem> {
        match self.post(id).map(|post| post.station) {
            Ok(Station::Display { counter }) => Ok(counter),
            Ok(Station::Printer { .. } | Station::Scale { .. } | Station::Scanner { .. })
            | Err(_) => Err(unknown("display", id)),
        }
    }

    /// Where a scanner's codes are heard.
    pub fn scanner(&self, id: &str) -> Result<broadcast::Receiver<Scanned>, Problem> {
        match self.post(id).map(|post| post.station) {
            Ok(Station::Scanner { codes, .. }) => Ok(codes.subscribe()),
            Ok(Station::Printer { .. } | Station::Scale { .. } | Station::Display { .. })
            | Err(_) => Err(unknown("scanner", id)),
        }
    }

    /// A drawer's name, its printer and its pin.
    pub fn drawer(&self, id: &str) -> Result<(DeviceId, PrinterPost, usize), Problem> {
        let roll = self.roll();
        let (name, (printer, pin)) =
            roll.drawers.get_key_value(id).ok_or_else(|| unknown("drawer", id))?;
        Ok((name.clone(), self.printer(printer.as_str())?, *pin))
    }
}

/// The word by which a state goes over the wire.
fn word(state: impl Serialize) -> Option<String> {
    let value = serde_json::to_value(state).ok()?;
    Some(value.get("state").unwrap_or(&value).as_str()?.to_owned())
}

fn unknown(kind: &str, id: &str) -> Problem {
    let id: String = id.chars().take(64).collect();
    Problem::new(Code::DeviceUnknown, format!("no {kind} is called {id:?}; see /v1/devices"))
}
