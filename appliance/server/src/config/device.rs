//! A device as a person writes it down; `devices::definition` makes sense of it or says why not.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// One `[[device]]`; the same words stand in masterdata.
///
/// Its values are texts on purpose: a device that makes no sense must not keep the box from starting.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Device {
    /// Its name.
    pub id: String,
    /// The till it stands at, in words for people.
    pub till: String,
    /// What it is.
    pub kind: String,
    /// Where it is.
    pub at: String,
    /// What language it speaks.
    pub model: String,
    /// The settings of its serial line.
    pub line: String,
    /// The drawers on its connector.
    pub drawers: Vec<String>,
    /// What a high level of the drawer's sensor means.
    pub drawer_high: String,
    /// The unit that a scale is set to whose answers name none.
    pub unit: String,
    /// Whether an 8217 wants a carriage return behind commands for its tare.
    pub tare_cr: bool,
    /// What an 8217's "nothing new" does.
    pub nothing_new: String,
    /// The file with the numbers of a Dialog 06 approval.
    pub approval_file: PathBuf,
    /// What a scanner sends before each code.
    pub prefix: String,
    /// What it sends behind each code.
    pub suffix: String,
    /// Whether it wants each code acknowledged.
    pub acknowledge: bool,
    /// The layouts of codes printed in the shop.
    pub in_store: Vec<String>,
}
