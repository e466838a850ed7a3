//! The real shop's data: what head office imports and what the tills sell.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Map, Value};

/// Where the sample is, from the root of the repository.
const SAMPLE: &str = "tests/data/complete-journey";
/// The models that head office imports, each in its file.
pub const MODELS: [&str; 13] = [
    "BPCategory",
    "Brand",
    "BusinessPartner",
    "Discount",
    "DiscountFilterBusinessPartner",
    "DiscountFilterProduct",
    "PriceList",
    "Product",
    "ProductCategory",
    "ProductCategoryTree",
    "ProductPrice",
    "TaxCategory",
    "TaxRate",
];

/// Why the data cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No directory has it.
    #[error("no sample data at {0:?}; name a directory with --data")]
    Missing(PathBuf),
    /// A file cannot be read or written.
    #[error("read or write {path:?}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file is not zstd.
    #[error("decompress {path:?}: {reason}")]
    Packed {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A line is not what it should be.
    #[error("{path:?} line {line}")]
    Line {
        /// The file.
        path: PathBuf,
        /// Its line, from 1.
        line: usize,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
}

/// A sale as the shop made it.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ticket {
    pub document_no: String,
    pub business_partner_id: String,
    pub order_date: String,
    pub lines: Vec<Map<String, Value>>,
    pub gross: String,
}

impl Ticket {
    /// The content of its transaction.
    pub fn content(&self) -> Map<String, Value> {
        let text = |text: &str| Value::String(text.to_owned());
        let lines = self.lines.iter().cloned().map(Value::Object).collect();
        let fields = [
            ("documentNo", text(&self.document_no)),
            ("businessPartnerId", text(&self.business_partner_id)),
            ("orderDate", text(&self.order_date)),
            ("lines", Value::Array(lines)),
            ("gross", text(&self.gross)),
        ];
        fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

/// A directory with the data.
pub struct Dataset {
    folder: PathBuf,
}

impl Dataset {
    /// The directory that was named, or the sample of the repository.
    pub fn find(named: Option<&Path>) -> Result<Self, Error> {
        let built_in = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
        let candidates = match named {
            Some(folder) => vec![folder.to_path_buf()],
            None => vec![PathBuf::from(SAMPLE), Path::new(built_in).join(SAMPLE)],
        };
        let last = candidates.last().cloned().unwrap_or_default();
        let found =
            candidates.into_iter().find(|folder| folder.join("tickets.ndjson.zst").exists());
        found.map(|folder| Self { folder }).ok_or(Error::Missing(last))
    }

    /// Writes the records of all models into `target`, which head office then imports as a whole; tells
    /// how many there are.
    ///
    /// The whole data set repeats some coupons; head office refuses an id that comes twice.
    pub fn lay_out_catalogue(&self, target: &Path) -> Result<usize, Error> {
        create(target)?;
        let mut count = 0;
        for model in MODELS {
            let mut ids = BTreeSet::new();
            let mut records = self.records(model)?;
            records.retain(|record| ids.insert(record.get("id").map(Value::to_string)));
            write_records(&target.join(format!("{model}.ndjson")), &records)?;
            count += records.len();
        }
        Ok(count)
    }

    /// Writes the changes of the first weeks into `target/week-NN`, and says what is where.
    pub fn lay_out_weeks(&self, target: &Path, weeks: usize) -> Result<Vec<Week>, Error> {
        let mut by_week: BTreeMap<u64, Vec<Map<String, Value>>> = BTreeMap::new();
        for change in self.records("changes")? {
            let week = change.get("week").and_then(Value::as_u64).unwrap_or(0);
            by_week.entry(week).or_default().push(change);
        }
        let chosen = by_week.into_iter().take(weeks);
        chosen.map(|(week, changes)| write_week(target, week, &changes)).collect()
    }

    /// The first tickets, in order of time.
    pub fn tickets(&self, count: usize) -> Result<Vec<Ticket>, Error> {
        self.read("tickets", count)
    }

    /// The barcode of each of these products.
    pub fn barcodes(&self, of: &[Ticket]) -> Result<BTreeMap<String, String>, Error> {
        #[derive(Deserialize)]
        struct Product {
            id: String,
            barcode: String,
        }
        let lines = of.iter().flat_map(|ticket| &ticket.lines);
        let sold: BTreeSet<&str> =
            lines.filter_map(|line| line.get("productId")?.as_str()).collect();
        let products = self.read::<Product>("Product", usize::MAX)?;
        let products = products.into_iter().filter(|product| sold.contains(product.id.as_str()));
        Ok(products.map(|product| (product.id, product.barcode)).collect())
    }

    /// All records of a model.
    pub fn records(&self, model: &str) -> Result<Vec<Map<String, Value>>, Error> {
        self.read(model, usize::MAX)
    }

    fn read<T: for<'a> Deserialize<'a>>(&self, name: &str, count: usize) -> Result<Vec<T>, Error> {
        let path = self.folder.join(format!("{name}.ndjson.zst"));
        let file =
            File::open(&path).map_err(|source| Error::File { path: path.clone(), source })?;
        let unpacked = ruzstd::decoding::StreamingDecoder::new(BufReader::new(file))
            .map_err(|error| Error::Packed { path: path.clone(), reason: error.to_string() })?;
        let mut records = Vec::new();
        for (index, line) in BufReader::new(unpacked).lines().take(count).enumerate() {
            let line = line.map_err(|source| Error::File { path: path.clone(), source })?;
            let record = serde_json::from_str(&line).map_err(|source| Error::Line {
                path: path.clone(),
                line: index + 1,
                source,
            })?;
            records.push(record);
        }
        Ok(records)
    }
}

/// A directory with the changes of one week.
pub struct Week {
    pub folder: PathBuf,
    pub records: usize,
}

fn write_week(target: &Path, week: u64, changes: &[Map<String, Value>]) -> Result<Week, Error> {
    let folder = target.join(format!("week-{week:02}"));
    create(&folder)?;
    write_records(&folder.join("changes.ndjson"), changes)?;
    Ok(Week { folder, records: changes.len() })
}

fn write_records(path: &Path, records: &[Map<String, Value>]) -> Result<(), Error> {
    let write = || {
        let mut file = BufWriter::new(File::create(path)?);
        for record in records {
            serde_json::to_writer(&mut file, record)?;
            file.write_all(b"\n")?;
        }
        file.flush()
    };
    write().map_err(|source| Error::File { path: path.to_owned(), source })
}

fn create(folder: &Path) -> Result<(), Error> {
    fs::create_dir_all(folder).map_err(|source| Error::File { path: folder.to_path_buf(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_has_all_that_its_tickets_need() {
        let data = Dataset::find(None).unwrap();
        let tickets = data.tickets(usize::MAX).unwrap();
        assert!(tickets.len() >= 1000);
        let barcodes = data.barcodes(&tickets).unwrap();
        for ticket in &tickets {
            for line in &ticket.lines {
                assert!(barcodes.contains_key(line["productId"].as_str().unwrap()));
            }
        }
    }

    #[test]
    fn weeks_are_laid_out_one_directory_each() {
        let target = tempfile::tempdir().unwrap();
        let data = Dataset::find(None).unwrap();
        let weeks = data.lay_out_weeks(target.path(), 2).unwrap();
        assert_eq!(weeks.len(), 2);
        let text = fs::read_to_string(weeks[0].folder.join("changes.ndjson")).unwrap();
        assert_eq!(text.lines().count(), weeks[0].records);
    }

    #[test]
    fn a_directory_without_data_is_named() {
        let empty = tempfile::tempdir().unwrap();
        let error = Dataset::find(Some(empty.path())).err().unwrap();
        assert!(error.to_string().contains("--data"));
    }
}
