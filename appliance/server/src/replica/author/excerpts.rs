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
use storebox_proto::feed::{Head, HeadModel, Manifest, Registry};
use storebox_proto::ids::{ExcerptId, FeedId, Hash32, ModelName};
use storebox_proto::time::Timestamp;

use super::model::{Edition, OldRecords, Outcome};
use super::{Author, AuthorError, Published};
use crate::logging::chain;

/// What the rows of a model in an excerpt followed from: its manifest in the whole feed, and the mark of the sieve.
type Origin = (Hash32, Hash32);

/// What was looked through already; empty after a start, when everything is looked through once.
#[derive(Default)]
pub(super) struct Origins {
    rows: BTreeMap<(FeedId, ModelName), Origin>,
    /// By excerpt: what the mark of its sieve followed from, and that mark.
    pub(super) marks: BTreeMap<ExcerptId, (Hash32, Hash32)>,
}

/// An excerpt that is to be cut.
struct Cut<'a> {
    excerpt: &'a Excerpt,
    sieve: Sieve<'a>,
    /// What the mark of its sieve follows from: its rules, and the entries of the assortments.
    ground: Hash32,
}

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
        let entries = self.entries(&registry);
        let mut cuts: Vec<Cut<'_>> = Vec::new();
        for excerpt in &excerpts {
            let sieve = Sieve::new(excerpt, now);
            let listed = entries.as_ref().map_or(&[][..], |entry| &entry.manifest.0[..]);
            let ground = Hash32::of(&[sieve.mark().as_slice(), listed].concat());
            if !self.is_cut(excerpt, ground, &registry) {
                cuts.push(Cut { excerpt, sieve, ground });
            }
        }
        if let Err(error) = self.learn(&mut cuts, entries.as_ref()) {
            tracing::error!(error = %chain(&error), "excerpts by assortment stay as they were");
            cuts.retain(|cut| cut.excerpt.assortment_ids.is_empty());
        }
        let mut published = Vec::new();
        for cut in &cuts {
            for feed in cut.excerpt.feeds(&registry) {
                match self.cut_excerpt(cut, &feed, now) {
                    Ok(cut) => published.extend(cut),
                    Err(error) => {
                        let (excerpt, error) = (&cut.excerpt.id, chain(&error));
                        tracing::error!(%feed, %excerpt, error, "excerpt stays as it was");
                    }
                }
            }
        }
        published
    }

    /// Whether all that the excerpt follows from is what it was when it was cut.
    fn is_cut(&self, excerpt: &Excerpt, ground: Hash32, registry: &Registry) -> bool {
        let Some((known, mark)) = self.origins.marks.get(&excerpt.id) else { return false };
        let is_current = |whole: &FeedId| {
            let (Some(source), Some(feed)) = (self.head(whole), whole.with_excerpt(&excerpt.id))
            else {
                return true;
            };
            source.models.iter().all(|entry| self.is_looked_through(&feed, entry, *mark))
        };
        *known == ground && excerpt.feeds(registry).iter().all(is_current)
    }

    fn is_looked_through(&self, feed: &FeedId, entry: &HeadModel, mark: Hash32) -> bool {
        let origin = self.origins.rows.get(&(feed.clone(), entry.model.clone()));
        origin == Some(&(entry.manifest, mark))
    }

    fn cut_excerpt(
        &mut self,
        cut: &Cut<'_>,
        whole: &FeedId,
        now: Timestamp,
    ) -> Result<Option<Published>, AuthorError> {
        let id = &cut.excerpt.id;
        let (Some(source), Some(feed)) = (self.head(whole), whole.with_excerpt(id)) else {
            return Ok(None);
        };
        let mark = Hash32::of(&cut.sieve.mark());
        let old = self.head(&feed);
        let revision = old.as_ref().map_or(1, |head| head.revision + 1);
        let looked_through: Vec<bool> =
            source.models.iter().map(|entry| self.is_looked_through(&feed, entry, mark)).collect();
        let mut edition = Edition::new(&self.store, &mut self.packer, revision, old.is_some());
        let (mut changed, mut origins) = (Vec::new(), Vec::new());
        for (entry, looked_through) in source.models.iter().zip(looked_through) {
            let known = old.as_ref().and_then(|head| head.model(&entry.model));
            if known.is_some() && looked_through {
                continue;
            }
            let rows = edition.manifest(entry)?;
            let before = match known {
                Some(entry) => edition.manifest(entry)?,
                None => Manifest { model: entry.model.clone(), segments: Vec::new() },
            };
            match edition.edit_to(&before, || sifted(&self.store, &rows, &cut.sieve))? {
                Outcome::Same if known.is_some() => {}
                Outcome::Same => changed.push(before),
                Outcome::Changed(manifest) => changed.push(manifest),
            }
            origins.push(((feed.clone(), entry.model.clone()), (entry.manifest, mark)));
        }
        let written = edition.finish()?;
        let mut published = None;
        if !changed.is_empty() {
            let epoch = old.as_ref().map_or_else(|| self.new_epoch(now), |head| head.epoch);
            published = Some(self.put_out(&feed, old.as_deref(), epoch, changed, written, now)?);
        }
        // Only now: what was not committed has to be looked through again.
        self.origins.rows.extend(origins);
        self.origins.marks.insert(id.clone(), (cut.ground, mark));
        Ok(published)
    }

    /// Where the entries of the assortments are published.
    fn entries(&self, registry: &Registry) -> Option<HeadModel> {
        let model: ModelName = ENTRIES.parse().expect("the name of a built-in model");
        let head = self.head(&registry.get(&model)?.feed)?;
        head.model(&model).cloned()
    }

    /// Teaches all sieves the products of their assortments in one pass, one segment in memory at a time.
    fn learn(&self, cuts: &mut [Cut<'_>], entries: Option<&HeadModel>) -> Result<(), AuthorError> {
        let mut sieves: Vec<&mut Sieve<'_>> = cuts
            .iter_mut()
            .filter(|cut| !cut.excerpt.assortment_ids.is_empty())
            .map(|cut| &mut cut.sieve)
            .collect();
        // An assortment without entries has no products.
        sieves.iter_mut().for_each(|sieve| sieve.learn(std::iter::empty()));
        let Some(entry) = entries.filter(|_| !sieves.is_empty()) else { return Ok(()) };
        let manifest = super::model::manifest(&self.store, entry)?;
        for record in OldRecords::new(&self.store, &manifest) {
            let body = record?.body;
            sieves.iter_mut().for_each(|sieve| sieve.learn([body.as_ref()]));
        }
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
