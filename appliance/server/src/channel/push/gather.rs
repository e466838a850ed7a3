//! From the logs to records.
//!
//! A run says of what is removed only its id.
//! Whose price or address it was stands in the generation before, which is kept until its successor was followed;
//! where that is not known either, the record is `reset`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError};

use serde_json::{Map, Value};
use storebox_proto::estate::channel::{PushDefinition, PushEntity};
use storebox_proto::ids::{FeedId, ModelName, TxKind};
use storebox_proto::time::Timestamp;

use super::Inner;
use super::store::{Course, Happened};
use crate::db::{DiskError, Generation};
use crate::masterdata::position_of;
use crate::replica::till_changes::{Since, TillChange};

/// Documents of the shop that are looked at in one step.
const DOCUMENTS: usize = 1000;

/// Where changes of an entity come from.
struct Sources {
    /// Models of head office; the first is the entity itself, of the others the field names it.
    models: &'static [(&'static str, &'static str)],
    /// Kinds of the shop likewise.
    kinds: &'static [(&'static str, &'static str)],
}

fn sources(entity: PushEntity) -> Sources {
    match entity {
        PushEntity::Product => {
            Sources { models: &[("Product", "id"), ("ProductPrice", "productId")], kinds: &[] }
        }
        PushEntity::Customer => Sources {
            models: &[("BusinessPartner", "id"), ("BPLocation", "businessPartnerId")],
            kinds: &[("ChangedBusinessPartners", "id"), ("ChangedBPlocation", "businessPartnerId")],
        },
        PushEntity::Ticket => Sources {
            models: &[],
            kinds: &[
                ("Order", "id"),
                ("TicketShipment", "ticketId"),
                ("TicketPayment", "ticketId"),
                ("TicketInvoice", "ticketId"),
            ],
        },
    }
}

/// Brings every definition to the end of its logs: blocking.
pub(super) fn look(inner: &Inner) -> Result<(), DiskError> {
    let definitions = inner.parts.channels.definitions();
    let shown = shown(inner, definitions.pushes());
    let mut is_any = false;
    for push in definitions.pushes() {
        is_any |= follow(inner, push)?;
    }
    // Without any channel the estate has not arrived yet, and nothing follows from what it does not say.
    if definitions.channels().next().is_some() {
        for id in inner.store.pushes() {
            if !definitions.pushes().any(|push| push.id == id) {
                inner.store.forget(&id)?;
                is_any = true;
            }
        }
    }
    if is_any {
        inner.store.commit()?;
        inner.moved.send_modify(|count| *count += 1);
    }
    keep_seen(inner, shown);
    Ok(())
}

/// What readers see of the feeds that definitions follow; taken before the logs are, so that it is not ahead of them.
fn shown<'a>(
    inner: &Inner,
    pushes: impl Iterator<Item = &'a Arc<PushDefinition>>,
) -> BTreeMap<FeedId, Arc<Generation>> {
    let feeds: BTreeSet<FeedId> =
        pushes.flat_map(|push| feeds(inner, &sources(push.entity))).collect();
    let shown: BTreeMap<_, _> = feeds
        .into_iter()
        .filter_map(|feed| Some((feed.clone(), inner.parts.channels.generation(&feed)?)))
        .collect();
    let mut seen = inner.seen.lock().unwrap_or_else(PoisonError::into_inner);
    for (feed, generation) in &shown {
        seen.entry(feed.clone()).or_insert_with(|| Arc::clone(generation));
    }
    shown
}

/// The logs were followed: what was shown before is what was seen, unless readers were ahead of the log.
fn keep_seen(inner: &Inner, shown: BTreeMap<FeedId, Arc<Generation>>) {
    let is_followed = |feed: &FeedId, generation: &Generation| {
        let position = inner.parts.changes.position(feed);
        position.is_none_or(|position| position >= position_of(generation))
    };
    let mut seen = inner.seen.lock().unwrap_or_else(PoisonError::into_inner);
    seen.retain(|feed, _| shown.contains_key(feed));
    for (feed, generation) in shown {
        if is_followed(&feed, &generation) {
            seen.insert(feed, generation);
        }
    }
}

/// Whether anything was written.
fn follow(inner: &Inner, push: &Arc<PushDefinition>) -> Result<bool, DiskError> {
    let (now, sources) = (inner.now().at, sources(push.entity));
    let feeds = feeds(inner, &sources);
    let Some(before) = inner.store.course(&push.id) else {
        inner.store.reset(&push.id, now)?;
        let begun = begin(inner, &feeds);
        inner.store.amend(&push.id, |course| {
            (course.feeds, course.documents) = (begun.feeds, begun.documents);
        })?;
        return Ok(true);
    };
    let mut course = before.clone();
    for feed in feeds {
        follow_feed(inner, push, &sources, &feed, &mut course, now)?;
    }
    if !sources.kinds.is_empty() {
        follow_shop(inner, push, &sources, &mut course, now)?;
    }
    let has_moved = course != before;
    if has_moved {
        // Deliveries are written there at the same time.
        inner.store.amend(&push.id, |kept| {
            (kept.feeds, kept.documents) = (course.feeds, course.documents);
        })?;
    }
    Ok(has_moved)
}

/// A definition begins with a reset and what changes from then on.
fn begin(inner: &Inner, feeds: &[FeedId]) -> Course {
    let at = |feed: &FeedId| Some((feed.clone(), inner.parts.changes.position(feed)?));
    Course {
        feeds: feeds.iter().filter_map(at).collect(),
        documents: inner.parts.documents.newest(),
        ..Course::default()
    }
}

fn feeds(inner: &Inner, sources: &Sources) -> Vec<FeedId> {
    let registry = inner.parts.channels.registry();
    let models = sources.models.iter().filter_map(|(model, _)| model.parse::<ModelName>().ok());
    let mut feeds: Vec<FeedId> =
        models.filter_map(|model| Some(registry.get(&model)?.feed.clone())).collect();
    feeds.sort();
    feeds.dedup();
    feeds
}

fn follow_feed(
    inner: &Inner,
    push: &PushDefinition,
    sources: &Sources,
    feed: &FeedId,
    course: &mut Course,
    now: Timestamp,
) -> Result<(), DiskError> {
    let Some(position) = inner.parts.changes.position(feed) else { return Ok(()) };
    let Some(mut cursor) = course.feeds.get(feed).copied() else {
        course.feeds.insert(feed.clone(), position);
        return inner.store.reset(&push.id, now);
    };
    loop {
        match inner.parts.changes.since(feed, cursor) {
            Since::Nothing => break,
            Since::Relist { to } => {
                inner.store.reset(&push.id, now)?;
                cursor = to;
                break;
            }
            Since::Changes { to, changes } => {
                let before = |change: &TillChange, field: &str| owner(inner, feed, change, field);
                match concerned(sources, changes, &before) {
                    Some(concerned) => {
                        for (id, is_gone) in concerned {
                            note(inner, push, &id, is_gone, now)?;
                        }
                    }
                    None => inner.store.reset(&push.id, now)?,
                }
                cursor = to;
            }
        }
    }
    course.feeds.insert(feed.clone(), cursor);
    Ok(())
}

/// What changes are about, and whether it is gone; nothing if it cannot be told of one of them.
fn concerned(
    sources: &Sources,
    changes: Vec<TillChange>,
    before: &dyn Fn(&TillChange, &str) -> Option<String>,
) -> Option<BTreeMap<String, bool>> {
    let mut found = BTreeMap::new();
    let mut owners: BTreeMap<(ModelName, String), String> = BTreeMap::new();
    for told in changes {
        let model = told.model.as_str();
        let Some((_, field)) = sources.models.iter().find(|(name, _)| *name == model) else {
            continue;
        };
        if *field == "id" {
            found.insert(told.change.id.to_string(), told.change.body.is_none());
            continue;
        }
        let name = (told.model.clone(), told.change.id.to_string());
        // It may have had another owner before, which has changed too.
        let earlier = owners.remove(&name).or_else(|| before(&told, field));
        let later = told.change.body.as_ref().map(|body| {
            let fields = serde_json::from_slice::<Map<String, Value>>(body).unwrap_or_default();
            fields.get(*field).and_then(Value::as_str).map(str::to_owned)
        });
        match (&earlier, later) {
            (None, None) => return None,
            (_, Some(Some(owner))) => {
                owners.insert(name, owner.clone());
                found.entry(owner).or_insert(false);
            }
            (_, Some(None) | None) => {}
        }
        if let Some(owner) = earlier {
            found.entry(owner).or_insert(false);
        }
    }
    Some(found)
}

/// Whose a record was in the generation before.
fn owner(inner: &Inner, feed: &FeedId, told: &TillChange, field: &str) -> Option<String> {
    let seen = inner.seen.lock().unwrap_or_else(PoisonError::into_inner).get(feed).cloned()?;
    let record = seen.get(&told.model, &told.change.id).ok()??;
    let fields = serde_json::from_slice::<Map<String, Value>>(&record.body).ok()?;
    fields.get(field)?.as_str().map(str::to_owned)
}

fn follow_shop(
    inner: &Inner,
    push: &PushDefinition,
    sources: &Sources,
    course: &mut Course,
    now: Timestamp,
) -> Result<(), DiskError> {
    loop {
        let page = inner.parts.documents.since(course.documents, DOCUMENTS);
        let Some((last, ..)) = page.last() else { return Ok(()) };
        course.documents = *last;
        for (_, kind, id) in &page {
            if let Some(id) = concerned_by(inner, sources, kind, id) {
                note(inner, push, &id, false, now)?;
            }
        }
    }
}

fn concerned_by(inner: &Inner, sources: &Sources, kind: &TxKind, id: &str) -> Option<String> {
    let (_, field) = sources.kinds.iter().find(|(name, _)| *name == kind.as_str())?;
    if *field == "id" {
        return Some(id.to_owned());
    }
    let document = inner.parts.documents.load(kind, id)?;
    document.payload.get(*field)?.as_str().map(str::to_owned)
}

fn note(
    inner: &Inner,
    push: &PushDefinition,
    id: &str,
    is_gone: bool,
    now: Timestamp,
) -> Result<(), DiskError> {
    let fits = match is_gone {
        true => false,
        false => match inner.parts.channels.row(push, id) {
            Ok(row) => row.is_some(),
            Err(problem) => {
                tracing::warn!(push = %push.id, id, error = %problem, "a row cannot be read, it is told as changed");
                true
            }
        },
    };
    let event = if fits { Happened::Changed } else { Happened::Removed };
    // What was never told and does not fit is nobody's business; what is gone may have been loaded.
    if fits || is_gone || inner.store.is_with_target(&push.id, id)? {
        inner.store.note(&push.id, id, event, now)?;
    }
    Ok(())
}
