//! Reading a generation back, and every check that tells whether it is whole.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use storebox_proto::feed::{SegmentEntry, model_digest};
use storebox_proto::ids::{FeedId, Hash32, ModelName, RecordId};
use storebox_proto::limits::RECORD_BYTES_MAX;
use storebox_proto::time::Timestamp;

use super::{DiskError, Header, LAST, MORE, ModelRow, REMOVED, VERSION};
use crate::db::model::{Range, totals};

/// What a generation's database holds.
pub(in crate::db) struct Loaded {
    pub(in crate::db) feed: FeedId,
    pub(in crate::db) epoch: u64,
    pub(in crate::db) revision: u64,
    pub(in crate::db) published: Timestamp,
    pub(in crate::db) models: BTreeMap<ModelName, LoadedModel>,
}

/// One model of it.
#[derive(Default)]
pub(in crate::db) struct LoadedModel {
    pub(in crate::db) segments: Vec<SegmentEntry>,
    pub(in crate::db) ranges: Vec<Range>,
    pub(in crate::db) overlay: BTreeMap<RecordId, Option<Bytes>>,
    pub(in crate::db) overlay_sum: u64,
}

pub(super) fn load(db: &sled::Db) -> Result<Loaded, DiskError> {
    let header = db.get(b"h")?.ok_or(DiskError::Damaged("it has no header"))?;
    let header: Header = parse(&header)?;
    if header.version != VERSION {
        return Err(DiskError::Damaged("its version is not known"));
    }
    let mut models = BTreeMap::new();
    for row in db.scan_prefix(b"m") {
        let (key, value) = row?;
        let model: ModelName = name(&key[1..])?;
        let loaded = one(db, &model, &parse(&value)?)?;
        models.insert(model, loaded);
    }
    if models.len() != header.models as usize {
        return Err(DiskError::Damaged("a model is missing"));
    }
    let Header { feed, epoch, revision, published, .. } = header;
    Ok(Loaded { feed, epoch, revision, published, models })
}

fn one(db: &sled::Db, model: &ModelName, row: &ModelRow) -> Result<LoadedModel, DiskError> {
    let mut loaded = LoadedModel { overlay_sum: row.overlay_sum, ..LoadedModel::default() };
    for entry in db.scan_prefix(prefix(b's', model)) {
        loaded.segments.push(parse(&entry?.1)?);
    }
    let base: Hash32 =
        model_digest(loaded.segments.iter().map(|entry| (&entry.digest, entry.count)));
    if base != row.base {
        return Err(DiskError::Damaged("the list of segments is not whole"));
    }
    for range in db.scan_prefix(prefix(b'r', model)) {
        loaded.ranges.push(parse(&range?.1)?);
    }
    if totals(&loaded.ranges) != (row.digest, row.count) {
        return Err(DiskError::Damaged("the list of ranges is not whole"));
    }
    loaded.overlay = overlay(db, model)?;
    if loaded.overlay.len() as u64 != row.overlay_len {
        return Err(DiskError::Damaged("changes are missing"));
    }
    Ok(loaded)
}

fn overlay(
    db: &sled::Db,
    model: &ModelName,
) -> Result<BTreeMap<RecordId, Option<Bytes>>, DiskError> {
    let broken = DiskError::Damaged("a change is not whole");
    let prefix = prefix(b'o', model);
    let mut overlay = BTreeMap::new();
    let mut open: Option<(RecordId, Vec<u8>)> = None;
    for row in db.scan_prefix(&prefix) {
        let (key, value) = row?;
        let id = key
            .get(prefix.len()..key.len().saturating_sub(3))
            .ok_or(DiskError::Damaged("a key is short"))?;
        let id: RecordId = name(id)?;
        let (mut body_id, mut body) = open.take().unwrap_or_else(|| (id.clone(), Vec::new()));
        if body_id != id {
            return Err(broken);
        }
        let (flag, part) = value.split_first().ok_or(DiskError::Damaged("a value is empty"))?;
        body.extend_from_slice(part);
        if body.len() > RECORD_BYTES_MAX {
            return Err(broken);
        }
        match *flag {
            MORE => open = Some((std::mem::replace(&mut body_id, id), body)),
            LAST => drop(overlay.insert(id, Some(Bytes::from(body)))),
            REMOVED => drop(overlay.insert(id, None)),
            _ => return Err(broken),
        }
    }
    if open.is_none() { Ok(overlay) } else { Err(broken) }
}

fn prefix(letter: u8, model: &ModelName) -> Vec<u8> {
    [&[letter], model.as_str().as_bytes(), &[0]].concat()
}

fn parse<T: DeserializeOwned>(value: &[u8]) -> Result<T, DiskError> {
    serde_json::from_slice(value)
        .map_err(|_| DiskError::Damaged("a value is not what it should be"))
}

fn name<T: std::str::FromStr>(bytes: &[u8]) -> Result<T, DiskError> {
    let text = std::str::from_utf8(bytes).ok().and_then(|text| text.parse().ok());
    text.ok_or(DiskError::Damaged("a key is not a name"))
}
