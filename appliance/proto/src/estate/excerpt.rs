//! Excerpts: which part of the masterdata a group of stores needs, and which rows stay out of it.
//!
//! An excerpt is published by the author as a feed of its own (`catalogue--small` is cut out of `catalogue`): it has
//! a signed head, revisions, segments and digests like any other, so that whoever reads it verifies all that it is to
//! have, and nobody can pass a part off as the whole.
//! A box learns which excerpt is its own from the estate, as it learns everything; without one it has everything.
//!
//! Invariants:
//! - the estate is never cut: every box knows all of it;
//! - a row that a rule does not understand (no such field, no date) stays in: a store rather has too much.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::DefinitionFault;
use super::channel;
use super::lint::{Finding, Rule};
use crate::feed::Registry;
use crate::feed::registry::{ESTATE, LOCAL};
use crate::ids::{ExcerptId, FeedId, ModelName, NodeId, RecordId, SiteId};
use crate::limits::{EXCERPT_NAMES_MAX, EXCERPT_RULES_MAX, EXCERPTS_MAX};
use crate::time::Timestamp;

/// The model of excerpts.
pub const EXCERPT: &str = "Excerpt";
/// The model that assortments are of.
const PRODUCT: &str = "Product";
/// The model of what is in an assortment.
pub const ENTRIES: &str = "AssortmentProduct";
const DAY_MS: i64 = 24 * 3600 * 1000;
/// The length of a date, at the beginning of a time as well.
const DATE_LEN: usize = "2026-11-22".len();

/// Rows of a model stay if a field has one of these values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Only {
    /// The model.
    pub model: ModelName,
    /// The field.
    pub field: String,
    /// The values.
    pub values: BTreeSet<String>,
}

/// Rows of a model stay for so many days after the date in a field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Keep {
    /// The model.
    pub model: ModelName,
    /// A field with a date or a time, `2026-11-22` or `2026-11-22T10:02:00Z`.
    pub field: String,
    /// How long.
    pub days: u32,
}

/// What some stores need.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Excerpt {
    /// Its name within those of feeds.
    pub id: ExcerptId,
    /// Its name for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Stores that have it.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub sites: BTreeSet<SiteId>,
    /// Boxes that have it, whatever their store has.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub nodes: BTreeSet<NodeId>,
    /// Products of these assortments, and what belongs to a product; empty: all products.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub assortment_ids: BTreeSet<String>,
    /// Rows by the value of a field.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub only: Vec<Only>,
    /// Rows by their age.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keep: Vec<Keep>,
}

impl Excerpt {
    /// Reads and checks a record.
    pub fn read(fields: &Map<String, Value>) -> Result<Self, DefinitionFault> {
        let excerpt: Self = channel::read(fields)?;
        let many = |path: &str, count: usize, max: usize| match count <= max {
            true => Ok(()),
            false => Err(DefinitionFault::new(path, format!("has {count} entries, at most {max}"))),
        };
        many("sites", excerpt.sites.len(), EXCERPT_NAMES_MAX)?;
        many("nodes", excerpt.nodes.len(), EXCERPT_NAMES_MAX)?;
        many("assortmentIds", excerpt.assortment_ids.len(), EXCERPT_RULES_MAX)?;
        many("only", excerpt.only.len(), EXCERPT_RULES_MAX)?;
        many("keep", excerpt.keep.len(), EXCERPT_RULES_MAX)?;
        for rule in &excerpt.only {
            many("only.values", rule.values.len(), EXCERPT_NAMES_MAX)?;
        }
        let cuts = [excerpt.assortment_ids.is_empty(), excerpt.only.is_empty()];
        if cuts.into_iter().all(|none| none) && excerpt.keep.is_empty() {
            let what = "or only or keep is needed: an excerpt leaves something out";
            return Err(DefinitionFault::new("assortmentIds", what));
        }
        Ok(excerpt)
    }

    /// The excerpt of a box: one that names it, else one that names its store; nothing: it has everything.
    pub fn of<'a>(all: &'a [Self], node: &NodeId, site: &SiteId) -> Option<&'a Self> {
        let named = all.iter().find(|excerpt| excerpt.nodes.contains(node));
        named.or_else(|| all.iter().find(|excerpt| excerpt.sites.contains(site)))
    }

    /// Rules between excerpts, and what they name that is not there.
    pub fn lint(all: &[Self], registry: &Registry) -> Vec<Finding> {
        let mut findings = Vec::new();
        let mut find = |subject: String, detail: String| {
            findings.push(Finding { rule: Rule::Excerpts, subject, detail });
        };
        if all.len() > EXCERPTS_MAX {
            find("Excerpt".into(), format!("{} excerpts, at most {EXCERPTS_MAX}", all.len()));
        }
        let mut seen: BTreeMap<String, &ExcerptId> = BTreeMap::new();
        for excerpt in all {
            let id = &excerpt.id;
            let sites = excerpt.sites.iter().map(|site| format!("site {site}"));
            let nodes = excerpt.nodes.iter().map(|node| format!("box {node}"));
            for named in sites.chain(nodes) {
                if let Some(other) = seen.insert(named.clone(), id) {
                    find(format!("Excerpt {id}"), format!("{named} has the excerpt {other} too"));
                }
            }
            for model in excerpt.models() {
                let feed = registry.get(model).map(|def| def.feed.clone());
                let fits = feed.as_ref().is_some_and(is_cut);
                if !fits {
                    let detail = format!("model {model} is unknown, or in a feed that is not cut");
                    find(format!("Excerpt {id}"), detail);
                } else if feed.is_some_and(|feed| feed.with_excerpt(id).is_none()) {
                    let detail = format!("its name and that of the feed of {model} are too long");
                    find(format!("Excerpt {id}"), detail);
                }
            }
        }
        findings
    }

    /// The feeds that are cut; of all others, stores have the whole.
    pub fn feeds(&self, registry: &Registry) -> BTreeSet<FeedId> {
        let product: Option<ModelName> = (!self.assortment_ids.is_empty())
            .then(|| PRODUCT.parse().expect("the name of a built-in model"));
        let models = self.models().chain(product.as_ref());
        let feeds = models.filter_map(|model| Some(registry.get(model)?.feed.clone()));
        feeds.filter(is_cut).filter(|feed| feed.with_excerpt(&self.id).is_some()).collect()
    }

    fn models(&self) -> impl Iterator<Item = &ModelName> {
        let only = self.only.iter().map(|rule| &rule.model);
        only.chain(self.keep.iter().map(|rule| &rule.model))
    }
}

fn is_cut(feed: &FeedId) -> bool {
    ![ESTATE, LOCAL].contains(&feed.as_str())
}

/// Tells which rows an excerpt has on one day.
#[derive(Debug)]
pub struct Sieve<'a> {
    excerpt: &'a Excerpt,
    /// The products of its assortments; nothing: all products.
    products: Option<BTreeSet<String>>,
    today: Timestamp,
}

impl<'a> Sieve<'a> {
    /// A sieve; it takes all products until it is told which there are.
    pub fn new(excerpt: &'a Excerpt, today: Timestamp) -> Self {
        Self { excerpt, products: None, today }
    }

    /// Learns the products of the assortments from the bodies of the rows of [`ENTRIES`].
    pub fn learn<'b>(&mut self, entries: impl IntoIterator<Item = &'b [u8]>) {
        if self.excerpt.assortment_ids.is_empty() {
            return;
        }
        let product = |body: &[u8]| {
            let row: Map<String, Value> = serde_json::from_slice(body).ok()?;
            let text = |field: &str| row.get(field).and_then(Value::as_str);
            let listed = self.excerpt.assortment_ids.contains(text("assortmentId")?);
            text("productId").filter(|_| listed).map(str::to_owned)
        };
        let products: BTreeSet<String> = entries.into_iter().filter_map(product).collect();
        self.products.get_or_insert_default().extend(products);
    }

    /// What decides besides the rows themselves: the same mark, the same rows in and out.
    pub fn mark(&self) -> Vec<u8> {
        let ages = self.excerpt.keep.iter().map(|rule| self.oldest(rule)).collect::<Vec<_>>();
        let rules = (&self.excerpt.assortment_ids, &self.excerpt.only, &self.excerpt.keep);
        serde_json::to_vec(&(rules, &self.products, ages)).expect("texts and numbers")
    }

    /// Whether the excerpt has this row.
    pub fn takes(&self, model: &ModelName, id: &RecordId, body: &[u8]) -> bool {
        let is_product = model.as_str() == PRODUCT;
        if is_product && !self.has_product(id.as_str()) {
            return false;
        }
        // What is no object says nothing that a rule could be about.
        let Ok(row) = serde_json::from_slice::<Map<String, Value>>(body) else { return true };
        let text = |field: &str| row.get(field).and_then(Value::as_str);
        if model.as_str() == ENTRIES && !self.excerpt.assortment_ids.is_empty() {
            return text("assortmentId").is_some_and(|id| self.excerpt.assortment_ids.contains(id));
        }
        if !is_product && text("productId").is_some_and(|product| !self.has_product(product)) {
            return false;
        }
        let mut only = self.excerpt.only.iter().filter(|rule| rule.model == *model);
        let mut keep = self.excerpt.keep.iter().filter(|rule| rule.model == *model);
        only.all(|rule| text(&rule.field).is_none_or(|value| rule.values.contains(value)))
            && keep.all(|rule| text(&rule.field).is_none_or(|date| !self.is_old(rule, date)))
    }

    fn has_product(&self, product: &str) -> bool {
        self.products.as_ref().is_none_or(|products| products.contains(product))
    }

    fn is_old(&self, rule: &Keep, date: &str) -> bool {
        let Some(date) = date.get(..DATE_LEN) else { return false };
        let is_date = date.bytes().enumerate().all(|(at, byte)| match at {
            4 | 7 => byte == b'-',
            _ => byte.is_ascii_digit(),
        });
        is_date && date < self.oldest(rule).as_str()
    }

    /// The first day that is not too old.
    fn oldest(&self, rule: &Keep) -> String {
        let ms = self.today.unix_ms() - i64::from(rule.days) * DAY_MS;
        Timestamp::from_unix_ms(ms).to_string().chars().take(DATE_LEN).collect()
    }
}

#[cfg(test)]
mod tests;
