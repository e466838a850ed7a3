//! Which index answers a question.
//!
//! A plan names keys of indexes such that every fitting row is behind one of them; the criteria are then held against
//! each candidate, so a plan can only cost time, never change an answer.
//! Where that cannot be promised (a number that has many spellings, a letter whose small form is two), there is none.

use serde_json::Value;
use storebox_proto::feed::{IndexDef, IndexKind};
use storebox_proto::query::{Criteria, Operator, compare};

use crate::db::Probe;

/// The small form of İ holds it, alone it is no letter: the index and the criteria would disagree.
const DOT_ABOVE: char = '\u{307}';

/// Where to look for one part of the candidates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Spot {
    /// The record of this id.
    Id(String),
    /// Behind a key of an index.
    Index { field: String, probe: Probe },
}

/// How candidates are found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Plan {
    /// At these spots.
    Spots(Vec<Spot>),
    /// By looking at every row.
    Scan,
}

impl Plan {
    /// The cheapest plan for these criteria.
    pub(super) fn of(criteria: &Criteria, indexes: &[IndexDef]) -> Self {
        spots(criteria, indexes).map_or(Self::Scan, |(_, spots)| Self::Spots(spots))
    }

    /// What an answer says about it.
    pub(super) fn words(&self) -> Vec<String> {
        let Self::Spots(spots) = self else { return vec!["scan".to_owned()] };
        let mut words: Vec<String> = spots.iter().map(Spot::words).collect();
        words.dedup();
        words
    }
}

impl Spot {
    fn words(&self) -> String {
        match self {
            Self::Id(_) => "id".to_owned(),
            Self::Index { field, probe: Probe::Exact(_) } => format!("index {field}"),
            Self::Index { field, probe: Probe::Prefix(_) } => format!("index {field}, prefix"),
        }
    }
}

/// How much a kind of spot lets through; the smaller the better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Cost {
    Id,
    Exact,
    Text,
    Prefix,
}

fn spots(criteria: &Criteria, indexes: &[IndexDef]) -> Option<(Cost, Vec<Spot>)> {
    match criteria {
        Criteria::And(list) => {
            let found = list.iter().filter_map(|criteria| spots(criteria, indexes));
            found.min_by_key(|(cost, spots)| (*cost, spots.len()))
        }
        Criteria::Or(list) => {
            let mut all = (Cost::Id, Vec::new());
            for criteria in list {
                let (cost, spots) = spots(criteria, indexes)?;
                all.0 = all.0.max(cost);
                all.1.extend(spots);
            }
            Some(all)
        }
        Criteria::Not(_) => None,
        Criteria::Field { name, operator, values } => of_field(name, *operator, values, indexes),
    }
}

fn of_field(
    name: &str,
    operator: Operator,
    values: &[Value],
    indexes: &[IndexDef],
) -> Option<(Cost, Vec<Spot>)> {
    // A JSON number is equal to every spelling of it, and an index knows spellings.
    let texts: Option<Vec<String>> = values
        .iter()
        .map(|value| if value.is_number() { None } else { compare::text(value) })
        .collect();
    let texts = texts?;
    let is_equality = matches!(operator, Operator::Equals | Operator::InSet);
    if name == "id" && is_equality {
        return Some((Cost::Id, texts.into_iter().map(Spot::Id).collect()));
    }
    let kind = indexes.iter().find(|index| index.field == name)?.kind;
    let cost = match (kind, operator) {
        (IndexKind::Exact, Operator::Equals | Operator::InSet) => Cost::Exact,
        (IndexKind::Text, Operator::Equals | Operator::InSet | Operator::IEquals) => Cost::Text,
        (IndexKind::Exact, Operator::StartsWith) => Cost::Prefix,
        (IndexKind::Text, Operator::StartsWith | Operator::IStartsWith) => Cost::Prefix,
        (_, _) => return None,
    };
    let fits = |text: &String| match kind {
        IndexKind::Exact => cost != Cost::Prefix || !text.is_empty(),
        IndexKind::Text => {
            let small = text.chars().flat_map(char::to_lowercase);
            text.chars().any(char::is_alphanumeric) && !small.into_iter().any(|c| c == DOT_ABOVE)
        }
    };
    if !texts.iter().all(fits) {
        return None;
    }
    let spot = |text: String| Spot::Index {
        field: name.to_owned(),
        probe: if cost == Cost::Prefix { Probe::Prefix(text) } else { Probe::Exact(text) },
    };
    Some((cost, texts.into_iter().map(spot).collect()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn plan(criteria: Value) -> Vec<String> {
        let index = |field: &str, kind| IndexDef { field: field.to_owned(), kind };
        let indexes = [index("barcode", IndexKind::Exact), index("name", IndexKind::Text)];
        Plan::of(&Criteria::parse(&criteria, "criteria").unwrap(), &indexes).words()
    }

    fn field(name: &str, operator: &str, value: Value) -> Value {
        json!({"fieldName": name, "operator": operator, "value": value})
    }

    #[test]
    fn the_narrowest_index_is_taken() {
        let name = field("name", "iStartsWith", json!("choc"));
        let barcode = field("barcode", "equals", json!("200"));
        assert_eq!(plan(json!([name])), ["index name, prefix"]);
        assert_eq!(plan(json!([name, barcode])), ["index barcode"]);
        assert_eq!(plan(json!([field("id", "inSet", json!(["1", "2"])), barcode])), ["id"]);
        assert_eq!(
            plan(json!([{"operator": "or", "criteria": [name, barcode]}])),
            ["index name, prefix", "index barcode"]
        );
    }

    #[test]
    fn what_no_index_promises_is_a_scan() {
        let barcode = field("barcode", "equals", json!("200"));
        let colour = field("colour", "equals", json!("red"));
        assert_eq!(plan(json!([])), ["scan"]);
        assert_eq!(plan(json!([field("barcode", "equals", json!(200))])), ["scan"]);
        assert_eq!(plan(json!([field("name", "iContains", json!("choc"))])), ["scan"]);
        assert_eq!(plan(json!([field("name", "iEquals", json!("--"))])), ["scan"]);
        assert_eq!(plan(json!([field("name", "iStartsWith", json!("İ"))])), ["scan"]);
        assert_eq!(plan(json!([{"operator": "or", "criteria": [barcode, colour]}])), ["scan"]);
        assert_eq!(plan(json!([{"operator": "not", "criteria": [barcode]}])), ["scan"]);
    }
}
