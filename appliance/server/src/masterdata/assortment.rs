//! What a terminal loads of the catalogue: the products of its assortment, and what belongs to a product.
//!
//! A listing is thinned out; a single record is given to whoever names it, so that what was sold elsewhere can be
//! taken back here.

use serde_json::{Map, Value};
use storebox_proto::estate::{EXCERPT, Excerpt};
use storebox_proto::feed::Record;
use storebox_proto::ids::{ModelName, TerminalId};

use super::{Masterdata, View};
use crate::db::ReadError;

/// The model of what is in an assortment.
const ENTRIES: &str = "AssortmentProduct";
/// Assortments that one product may be in.
const ASSORTMENTS_MAX: usize = 1000;
/// Organisations above each other.
const DEPTH_MAX: usize = 16;

/// The products of one terminal.
#[derive(Debug)]
pub struct Assortment {
    id: String,
    entries: View,
}

impl Masterdata {
    /// What a terminal sells by its record, its type or its organisation; nothing: everything.
    pub fn assortment_of(&self, terminal: &TerminalId) -> Option<Assortment> {
        let name = terminal.as_str();
        let own = self.look("Terminal", "id", name);
        let own = own.or_else(|| self.look("Terminal", "searchKey", name))?;
        let kind = text(&own, "terminalTypeId").and_then(|id| self.look("TerminalType", "id", &id));
        let field = |name: &str| text(&own, name).or_else(|| text(kind.as_ref()?, name));
        let mut found = field("assortmentId");
        let mut organisation = field("organizationId");
        for _ in 0..DEPTH_MAX {
            let (None, Some(id)) = (&found, &organisation) else { break };
            let Some(record) = self.look("Organization", "id", id) else { break };
            (found, organisation) = (text(&record, "assortmentId"), text(&record, "parentId"));
        }
        Some(Assortment { id: found?, entries: self.view(ENTRIES).ok()? })
    }
}

impl Assortment {
    /// The excerpt of this box that leaves the assortment out: a listing would say that there is nothing in it.
    pub fn left_out(&self, masterdata: &Masterdata) -> Option<String> {
        let excerpt = masterdata.excerpt_of(&self.entries.model)?;
        let fields = masterdata.look(EXCERPT, "id", &excerpt)?;
        let excerpt = Excerpt::understand(&fields).ok()?;
        let all = &excerpt.assortment_ids;
        let left_out = !all.is_empty() && !all.contains(&self.id);
        left_out.then(|| format!("assortment {} is not in excerpt {}", self.id, excerpt.id))
    }

    /// Whether the terminal loads this record.
    pub fn takes(&self, model: &ModelName, record: &Record) -> Result<bool, ReadError> {
        if model.as_str() == "Product" {
            return self.holds(record.id.as_str());
        }
        // What is no object belongs to no product.
        let Ok(body) = serde_json::from_slice::<Map<String, Value>>(&record.body) else {
            return Ok(true);
        };
        if model.as_str() == ENTRIES {
            return Ok(text(&body, "assortmentId").as_deref() == Some(&self.id));
        }
        text(&body, "productId").map_or(Ok(true), |product| self.holds(&product))
    }

    fn holds(&self, product: &str) -> Result<bool, ReadError> {
        let View { model, generation } = &self.entries;
        let entries = generation.find(model, "productId", product, ASSORTMENTS_MAX)?;
        Ok(entries.iter().any(|entry| {
            let body = serde_json::from_slice::<Map<String, Value>>(&entry.body);
            body.is_ok_and(|body| text(&body, "assortmentId").as_deref() == Some(&self.id))
        }))
    }
}

fn text(record: &Map<String, Value>, field: &str) -> Option<String> {
    record.get(field).and_then(Value::as_str).map(str::to_owned)
}
