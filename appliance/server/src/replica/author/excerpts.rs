//! Excerpts: feeds cut out of the feeds of this author for stores that need a part of them.
//!
//! An excerpt follows from what is published, from its definition and from the day, and from nothing else.
//! So it is made by looking at the whole again, whatever has changed: a row that comes into an assortment is a change
//! of the excerpt like one that head office wrote, and a definition that changes needs no care of its own.
//! Models are looked through only where they, the products of the assortments or the rules are others than last time.
//!
//! Invariants:
//! - the epoch of an excerpt is that of no other feed of this author, so no position of one is taken for another's;
//! - an excerpt that cannot be made stays at its last revision, and what it was cut from is published all the same.

use std::collections::BTreeMap;

use storebox_proto::estate::excerpt::{ENTRIES, EXCERPT, Excerpt, Sieve};
use storebox_proto::feed::registry::ESTATE;
use storebox_proto::feed::{Head, Manifest, Registry};
use storebox_proto::ids::{FeedId, Hash32, ModelName};
use storebox_proto::time::Timestamp;

use super::model::{Edition, OldRecords, Outcome};
use super::{Author, AuthorError, Published};
use crate::replica::refresher::chain;

/// What the rows of a model in an excerpt followed from: its manifest in the whole feed, and the mark of the sieve.
type Origin = (Hash32, Hash32);

/// What was looked through already; empty after a start, when everything is looked through once.
pub(super) type Origins = BTreeMap<(FeedId, ModelName), Origin>;

impl Author {
    /// The excerpts that are defined, by name.
    pub fn excerpts(&self) -> Result<Vec<Excerpt>, AuthorError> {
        let estate: FeedId = ESTATE.parse().expect("the name of a built-in feed");
        let model: ModelName = EXCERPT.parse().expect("the name of a built-in model");
        let records = self.published(&estate, &model)?;
        let read = |record: &storebox_proto::feed::Record| {
            Excerpt::read(&serde_json::from_slice(&record.body).ok()?).ok()
        };
        Ok(records.iter().filter_map(read).collect())
    }

    /// Cuts all excerpts anew where what they follow from has changed.
    pub fn cut_excerpts(&mut self, now: Timestamp) -> Vec<Published> {
        let defined = self.registry().and_then(|registry| Ok((registry, self.excerpts()?)));
        let (registry, excerpts) = match defined {
            Ok(defined) => defined,
            Err(error) => {
                tracing::error!(error = %chain(&error), "excerpts cannot be read");
                return Vec::new();
            }
        };
        let mut published = Vec::new();
        for excerpt in &excerpts {
            for feed in excerpt.feeds(&registry) {
                match self.cut_excerpt(excerpt, &feed, &registry, now) {
                    Ok(cut) => published.extend(cut),
                    Err(error) => {
                        let (excerpt, error) = (&excerpt.id, chain(&error));
                        tracing::error!(%feed, %excerpt, error, "excerpt stays as it was");
                    }
                }
            }
        }
        published
    }

    fn cut_excerpt(
        &mut self,
        excerpt: &Excerpt,
        whole: &FeedId,
        registry: &Registry,
        now: Timestamp,
    ) -> Result<Option<Published>, AuthorError> {
        let (Some(source), Some(feed)) = (self.head(whole), whole.with_excerpt(&excerpt.id)) else {
            return Ok(None);
        };
        let mut sieve = Sieve::new(excerpt, now);
        self.learn(&mut sieve, registry)?;
        let mark = Hash32::of(&sieve.mark());
        let old = self.head(&feed);
        let revision = old.as_ref().map_or(1, |head| head.revision + 1);
        let mut edition = Edition::new(&self.store, &mut self.packer, revision, old.is_some());
        let (mut changed, mut origins) = (Vec::new(), Vec::new());
        for entry in &source.models {
            let origin = ((feed.clone(), entry.model.clone()), (entry.manifest, mark));
            let known = old.as_ref().and_then(|head| head.model(&entry.model));
            if known.is_some() && self.origins.get(&origin.0) == Some(&origin.1) {
                continue;
            }
            let rows = edition.manifest(entry)?;
            let before = match known {
                Some(entry) => edition.manifest(entry)?,
                None => Manifest { model: entry.model.clone(), segments: Vec::new() },
            };
            match edition.edit_to(&before, || sifted(&self.store, &rows, &sieve))? {
                Outcome::Same if known.is_some() => {}
                Outcome::Same => changed.push(before),
                Outcome::Changed(manifest) => changed.push(manifest),
            }
            origins.push(origin);
        }
        let written = edition.finish()?;
        self.origins.extend(origins);
        if changed.is_empty() {
            return Ok(None);
        }
        let epoch = old.as_ref().map_or_else(|| self.new_epoch(now), |head| head.epoch);
        self.put_out(&feed, old.as_deref(), epoch, changed, written, now).map(Some)
    }

    /// The products of the assortments, wherever their entries are published.
    fn learn(&self, sieve: &mut Sieve<'_>, registry: &Registry) -> Result<(), AuthorError> {
        let model: ModelName = ENTRIES.parse().expect("the name of a built-in model");
        let head = registry.get(&model).and_then(|def| self.head(&def.feed));
        let mut bodies = Vec::new();
        if let Some(entry) = head.as_ref().and_then(|head| head.model(&model)) {
            let manifest = super::model::manifest(&self.store, entry)?;
            for record in OldRecords::new(&self.store, &manifest) {
                bodies.push(record?.body);
            }
        }
        sieve.learn(bodies.iter().map(AsRef::as_ref));
        Ok(())
    }

    /// Later than every epoch of this author, and believable as a time of birth.
    fn new_epoch(&self, now: Timestamp) -> u64 {
        let heads = self.board.feeds().into_iter().filter_map(|feed| self.head(&feed));
        let last = heads.map(|head: std::sync::Arc<Head>| head.epoch).max().unwrap_or(0);
        let seconds = u64::try_from(now.unix_ms() / 1000).unwrap_or(0);
        seconds.max(last + 1)
    }
}

fn sifted<'a>(
    store: &'a crate::db::SegmentStore,
    rows: &'a Manifest,
    sieve: &'a Sieve<'_>,
) -> impl Iterator<Item = super::model::NewRow> + 'a {
    OldRecords::new(store, rows).filter_map(|record| match record {
        Ok(record) if sieve.takes(&rows.model, &record.id, &record.body) => {
            Some(Ok((record.id, Some(record.body))))
        }
        Ok(_) => None,
        Err(error) => Some(Err(error)),
    })
}
