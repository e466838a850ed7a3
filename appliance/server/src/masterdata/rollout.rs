//! What is rolled out to this box: the rings of the chain, and the settings that head office wants of it.
//!
//! Records that make no sense are named in the log each time that they are read: once for each state of the estate, and
//! once a minute while it cannot be read whole.

use std::sync::{Arc, PoisonError};

use serde_json::{Map, Value};
use storebox_proto::feed::Position;
use storebox_proto::feed::registry::ESTATE;
use storebox_proto::ids::{FeedId, ModelName};
use storebox_proto::rings::{self, Rings, Seat};
use storebox_proto::settings::{self, BoxSettings, Wanted};

use super::{Masterdata, position_of};
use crate::db::Generation;

/// Records of one model that are looked at; head office has no reason for more.
const RECORDS_MAX: usize = 1000;

/// What one state of the estate has for a box.
#[derive(Debug, Clone)]
pub struct Rollout {
    /// Which state.
    pub position: Position,
    /// The ring that the box is in.
    pub ring: String,
    /// The settings that head office wants of it.
    pub wanted: Wanted,
}

impl Masterdata {
    /// Where the estate stands; nothing before it has been replicated.
    pub fn estate_position(&self) -> Option<Position> {
        self.estate().map(|generation| position_of(&generation))
    }

    /// The rings of the chain, understood once for each state of the estate; while they cannot be read, those of before.
    /// Nothing before the estate has been replicated.
    pub fn rings(&self) -> Option<Arc<Rings>> {
        let generation = self.estate()?;
        self.rings_of(&generation).or_else(|| {
            let known = self.inner.rings.lock().unwrap_or_else(PoisonError::into_inner);
            known.as_ref().map(|(_, rings)| Arc::clone(rings))
        })
    }

    /// The rings of this state of the estate alone; nothing while they cannot be read.
    fn rings_of(&self, generation: &Generation) -> Option<Arc<Rings>> {
        let position = position_of(generation);
        let mut known = self.inner.rings.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, rings)) = known.as_ref().filter(|(at, _)| *at == position) {
            return Some(Arc::clone(rings));
        }
        let (rings, faults) = Rings::read(&records_of(generation, rings::MODEL)?);
        for fault in faults {
            tracing::warn!(%fault, "a ring makes no sense and is left out");
        }
        let rings = Arc::new(rings);
        *known = Some((position, Arc::clone(&rings)));
        Some(rings)
    }

    /// What is rolled out to a box; nothing before the estate has been replicated, and while it cannot be read.
    pub fn rollout(&self, seat: Seat<'_>) -> Option<Rollout> {
        let generation = self.estate()?;
        // Settings of one state and rings of another would be what nobody wanted.
        let rings = self.rings_of(&generation)?;
        let mut known = Vec::new();
        for record in records_of(&generation, settings::MODEL)? {
            match BoxSettings::read(&record) {
                Ok(settings) => known.push(settings),
                Err(fault) => tracing::warn!(%fault, "settings make no sense and are left out"),
            }
        }
        Some(Rollout {
            position: position_of(&generation),
            ring: rings.of(seat).to_owned(),
            wanted: Wanted::join(&known, &rings, seat),
        })
    }

    fn estate(&self) -> Option<Arc<Generation>> {
        let feed: FeedId = ESTATE.parse().expect("the name of a built-in feed");
        self.generation(&feed)
    }
}

fn records_of(generation: &Generation, model: &str) -> Option<Vec<Map<String, Value>>> {
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
