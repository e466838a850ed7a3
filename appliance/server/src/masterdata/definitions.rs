//! The definitions of the estate as they are replicated here, understood once for each generation.

use std::sync::{Arc, PoisonError};

use serde_json::{Map, Value};
use storebox_proto::estate::{Estate, Finding, MODELS, View};
use storebox_proto::feed::Position;
use storebox_proto::feed::registry::ESTATE;
use storebox_proto::ids::{FeedId, ModelName};

use super::{Masterdata, position_of};
use crate::db::{Generation, ReadError};

/// Broken rules that are shown; whoever mends one sees the next.
const BROKEN_RULES_MAX: usize = 20;

/// What the definitions of one generation say.
#[derive(Debug)]
pub struct Definitions {
    position: Position,
    /// What is understood.
    pub estate: Estate,
    /// Rules that are broken: the definitions count as far as they make sense.
    pub findings: Vec<Finding>,
}

impl Masterdata {
    /// The definitions of the estate; nothing before they have been replicated.
    pub fn definitions(&self) -> Option<Arc<Definitions>> {
        let feed: FeedId = ESTATE.parse().expect("the name of a built-in feed");
        let generation = self.generation(&feed)?;
        let position = position_of(&generation);
        let mut known = self.inner.definitions.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.as_ref().filter(|known| known.position == position) {
            return Some(Arc::clone(known));
        }
        let read = match read(&generation, position) {
            Ok(read) => Arc::new(read),
            Err(error) => {
                tracing::error!(%error, "definitions of the estate cannot be read");
                return known.clone();
            }
        };
        for finding in &read.findings {
            tracing::warn!(%finding, "definitions of the estate break a rule");
        }
        *known = Some(Arc::clone(&read));
        Some(read)
    }

    /// Rules that they break, in words.
    pub fn broken_rules(&self) -> Vec<String> {
        let definitions = self.definitions();
        let findings = definitions.iter().flat_map(|known| &known.findings);
        findings.take(BROKEN_RULES_MAX).map(ToString::to_string).collect()
    }

    /// What a terminal of this organisation is told about servers.
    pub fn servers_of(&self, organisation: Option<&str>) -> Option<View> {
        self.definitions()?.estate.view(organisation)
    }
}

fn read(generation: &Generation, position: Position) -> Result<Definitions, ReadError> {
    let mut records: Vec<(&str, Map<String, Value>)> = Vec::new();
    for model in MODELS {
        let name: ModelName = model.parse().expect("the name of a built-in model");
        if generation.count(&name).is_none() {
            continue;
        }
        generation.each(&name, |record| {
            records.extend(serde_json::from_slice(&record.body).map(|record| (model, record)));
            true
        })?;
    }
    let (estate, mut findings) =
        Estate::read(records.iter().map(|(model, record)| (*model, record)));
    findings.extend(estate.lint());
    Ok(Definitions { position, estate, findings })
}
