//! What a till created gives way to the central record when that arrives.
//!
//! The change feed says which records are new; where it cannot say (the first start, a gap, another life of the
//! author) what is kept here is compared with what is central now.
//! Nothing is lost when this is dropped: the comparison is repeated at the next start.

use std::collections::BTreeMap;

use futures_util::future::select_all;
use storebox_proto::feed::{Position, Registry, Scope};
use storebox_proto::ids::{FeedId, ModelName, RecordId, TxKind};
use tokio_util::sync::CancellationToken;

use crate::blocking::beside;
use crate::masterdata::Masterdata;
use crate::replica::till_changes::{TillChange, TillChanges, Told};
use crate::uplink::LocalDocuments;

/// Documents looked at in one step.
const PAGE: usize = 500;
/// Local kinds and the central models whose records take their place.
const PAIRS: [(&str, &str); 2] =
    [("ChangedBusinessPartners", "BusinessPartner"), ("ChangedBPlocation", "BPLocation")];

/// The field of a central record that holds the id under which a shop created it.
const EDGE_ID: &str = "edgeId";

/// The task.
pub(super) struct GivingWay {
    changes: TillChanges,
    masterdata: Masterdata,
    documents: LocalDocuments,
    seen: BTreeMap<FeedId, Position>,
}

impl GivingWay {
    pub(super) fn new(
        changes: TillChanges,
        masterdata: Masterdata,
        documents: LocalDocuments,
    ) -> Self {
        Self { changes, masterdata, documents, seen: BTreeMap::new() }
    }

    /// Follows all feeds until the box stops.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let feeds = Registry::built_in().feeds();
        let mut watches: Vec<_> =
            feeds.iter().filter_map(|feed| self.changes.watch(feed)).collect();
        while !watches.is_empty() {
            self = beside(move || {
                self.look();
                self
            })
            .await;
            let moved = select_all(watches.iter_mut().map(|watch| Box::pin(watch.changed())));
            if stop.run_until_cancelled(moved).await.is_none() {
                return;
            }
        }
    }

    /// Looks at every feed that has moved.
    fn look(&mut self) {
        for feed in Registry::built_in().feeds() {
            let Some(position) = self.changes.position(&feed) else { continue };
            let told = match self.seen.get(&feed) {
                Some(seen) => self.changes.tell_all(&feed, *seen, |told| self.give_way(told)),
                None => Told::Relist { to: position },
            };
            let to = match told {
                Told::All { to } => to,
                Told::Relist { to } => {
                    self.compare();
                    to
                }
            };
            self.seen.insert(feed, to);
        }
    }

    fn give_way(&self, told: &TillChange) {
        let Some(body) = &told.change.body else { return };
        self.documents.give_way(&told.model, &told.change.id);
        if let Some(born_as) = born_as(&told.model, body) {
            self.documents.give_way(&told.model, &born_as);
        }
    }

    /// Compares everything that is kept with what is central.
    fn compare(&self) {
        let registry = self.masterdata.registry();
        let local = registry.iter().filter(|def| def.scope == Scope::Local);
        for def in local {
            let Ok(kind) = def.name.as_str().parse::<TxKind>() else { continue };
            let pair = PAIRS.iter().find(|(local, _)| *local == kind.as_str());
            let Some(model) = pair.and_then(|(_, central)| central.parse::<ModelName>().ok())
            else {
                continue;
            };
            let mut after: Option<String> = None;
            loop {
                let page = self.documents.list(&kind, after.as_deref(), PAGE);
                for document in &page {
                    self.give_way_if_central(&model, &document.id);
                }
                match page.last() {
                    Some(last) if page.len() == PAGE => after = Some(last.id.clone()),
                    Some(_) | None => break,
                }
            }
        }
    }

    fn give_way_if_central(&self, model: &ModelName, id: &str) {
        let Ok(id) = id.parse::<RecordId>() else { return };
        let view = self.masterdata.view(model.as_str());
        let is_central = view.is_ok_and(|view| {
            let generation = &view.generation;
            let by_edge_id = generation.find(model, EDGE_ID, id.as_str(), 1);
            matches!(generation.get(model, &id), Ok(Some(_)))
                || by_edge_id.is_ok_and(|found| !found.is_empty())
        });
        if is_central {
            self.documents.give_way(model, &id);
        }
    }
}

/// The id that a record had in the shop where it was born, if head office gave it another.
fn born_as(model: &ModelName, body: &[u8]) -> Option<RecordId> {
    if !PAIRS.iter().any(|(_, central)| *central == model.as_str()) {
        return None;
    }
    let fields: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(body).ok()?;
    fields.get(EDGE_ID)?.as_str()?.parse().ok()
}
