//! One query under way: which rows the caller may see, which of them fit, and what they bring.

use std::cell::OnceCell;
use std::collections::BTreeSet;

use serde_json::Value;
use storebox_proto::feed::Record;
use storebox_proto::problem::Problem;
use storebox_proto::query::{Criteria, Entity, Query};

use super::answer::Scope;
use super::bring::Bringing;
use super::entity::USER_FIELDS;
use super::locals::Locals;
use super::reader::{Candidates, Reader, fields};
use super::rows::{Row, Rows, size};
use crate::channel::context::ancestors;
use crate::channel::fault;
use crate::masterdata::View;

/// Assortments that one product may be in.
const ASSORTMENTS_MAX: usize = 1000;

/// One query under way.
pub(super) struct Search<'a> {
    reader: &'a Reader,
    query: &'a Query,
    scope: &'a Scope,
    bringing: Bringing<'a>,
    /// The criteria ask for what a row brings from elsewhere.
    brings_first: bool,
    categories: OnceCell<Option<BTreeSet<String>>>,
}

impl<'a> Search<'a> {
    pub(super) fn new(
        reader: &'a Reader,
        query: &'a Query,
        scope: &'a Scope,
        brought: &[&str],
    ) -> Self {
        Self {
            reader,
            query,
            scope,
            bringing: Bringing::new(reader, query, scope),
            brings_first: asks_for(&query.criteria, brought),
            categories: OnceCell::new(),
        }
    }

    /// Looks at candidates, or all records, and at what the shop created, in the order of the ids.
    pub(super) fn walk(
        &self,
        rows: &mut Rows<'_>,
        view: Option<&View>,
        candidates: Option<Candidates>,
        mut locals: Locals,
    ) -> Result<(), Problem> {
        // What head office says of a local document is among all records, and need not be among candidates.
        let behind = candidates.as_ref().and(view);
        let mut outcome = Ok(true);
        let mut visit = |record: Record| {
            outcome = self.record(rows, &mut locals, behind, &record);
            matches!(outcome, Ok(true))
        };
        match (candidates, view) {
            (Some(candidates), _) => {
                let _ = candidates.into_values().all(&mut visit);
            }
            (None, Some(View { model, generation })) => {
                let read = generation.each(model, &mut visit);
                read.map_err(|error| fault::not_read(&self.reader.masterdata, &error))?;
            }
            (None, None) => {}
        }
        let mut goes_on = outcome?;
        while goes_on && locals.next_id().is_some() {
            goes_on = self.local(rows, &mut locals, behind)?;
        }
        Ok(())
    }

    /// A record of head office, after what the shop created before it.
    fn record(
        &self,
        rows: &mut Rows<'_>,
        locals: &mut Locals,
        behind: Option<&View>,
        record: &Record,
    ) -> Result<bool, Problem> {
        while locals.next_id().is_some_and(|id| id < record.id.as_str()) {
            if !self.local(rows, locals, behind)? {
                return Ok(false);
            }
        }
        let changed = match locals.next_id() == Some(record.id.as_str()) {
            true => locals.load_next(),
            false => None,
        };
        let Some(mut row) = fields(record) else { return Ok(true) };
        row.extend(changed.into_iter().flatten());
        self.consider(rows, row)
    }

    /// The next of what the shop created.
    fn local(
        &self,
        rows: &mut Rows<'_>,
        locals: &mut Locals,
        behind: Option<&View>,
    ) -> Result<bool, Problem> {
        let Some(local) = locals.load_next() else { return Ok(true) };
        let row = match behind {
            Some(view) => self.reader.completed(view, local)?,
            None => local,
        };
        self.consider(rows, row)
    }

    /// Takes a row if the caller may see it and it fits; false when nothing further is wanted.
    fn consider(&self, rows: &mut Rows<'_>, mut row: Row) -> Result<bool, Problem> {
        rows.examine()?;
        if self.query.entity == Entity::User {
            row.retain(|name, _| USER_FIELDS.contains(&name.as_str()));
        }
        if !self.is_visible(&row)? {
            return Ok(true);
        }
        if self.brings_first {
            self.bringing.bring(&mut row)?;
        }
        if !rows.fits(&row) || !self.is_sold(&row)? {
            return Ok(true);
        }
        Ok(rows.take(row))
    }

    /// Whether the caller sees such a row at all.
    fn is_visible(&self, row: &Row) -> Result<bool, Problem> {
        let text = |name: &str| row.get(name).and_then(Value::as_str);
        let (scope, place) = (self.scope, &self.scope.place);
        Ok(match self.query.entity {
            Entity::Discount => {
                let day = |name: &str| text(name).and_then(|text| text.get(..10));
                let begun = day("startingDate").is_none_or(|day| day <= scope.today.as_str());
                begun && day("endingDate").is_none_or(|day| day >= scope.today.as_str())
            }
            Entity::Channel => text("id") == Some(scope.channel.as_str()),
            Entity::Terminal => text("channelId") == Some(scope.channel.as_str()),
            Entity::ProductPrice => {
                let list = place.price_list_id.as_deref();
                list.is_none_or(|list| text("priceListId") == Some(list))
            }
            Entity::Store => match &place.organization_id {
                None => true,
                Some(own) => self.is_below(text("id"), own),
            },
            Entity::ProductCategory => {
                let categories = self.categories()?;
                categories
                    .as_ref()
                    .is_none_or(|known| text("id").is_some_and(|id| known.contains(id)))
            }
            Entity::Product
            | Entity::ProductTax
            | Entity::Customer
            | Entity::CustomerAddress
            | Entity::Ticket
            | Entity::User => true,
        })
    }

    fn is_below(&self, id: Option<&str>, own: &str) -> bool {
        let look = |model: &str, field: &str, value: &str| {
            self.reader.masterdata.look(model, field, value)
        };
        let above = ancestors(id, &look);
        above.iter().any(|record| record.get("id").and_then(Value::as_str) == Some(own))
    }

    /// Whether the terminal sells a product; asked last, because it costs a lookup.
    fn is_sold(&self, row: &Row) -> Result<bool, Problem> {
        let (Entity::Product, Some(assortment)) =
            (self.query.entity, &self.scope.place.assortment_id)
        else {
            return Ok(true);
        };
        let Some(id) = row.get("id").and_then(Value::as_str) else { return Ok(false) };
        let entries =
            self.reader.by_field("AssortmentProduct", "productId", id, ASSORTMENTS_MAX)?;
        let of =
            |entry: &Row| entry.get("assortmentId").and_then(Value::as_str) == Some(assortment);
        Ok(entries.iter().any(of))
    }

    /// The categories of what the terminal sells, and those above; nothing if it sells everything.
    fn categories(&self) -> Result<&Option<BTreeSet<String>>, Problem> {
        if let Some(known) = self.categories.get() {
            return Ok(known);
        }
        let known = match &self.scope.place.assortment_id {
            None => None,
            Some(assortment) => Some(self.bringing.categories_of(assortment)?),
        };
        Ok(self.categories.get_or_init(|| known))
    }

    /// Gives the rows what they bring, as far as the answer may grow.
    pub(super) fn finish(&self, rows: &mut Rows<'_>) -> Result<(), Problem> {
        if self.brings_first {
            return Ok(());
        }
        for at in 0..rows.rows.len() {
            let before = size(&rows.rows[at]);
            self.bringing.bring(&mut rows.rows[at])?;
            let brought = size(&rows.rows[at]).saturating_sub(before);
            if !rows.grow(brought) && at > 0 {
                rows.rows.truncate(at);
                rows.more = true;
                break;
            }
        }
        Ok(())
    }
}

fn asks_for(criteria: &Criteria, brought: &[&str]) -> bool {
    let mut asks = false;
    criteria.each_field(&mut |name| {
        asks |= brought.contains(&name.split('.').next().unwrap_or(name));
    });
    asks
}
