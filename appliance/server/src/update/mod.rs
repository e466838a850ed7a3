//! Releases: head office offers them, boxes fetch them and hand them to their steward.
//!
//! The service never installs anything: it has no right to.
//! It brings a bundle, whole and compared with what head office has signed, into the folder that the steward looks
//! into, and says beside it when nothing is to be installed: while the shop is open, and while transactions wait.
//! Whoever made the bundle is checked by the steward, before a byte of a slot is written.

mod blocks;
mod folder;
mod hawkbit;
mod machine;
mod shelf;
mod updater;

pub use blocks::{Blocks, BlocksError};
pub use hawkbit::{HawkBit, HawkBitError};
pub use shelf::{Change, NewRelease, Shelf, ShelfError};
pub use updater::{Options, Unsettled, Updater};

use std::sync::Arc;

use serde_json::{Map, Value};
use storebox_proto::release::{self, Release};
use storebox_proto::rings::Rings;

use crate::masterdata::Masterdata;

/// The records of a model as they are now.
fn records(masterdata: &Masterdata, model: &str) -> Vec<Map<String, Value>> {
    let Ok(view) = masterdata.view(model) else { return Vec::new() };
    let mut records = Vec::new();
    let read = view.generation.each(&view.model, |record| {
        records.extend(serde_json::from_slice(&record.body));
        true
    });
    if let Err(error) = read {
        tracing::warn!(error = %crate::logging::chain(&error), model, "records cannot all be read");
    }
    records
}

/// The releases that are on offer; what makes no sense is named in the log and left out.
fn offered(masterdata: &Masterdata) -> Vec<Release> {
    let (releases, faults) = Release::read_all(&records(masterdata, release::MODEL));
    for fault in faults {
        tracing::warn!(%fault, "a release makes no sense");
    }
    releases
}

/// The rings of the chain; none before there is an estate.
fn rings(masterdata: &Masterdata) -> Arc<Rings> {
    masterdata.rings().unwrap_or_default()
}
