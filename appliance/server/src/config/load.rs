//! Reading the file, overlaying the environment, and naming what is wrong.

use std::fmt;
use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::remote::Values;
use super::{Config, rules};

/// Prefix of environment variables that override a key.
const ENV_PREFIX: &str = "STOREBOX_";
/// Separates the sections of a key in the name of a variable.
const ENV_SEPARATOR: &str = "__";
/// Keys outside any section that a variable may set.
const ENV_TOP_KEYS: [&str; 3] = ["role", "node", "data_dir"];
/// A configuration file beyond this is a mistake.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// One environment variable that overrides a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Override {
    /// The variable's name.
    pub variable: String,
    /// The key as a path, such as `http.listen`.
    pub path: String,
    /// The text.
    pub value: String,
}

impl Override {
    /// The override that a variable is, if it is one.
    ///
    /// Only keys of a section and the few of the top level count, so that variables of tests and tools pass.
    pub fn from_variable(name: &str, value: &str) -> Option<Self> {
        let rest = name.strip_prefix(ENV_PREFIX)?;
        let path = rest.to_ascii_lowercase().replace(ENV_SEPARATOR, ".");
        let is_key = path.contains('.') || ENV_TOP_KEYS.contains(&path.as_str());
        let (variable, value) = (name.to_owned(), value.to_owned());
        is_key.then_some(Self { variable, path, value })
    }

    /// All overrides of the process's environment, in the order of their names.
    pub fn from_environment() -> Vec<Self> {
        let mut found: Vec<_> = std::env::vars()
            .filter_map(|(name, value)| Self::from_variable(&name, &value))
            .collect();
        found.sort_by(|a, b| a.variable.cmp(&b.variable));
        found
    }
}

/// Why a configuration is refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{file}: cannot be read")]
    Read {
        /// Which file.
        file: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file is not TOML.
    #[error("{file}:{line}: not TOML: {reason}")]
    Syntax {
        /// Which file.
        file: String,
        /// Where.
        line: usize,
        /// Why.
        reason: String,
    },
    /// A key has a wrong value.
    #[error("{place}: key {key}: {reason}")]
    Key {
        /// The file with its line, or the environment variable.
        place: Place,
        /// The key as a path.
        key: String,
        /// Why.
        reason: String,
    },
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A line of the file.
    Line(String, usize),
    /// An environment variable.
    Variable(String),
    /// What head office sets.
    HeadOffice,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(file, line) => write!(f, "{file}:{line}"),
            Self::Variable(name) => write!(f, "environment variable {name}"),
            Self::HeadOffice => f.write_str("head office's settings"),
        }
    }
}

/// Reads the file and overlays the environment of the process.
pub fn load(path: &Path) -> Result<Config, ConfigError> {
    let (file, text) = read_file(path)?;
    parse(&file, &text, &Override::from_environment())
}

/// The name of the file and its text.
pub(super) fn read_file(path: &Path) -> Result<(String, String), ConfigError> {
    let file = path.display().to_string();
    let text = read(path).map_err(|source| ConfigError::Read { file: file.clone(), source })?;
    Ok((file, text))
}

fn read(path: &Path) -> std::io::Result<String> {
    if std::fs::metadata(path)?.len() > FILE_BYTES_MAX {
        return Err(std::io::Error::other("larger than 1 MiB"));
    }
    std::fs::read_to_string(path)
}

/// The configuration in this text, with overrides.
pub fn parse(file: &str, text: &str, overrides: &[Override]) -> Result<Config, ConfigError> {
    parse_with(file, text, &Values::new(), overrides)
}

/// The same with values that head office sets, which win over the text and give way to the overrides.
pub(super) fn parse_with(
    file: &str,
    text: &str,
    values: &Values,
    overrides: &[Override],
) -> Result<Config, ConfigError> {
    let mut merged: toml::Table = toml::from_str(text).map_err(|error| ConfigError::Syntax {
        file: file.to_owned(),
        line: error.span().map_or(1, |span| line_of(text, span.start)),
        reason: error.message().to_owned(),
    })?;
    for (key, value) in values {
        let value = toml::Value::try_from(value).map_err(|error| ConfigError::Key {
            place: Place::HeadOffice,
            key: key.clone(),
            reason: error.to_string(),
        })?;
        put_value(&mut merged, key, value);
    }
    for change in overrides {
        put(&mut merged, &change.path, &change.value);
    }
    let refuse = |key: String, reason: String| {
        let place = place_of(file, text, values, overrides, &key);
        ConfigError::Key { place, key, reason }
    };
    let config: Config =
        serde_path_to_error::deserialize(toml::Value::Table(merged)).map_err(|error| {
            let reason = error.inner().message().to_owned();
            refuse(named(error.path().to_string(), &reason), reason)
        })?;
    rules::check(&config).map_err(|broken| refuse(broken.key.to_owned(), broken.reason))?;
    Ok(config)
}

/// An unknown key is reported at its table; the key itself is what a person looks for.
fn named(path: String, reason: &str) -> String {
    let unknown = reason.strip_prefix("unknown field `").and_then(|rest| rest.split('`').next());
    match (unknown, path.as_str()) {
        (None, _) => path,
        (Some(key), ".") => key.to_owned(),
        (Some(key), table) if table.rsplit('.').next() == Some(key) => path,
        (Some(key), table) => format!("{table}.{key}"),
    }
}

/// Sets a value in a table of tables; what parses as a TOML value is one, all else is text.
fn put(table: &mut toml::Table, path: &str, text: &str) {
    let typed = toml::from_str::<toml::Table>(&format!("v = {text}")).ok();
    let value = typed
        .and_then(|mut parsed| parsed.remove("v"))
        .unwrap_or_else(|| toml::Value::String(text.to_owned()));
    put_value(table, path, value);
}

fn put_value(table: &mut toml::Table, path: &str, value: toml::Value) {
    let (sections, key) = path.rsplit_once('.').unwrap_or(("", path));
    let mut at = table;
    for section in sections.split('.').filter(|section| !section.is_empty()) {
        let below = at.entry(section).or_insert_with(|| toml::Value::Table(toml::Table::new()));
        if !below.is_table() {
            *below = toml::Value::Table(toml::Table::new());
        }
        at = below.as_table_mut().expect("made a table one line above");
    }
    at.insert(key.to_owned(), value);
}

fn place_of(file: &str, text: &str, values: &Values, overrides: &[Override], key: &str) -> Place {
    let is_set_by = |path: &str| key.strip_prefix(path).is_some_and(|rest| !rest.starts_with('_'));
    let by_environment = overrides.iter().rev().find(|change| is_set_by(&change.path));
    match by_environment {
        Some(change) => Place::Variable(change.variable.clone()),
        None if values.keys().any(|path| is_set_by(path)) => Place::HeadOffice,
        None => Place::Line(file.to_owned(), line_in(text, key)),
    }
}

/// The line of the longest part of the path that the file holds.
fn line_in(text: &str, key: &str) -> usize {
    let Ok(document) = DeTable::parse(text) else { return 1 };
    let mut value = DeValue::Table(document.into_inner());
    let mut offset = 0;
    for part in key.replace('[', ".").replace(']', "").split('.') {
        let next = match &value {
            DeValue::Table(table) => table
                .iter()
                .find(|(name, _)| name.get_ref() == part)
                .map(|(name, below)| (name.span().start, below.get_ref().clone())),
            DeValue::Array(list) => part
                .parse::<usize>()
                .ok()
                .and_then(|index| list.get(index))
                .map(|below| (offset.max(below.span().start), below.get_ref().clone())),
            DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_) => None,
        };
        let Some((start, below)) = next else { break };
        (offset, value) = (start, below);
    }
    line_of(text, offset)
}

fn line_of(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|&byte| byte == b'\n').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str, overrides: &[Override]) -> String {
        parse("box.toml", text, overrides).unwrap_err().to_string()
    }

    #[test]
    fn a_wrong_type_is_named_with_line_and_key() {
        let text = "node = \"store-1\"\n\n[http]\nconnections_max = \"many\"\n";
        let message = refusal(text, &[]);
        let start = "box.toml:4: key http.connections_max: invalid type";
        assert!(message.starts_with(start), "{message}");
    }

    #[test]
    fn an_unknown_key_is_named_with_its_line() {
        let message = refusal("[http]\nlisten = []\nlissen = 1\n", &[]);
        assert!(message.starts_with("box.toml:3: key http.lissen: unknown field"), "{message}");
        let message = refusal("\nrolle = \"main\"\n", &[]);
        assert!(message.starts_with("box.toml:2: key rolle: unknown field"), "{message}");
    }

    #[test]
    fn a_value_out_of_range_is_named_with_its_bounds() {
        let message = refusal("[terminal]\nbatch_size = 0\n", &[]);
        assert_eq!(message, "box.toml:2: key terminal.batch_size: 0 is not within 1 and 1000");
    }

    #[test]
    fn what_is_not_toml_is_named_with_its_line() {
        let message = refusal("node = \"a\"\nrole = = 1\n", &[]);
        assert!(message.starts_with("box.toml:2: not TOML"), "{message}");
    }

    #[test]
    fn a_bad_name_is_refused_with_its_rule() {
        let message = refusal("node = \"Store 1\"\n", &[]);
        assert!(message.starts_with("box.toml:1: key node: node \"Store 1\""), "{message}");
    }

    #[test]
    fn the_environment_wins_and_is_blamed() {
        let listen = Override::from_variable("STOREBOX_HTTP__LISTEN", "127.0.0.1:0").unwrap();
        let config = parse("box.toml", "[http]\nlisten = \"0.0.0.0:1\"\n", &[listen]).unwrap();
        assert_eq!(config.http.listen[0].port(), 0);
        let bad = Override::from_variable("STOREBOX_OUTBOX__ENTRIES_MAX", "lots").unwrap();
        let message = refusal("", &[bad]);
        let start = "environment variable STOREBOX_OUTBOX__ENTRIES_MAX: key outbox.entries_max";
        assert!(message.starts_with(start), "{message}");
        assert_eq!(Override::from_variable("STOREBOX_TESTING", "1"), None);
    }

    #[test]
    fn two_authoritative_places_are_refused() {
        let sink = "[[sink]]\nid = \"a\"\nurl = \"http://a\"\nauthoritative = true\n";
        let twice = format!("{sink}{}", sink.replace("\"a\"", "\"b\""));
        assert!(parse("box.toml", sink, &[]).is_ok());
        assert!(refusal(&twice, &[]).contains("exactly one must be"));
    }

    #[test]
    fn a_main_server_needs_its_key() {
        let message = refusal("[main]\nurl = \"http://head-office:8080\"\n", &[]);
        assert!(message.starts_with("box.toml:1: key main.public_key: needed"), "{message}");
    }
}
