//! Which models exist, in which feed they travel and how they are found.
//!
//! Models are data: the built-in ones are a table, further ones arrive as records of the model `Model`
//! in the feed `estate`, without a release.
//!
//! Invariants:
//! - a model is in the feed `local` if and only if its scope is local, so no refresh can reach what a till wrote;
//! - a record may extend a built-in model by indexes, and never moves it, changes its scope or takes an index away;
//! - a refused definition is named and changes nothing, so one bad record does not cost the others.

mod built_in;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::Record;
use crate::ids::{EXCERPT_MARK, FeedId, ModelName};
use crate::limits;

pub use built_in::{CATALOGUE, ESTATE, LOCAL, PARTNERS, PUBLISHED};

/// The model whose records define further models.
pub const MODEL_OF_MODELS: &str = "Model";

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

/// Why a definition is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ModelRefused {
    /// The record does not describe a model.
    #[error("model record {id:?} is not a definition: {reason}")]
    Malformed {
        /// The record's id.
        id: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The feed and the scope contradict each other.
    #[error(
        "model {model}: feed {feed} does not fit its scope; local models, and only those, use the feed local"
    )]
    Scope {
        /// The model.
        model: ModelName,
        /// The feed that was given.
        feed: FeedId,
    },
    /// The name of the feed looks like that of an excerpt.
    #[error("model {model}: {EXCERPT_MARK:?} in feed {feed} is kept for the names of excerpts")]
    Feed {
        /// The model.
        model: ModelName,
        /// The feed that was given.
        feed: FeedId,
    },
    /// A model that exists would move to another feed, or an index would change.
    #[error("model {model} exists and its {what} cannot be changed")]
    Redefined {
        /// The model.
        model: ModelName,
        /// What the definition would change.
        what: &'static str,
    },
    /// An index has no usable field name.
    #[error("model {model}: index field {field:?} is empty, too long or named twice")]
    Field {
        /// The model.
        model: ModelName,
        /// The field that was given.
        field: String,
    },
    /// A limit is reached.
    #[error("model {model}: at most {max} {what}")]
    Limit {
        /// The model.
        model: ModelName,
        /// What there would be too many of.
        what: &'static str,
        /// How many there may be.
        max: usize,
    },
}

/// All models that this node knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registry {
    models: BTreeMap<ModelName, ModelDef>,
    /// Load order: built-in models as the table has them, then the others as they came.
    order: Vec<ModelName>,
}

impl Registry {
    /// The models that every box knows.
    pub fn built_in() -> Self {
        let mut registry = Self { models: BTreeMap::new(), order: Vec::new() };
        let rows = built_in::ESTATE_OWN.iter().chain(&built_in::MODULES).chain(&built_in::ORIGINAL);
        for (name, feed, indexes) in rows {
            let name: ModelName = name.parse().expect("the table holds model names");
            let feed: FeedId = feed.parse().expect("the table holds feed names");
            let scope = if feed.as_str() == LOCAL { Scope::Local } else { Scope::Central };
            let index = |&(field, kind): &(&str, IndexKind)| IndexDef { field: field.into(), kind };
            let def = ModelDef { name, feed, scope, indexes: indexes.iter().map(index).collect() };
            registry.insert(def);
        }
        registry
    }

    /// The built-in models and these; what cannot be taken is returned with its reason.
    pub fn with(defs: impl IntoIterator<Item = ModelDef>) -> (Self, Vec<ModelRefused>) {
        let mut registry = Self::built_in();
        let refused = defs.into_iter().filter_map(|def| registry.add(def).err()).collect();
        (registry, refused)
    }

    /// Adds a model, or indexes to one that exists.
    pub fn add(&mut self, def: ModelDef) -> Result<(), ModelRefused> {
        check_indexes(&def)?;
        if (def.feed.as_str() == LOCAL) != (def.scope == Scope::Local) {
            return Err(ModelRefused::Scope { model: def.name, feed: def.feed });
        }
        if def.feed.excerpt().is_some() {
            return Err(ModelRefused::Feed { model: def.name, feed: def.feed });
        }
        if let Some(existing) = self.models.get(def.name.as_str()) {
            let merged = extend(existing, def)?;
            self.models.insert(merged.name.clone(), merged);
            return Ok(());
        }
        let refuse = |what, max| Err(ModelRefused::Limit { model: def.name.clone(), what, max });
        if self.of_feed(&def.feed).count() >= limits::FEED_MODELS_MAX {
            return refuse("models in one feed", limits::FEED_MODELS_MAX);
        }
        let feeds: BTreeSet<&FeedId> = self.models.values().map(|def| &def.feed).collect();
        if !feeds.contains(&def.feed) && feeds.len() >= limits::FEEDS_MAX {
            return refuse("feeds", limits::FEEDS_MAX);
        }
        self.insert(def);
        Ok(())
    }

    fn insert(&mut self, def: ModelDef) {
        self.order.push(def.name.clone());
        self.models.insert(def.name.clone(), def);
    }

    /// The model of this name.
    pub fn get(&self, name: &ModelName) -> Option<&ModelDef> {
        self.models.get(name)
    }

    /// All models by name.
    pub fn iter(&self) -> impl Iterator<Item = &ModelDef> {
        self.models.values()
    }

    /// The models of a feed in load order: a model stands after those it refers to.
    pub fn of_feed(&self, feed: &FeedId) -> impl Iterator<Item = &ModelDef> {
        self.order
            .iter()
            .filter_map(|name| self.models.get(name))
            .filter(move |def| def.feed == *feed)
    }

    /// The feeds that are published, in the order in which that is done; never `local`.
    pub fn feeds(&self) -> Vec<FeedId> {
        let mut feeds: Vec<FeedId> = PUBLISHED
            .iter()
            .map(|name| name.parse().expect("the table holds feed names"))
            .collect();
        let known: BTreeSet<&FeedId> = self.models.values().map(|def| &def.feed).collect();
        for feed in known {
            if feed.as_str() != LOCAL && !feeds.contains(feed) {
                feeds.push(feed.clone());
            }
        }
        feeds
    }
}

impl ModelDef {
    /// Reads a record of the model `Model`: its id is the name; `feed`, `scope` and `indexes` are fields.
    pub fn from_record(record: &Record) -> Result<Self, ModelRefused> {
        #[derive(Deserialize)]
        struct Fields {
            feed: FeedId,
            #[serde(default = "central")]
            scope: Scope,
            #[serde(default)]
            indexes: Vec<IndexDef>,
        }
        fn central() -> Scope {
            Scope::Central
        }
        let refuse = |reason| ModelRefused::Malformed { id: record.id.as_str().to_owned(), reason };
        let name = record
            .id
            .as_str()
            .parse()
            .map_err(|e: crate::ids::InvalidName| refuse(e.to_string()))?;
        let fields: Fields =
            serde_json::from_slice(&record.body).map_err(|e| refuse(e.to_string()))?;
        Ok(Self { name, feed: fields.feed, scope: fields.scope, indexes: fields.indexes })
    }
}

fn check_indexes(def: &ModelDef) -> Result<(), ModelRefused> {
    let max = limits::MODEL_INDEXES_MAX;
    if def.indexes.len() > max {
        return Err(ModelRefused::Limit { model: def.name.clone(), what: "indexes", max });
    }
    let mut seen = BTreeSet::new();
    for index in &def.indexes {
        let usable = (1..=limits::FIELD_NAME_BYTES_MAX).contains(&index.field.len())
            && !index.field.chars().any(char::is_control);
        if !usable || !seen.insert(&index.field) {
            let field = index.field.chars().take(64).collect();
            return Err(ModelRefused::Field { model: def.name.clone(), field });
        }
    }
    Ok(())
}

/// The existing model with the indexes that the new definition adds.
fn extend(existing: &ModelDef, def: ModelDef) -> Result<ModelDef, ModelRefused> {
    let refuse = |what| Err(ModelRefused::Redefined { model: existing.name.clone(), what });
    if def.feed != existing.feed {
        return refuse("feed");
    }
    if def.scope != existing.scope {
        return refuse("scope");
    }
    let mut merged = existing.clone();
    for index in def.indexes {
        match merged.indexes.iter().find(|known| known.field == index.field) {
            Some(known) if known.kind != index.kind => return refuse("index kind"),
            Some(_) => {}
            None => merged.indexes.push(index),
        }
    }
    check_indexes(&merged)?;
    Ok(merged)
}

#[cfg(test)]
mod tests;
