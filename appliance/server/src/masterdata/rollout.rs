//! What is rolled out to this box: the rings of the chain, and the settings that head office wants of it.

use serde_json::{Map, Value};
use storebox_proto::feed::registry::ESTATE;
use storebox_proto::ids::{FeedId, ModelName};
use storebox_proto::rings::{self, Rings, Seat};
use storebox_proto::settings::{self, BoxSettings, Wanted};

use super::Masterdata;

/// Records of one model that are looked at; head office has no reason for more.
const RECORDS_MAX: usize = 1000;

impl Masterdata {
    /// The rings of the chain; nothing before the estate has been replicated.
    pub fn rings(&self) -> Option<Rings> {
        let (rings, faults) = Rings::read(&self.records_of(rings::MODEL)?);
        for fault in faults {
            tracing::warn!(%fault, "a ring makes no sense and is left out");
        }
        Some(rings)
    }

    /// What head office wants of a box; nothing before the estate has been replicated.
    pub fn wanted(&self, seat: Seat<'_>) -> Option<Wanted> {
        let rings = self.rings()?;
        let mut known = Vec::new();
        for record in self.records_of(settings::MODEL)? {
            match BoxSettings::read(&record) {
                Ok(settings) => known.push(settings),
                Err(fault) => tracing::warn!(%fault, "settings make no sense and are left out"),
            }
        }
        Some(Wanted::join(&known, &rings, seat))
    }

    fn records_of(&self, model: &str) -> Option<Vec<Map<String, Value>>> {
        let feed: FeedId = ESTATE.parse().expect("the name of a built-in feed");
        let generation = self.generation(&feed)?;
        let model: ModelName = model.parse().expect("the name of a built-in model");
        let mut records = Vec::new();
        if generation.count(&model).is_none() {
            return Some(records);
        }
        let read = generation.each(&model, |record| {
            records.extend(serde_json::from_slice(&record.body).ok());
            records.len() < RECORDS_MAX
        });
        if let Err(error) = read {
            tracing::error!(%error, %model, "records of the estate cannot be read");
            return None;
        }
        Some(records)
    }
}
