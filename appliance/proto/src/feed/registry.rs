//! Which models exist, in which feed they travel and how they are found.
//!
//! Models are data: the built-in ones are a table, further ones arrive as records of the model `Model`
//! in the feed `estate`, without a release.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ids::{FeedId, ModelName};

/// Where a model's records are born.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Authored at head office and replicated.
    Central,
    /// Born in the shop; no refresh touches it.
    Local,
}

/// How a field is searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IndexKind {
    /// The value as it is: equality and prefix.
    Exact,
    /// Lower-cased, whole and by word: prefix of the whole or of a word, and fuzzy.
    Text,
}

/// An indexed field of a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IndexDef {
    /// The name of a top-level field that holds a string, number or boolean.
    pub field: String,
    /// How it is searched.
    pub kind: IndexKind,
}

/// A model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelDef {
    /// Its name.
    pub name: ModelName,
    /// The feed it travels in; local models use `local`.
    pub feed: FeedId,
    /// Where its records are born.
    pub scope: Scope,
    /// What it is searched by, besides the id.
    #[serde(default)]
    pub indexes: Vec<IndexDef>,
}

/// All models that this node knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registry {
    models: BTreeMap<ModelName, ModelDef>,
}
