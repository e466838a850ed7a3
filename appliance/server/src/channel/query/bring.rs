//! What a row brings from elsewhere: a product its price, stock and categories; a customer its addresses; a ticket
//! what happened to it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use storebox_proto::limits::ORGANISATION_DEPTH_MAX;
use storebox_proto::problem::Problem;
use storebox_proto::query::{Entity, Query};

use super::answer::Scope;
use super::reader::{Reader, row};
use super::rows::{Row, size};
use crate::channel::context::ancestors;
use crate::channel::save::stock::Level;
use crate::db::Probe;

/// Prices, stocks or addresses of one thing.
const BROUGHT_MAX: usize = 1000;
/// What one row brings of one kind from what the shop created, roughly.
const BROUGHT_BYTES_MAX: usize = 1024 * 1024;
/// Products of an assortment whose categories are looked at.
const ASSORTMENT_MAX: usize = 50_000;
/// What happened to a ticket, by the kind of its transactions.
const HAPPENED: [(&str, &str); 3] =
    [("shipments", "TicketShipment"), ("payments", "TicketPayment"), ("invoices", "TicketInvoice")];

/// Brings.
pub(super) struct Bringing<'a> {
    reader: &'a Reader,
    query: &'a Query,
    scope: &'a Scope,
}

impl<'a> Bringing<'a> {
    pub(super) fn new(reader: &'a Reader, query: &'a Query, scope: &'a Scope) -> Self {
        Self { reader, query, scope }
    }

    /// Adds what the entity brings.
    pub(super) fn bring(&self, row: &mut Row) -> Result<(), Problem> {
        let Some(id) = text(row, "id") else { return Ok(()) };
        match self.query.entity {
            Entity::Product => self.product(&id, row),
            Entity::Customer => self.customer(&id, row),
            Entity::Ticket => {
                self.ticket(&id, row);
                Ok(())
            }
            Entity::Store => {
                let above = self.above(&id);
                row.insert("parents".to_owned(), json!(above));
                Ok(())
            }
            Entity::ProductPrice
            | Entity::ProductCategory
            | Entity::ProductTax
            | Entity::Discount
            | Entity::CustomerAddress
            | Entity::Channel
            | Entity::Terminal
            | Entity::User => Ok(()),
        }
    }

    fn product(&self, id: &str, row: &mut Row) -> Result<(), Problem> {
        let options = self.query.options;
        if options.price {
            row.insert("price".to_owned(), self.price(id)?);
        }
        if options.stock || options.stock_by_warehouse {
            row.insert("stock".to_owned(), self.stock(id)?);
        }
        let categories = self.categories(text(row, "categoryId"))?;
        row.insert("categories".to_owned(), Value::Array(categories));
        Ok(())
    }

    /// The price in the terminal's list; without a list, the only one that there is.
    fn price(&self, id: &str) -> Result<Value, Problem> {
        let mut prices = self.reader.by_field("ProductPrice", "productId", id, BROUGHT_MAX)?;
        let price = match &self.scope.place.price_list_id {
            Some(list) => {
                prices.into_iter().find(|price| text(price, "priceListId").as_ref() == Some(list))
            }
            None if prices.len() == 1 => prices.pop(),
            None => None,
        };
        Ok(price.map_or(Value::Null, Value::Object))
    }

    /// The stock in the warehouses of the terminal, as head office knew it and the shop has changed it since.
    fn stock(&self, id: &str) -> Result<Value, Problem> {
        let central = self.reader.by_field("StockValuation", "productId", id, BROUGHT_MAX)?;
        let mut levels: BTreeMap<String, Level> = BTreeMap::new();
        for record in &central {
            let warehouse = text(record, "warehouseId").unwrap_or_default();
            levels.entry(warehouse).or_default().add(&Level::of_record(record));
        }
        self.reader.stock.apply(id, &mut levels)?;
        let wanted = &self.scope.place.warehouse_ids;
        levels.retain(|warehouse, _| wanted.is_empty() || wanted.contains(warehouse));
        if self.query.options.stock_by_warehouse {
            let lines = levels.iter().map(|(warehouse, level)| {
                json!({"warehouseId": warehouse, "quantity": level.to_string()})
            });
            return Ok(Value::Array(lines.collect()));
        }
        if levels.is_empty() {
            return Ok(Value::Null);
        }
        let mut sum = Level::default();
        levels.values().for_each(|level| sum.add(level));
        Ok(json!({"quantity": sum.to_string()}))
    }

    /// A category and those above it, the nearest first.
    fn categories(&self, first: Option<String>) -> Result<Vec<Value>, Problem> {
        let (mut found, mut seen, mut next) = (Vec::new(), BTreeSet::new(), first);
        while let Some(id) = next.take() {
            if found.len() >= ORGANISATION_DEPTH_MAX || !seen.insert(id.clone()) {
                break;
            }
            if let Some(mut record) = self.reader.central("ProductCategory", &id)? {
                record.retain(|name, _| ["id", "searchKey", "name"].contains(&name.as_str()));
                found.push(Value::Object(record));
            }
            let nodes = self.reader.by_field("ProductCategoryTree", "categoryId", &id, 1)?;
            next = nodes.first().and_then(|node| text(node, "parentId"));
        }
        Ok(found)
    }

    /// The categories of all products of an assortment, and those above.
    pub(super) fn categories_of(&self, assortment: &str) -> Result<BTreeSet<String>, Problem> {
        let mut known = BTreeSet::new();
        for id in self.reader.products_of(assortment, ASSORTMENT_MAX)? {
            let product = self.reader.central("Product", &id)?;
            let category = product.as_ref().and_then(|product| text(product, "categoryId"));
            if category.as_ref().is_some_and(|category| known.contains(category)) {
                continue;
            }
            let path = self.categories(category)?;
            known
                .extend(path.iter().filter_map(|node| node.get("id")?.as_str().map(str::to_owned)));
        }
        Ok(known)
    }

    /// The addresses of a customer: what the shop created or changed stands for what head office has.
    fn customer(&self, id: &str, row: &mut Row) -> Result<(), Problem> {
        let names: Vec<String> =
            [Some(id.to_owned()), text(row, "edgeId")].into_iter().flatten().collect();
        let mut addresses: BTreeMap<String, Row> = BTreeMap::new();
        for name in &names {
            let central =
                self.reader.by_field("BPLocation", "businessPartnerId", name, BROUGHT_MAX)?;
            let named = central.into_iter().filter_map(|row| Some((text(&row, "id")?, row)));
            addresses.extend(named);
        }
        for name in &names {
            let probe = Probe::Exact(name.clone());
            let ids = self.reader.addresses.ids("businessPartnerId", &probe, BROUGHT_MAX + 1);
            let found = self.locals("ChangedBPlocation", ids, row);
            // An entry may be out of date.
            let own = found
                .into_iter()
                .filter(|row| text(row, "businessPartnerId").as_ref() == Some(name));
            for address in own {
                let Some(id) = text(&address, "id") else { continue };
                addresses.entry(id).or_default().extend(address);
            }
        }
        let addresses = addresses.into_values().map(Value::Object).collect();
        row.insert("addresses".to_owned(), Value::Array(addresses));
        Ok(())
    }

    /// What happened to a ticket in transactions of its own, behind what it brought itself.
    fn ticket(&self, id: &str, row: &mut Row) {
        for (name, kind) in HAPPENED {
            let mut list = match row.remove(name) {
                Some(Value::Array(list)) => list,
                Some(_) | None => Vec::new(),
            };
            let ids = self.reader.ids_under(kind, &format!("{id}/"), BROUGHT_MAX + 1);
            list.extend(self.locals(kind, ids, row).into_iter().map(Value::Object));
            row.insert(name.to_owned(), Value::Array(list));
        }
    }

    /// Documents of the shop as far as one row may bring them; where that are not all, the row says so.
    fn locals(&self, kind: &str, ids: Vec<String>, row: &mut Row) -> Vec<Row> {
        let (mut found, mut bytes) = (Vec::new(), 0);
        for id in ids {
            if found.len() >= BROUGHT_MAX || bytes > BROUGHT_BYTES_MAX {
                row.insert("incomplete".to_owned(), Value::Bool(true));
                break;
            }
            if let Some(document) = self.reader.local(kind, &id) {
                let local = self::row(document);
                bytes += size(&local);
                found.push(local);
            }
        }
        found
    }

    /// The organisations above one, the nearest first.
    fn above(&self, id: &str) -> Vec<String> {
        let look = |model: &str, field: &str, value: &str| {
            self.reader.masterdata.look(model, field, value)
        };
        let above = ancestors(Some(id), &look);
        above.iter().skip(1).filter_map(|record| text(record, "id")).collect()
    }
}

fn text(row: &Row, name: &str) -> Option<String> {
    row.get(name).and_then(Value::as_str).map(str::to_owned)
}
