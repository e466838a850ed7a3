//! Finds the rows of a query.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};
use storebox_proto::feed::{IndexDef, Record};
use storebox_proto::ids::{RecordId, TxKind};
use storebox_proto::problem::Problem;
use storebox_proto::query::{Entity, Query};

use super::answer::Scope;
use super::entity::{Sources, sources};
use super::local_index::LocalIndex;
use super::locals::Locals;
use super::plan::{Plan, Spot};
use super::references;
use super::rows::{Row, Rows};
use super::search::Search;
use crate::channel::fault;
use crate::channel::save::stock::StockBook;
use crate::db::Probe;
use crate::masterdata::{Masterdata, View, position_of};
use crate::uplink::{Document, LocalDocuments};

/// Candidates that are taken from indexes; beyond that every row is looked at.
pub(in crate::channel) const CANDIDATES_MAX: usize = 5_000;
/// Questions that look at every row at the same time; one core stays with the tills.
const SCANS_MAX: usize = 1;
/// What the shop creates that is found by what people know of it.
const TICKETS: (&str, &[&str]) = ("Order", &["documentNo", "businessPartnerId"]);
const CUSTOMERS: (&str, &[&str]) = ("ChangedBusinessPartners", &["searchKey", "edgeId"]);
const ADDRESSES: (&str, &[&str]) = ("ChangedBPlocation", &["businessPartnerId", "edgeId"]);

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

/// A query that is about to be answered.
pub(super) struct Planned {
    pub(super) query: Query,
    plan: Plan,
    view: Option<View>,
    /// What the plan found at head office's; nothing if every row is looked at.
    candidates: Option<Candidates>,
    locals: Locals,
}

/// Records by id.
pub(super) type Candidates = BTreeMap<RecordId, Record>;

impl Planned {
    /// Whether every row will be looked at, or many documents of the shop.
    pub(super) fn is_broad(&self) -> bool {
        self.plan == Plan::Scan || self.locals.are_many()
    }
}

/// Reads entities; shared by all queries and by what writes.
pub(in crate::channel) struct Reader {
    pub(super) masterdata: Masterdata,
    documents: LocalDocuments,
    pub(in crate::channel) stock: StockBook,
    /// The shop's tickets by number and customer.
    pub(in crate::channel) tickets: LocalIndex,
    /// The shop's customers by code.
    pub(super) customers: LocalIndex,
    /// The shop's addresses by customer.
    pub(super) addresses: LocalIndex,
    /// Questions that look at every row and may do so now.
    pub(super) scans: tokio::sync::Semaphore,
}

impl Reader {
    pub(in crate::channel) fn new(masterdata: Masterdata, documents: LocalDocuments) -> Self {
        let index = |(kind, fields): (&str, &'static [&'static str])| {
            LocalIndex::new(documents.clone(), tx_kind(kind), fields)
        };
        Self {
            masterdata,
            stock: StockBook::new(documents.clone()),
            tickets: index(TICKETS),
            customers: index(CUSTOMERS),
            addresses: index(ADDRESSES),
            scans: tokio::sync::Semaphore::new(SCANS_MAX),
            documents,
        }
    }

    /// Whether a query will look at every row, as far as it can be told before anything is read; refused if it names
    /// too much by codes.
    pub(super) fn is_broad(&self, query: &Query) -> Result<bool, Problem> {
        let outline = references::outline(query.entity, &query.criteria)?;
        Ok(Plan::of(&outline, &self.indexes(query.entity)) == Plan::Scan)
    }

    /// A query with ids in the place of codes, and how it will be answered.
    pub(super) fn plan(&self, query: Query) -> Result<Planned, Problem> {
        let criteria = self.resolve(query.entity, &query.criteria)?;
        let plan = Plan::of(&criteria, &self.indexes(query.entity));
        self.planned(Query { criteria, ..query }, plan)
    }

    fn planned(&self, query: Query, plan: Plan) -> Result<Planned, Problem> {
        let sources = sources(query.entity);
        let view = sources.central.map(|model| self.view(model)).transpose()?;
        if let Plan::Spots(spots) = &plan
            && let Some((candidates, locals)) = self.behind(spots, &sources, view.as_ref())?
        {
            return Ok(Planned { query, plan, view, candidates: Some(candidates), locals });
        }
        let locals = sources.local.map_or_else(Locals::none, |kind| self.all_locals(kind));
        Ok(Planned { query, plan: Plan::Scan, view, candidates: None, locals })
    }

    /// The rows of a query; `rows_max` at most.
    pub(super) fn find(
        &self,
        planned: Planned,
        scope: &Scope,
        rows_max: u64,
    ) -> Result<Found, Problem> {
        let Planned { query, plan, view, candidates, locals } = planned;
        let mut rows = Rows::new(&query, rows_max);
        let search = Search::new(self, &query, scope, sources(query.entity).brought);
        search.walk(&mut rows, view.as_ref(), candidates, locals)?;
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

    /// The indexes by which an entity is found.
    fn indexes(&self, entity: Entity) -> Vec<IndexDef> {
        let Some(model) = sources(entity).central else { return self.tickets.indexes() };
        let registry = self.masterdata.registry();
        let def = model.parse().ok().and_then(|model| registry.get(&model));
        def.map(|def| def.indexes.clone()).unwrap_or_default()
    }

    /// What is at these spots, at head office's and in the shop; nothing if that is too much.
    fn behind(
        &self,
        spots: &[Spot],
        sources: &Sources,
        view: Option<&View>,
    ) -> Result<Option<(Candidates, Locals)>, Problem> {
        let found = match view {
            Some(view) => self.candidates(view, spots)?,
            None => Some(Candidates::new()),
        };
        let Some(candidates) = found else { return Ok(None) };
        let Some(kind) = sources.local else { return Ok(Some((candidates, Locals::none()))) };
        let Some(mut ids) = self.local_ids(kind, spots, view) else {
            return Ok(Some((candidates, self.all_locals(kind))));
        };
        if ids.len() > CANDIDATES_MAX + spots.len() {
            return Ok(None);
        }
        // What the shop says of a candidate stands for what head office says.
        ids.extend(candidates.keys().map(|id| id.as_str().to_owned()));
        Ok(Some((candidates, Locals::these(self.documents.clone(), tx_kind(kind), ids))))
    }

    /// The records at these spots by id; nothing if there are too many.
    fn candidates(&self, view: &View, spots: &[Spot]) -> Result<Option<Candidates>, Problem> {
        let View { model, generation } = view;
        let mut found = Candidates::new();
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

    /// The ids of the documents that can be at these spots; nothing if only a look at all of them can tell.
    fn local_ids(
        &self,
        kind: &str,
        spots: &[Spot],
        view: Option<&View>,
    ) -> Option<BTreeSet<String>> {
        let index = [&self.tickets, &self.customers, &self.addresses]
            .into_iter()
            .find(|index| index.kind().as_str() == kind)?;
        let registry = self.masterdata.registry();
        let central = view.and_then(|view| registry.get(&view.model));
        let mut ids = BTreeSet::new();
        for spot in spots {
            match spot {
                Spot::Id(id) => {
                    ids.insert(id.clone());
                }
                Spot::Index { field, probe } if index.answers(field, central) => {
                    ids.extend(index.ids(field, probe, CANDIDATES_MAX + 1));
                }
                Spot::Index { .. } => return None,
            }
            if ids.len() > CANDIDATES_MAX + spots.len() {
                break;
            }
        }
        Some(ids)
    }

    fn all_locals(&self, kind: &str) -> Locals {
        Locals::all(self.documents.clone(), tx_kind(kind))
    }

    /// What the shop says of something, behind what head office says of it.
    pub(super) fn completed(&self, view: &View, local: Row) -> Result<Row, Problem> {
        let id = local.get("id").and_then(Value::as_str).and_then(|id| id.parse().ok());
        let Some(id) = id else { return Ok(local) };
        let record = view.generation.get(&view.model, &id);
        let record = record.map_err(|error| fault::not_read(&self.masterdata, &error))?;
        let mut row = record.as_ref().and_then(fields).unwrap_or_default();
        row.extend(local);
        Ok(row)
    }

    /// The ids of documents of the shop that begin so, in their order.
    pub(super) fn ids_under(&self, kind: &str, beginning: &str, count_max: usize) -> Vec<String> {
        self.documents.ids_under(&tx_kind(kind), beginning, None, count_max)
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

/// A document as a row.
pub(super) fn row(document: Document) -> Row {
    let mut row = document.payload;
    row.remove("origin");
    row.insert("id".to_owned(), Value::String(document.id));
    row.insert("transaction".to_owned(), Value::String(document.key.to_string()));
    row.insert("grade".to_owned(), Value::String(document.grade.as_str().to_owned()));
    row
}

pub(super) fn fields(record: &Record) -> Option<Map<String, Value>> {
    serde_json::from_slice(&record.body).ok()
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
        self.find(self.planned(query.clone(), Plan::Scan)?, scope, rows_max)
    }
}
