//! As many real-shaped products as wanted: the real ones again and again under other ids and barcodes.

use bytes::Bytes;
use serde_json::{Map, Value};
use storebox_proto::feed::{IndexDef, IndexKind, ModelDef, Record, Scope};

use crate::demo::dataset::{self, Dataset};

/// Copies are numbered from here, so that their ids sort as their numbers do.
const FIRST_COPY: usize = 100;

/// The real products, sorted by id.
pub(super) struct Catalogue {
    products: Vec<Product>,
}

struct Product {
    id: String,
    barcode: String,
    body: String,
}

impl Catalogue {
    /// Reads the products of the data set.
    pub(super) fn load(data: &Dataset) -> Result<Self, dataset::Error> {
        let rows = data.records("Product")?;
        let mut products: Vec<Product> = rows.into_iter().map(Product::from).collect();
        products.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        Ok(Self { products })
    }

    /// So many records, ascending by id.
    pub(super) fn records(&self, count: usize) -> impl Iterator<Item = Record> + '_ {
        let copies = (FIRST_COPY..).flat_map(|copy| self.products.iter().map(move |p| (copy, p)));
        copies.take(count).map(|(copy, product)| product.copy(copy))
    }
}

/// The model with the three indexes that tills use most.
pub(super) fn model() -> ModelDef {
    let index = |field: &str, kind| IndexDef { field: field.to_owned(), kind };
    ModelDef {
        name: "Product".parse().expect("a literal that keeps the rule"),
        feed: "catalogue".parse().expect("a literal that keeps the rule"),
        scope: Scope::Central,
        indexes: vec![
            index("barcode", IndexKind::Exact),
            index("categoryId", IndexKind::Exact),
            index("name", IndexKind::Text),
        ],
    }
}

/// A text field of a record.
pub(super) fn field(record: &Record, name: &str) -> String {
    let value: Value = serde_json::from_slice(&record.body).unwrap_or_default();
    value[name].as_str().unwrap_or_default().to_owned()
}

impl From<Map<String, Value>> for Product {
    fn from(row: Map<String, Value>) -> Self {
        let field =
            |name: &str| row.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        Self { id: field("id"), barcode: field("barcode"), body: Value::Object(row).to_string() }
    }
}

impl Product {
    fn copy(&self, copy: usize) -> Record {
        let Self { id, barcode, body } = self;
        let new_id = format!("{copy}{id}");
        let body = body.replacen(&format!("\"id\":\"{id}\""), &format!("\"id\":\"{new_id}\""), 1);
        let body = body.replacen(barcode.as_str(), &format!("{copy}{barcode}"), 1);
        Record { id: new_id.parse().expect("digits are an id"), body: Bytes::from(body) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_ascend_and_differ() {
        let data = Dataset::find(None).unwrap();
        let catalogue = Catalogue::load(&data).unwrap();
        let records: Vec<Record> = catalogue.records(20_000).collect();
        assert_eq!(records.len(), 20_000);
        assert!(records.windows(2).all(|pair| pair[0].id < pair[1].id));
        let barcode = field(&records[0], "barcode");
        assert!(barcode.len() == 16 && records[1..].iter().all(|r| field(r, "barcode") != barcode));
    }
}
