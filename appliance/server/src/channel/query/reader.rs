//! Finds the rows of a query.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};
use storebox_proto::feed::{IndexDef, Record};
use storebox_proto::ids::{RecordId, TxKind};
use storebox_proto::problem::{Code, Problem};
use storebox_proto::query::{Criteria, Entity, Query};

use super::answer::Scope;
use super::bring::Bringing;
use super::entity::{Sources, USER_FIELDS, sources};
use super::plan::{Plan, Spot};
use super::rows::{Row, Rows, size};
use crate::channel::context::ancestors;
use crate::channel::fault;
use crate::channel::save::stock::StockBook;
use crate::db::Probe;
use crate::masterdata::{Masterdata, View, position_of};
use crate::uplink::{Document, LocalDocuments};

/// Candidates that are taken from indexes; beyond that every row is looked at.
const CANDIDATES_MAX: usize = 5_000;
/// Documents of the shop that are read at once.
const LOCAL_PAGE: usize = 500;
/// Documents of the shop that one question reads.
const LOCAL_MAX: usize = 100_000;

/// What was found.
#[derive(Debug)]
pub(in crate::channel) struct Found {
    pub(super) rows: Vec<Row>,
    pub(super) total: Option<u64>,
    pub(super) more: bool,
    pub(super) plan: Vec<String>,
    pub(super) examined: u64,
    pub(super) position: Option<String>,
}

/// Reads entities; shared by all queries and by what writes.
pub(in crate::channel) struct Reader {
    pub(super) masterdata: Masterdata,
    pub(super) documents: LocalDocuments,
    pub(in crate::channel) stock: StockBook,
}

/// One query under way.
struct Search<'a> {
    reader: &'a Reader,
    query: &'a Query,
    scope: &'a Scope,
    bringing: Bringing<'a>,
    /// The criteria ask for what a row brings from elsewhere.
    brings_first: bool,
    categories: OnceCell<Option<BTreeSet<String>>>,
}

impl Reader {
    pub(in crate::channel) fn new(masterdata: Masterdata, documents: LocalDocuments) -> Self {
        let stock = StockBook::new(documents.clone());
        Self { masterdata, documents, stock }
    }

    /// The rows of a query; `rows_max` at most.
    pub(super) fn find(
        &self,
        query: &Query,
        scope: &Scope,
        rows_max: u64,
    ) -> Result<Found, Problem> {
        let criteria = self.resolve(query.entity, &query.criteria)?;
        let query = Query { criteria, ..query.clone() };
        let sources = sources(query.entity);
        let view = sources.central.map(|model| self.view(model)).transpose()?;
        let plan = Plan::of(&query.criteria, &self.indexes(view.as_ref()));
        self.find_by(plan, &query, scope, rows_max, &sources, view.as_ref())
    }

    fn find_by(
        &self,
        plan: Plan,
        query: &Query,
        scope: &Scope,
        rows_max: u64,
        sources: &Sources,
        view: Option<&View>,
    ) -> Result<Found, Problem> {
        let (plan, candidates) = match (plan, view) {
            (Plan::Spots(spots), Some(view)) => match self.candidates(view, &spots)? {
                Some(candidates) => (Plan::Spots(spots), Some(candidates)),
                None => (Plan::Scan, None),
            },
            (plan, _) => (plan, None),
        };
        let locals = match sources.local {
            Some(kind) => self.locals(kind, &plan)?,
            None => BTreeMap::new(),
        };
        let mut rows = Rows::new(query, rows_max);
        let search = Search {
            reader: self,
            query,
            scope,
            bringing: Bringing::new(self, query, scope),
            brings_first: asks_for(&query.criteria, sources.brought),
            categories: OnceCell::new(),
        };
        search.walk(&mut rows, view, candidates, locals)?;
        search.finish(&mut rows)?;
        Ok(Found {
            total: (!rows.more).then_some(rows.fitting),
            more: rows.more,
            examined: rows.examined,
            rows: rows.rows,
            plan: plan.words(),
            position: view.map(|view| position_of(&view.generation).to_string()),
        })
    }

    pub(super) fn view(&self, model: &str) -> Result<View, Problem> {
        self.masterdata.view(model).map_err(|why| fault::not_readable(&why))
    }

    fn indexes(&self, view: Option<&View>) -> Vec<IndexDef> {
        let registry = self.masterdata.registry();
        let def = view.and_then(|view| registry.get(&view.model));
        def.map(|def| def.indexes.clone()).unwrap_or_default()
    }

    /// The records at these spots by id; nothing if there are too many.
    fn candidates(
        &self,
        view: &View,
        spots: &[Spot],
    ) -> Result<Option<BTreeMap<RecordId, Record>>, Problem> {
        let View { model, generation } = view;
        let mut found = BTreeMap::new();
        for spot in spots {
            let records = match spot {
                Spot::Id(id) => match id.parse::<RecordId>() {
                    Ok(id) => generation.get(model, &id).map(|record| record.into_iter().collect()),
                    Err(_) => Ok(Vec::new()),
                },
                Spot::Index { field, probe } => {
                    generation.candidates(model, field, probe, CANDIDATES_MAX + 1)
                }
            };
            let records = records.map_err(|error| fault::not_read(&self.masterdata, &error))?;
            found.extend(records.into_iter().map(|record| (record.id.clone(), record)));
            if found.len() > CANDIDATES_MAX {
                return Ok(None);
            }
        }
        Ok(Some(found))
    }

    /// What the shop has created of a kind, as far as the plan looks at it.
    fn locals(&self, kind: &str, plan: &Plan) -> Result<BTreeMap<String, Row>, Problem> {
        if let Plan::Spots(spots) = plan {
            let ids: Option<Vec<&String>> = spots
                .iter()
                .map(|spot| match spot {
                    Spot::Id(id) => Some(id),
                    Spot::Index { .. } => None,
                })
                .collect();
            if let Some(ids) = ids {
                let kind = tx_kind(kind);
                let load = |id: &String| self.documents.load(&kind, id);
                let found = ids.into_iter().filter_map(load);
                return Ok(found.map(|document| (document.id.clone(), row(document))).collect());
            }
        }
        let mut found = BTreeMap::new();
        self.each_local(kind, "", &mut |document| {
            found.insert(document.id.clone(), row(document));
            true
        })?;
        Ok(found)
    }

    /// Shows documents of a kind whose ids begin so, in the order of their ids, until `visit` says no.
    pub(in crate::channel) fn each_local(
        &self,
        kind: &str,
        prefix: &str,
        visit: &mut dyn FnMut(Document) -> bool,
    ) -> Result<(), Problem> {
        let kind = tx_kind(kind);
        let mut after = prefix.to_owned();
        // A search by prefix wants a few; the first page is small.
        let mut page_max = if prefix.is_empty() { LOCAL_PAGE } else { 8 };
        let mut seen = 0;
        loop {
            let page = self.documents.list(&kind, Some(&after), page_max);
            let is_last = page.len() < page_max;
            seen += page.len();
            for document in page {
                after.clone_from(&document.id);
                if !document.id.starts_with(prefix) || !visit(document) {
                    return Ok(());
                }
            }
            if is_last {
                return Ok(());
            }
            if seen > LOCAL_MAX {
                let detail = format!("the shop holds more than {LOCAL_MAX} of {kind}; ask by id");
                return Err(Problem::new(Code::QueryTooBroad, detail));
            }
            page_max = LOCAL_PAGE;
        }
    }

    /// One document of the shop.
    pub(in crate::channel) fn local(&self, kind: &str, id: &str) -> Option<Document> {
        self.documents.load(&tx_kind(kind), id)
    }

    /// A record of head office by its id.
    pub(in crate::channel) fn central(
        &self,
        model: &str,
        id: &str,
    ) -> Result<Option<Row>, Problem> {
        let Ok(id) = id.parse::<RecordId>() else { return Ok(None) };
        let View { model, generation } = self.view(model)?;
        let found = generation.get(&model, &id);
        let found = found.map_err(|error| fault::not_read(&self.masterdata, &error))?;
        Ok(found.as_ref().and_then(fields))
    }

    /// The products of an assortment.
    pub(super) fn products_of(
        &self,
        assortment: &str,
        limit: usize,
    ) -> Result<Vec<String>, Problem> {
        let View { model, generation } = self.view("AssortmentProduct")?;
        let probe = Probe::Exact(assortment.to_owned());
        let found = generation.candidates(&model, "assortmentId", &probe, limit);
        let found = found.map_err(|error| fault::not_read(&self.masterdata, &error))?;
        let product = |row: Row| row.get("productId").and_then(Value::as_str).map(str::to_owned);
        Ok(found.iter().filter_map(fields).filter_map(product).collect())
    }

    /// The records of head office whose indexed field has a value.
    pub(in crate::channel) fn by_field(
        &self,
        model: &str,
        field: &str,
        value: &str,
        limit: usize,
    ) -> Result<Vec<Row>, Problem> {
        let View { model, generation } = self.view(model)?;
        let found = generation.find(&model, field, value, limit);
        let found = found.map_err(|error| fault::not_read(&self.masterdata, &error))?;
        Ok(found.iter().filter_map(fields).collect())
    }
}

impl Search<'_> {
    /// Looks at candidates, or all records, and at what the shop created, in the order of the ids.
    fn walk(
        &self,
        rows: &mut Rows<'_>,
        view: Option<&View>,
        candidates: Option<BTreeMap<RecordId, Record>>,
        mut locals: BTreeMap<String, Row>,
    ) -> Result<(), Problem> {
        let mut outcome = Ok(true);
        let mut visit = |record: Record| {
            outcome = self.record(rows, &mut locals, &record);
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
        if outcome? {
            for (_, row) in locals {
                if !self.consider(rows, row)? {
                    break;
                }
            }
        }
        Ok(())
    }

    /// A record of head office, after what the shop created before it.
    fn record(
        &self,
        rows: &mut Rows<'_>,
        locals: &mut BTreeMap<String, Row>,
        record: &Record,
    ) -> Result<bool, Problem> {
        while let Some(first) = locals.first_entry() {
            if first.key().as_str() >= record.id.as_str() {
                break;
            }
            if !self.consider(rows, first.remove())? {
                return Ok(false);
            }
        }
        let Some(mut row) = fields(record) else { return Ok(true) };
        if let Some(changed) = locals.remove(record.id.as_str()) {
            row.extend(changed);
        }
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
        let entries = self.reader.by_field("AssortmentProduct", "productId", id, LOCAL_PAGE)?;
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
    fn finish(&self, rows: &mut Rows<'_>) -> Result<(), Problem> {
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

/// A document as a row.
pub(super) fn row(document: Document) -> Row {
    let mut row = document.payload;
    row.remove("origin");
    row.insert("id".to_owned(), Value::String(document.id));
    row.insert("transaction".to_owned(), Value::String(document.key.to_string()));
    row.insert("grade".to_owned(), Value::String(document.grade.as_str().to_owned()));
    row
}

fn fields(record: &Record) -> Option<Map<String, Value>> {
    serde_json::from_slice(&record.body).ok()
}

fn asks_for(criteria: &Criteria, brought: &[&str]) -> bool {
    let mut asks = false;
    criteria.each_field(&mut |name| {
        asks |= brought.contains(&name.split('.').next().unwrap_or(name));
    });
    asks
}

fn tx_kind(kind: &str) -> TxKind {
    kind.parse().expect("a literal that keeps the rule for kinds")
}

#[cfg(test)]
impl Reader {
    /// The same question, answered by looking at every row.
    pub(super) fn find_naively(
        &self,
        query: &Query,
        scope: &Scope,
        rows_max: u64,
    ) -> Result<Found, Problem> {
        let sources = sources(query.entity);
        let view = sources.central.map(|model| self.view(model)).transpose()?;
        self.find_by(Plan::Scan, query, scope, rows_max, &sources, view.as_ref())
    }
}
