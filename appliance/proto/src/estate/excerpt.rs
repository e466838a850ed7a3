//! Excerpts: which part of the masterdata a group of stores needs, and which rows stay out of it.
//!
//! An excerpt is published by the author as a feed of its own (`catalogue--small` is cut out of `catalogue`): it has
//! a signed head, revisions, segments and digests like any other, so that whoever reads it verifies all that it is to
//! have, and nobody can pass a part off as the whole.
//! A box learns which excerpt is its own from the estate, as it learns everything; without one it has everything.
//!
//! Invariants:
//! - the estate is never cut: every box knows all of it;
//! - a row that a rule does not understand (no such field, no date) stays in: a store rather has too much;
//! - an entry of an assortment brings its product exactly if the excerpt has that entry.

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

/// The fields of an [`Excerpt`].
const FIELDS: [&str; 7] = ["id", "name", "sites", "nodes", "assortmentIds", "only", "keep"];
/// The fields of an [`Only`].
const ONLY_FIELDS: [&str; 3] = ["model", "field", "values"];
/// The fields of a [`Keep`].
const KEEP_FIELDS: [&str; 3] = ["model", "field", "days"];

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
    /// Reads a record that head office has checked; what a later version says besides is passed over.
    pub fn understand(fields: &Map<String, Value>) -> Result<Self, DefinitionFault> {
        let mut known = fields.clone();
        known.retain(|field, _| FIELDS.contains(&field.as_str()));
        for (rules, fields) in [("only", ONLY_FIELDS), ("keep", KEEP_FIELDS)] {
            let rules = known.get_mut(rules).and_then(Value::as_array_mut);
            for rule in rules.into_iter().flatten().filter_map(Value::as_object_mut) {
                rule.retain(|field, _| fields.contains(&field.as_str()));
            }
        }
        channel::read(&known)
    }

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

    /// The excerpt of a box by the records of the estate.
    ///
    /// Refused if a record that names the box or its store cannot be understood: that is not to have no excerpt.
    pub fn own<'r>(
        records: impl IntoIterator<Item = &'r [u8]>,
        node: &NodeId,
        site: &SiteId,
    ) -> Result<Option<Self>, DefinitionFault> {
        let names = |fields: &Map<String, Value>, field: &str, name: &str| {
            let all = fields.get(field).and_then(Value::as_array);
            all.is_some_and(|all| all.iter().any(|one| one == name))
        };
        let mut excerpts = Vec::new();
        for record in records {
            let fields: Map<String, Value> = serde_json::from_slice(record)
                .map_err(|error| DefinitionFault::new("record", error.to_string()))?;
            match Self::understand(&fields) {
                Ok(excerpt) => excerpts.push(excerpt),
                Err(fault)
                    if names(&fields, "nodes", node.as_str())
                        || names(&fields, "sites", site.as_str()) =>
                {
                    return Err(fault);
                }
                Err(_) => {}
            }
        }
        Ok(Self::of(&excerpts, node, site).cloned())
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
        let model: ModelName = ENTRIES.parse().expect("the name of a built-in model");
        let product = |body: &[u8]| {
            let row: Map<String, Value> = serde_json::from_slice(body).ok()?;
            let taken = self.lists(&row) && self.fits(&model, &row);
            text(&row, "productId").filter(|_| taken).map(str::to_owned)
        };
        let products: BTreeSet<String> = entries.into_iter().filter_map(product).collect();
        self.products.get_or_insert_default().extend(products);
    }

    /// What decides besides the rows themselves: the same mark, the same rows in and out.
    ///
    /// Before the sieve has learnt its products, what decides besides the entries of the assortments too.
    pub fn mark(&self) -> Vec<u8> {
        let ages = self.excerpt.keep.iter().map(|rule| self.oldest(rule)).collect::<Vec<_>>();
        let rules = (&self.excerpt.assortment_ids, &self.excerpt.only, &self.excerpt.keep);
        serde_json::to_vec(&(rules, &self.products, ages)).expect("texts and numbers")
    }

    /// Whether the excerpt has this row.
    pub fn takes(&self, model: &ModelName, id: &RecordId, body: &[u8]) -> bool {
        if model.as_str() == PRODUCT && !self.has_product(id.as_str()) {
            return false;
        }
        // What is no object says nothing that a rule could be about.
        let Ok(row) = serde_json::from_slice::<Map<String, Value>>(body) else { return true };
        let belongs = match model.as_str() {
            PRODUCT => true,
            ENTRIES if !self.excerpt.assortment_ids.is_empty() => self.lists(&row),
            _ => text(&row, "productId").is_none_or(|product| self.has_product(product)),
        };
        belongs && self.fits(model, &row)
    }

    /// Whether the row is of one of the assortments.
    fn lists(&self, row: &Map<String, Value>) -> bool {
        text(row, "assortmentId").is_some_and(|id| self.excerpt.assortment_ids.contains(id))
    }

    /// Whether the rules for the rows of a model take this one.
    fn fits(&self, model: &ModelName, row: &Map<String, Value>) -> bool {
        let mut only = self.excerpt.only.iter().filter(|rule| rule.model == *model);
        let mut keep = self.excerpt.keep.iter().filter(|rule| rule.model == *model);
        only.all(|rule| text(row, &rule.field).is_none_or(|value| rule.values.contains(value)))
            && keep.all(|rule| text(row, &rule.field).is_none_or(|date| !self.is_old(rule, date)))
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

fn text<'r>(row: &'r Map<String, Value>, field: &str) -> Option<&'r str> {
    row.get(field).and_then(Value::as_str)
}

#[cfg(test)]
mod tests;
