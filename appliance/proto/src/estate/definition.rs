//! Records that define something, checked where they are authored.

use serde_json::{Map, Value};

use super::{channel, excerpt};
use crate::release::{self, Release};
use crate::rings::{self, Ring};

/// What is wrong with a definition, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {what}")]
pub struct DefinitionFault {
    /// The path within the record, such as `parameters.cacheSeconds.Product`.
    pub path: String,
    /// What is wrong there and what would be right.
    pub what: String,
}

impl DefinitionFault {
    /// A fault at a place.
    pub fn new(path: impl Into<String>, what: impl Into<String>) -> Self {
        Self { path: path.into(), what: what.into() }
    }
}

/// Checks a record of any model; models that define nothing here are fine as they are.
pub fn check(model: &str, fields: &Map<String, Value>) -> Result<(), DefinitionFault> {
    match model {
        excerpt::EXCERPT => excerpt::Excerpt::read(fields).map(drop),
        rings::MODEL => Ring::read(fields)
            .map(drop)
            .map_err(|fault| DefinitionFault::new(fault.field, fault.rule)),
        release::MODEL => Release::read(fields)
            .map(drop)
            .map_err(|fault| DefinitionFault::new(fault.field, fault.rule)),
        _ => channel::check(model, fields),
    }
}
