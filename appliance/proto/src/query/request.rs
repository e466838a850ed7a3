//! The request of the query service, verbatim: `{entity, startRow, endRow, criteria: [{fieldName, operator, value}]}`.
//!
//! `startRow` counts from 0; `endRow` is the row behind the last one, and -1 stands for all.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{Criteria, Entity, QueryFault};
use crate::ids::TerminalId;
use crate::limits;

/// What an entity brings besides its own fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Options {
    /// A product with its price.
    pub price: bool,
    /// A product with its stock.
    pub stock: bool,
    /// The stock of each warehouse instead of the sum.
    pub stock_by_warehouse: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { price: true, stock: true, stock_by_warehouse: false }
    }
}

/// A query within its bounds.
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    /// What is asked for.
    pub entity: Entity,
    /// The first row.
    pub start_row: u64,
    /// The row behind the last one; nothing for all.
    pub end_row: Option<u64>,
    /// What a row must fulfil.
    pub criteria: Criteria,
    /// What it brings.
    pub options: Options,
    /// Who asks, if the request says so; must be who the token belongs to.
    pub terminal: Option<TerminalId>,
}

impl Query {
    /// Reads a request.
    pub fn parse(request: &Value) -> Result<Self, QueryFault> {
        let fields = request
            .as_object()
            .ok_or_else(|| QueryFault::new("request", "must be a JSON object"))?;
        let known = ["entity", "startRow", "endRow", "criteria", "options", "terminal"];
        if let Some(unknown) = fields.keys().find(|field| !known.contains(&field.as_str())) {
            let path: String = unknown.chars().take(64).collect();
            return Err(QueryFault::new(
                path,
                format!("is unknown; there are {}", known.join(", ")),
            ));
        }
        let entity = match fields.get("entity") {
            Some(Value::String(name)) => name
                .parse::<Entity>()
                .map_err(|error| QueryFault::new("entity", error.to_string()))?,
            Some(_) => return Err(QueryFault::new("entity", "must be a text")),
            None => return Err(QueryFault::new("entity", "is missing")),
        };
        let (start_row, end_row) = rows(fields)?;
        let criteria = match fields.get("criteria") {
            Some(list) => Criteria::parse(list, "criteria")?,
            None => Criteria::all(),
        };
        let options = match fields.get("options") {
            Some(options) => Options::deserialize(options)
                .map_err(|error| QueryFault::new("options", error.to_string()))?,
            None => Options::default(),
        };
        let terminal = match fields.get("terminal") {
            Some(name) => Some(
                TerminalId::deserialize(name)
                    .map_err(|error| QueryFault::new("terminal", error.to_string()))?,
            ),
            None => None,
        };
        Ok(Self { entity, start_row, end_row, criteria, options, terminal })
    }

    /// The request that reads as this query.
    pub fn to_json(&self) -> Value {
        let mut request = json!({
            "entity": self.entity,
            "startRow": self.start_row,
            "endRow": self.end_row.map_or(json!(-1), |row| json!(row)),
            "criteria": self.criteria.to_json(),
            "options": self.options,
        });
        if let (Some(terminal), Some(fields)) = (&self.terminal, request.as_object_mut()) {
            fields.insert("terminal".to_owned(), json!(terminal));
        }
        request
    }
}

fn rows(fields: &Map<String, Value>) -> Result<(u64, Option<u64>), QueryFault> {
    let number = |name: &str| match fields.get(name) {
        None => Ok(None),
        Some(value) => match value.as_i64() {
            Some(number) => Ok(Some(number)),
            None => Err(QueryFault::new(name, "must be a whole number")),
        },
    };
    let max = limits::QUERY_START_MAX;
    let start = number("startRow")?.unwrap_or(0);
    let start = u64::try_from(start).ok().filter(|start| *start <= max);
    let start = start.ok_or_else(|| QueryFault::new("startRow", format!("must be 0 to {max}")))?;
    match number("endRow")?.unwrap_or(-1) {
        -1 => Ok((start, None)),
        end => match u64::try_from(end) {
            Ok(end) if end >= start => Ok((start, Some(end))),
            Ok(_) | Err(_) => {
                Err(QueryFault::new("endRow", "must be -1 for all, or not before startRow"))
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_request_of_the_wire_is_read_to_the_letter() {
        let request = json!({"entity": "Product", "startRow": 0, "endRow": 50, "criteria": [
            {"fieldName": "name", "operator": "iContains", "value": "choc"},
            {"fieldName": "price.listPrice", "operator": "lessOrEqual", "value": 3.5}]});
        let query = Query::parse(&request).unwrap();
        assert_eq!((query.entity, query.start_row, query.end_row), (Entity::Product, 0, Some(50)));
        assert_eq!(Query::parse(&query.to_json()).unwrap(), query);
        let all = Query::parse(&json!({"entity": "Ticket", "endRow": -1})).unwrap();
        assert_eq!((all.start_row, all.end_row), (0, None));
    }

    #[test]
    fn a_wrong_request_names_its_field() {
        for (request, path) in [
            (json!([]), "request"),
            (json!({}), "entity"),
            (json!({"entity": "Produkt"}), "entity"),
            (json!({"entity": "Product", "startrow": 1}), "startrow"),
            (json!({"entity": "Product", "startRow": -1}), "startRow"),
            (json!({"entity": "Product", "startRow": 1.5}), "startRow"),
            (json!({"entity": "Product", "startRow": 5, "endRow": 4}), "endRow"),
            (json!({"entity": "Product", "endRow": -2}), "endRow"),
            (json!({"entity": "Product", "options": {"stok": true}}), "options"),
            (json!({"entity": "Product", "terminal": "Till 1"}), "terminal"),
            (json!({"entity": "Product", "criteria": {}}), "criteria"),
        ] {
            assert_eq!(Query::parse(&request).unwrap_err().path, path, "{request}");
        }
    }
}
