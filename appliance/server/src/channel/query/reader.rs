//! Finds the rows of a query.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};
use storebox_proto::feed::{IndexDef, Record};
use storebox_proto::ids::{RecordId, TxKind};
use storebox_proto::problem::{Code, Problem};
use storebox_proto::query::{Entity, Query};

use super::answer::Scope;
use super::entity::{Sources, sources};
use super::plan::{Plan, Spot};
use super::rows::{Row, Rows};
use super::search::Search;
use super::tickets::TicketBook;
use crate::channel::fault;
use crate::channel::save::stock::StockBook;
use crate::db::Probe;
use crate::masterdata::{Masterdata, View, position_of};
use crate::uplink::{Document, LocalDocuments};

/// Candidates that are taken from indexes; beyond that every row is looked at.
const CANDIDATES_MAX: usize = 5_000;
/// Questions that look at every row at the same time; one core stays with the tills.
const SCANS_MAX: usize = 1;
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

/// A query that is about to be answered.
pub(super) struct Planned {
    pub(super) query: Query,
    plan: Plan,
}

impl Planned {
    /// Whether every row will be looked at.
    pub(super) fn is_scan(&self) -> bool {
        self.plan == Plan::Scan
    }
}

/// Reads entities; shared by all queries and by what writes.
pub(in crate::channel) struct Reader {
    pub(super) masterdata: Masterdata,
    pub(super) documents: LocalDocuments,
    pub(in crate::channel) stock: StockBook,
    /// The shop's tickets by number and customer.
    pub(in crate::channel) tickets: TicketBook,
    /// Questions that look at every row and may do so now.
    pub(super) scans: tokio::sync::Semaphore,
}

impl Reader {
    pub(in crate::channel) fn new(masterdata: Masterdata, documents: LocalDocuments) -> Self {
        let stock = StockBook::new(documents.clone());
        let tickets = TicketBook::new(documents.clone(), tx_kind("Order"));
        let scans = tokio::sync::Semaphore::new(SCANS_MAX);
        Self { masterdata, documents, stock, tickets, scans }
    }

    /// A query with ids in the place of codes, and how it will be answered.
    pub(super) fn plan(&self, query: Query) -> Result<Planned, Problem> {
        let criteria = self.resolve(query.entity, &query.criteria)?;
        let query = Query { criteria, ..query };
        let central = sources(query.entity).central;
        let view = central.map(|model| self.view(model)).transpose()?;
        let is_ticket = query.entity == Entity::Ticket;
        let indexes = if is_ticket { TicketBook::indexes() } else { self.indexes(view.as_ref()) };
        let plan = Plan::of(&query.criteria, &indexes);
        Ok(Planned { query, plan })
    }

    /// The rows of a query; `rows_max` at most.
    pub(super) fn find(
        &self,
        planned: Planned,
        scope: &Scope,
        rows_max: u64,
    ) -> Result<Found, Problem> {
        let Planned { query, plan } = planned;
        let sources = sources(query.entity);
        let view = sources.central.map(|model| self.view(model)).transpose()?;
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
        let search = Search::new(self, query, scope, sources.brought);
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
        if let Plan::Spots(spots) = plan
            && let Some(ids) = self.local_ids(kind, spots)
        {
            let kind = tx_kind(kind);
            let found = ids.iter().filter_map(|id| self.documents.load(&kind, id));
            return Ok(found.map(|document| (document.id.clone(), row(document))).collect());
        }
        let mut found = BTreeMap::new();
        self.each_local(kind, "", &mut |document| {
            found.insert(document.id.clone(), row(document));
            true
        })?;
        Ok(found)
    }

    /// The documents that can be at these spots; nothing if only a look at all of them can tell.
    fn local_ids(&self, kind: &str, spots: &[Spot]) -> Option<BTreeSet<String>> {
        let mut ids = BTreeSet::new();
        for spot in spots {
            match spot {
                Spot::Id(id) => {
                    ids.insert(id.clone());
                }
                Spot::Index { field, probe } if kind == "Order" => {
                    ids.extend(self.tickets.ids(field, probe));
                }
                Spot::Index { .. } => return None,
            }
        }
        Some(ids)
    }

    /// Shows documents of a kind whose ids begin so, in the order of their ids, until `visit` says no.
    pub(in crate::channel) fn each_local(
        &self,
        kind: &str,
        prefix: &str,
        visit: &mut dyn FnMut(Document) -> bool,
    ) -> Result<(), Problem> {
        let kind = tx_kind(kind);
        // A search by prefix wants a few; its first page is small.
        let mut page_max = if prefix.is_empty() { LOCAL_PAGE } else { 8 };
        let (mut after, mut seen) = (None::<String>, 0);
        loop {
            let page = self.documents.list_under(&kind, prefix, after.as_deref(), page_max);
            let is_last = page.len() < page_max;
            seen += page.len();
            after = page.last().map(|document| document.id.clone());
            for document in page {
                if !visit(document) {
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
        let sources = sources(query.entity);
        let view = sources.central.map(|model| self.view(model)).transpose()?;
        self.find_by(Plan::Scan, query, scope, rows_max, &sources, view.as_ref())
    }
}
