//! What head office may set: a list of keys, each a value that no box can be cut off by.
//!
//! Never on it: who the box is, where head office is and by what both know each other, what it listens on, whom it
//! believes, where it keeps things, and what it hides.
//! Whoever adds a key asks: can a wrong value keep the box from hearing that it is to be put right?

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::load::{ConfigError, Override, parse_with, read_file};
use super::{Config, DEFAULT_TOML};

/// The keys that head office may set.
pub const KEYS: [&str; 20] = [
    "discovery.name",
    "log.level",
    "log.modules",
    "login.shift_hours",
    "login.token_minutes",
    "masterdata.cache_bytes",
    "masterdata.line_kb_per_s",
    "masterdata.line_window",
    "masterdata.mode",
    "masterdata.overlay_max",
    "masterdata.scrub_hours",
    "outbox.entries_max",
    "outbox.urgent",
    "request_log.megabytes",
    "terminal.batch_size",
    "terminal.full_minutes",
    "terminal.incremental_minutes",
    "terminal.popup_minutes",
    "traces.of_1000",
    "traces.url",
];

/// Values by key.
pub type Values = BTreeMap<String, Value>;

/// A value that head office may not set, or that no box runs with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("key {key}: {why}")]
pub struct Unfit {
    /// The key.
    pub key: String,
    /// What is wrong.
    pub why: String,
}

/// Where a box's own configuration comes from.
#[derive(Debug, Clone)]
pub struct Origin {
    /// The file.
    pub file: PathBuf,
    /// The data directory, if the command line names one.
    pub data_dir: Option<PathBuf>,
}

impl Origin {
    /// The configuration as it is at the box.
    pub fn load(&self) -> Result<Config, ConfigError> {
        self.load_with(&Values::new())
    }

    /// The same with what head office sets; the environment of the process wins over both.
    pub fn load_with(&self, values: &Values) -> Result<Config, ConfigError> {
        let (file, text) = read_file(&self.file)?;
        let mut config = parse_with(&file, &text, values, &Override::from_environment())?;
        if let Some(data_dir) = &self.data_dir {
            config.data_dir.clone_from(data_dir);
        }
        Ok(config)
    }

    /// The file's place.
    pub fn file(&self) -> &Path {
        &self.file
    }
}

/// Whether head office may set these, and a box could run with them.
pub fn check(values: &Values) -> Result<(), Unfit> {
    if let Some(key) = values.keys().find(|key| !KEYS.contains(&key.as_str())) {
        let why = "cannot be set by head office; `storebox reference` lists what can".to_owned();
        return Err(Unfit { key: key.chars().take(64).collect(), why });
    }
    match parse_with("", DEFAULT_TOML, values, &[]) {
        Ok(_) => Ok(()),
        Err(ConfigError::Key { key, reason, .. }) => Err(Unfit { key, why: reason }),
        Err(error @ (ConfigError::Read { .. } | ConfigError::Syntax { .. })) => {
            Err(Unfit { key: String::new(), why: error.to_string() })
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::config::Level;

    fn one(key: &str, value: Value) -> Values {
        Values::from([(key.to_owned(), value)])
    }

    #[test]
    fn every_key_of_the_list_exists_and_takes_its_own_default() {
        let defaults: toml::Table = toml::from_str(DEFAULT_TOML).unwrap();
        for key in KEYS {
            let (section, name) = key.split_once('.').unwrap();
            let default = serde_json::to_value(&defaults[section][name]).unwrap();
            assert_eq!(check(&one(key, default)), Ok(()), "{key}");
        }
        assert!(KEYS.is_sorted());
    }

    #[test]
    fn what_could_cut_a_box_off_is_refused_by_name() {
        for key in [
            "main.url",
            "main.public_key",
            "main",
            "node",
            "role",
            "data_dir",
            "http.listen",
            "tls.listen",
            "peers.secret_file",
            "secrets.key_file",
            "source",
            "browser.origins",
            "outbox.reserve_bytes",
            "request_log.masked",
            "visits.on_request",
        ] {
            assert_eq!(check(&one(key, json!("x"))).unwrap_err().key, key);
        }
    }

    #[test]
    fn a_value_that_no_box_runs_with_is_refused_by_name() {
        for (key, value) in [
            ("terminal.batch_size", json!(0)),
            ("terminal.batch_size", json!("many")),
            ("log.level", json!("loud")),
            ("log.level", Value::Null),
            ("masterdata.line_window", json!("at night")),
            ("traces.url", json!("ftp://collector")),
            ("outbox.urgent", json!([1])),
        ] {
            let unfit = check(&one(key, value.clone())).unwrap_err();
            assert!(unfit.key.starts_with(key), "{key} {value}: {unfit}");
        }
    }

    #[test]
    fn head_office_wins_over_the_file_and_the_environment_over_both() {
        let file = "[terminal]\nbatch_size = 100\npopup_minutes = 1\n[log]\nlevel = \"warn\"\n";
        let values = Values::from([
            ("terminal.batch_size".to_owned(), json!(200)),
            ("terminal.popup_minutes".to_owned(), json!(2)),
            ("log.modules".to_owned(), json!({ "storebox::http": "debug" })),
        ]);
        let environment = Override::from_variable("STOREBOX_TERMINAL__POPUP_MINUTES", "3").unwrap();
        let config = parse_with("box.toml", file, &values, &[environment]).unwrap();
        let terminal = &config.terminal;
        assert_eq!((terminal.batch_size, terminal.popup_minutes), (200, 3));
        assert_eq!((config.log.level, config.log.modules.len()), (Level::Warn, 1));
        let bad = one("terminal.batch_size", json!(0));
        let error = parse_with("box.toml", file, &bad, &[]).unwrap_err().to_string();
        assert!(error.starts_with("head office's settings: key terminal.batch_size"), "{error}");
    }
}
