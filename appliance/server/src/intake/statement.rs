//! The statements of one table, from its configuration and from what the database says about its columns.
//!
//! Amounts stay exact: what is not an integer is read as text, never as a float.

use tokio_postgres::types::Type;

use crate::config::IntakeTable;
use crate::database::quoted;

/// Arguments of one call that the database takes, as pairs.
const PAIRS_MAX: usize = 40;

/// A column as the database describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) kind: Type,
}

/// Why a table cannot be read as configured.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// A column is not there.
    #[error("{model}: {from} has no column {column:?}")]
    NoColumn {
        /// The model.
        model: String,
        /// The table.
        from: String,
        /// The column.
        column: String,
    },
    /// A column is no time.
    #[error("{model}: column {column:?} is a {kind} and not a time")]
    NoTime {
        /// The model.
        model: String,
        /// The column.
        column: String,
        /// What it is.
        kind: String,
    },
}

/// The statements of one table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Statements {
    /// Key, record and time of rows that were updated since `$1` less `$2` seconds; all rows where `$1` is null.
    pub(super) changed: Option<String>,
    /// Key and digest of every row, ascending by the bytes of the key.
    pub(super) digests: String,
    /// Key, record and digest of the rows with these keys (`$1`).
    pub(super) rows: String,
    /// The newest time that has come, and whether the one that is known (`$1`) has not: rows that are dated ahead must
    /// not hide those that are updated until then.
    pub(super) newest: Option<String>,
}

/// The rows of a table, whatever it is.
pub(super) fn source(table: &IntakeTable) -> String {
    let from = table.from.trim().trim_end_matches(';');
    let is_select = ["select", "with", "values"].iter().any(|word| {
        let start = from.get(..word.len()).unwrap_or_default();
        start.eq_ignore_ascii_case(word)
            && from[word.len()..].starts_with(|c: char| c.is_whitespace() || c == '(')
    });
    if is_select {
        return format!("({from}) as row");
    }
    let names: Vec<_> = from.split('.').map(|name| quoted(name.trim())).collect();
    format!("{} as row", names.join("."))
}

impl Statements {
    pub(super) fn of(table: &IntakeTable, columns: &[Column]) -> Result<Self, Unfit> {
        let find = |name: &str| {
            let found = columns.iter().find(|column| column.name == name);
            found.ok_or_else(|| Unfit::NoColumn {
                model: table.model.to_string(),
                from: table.from.clone(),
                column: name.to_owned(),
            })
        };
        let key = format!("(row.{})::text", quoted(&find(&table.key)?.name));
        let mut pairs = vec![format!("'id', {key}")];
        if table.fields.is_empty() {
            let others = columns.iter().filter(|column| {
                ![table.key.as_str(), table.updated.as_str(), "id"].contains(&column.name.as_str())
            });
            pairs.extend(others.map(|column| pair(&column.name, column)));
        }
        for (field, column) in &table.fields {
            pairs.push(pair(field, find(column)?));
        }
        let objects = pairs
            .chunks(PAIRS_MAX)
            .map(|pairs| format!("jsonb_build_object({})", pairs.join(", ")));
        let record = objects.collect::<Vec<_>>().join(" || ");
        let record = format!("jsonb_strip_nulls({record})::text");
        let digest = format!("left(encode(sha256(convert_to({record}, 'UTF8')), 'hex'), 32)");
        let source = source(table);
        let known = format!("{key} is not null");
        let time = match table.updated.as_str() {
            "" => None,
            name => Some(time(table, find(name)?)?),
        };
        let changed = time.as_ref().map(|(updated, kind)| {
            format!(
                "select {key}, {record}, ({updated})::text from {source} where {known} and ($1::text is null
                 or {updated} >= $1::text::{kind} - make_interval(secs => $2))"
            )
        });
        let newest = time.map(|(updated, kind)| {
            format!(
                "select (case when max({updated}) > now()::{kind} then now()::{kind} else max({updated}) end)::text,
                 coalesce($1::text::{kind} > now()::{kind}, false) from {source}"
            )
        });
        Ok(Self {
            changed,
            digests: format!(
                "select {key}, {digest} from {source} where {known} order by {key} collate \"C\""
            ),
            rows: format!(
                "select {key}, {record}, {digest} from {source} where {key} = any($1::text[])"
            ),
            newest,
        })
    }
}

/// A column of time and the type to compare it in.
fn time(table: &IntakeTable, column: &Column) -> Result<(String, &'static str), Unfit> {
    let name = format!("row.{}", quoted(&column.name));
    match column.kind {
        Type::TIMESTAMPTZ => Ok((name, "timestamptz")),
        Type::TIMESTAMP => Ok((name, "timestamp")),
        _ => Err(Unfit::NoTime {
            model: table.model.to_string(),
            column: column.name.clone(),
            kind: column.kind.to_string(),
        }),
    }
}

/// A field and its value, in a type that JSON keeps exactly.
fn pair(field: &str, column: &Column) -> String {
    let field = field.replace('\'', "''");
    let name = format!("row.{}", quoted(&column.name));
    let exact = [Type::BOOL, Type::INT2, Type::INT4, Type::INT8, Type::JSON, Type::JSONB];
    match exact.contains(&column.kind) {
        true => format!("'{field}', {name}"),
        false => format!("'{field}', ({name})::text"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str) -> IntakeTable {
        toml::from_str(text).unwrap()
    }

    fn columns(list: &[(&str, Type)]) -> Vec<Column> {
        let column =
            |(name, kind): &(&str, Type)| Column { name: (*name).to_owned(), kind: kind.clone() };
        list.iter().map(column).collect()
    }

    #[test]
    fn a_table_and_a_select_are_told_apart() {
        let source = |from: &str| {
            source(&table(&format!("model = \"Product\"\nfrom = '{from}'\nkey = \"k\"")))
        };
        assert_eq!(source("erp.products"), "\"erp\".\"products\" as row");
        assert_eq!(source("selection"), "\"selection\" as row");
        assert_eq!(source("SELECT 1 as k;"), "(SELECT 1 as k) as row");
        assert_eq!(source("with(x) "), "(with(x)) as row");
    }

    #[test]
    fn amounts_are_text_and_names_stay_in_their_quotes() {
        let table = table(
            "model = \"Product\"\nfrom = \"p\"\nkey = \"sku\"\nupdated = \"at\"\n[fields]\n\"it's\" = \"na\\\"me\"\nprice = \"price\"",
        );
        let list = [
            ("sku", Type::TEXT),
            ("na\"me", Type::TEXT),
            ("price", Type::NUMERIC),
            ("at", Type::TIMESTAMP),
        ];
        let made = Statements::of(&table, &columns(&list)).unwrap();
        assert!(made.rows.contains("'it''s', (row.\"na\"\"me\")::text"), "{}", made.rows);
        assert!(made.rows.contains("'price', (row.\"price\")::text"));
        assert!(made.changed.unwrap().contains("$1::text::timestamp -"));
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let no_column = table("model = \"Product\"\nfrom = \"p\"\nkey = \"sku\"");
        let error = Statements::of(&no_column, &columns(&[("id", Type::TEXT)])).unwrap_err();
        assert_eq!(error.to_string(), "Product: p has no column \"sku\"");
        let no_time = table("model = \"Product\"\nfrom = \"p\"\nkey = \"sku\"\nupdated = \"sku\"");
        let error = Statements::of(&no_time, &columns(&[("sku", Type::TEXT)])).unwrap_err();
        assert_eq!(error.to_string(), "Product: column \"sku\" is a text and not a time");
    }

    #[test]
    fn a_wide_table_is_put_together_from_pieces() {
        let names: Vec<String> = (0..90).map(|number| format!("c{number}")).collect();
        let mut list: Vec<_> = names.iter().map(|name| (name.as_str(), Type::INT4)).collect();
        list.push(("sku", Type::TEXT));
        let table = table("model = \"Product\"\nfrom = \"p\"\nkey = \"sku\"");
        let made = Statements::of(&table, &columns(&list)).unwrap();
        assert_eq!(made.rows.matches("jsonb_build_object").count(), 2 * 3);
    }
}
