//! Stock as it is now: what head office counted, and what the shop has changed since.
//!
//! Quantities are millionths in an integer: they are added, and must not lose anything.
//! What the shop changed before head office's count is in that count already.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::{Mutex, PoisonError};

use serde_json::{Map, Value};
use storebox_proto::ids::TxKind;
use storebox_proto::problem::Problem;
use storebox_proto::time::Timestamp;

use crate::uplink::{Document, LocalDocuments};

/// The kind of transaction that changes stock.
pub(super) const INVENTORY_CHANGE: &str = "InventoryChange";
/// Decimal places that are kept.
const PLACES: usize = 6;
const UNIT: i128 = 1_000_000;
/// Digits before the point.
const DIGITS_MAX: usize = 18;
/// Changes of one product in one warehouse that are told apart; older ones are added up.
const CHANGES_MAX: usize = 256;
/// Products and warehouses whose changes are remembered.
const PLACES_MAX: usize = 50_000;
/// Names of documents that are read at once.
const PAGE: usize = 1000;

/// A quantity of something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Quantity(i128);

impl Quantity {
    /// Reads a number or a text; nothing if it is neither or has more than six places.
    pub fn parse(value: &Value) -> Option<Self> {
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => return None,
        };
        let (negative, digits) = match text.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, text.as_str()),
        };
        let (whole, part) = digits.split_once('.').unwrap_or((digits, "0"));
        let fits = |text: &str, max: usize| {
            (1..=max).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
        };
        if !fits(whole, DIGITS_MAX) || !fits(part, PLACES) {
            return None;
        }
        let amount: i128 = format!("{whole}{part:0<PLACES$}").parse().ok()?;
        Some(Self(if negative { -amount } else { amount }))
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (size, sign) = (self.0.abs(), if self.0 < 0 { "-" } else { "" });
        let text = format!("{sign}{}.{:06}", size / UNIT, size % UNIT);
        f.write_str(text.trim_end_matches('0').trim_end_matches('.'))
    }
}

/// The stock of something in a warehouse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Level {
    quantity: Quantity,
    /// When head office counted.
    counted: Option<Timestamp>,
}

impl Level {
    /// What a record of head office says.
    pub fn of_record(record: &Map<String, Value>) -> Self {
        let quantity = record.get("quantity").or_else(|| record.get("stock"));
        let counted = record.get("updated").and_then(Value::as_str);
        Self {
            quantity: quantity.and_then(Quantity::parse).unwrap_or_default(),
            counted: counted.and_then(|text| text.parse().ok()),
        }
    }

    /// Adds another level: another bin, or another warehouse.
    pub fn add(&mut self, other: &Self) {
        self.quantity.0 += other.quantity.0;
        self.counted = self.counted.max(other.counted);
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.quantity.fmt(f)
    }
}

#[derive(Debug, Clone, Copy)]
enum Change {
    To(Quantity),
    By(Quantity),
}

type Changes = BTreeMap<(String, String), VecDeque<(Timestamp, Change)>>;

/// What the shop has changed, whoever handed it in: follows the log of the shop whenever it is asked.
pub struct StockBook {
    documents: LocalDocuments,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// How many documents had come when the log was followed last; nothing before the first time.
    count: Option<u64>,
    /// Up to where the log was followed.
    position: u64,
    changes: Changes,
}

impl StockBook {
    pub(in crate::channel) fn new(documents: LocalDocuments) -> Self {
        Self { documents, state: Mutex::default() }
    }

    /// Changes what head office counted by what the shop has changed since, warehouse by warehouse; reads the disk.
    pub(in crate::channel) fn apply(
        &self,
        product: &str,
        levels: &mut BTreeMap<String, Level>,
    ) -> Result<(), Problem> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        self.follow(&mut state);
        let from = (product.to_owned(), String::new());
        let own = state.changes.range(from..).take_while(|((of, _), _)| of == product);
        for ((_, warehouse), list) in own {
            let level = levels.entry(warehouse.clone()).or_default();
            let since = list.iter().filter(|(at, _)| level.counted.is_none_or(|then| *at > then));
            for (_, change) in since.copied().collect::<Vec<_>>() {
                match change {
                    Change::To(quantity) => level.quantity = quantity,
                    Change::By(quantity) => level.quantity.0 += quantity.0,
                }
            }
        }
        Ok(())
    }

    /// Reads what came since it was asked last, each change once, in the order in which they were accepted.
    fn follow(&self, state: &mut State) {
        let (count, _) = self.documents.changed_since(u64::MAX);
        if state.count == Some(count) {
            return;
        }
        let kind: TxKind =
            INVENTORY_CHANGE.parse().expect("a literal that keeps the rule for kinds");
        loop {
            let page = self.documents.since(state.position, PAGE);
            let Some((last, ..)) = page.last() else { break };
            state.position = *last;
            for (_, _, id) in page.iter().filter(|(_, of, _)| *of == kind) {
                if let Some(Document { payload, at, .. }) = self.documents.load(&kind, id) {
                    note(&mut state.changes, &payload, at);
                }
            }
        }
        state.count = Some(count);
    }
}

fn note(changes: &mut Changes, payload: &Map<String, Value>, at: Timestamp) {
    let lines = payload.get("lines").and_then(Value::as_array);
    for line in lines.into_iter().flatten() {
        let text = |name: &str| line.get(name).and_then(Value::as_str).map(str::to_owned);
        let quantity = |name: &str| line.get(name).and_then(Quantity::parse);
        let change = match (quantity("level"), quantity("change")) {
            (Some(level), _) => Change::To(level),
            (None, Some(change)) => Change::By(change),
            (None, None) => continue,
        };
        let Some(product) = text("productId") else { continue };
        let key = (product, text("warehouseId").unwrap_or_default());
        if changes.len() >= PLACES_MAX && !changes.contains_key(&key) {
            tracing::warn!(max = PLACES_MAX, "changed stock of too many products; one is not seen");
            continue;
        }
        let list = changes.entry(key).or_default();
        if let Change::To(_) = change {
            list.clear();
        }
        list.push_back((at, change));
        if list.len() > CHANGES_MAX {
            add_up(list);
        }
    }
}

/// Makes one change of the two oldest.
fn add_up(list: &mut VecDeque<(Timestamp, Change)>) {
    let (Some((_, first)), Some((at, second))) = (list.pop_front(), list.pop_front()) else {
        return;
    };
    let sum = match (first, second) {
        (_, Change::To(quantity)) => Change::To(quantity),
        (Change::To(level), Change::By(quantity)) => Change::To(Quantity(level.0 + quantity.0)),
        (Change::By(one), Change::By(other)) => Change::By(Quantity(one.0 + other.0)),
    };
    list.push_front((at, sum));
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn quantities_are_exact() {
        for text in ["0", "12", "-3.5", "0.000001", "999999999999999999.999999"] {
            assert_eq!(Quantity::parse(&json!(text)).unwrap().to_string(), text);
        }
        assert_eq!(Quantity::parse(&json!(1.5)).unwrap().to_string(), "1.5");
        assert_eq!(Quantity::parse(&json!("-0.0")).unwrap().to_string(), "0");
        for bad in ["", "1.", ".5", "1e3", "0.0000001", "1,5", "--1", "+1"] {
            assert_eq!(Quantity::parse(&json!(bad)), None, "{bad}");
        }
    }

    #[test]
    fn many_changes_are_added_up_and_stay_right() {
        let mut changes = Changes::new();
        let line = json!({"lines": [{"productId": "1", "warehouseId": "W", "change": "1"}]});
        for at in 0..1000 {
            note(&mut changes, line.as_object().unwrap(), Timestamp::from_unix_ms(at));
        }
        let list = &changes[&("1".to_owned(), "W".to_owned())];
        assert_eq!(list.len(), CHANGES_MAX);
        let sum: i128 = list
            .iter()
            .map(|(_, change)| match change {
                Change::By(quantity) | Change::To(quantity) => quantity.0,
            })
            .sum();
        assert_eq!(sum, 1000 * UNIT);
    }
}
