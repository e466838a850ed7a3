//! Stock: a level that was counted or a change that happened, many in one call.

use serde_json::Value;
use storebox_proto::problem::Problem;

use super::draft::{Draft, lane};
use super::input::Input;
use super::stock::INVENTORY_CHANGE;
use super::writer::Making;

/// Lines of one call.
const LINES_MAX: usize = 1000;

/// Stock is set or changed.
pub(super) fn inventory(making: &Making<'_>, mut input: Input) -> Result<Draft, Problem> {
    let id = input.take_id("id")?.unwrap_or_else(|| making.key.to_string());
    let lines = input.take_list("lines")?;
    if !(1..=LINES_MAX).contains(&lines.len()) {
        return input.refuse("lines", &format!("must be 1 to {LINES_MAX}"));
    }
    let line = |line| checked(making, line);
    let lines = lines.into_iter().map(line).collect::<Result<Vec<Value>, Problem>>()?;
    let mut payload = input.fields;
    payload.insert("id".to_owned(), Value::String(id));
    payload.insert("lines".to_owned(), Value::Array(lines));
    Ok(Draft {
        kind: INVENTORY_CHANGE,
        // Levels and changes of one store must not overtake each other.
        lane: lane("stock", making.place.organization_id.as_deref().unwrap_or("all")),
        depends_on: Vec::new(),
        session: None,
        payload,
    })
}

fn checked(making: &Making<'_>, mut line: Input) -> Result<Value, Problem> {
    making.product(&mut line)?;
    if line.fields.get("productId").and_then(Value::as_str).is_none() {
        return line.refuse("productId", "or product is needed");
    }
    making.resolve_one(&mut line, "warehouse", "warehouseId", "Warehouse", &["searchKey"])?;
    match line.take_id("warehouseId")? {
        Some(warehouse) => line.fields.insert("warehouseId".to_owned(), Value::String(warehouse)),
        None => {
            let mut own = making.place.warehouse_ids.iter();
            match (own.next(), own.next()) {
                (Some(only), None) => {
                    line.fields.insert("warehouseId".to_owned(), Value::String(only.clone()))
                }
                (_, _) => return line.refuse("warehouseId", "or warehouse is needed"),
            }
        }
    };
    match (line.quantity("level")?, line.quantity("change")?) {
        (Some(_), None) | (None, Some(_)) => Ok(Value::Object(line.fields)),
        (None, None) => line.refuse("level", "or change is needed"),
        (Some(_), Some(_)) => line.refuse("change", "cannot stand beside level"),
    }
}

impl Making<'_> {
    /// Replaces the code of a product by its id.
    pub(super) fn product(&self, line: &mut Input) -> Result<(), Problem> {
        self.resolve_one(line, "product", "productId", "Product", &["barcode", "searchKey"])?;
        if let Some(id) = line.take_id("productId")? {
            line.fields.insert("productId".to_owned(), Value::String(id));
        }
        Ok(())
    }
}
