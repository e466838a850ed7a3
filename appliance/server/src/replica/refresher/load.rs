//! Carries out what the fetch machine asks for: applies changes or adopts a snapshot, verified against the head.
//!
//! Blocking; runs on a thread for that.

use std::collections::BTreeMap;

use storebox_proto::feed::segment::{Kind, Segment};
use storebox_proto::feed::{Change, Head, Manifest, Run, RunPage};
use storebox_proto::ids::{Hash32, ModelName, RecordId};
use storebox_proto::sync::fetch::{Load, Outcome};

use bytes::Bytes;

use crate::db::{
    AdoptError, ApplyError, ChangeSet, FeedStore, FoldError, Health, ReadError, SegmentStore,
    Snapshot,
};
use crate::logging::chain;

/// What came of a load, and why if nothing good.
#[derive(Debug)]
pub(super) struct Carried {
    pub(super) outcome: Outcome,
    pub(super) error: Option<String>,
    /// A segment in service that cannot be read: whatever comes next must fetch it.
    pub(super) stumbled: Option<Hash32>,
}

impl Carried {
    fn bad(outcome: Outcome, error: &(dyn std::error::Error + 'static)) -> Self {
        Self { outcome, error: Some(chain(error)), stumbled: None }
    }

    fn mismatch(error: String) -> Self {
        Self { outcome: Outcome::Mismatch, error: Some(error), stumbled: None }
    }

    fn damaged(names: Vec<Hash32>) -> Self {
        let error = format!("{} objects on disk are damaged or missing", names.len());
        Self { outcome: Outcome::Damaged(names), error: Some(error), stumbled: None }
    }

    /// Segments that cannot be used: damaged here, or wrong as they were published.
    fn bad_segments(segments: &SegmentStore, names: impl Iterator<Item = Hash32>) -> Self {
        let (lies, damaged): (Vec<Hash32>, Vec<Hash32>) =
            names.partition(|name| segments.check(*name) == Health::Intact);
        match lies.first() {
            Some(name) => Self::mismatch(format!("segment {name} is not what its manifest says")),
            None => Self::damaged(damaged),
        }
    }
}

pub(super) fn carry_out(store: &mut FeedStore, segments: &SegmentStore, load: Load) -> Carried {
    let done = match load {
        Load::Changes { head, runs } => changes(store, segments, &head, &runs),
        Load::Snapshot { head, manifests } => snapshot(store, segments, &head, manifests),
    };
    match done {
        Ok(()) => Carried { outcome: Outcome::Switched, error: None, stumbled: None },
        Err(carried) => carried,
    }
}

fn changes(
    store: &mut FeedStore,
    segments: &SegmentStore,
    head: &Head,
    runs: &[Run],
) -> Result<(), Carried> {
    let mut merged: BTreeMap<ModelName, BTreeMap<RecordId, Option<Bytes>>> = BTreeMap::new();
    for run in runs {
        for page in &run.pages {
            let model = merged.entry(page.model.clone()).or_default();
            for Change { id, body } in read_page(segments, run.revision, page)? {
                model.insert(id, body);
            }
        }
    }
    let changes = merged
        .into_iter()
        .map(|(model, changes)| {
            let changes = changes.into_iter().map(|(id, body)| Change { id, body });
            (model, changes.collect())
        })
        .collect();
    let (epoch, revision, published) = (head.epoch, head.revision, head.published);
    let after = runs.first().map_or(revision, |run| run.revision.saturating_sub(1));
    let set = ChangeSet { epoch, after, revision, published, changes };
    let expected = head.models.iter().map(|model| (model.model.clone(), model.digest)).collect();
    match store.apply(set, Some(&expected)) {
        Ok(_) => Ok(()),
        Err(error) => Err(after_apply(&error)),
    }
}

/// A page of a run, if it is what the head says.
pub(in crate::replica) fn page(
    segments: &SegmentStore,
    revision: u64,
    page: &RunPage,
) -> Result<Vec<Change>, PageError> {
    let bytes = segments.read(page.name).map_err(|_| PageError::Damaged)?;
    if Hash32::of(&bytes) != page.name {
        return Err(PageError::Damaged);
    }
    let segment = Segment::parse(bytes).map_err(|error| PageError::Lie(error.to_string()))?;
    let header = segment.header();
    if header.kind != Kind::Run || header.model != page.model || header.revision != revision {
        return Err(PageError::Lie("it is a page of something else".to_owned()));
    }
    let (contents, changes) =
        segment.changes().map_err(|error| PageError::Lie(error.to_string()))?;
    if contents.digest != page.digest || changes.len() != page.count as usize {
        return Err(PageError::Lie("its content is not what the head says".to_owned()));
    }
    Ok(changes)
}

/// Why a page of a run is of no use.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::replica) enum PageError {
    /// The file was changed or is missing.
    Damaged,
    /// The file is as it was published, and that is wrong.
    Lie(String),
}

fn read_page(
    segments: &SegmentStore,
    revision: u64,
    entry: &RunPage,
) -> Result<Vec<Change>, Carried> {
    page(segments, revision, entry).map_err(|error| match error {
        PageError::Damaged => Carried::damaged(vec![entry.name]),
        PageError::Lie(reason) => Carried::mismatch(format!("page {}: {reason}", entry.name)),
    })
}

fn after_apply(error: &ApplyError) -> Carried {
    let outcome = match error {
        // The snapshot brings what cannot be read or does not fit.
        ApplyError::Gap { .. }
        | ApplyError::Rule { .. }
        | ApplyError::Digest { .. }
        | ApplyError::Read(_) => Outcome::Mismatch,
        ApplyError::Fold(
            FoldError::Read(_) | FoldError::Segments { .. } | FoldError::Digest { .. },
        ) => Outcome::Mismatch,
        ApplyError::Disk(_) | ApplyError::Fold(_) => Outcome::Failed,
    };
    let stumbled = match error {
        ApplyError::Read(ReadError::Damaged { segment, .. })
        | ApplyError::Fold(FoldError::Read(ReadError::Damaged { segment, .. })) => Some(*segment),
        ApplyError::Gap { .. }
        | ApplyError::Rule { .. }
        | ApplyError::Digest { .. }
        | ApplyError::Read(_)
        | ApplyError::Disk(_)
        | ApplyError::Fold(_) => None,
    };
    Carried { stumbled, ..Carried::bad(outcome, error) }
}

fn snapshot(
    store: &mut FeedStore,
    segments: &SegmentStore,
    head: &Head,
    manifests: Vec<Manifest>,
) -> Result<(), Carried> {
    for entry in &head.models {
        let manifest = manifests.iter().find(|manifest| manifest.model == entry.model);
        let fits = manifest.is_some_and(|manifest| {
            manifest.digest() == entry.digest && manifest.count() == entry.count
        });
        if !fits {
            let model = &entry.model;
            return Err(Carried::mismatch(format!("manifest of {model} is not the head's")));
        }
    }
    let (epoch, revision, published) = (head.epoch, head.revision, head.published);
    match store.adopt(Snapshot { epoch, revision, published, manifests }) {
        Ok(_) => Ok(()),
        Err(AdoptError::Segments { bad }) => {
            Err(Carried::bad_segments(segments, bad.into_iter().map(|segment| segment.name)))
        }
        Err(error @ (AdoptError::Manifest { .. } | AdoptError::Twice { .. })) => {
            Err(Carried::bad(Outcome::Mismatch, &error))
        }
        Err(error) => Err(Carried::bad(Outcome::Failed, &error)),
    }
}
