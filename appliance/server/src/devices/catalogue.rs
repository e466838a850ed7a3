//! Which devices there are: what this box's configuration names, and what masterdata names for it.
//!
//! A definition that makes no sense, a name or a place that is taken: named and left out, the others work.
//! The configuration wins over masterdata, because a person at the box wrote it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use storebox_proto::feed::Position;
use storebox_proto::ids::{DeviceId, NodeId};
use storebox_proto::limits::DEVICES_MAX;

use super::definition::Definition;
use super::place::Place;
use crate::config::Device;
use crate::logging;
use crate::masterdata::{Masterdata, NotReadable, position_of};

/// Models of masterdata and what their records describe.
const MODELS: [(&str, &str); 2] = [("OfflinePrinter", "printer"), ("OBDSCAL_Scale", "scale")];

/// A definition that is not used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Refused {
    /// What it is called.
    pub id: String,
    /// Where it stands: `configuration` or the model in masterdata.
    pub from: String,
    /// Why.
    pub why: String,
}

/// What is known of devices from one source.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Known {
    devices: Vec<(String, Device)>,
    refused: Vec<Refused>,
}

/// All devices of a box.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Plan {
    /// Those that are used.
    pub devices: BTreeMap<DeviceId, Definition>,
    /// Those that are not.
    pub refused: Vec<Refused>,
}

/// A record of masterdata; fields of the company's own are passed over.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Described {
    #[serde(default)]
    search_key: String,
    /// Which box it belongs to; without it, every box that can see it.
    #[serde(default)]
    node: Option<String>,
    #[serde(default = "yes")]
    active: bool,
    #[serde(default)]
    till: String,
    #[serde(default)]
    at: String,
    #[serde(default)]
    model: String,
    #[serde(default)]
    line: String,
    #[serde(default)]
    drawers: Vec<String>,
    #[serde(default)]
    drawer_high: String,
    #[serde(default)]
    unit: String,
    #[serde(default)]
    tare_cr: bool,
    #[serde(default)]
    nothing_new: String,
    #[serde(default)]
    approval_file: PathBuf,
}

fn yes() -> bool {
    true
}

/// What the configuration names.
pub fn configured(devices: &[Device]) -> Known {
    let from = || "configuration".to_owned();
    let devices = devices.iter().map(|device| (from(), device.clone())).collect();
    Known { devices, refused: Vec::new() }
}

/// Where the feed of devices stands; nothing before its first refresh.
pub fn position(masterdata: &Masterdata) -> Option<Position> {
    masterdata.view(MODELS[0].0).ok().map(|view| position_of(&view.generation))
}

/// What masterdata names for this box.
pub fn described(masterdata: &Masterdata, node: &NodeId) -> Known {
    let mut known = Known::default();
    for (model, kind) in MODELS {
        let view = match masterdata.view(model) {
            Ok(view) => view,
            Err(NotReadable::Empty(_)) => continue,
            Err(error) => {
                tracing::warn!(%error, "devices of masterdata cannot be read");
                continue;
            }
        };
        let mut seen = 0;
        let read = view.generation.each(&view.model, |record| {
            seen += 1;
            take(&mut known, model, kind, node, record.id.as_str(), &record.body);
            // More of them than a box can have are other boxes' devices without a name on them.
            known.devices.len() <= DEVICES_MAX
        });
        if let Err(error) = read {
            tracing::warn!(%error, model, seen, "devices of masterdata cannot all be read");
        }
    }
    known
}

fn take(known: &mut Known, model: &str, kind: &str, node: &NodeId, id: &str, body: &[u8]) {
    let record: Described = match serde_json::from_slice(body) {
        Ok(record) => record,
        Err(error) => {
            if known.refused.len() < DEVICES_MAX {
                let (id, from) = (id.to_owned(), model.to_owned());
                known.refused.push(Refused { id, from, why: error.to_string() });
            }
            return;
        }
    };
    if !record.active || record.node.is_some_and(|wanted| wanted != node.as_str()) {
        return;
    }
    let device = Device {
        id: if record.search_key.is_empty() { id.to_owned() } else { record.search_key },
        till: record.till,
        kind: kind.to_owned(),
        at: record.at,
        model: record.model,
        line: record.line,
        drawers: record.drawers,
        drawer_high: record.drawer_high,
        unit: record.unit,
        tare_cr: record.tare_cr,
        nothing_new: record.nothing_new,
        approval_file: record.approval_file,
        ..Device::default()
    };
    known.devices.push((model.to_owned(), device));
}

/// Puts together what several sources know; the first one to name something has it.
pub fn plan(sources: &[Known]) -> Plan {
    let mut plan = Plan::default();
    let mut names: BTreeSet<DeviceId> = BTreeSet::new();
    let mut places: BTreeMap<Place, DeviceId> = BTreeMap::new();
    for (from, device) in sources.iter().flat_map(|known| &known.devices) {
        let checked = Definition::check(device).map_err(|error| logging::chain(&error));
        let checked = checked.and_then(|definition| {
            let wanted = definition.names();
            let mut own = BTreeSet::new();
            if let Some(name) =
                wanted.iter().find(|name| names.contains(**name) || !own.insert(**name))
            {
                return Err(format!("the name {name} is taken"));
            }
            if let Some(other) = places.get(&definition.place) {
                return Err(format!("{} is at {} already", other, definition.place));
            }
            if plan.devices.len() >= DEVICES_MAX {
                return Err(format!("a box has at most {DEVICES_MAX} devices"));
            }
            Ok(definition)
        });
        match checked {
            Ok(definition) => {
                names.extend(definition.names().into_iter().cloned());
                places.insert(definition.place.clone(), definition.id.clone());
                plan.devices.insert(definition.id.clone(), definition);
            }
            Err(why) => {
                let id = device.id.chars().take(64).collect();
                plan.refused.push(Refused { id, from: from.clone(), why });
            }
        }
    }
    plan.refused.extend(sources.iter().flat_map(|known| known.refused.clone()));
    plan
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printer(id: &str, at: &str) -> Device {
        let (id, at, kind) = (id.to_owned(), at.to_owned(), "printer".to_owned());
        Device { id, at, kind, model: "escpos-80".to_owned(), ..Device::default() }
    }

    #[test]
    fn a_bad_definition_is_named_and_the_others_work() {
        let mut odd = printer("odd", "/dev/ttyS1");
        odd.model = "abacus".to_owned();
        let plan = plan(&[configured(&[odd, printer("good", "/dev/ttyS2")])]);
        assert_eq!(plan.devices.keys().map(DeviceId::as_str).collect::<Vec<_>>(), ["good"]);
        assert_eq!(plan.refused[0].id, "odd");
        assert!(plan.refused[0].why.contains("abacus"));
    }

    #[test]
    fn names_and_places_belong_to_whoever_came_first() {
        let mut third = printer("c", "/dev/ttyS3");
        third.drawers = vec!["a".to_owned()];
        let local = configured(&[printer("a", "/dev/ttyS1"), printer("b", "/dev/ttyS1"), third]);
        let mut central = configured(&[printer("a", "/dev/ttyS9"), printer("d", "/dev/ttyS4")]);
        central.devices.iter_mut().for_each(|(from, _)| *from = "OfflinePrinter".to_owned());
        let plan = plan(&[local, central]);
        assert_eq!(plan.devices.keys().map(DeviceId::as_str).collect::<Vec<_>>(), ["a", "d"]);
        let refused: Vec<_> = plan.refused.iter().map(|refused| refused.id.as_str()).collect();
        assert_eq!(refused, ["b", "c", "a"]);
        assert_eq!(plan.refused[2].from, "OfflinePrinter");
    }

    #[test]
    fn masterdata_names_devices_of_other_boxes_too() {
        let node: NodeId = "store-1".parse().unwrap();
        let mut known = Known::default();
        for body in [
            r#"{"searchKey":"p1","at":"tcp:192.0.2.9:9100","model":"epson-tm-m30","name":"x"}"#,
            r#"{"searchKey":"p2","node":"store-2","at":"/dev/ttyS0","model":"epson-tm-m30"}"#,
            r#"{"searchKey":"p3","active":false,"at":"/dev/ttyS0","model":"epson-tm-m30"}"#,
            r#"{"searchKey":7}"#,
        ] {
            take(&mut known, "OfflinePrinter", "printer", &node, "77", body.as_bytes());
        }
        let plan = plan(&[known]);
        assert_eq!(plan.devices.keys().map(DeviceId::as_str).collect::<Vec<_>>(), ["p1"]);
        assert_eq!(plan.refused[0].id, "77");
    }
}
