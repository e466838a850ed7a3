//! Head office's side: turns checked imports into revisions.
//!
//! The author owns a signed head per feed and nothing else; segments, manifests and run pages lie in the segment store.
//! Writing the head is the commit: whatever was put on disk before it and is not named by it does not exist
//! for anybody and is swept later.
//! So a crash between any two steps leaves the previous head in service, whole.
//!
//! Invariants:
//! - one revision per import and feed, none if nothing changed;
//! - within an epoch revisions ascend by one, and the runs of a head lead from its horizon to its revision;
//! - a segment is written only if its content is new: an unchanged range keeps its segment;
//! - a head that cannot be read stops the author: an empty one in its place would empty the shops.

mod excerpts;
mod model;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use ed25519_dalek::SigningKey;
use storebox_proto::feed::head::{HeadError, VERSION};
use storebox_proto::feed::registry::{ESTATE, MODEL_OF_MODELS};
use storebox_proto::feed::segment::{DraftError, Packer};
use storebox_proto::feed::{
    Head, HeadModel, Manifest, ModelDef, Position, Record, Registry, Run, RunPage, SignedHead,
};
use storebox_proto::ids::{FeedId, Hash32, ModelName};
use storebox_proto::limits;
use storebox_proto::time::Timestamp;

use super::board::{Board, Posted};
use super::import::Import;
use super::sweep::{Holding, SweepError, Sweeper};
use crate::db::{SegmentStore, StoreError};
use crate::files;
use crate::logging::chain;

use model::{Edition, Outcome, Written};

/// How the author works.
#[derive(Debug, Clone)]
pub struct Options {
    /// The epoch of a feed that is published for the first time.
    pub epoch: u64,
    /// Compression, 0 to 9.
    pub level: u8,
    /// Runs that a head keeps.
    pub runs_max: usize,
    /// How long an object is kept after no head names it any more: a replica may be in the middle of fetching it.
    pub grace: Duration,
}

impl Options {
    /// The usual settings for an author whose new feeds begin in this epoch.
    pub fn new(epoch: u64) -> Self {
        Self { epoch, level: 6, runs_max: 256, grace: Duration::from_secs(3600) }
    }
}

/// The extension of a head.
const HEAD: &str = "head";
/// The extension of the second copy of a head.
const TWIN: &str = "twin";

/// Why something was not published, or the author not opened.
#[derive(Debug, thiserror::Error)]
pub enum AuthorError {
    /// A head on disk and its twin cannot be read or were not signed by this author's key.
    #[error("head {path} is not usable; restore it from a backup")]
    Head {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: HeadError,
    },
    /// The new head breaks a rule.
    #[error("sign the head of feed {feed}")]
    Sign {
        /// The feed.
        feed: FeedId,
        /// Why.
        #[source]
        source: HeadError,
    },
    /// A file cannot be read or written.
    #[error("access {path}")]
    File {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The segment store refuses.
    #[error("store segments")]
    Store(#[from] StoreError),
    /// The rows of the import cannot be read back.
    #[error("read the rows of the import")]
    Rows(#[source] io::Error),
    /// A record does not fit into a segment.
    #[error("cut model {model}")]
    Cut {
        /// The model.
        model: ModelName,
        /// Why.
        #[source]
        source: DraftError,
    },
    /// Something that the head names is missing or damaged.
    #[error("{what} {name} of model {model} is missing or damaged; import the whole model again")]
    Damaged {
        /// The model.
        model: ModelName,
        /// A segment or a manifest.
        what: &'static str,
        /// Its name.
        name: Hash32,
    },
    /// The model has more segments than a manifest may name.
    #[error("model {model} is too large: {reason}")]
    Large {
        /// The model.
        model: ModelName,
        /// The limit.
        reason: String,
    },
}

/// A revision that came of an import.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Published {
    /// The feed.
    #[schema(value_type = String)]
    pub feed: FeedId,
    /// Its new position.
    #[schema(value_type = String)]
    pub position: Position,
    /// Records changed or removed, per model.
    #[schema(value_type = std::collections::BTreeMap<String, u64>)]
    pub changes: BTreeMap<ModelName, u64>,
    /// Segments that had to be written anew.
    pub segments: u64,
}

/// The author of all feeds of this node.
pub struct Author {
    dir: PathBuf,
    store: SegmentStore,
    key: SigningKey,
    board: Board,
    options: Options,
    packer: Packer,
    sweeper: Sweeper,
    origins: excerpts::Origins,
}

impl Author {
    /// Opens the heads in a directory and posts them.
    pub fn open(
        dir: &Path,
        store: SegmentStore,
        key: SigningKey,
        board: Board,
        options: Options,
    ) -> Result<Self, AuthorError> {
        let refuse = |source| AuthorError::File { path: dir.to_owned(), source };
        std::fs::create_dir_all(dir).map_err(refuse)?;
        let mut heads = BTreeSet::new();
        for entry in std::fs::read_dir(dir).map_err(refuse)? {
            let path = entry.map_err(refuse)?.path();
            if path.extension().is_some_and(|ext| ext == HEAD || ext == TWIN) {
                heads.insert(path.with_extension(HEAD));
            }
        }
        for path in heads {
            let posted = read_either(&path, &key)?;
            board.post(&posted.head.feed.clone(), posted);
        }
        let packer = Packer::new(options.level);
        let (dir, sweeper) = (dir.to_owned(), Sweeper::new(Holding::Everything, options.grace));
        let origins = excerpts::Origins::default();
        Ok(Self { dir, store, key, board, options, packer, sweeper, origins })
    }

    /// The head of a feed, if anything was ever published in it.
    pub fn head(&self, feed: &FeedId) -> Option<Arc<Head>> {
        self.board.current(feed).filter(|posted| posted.is_of(feed)).map(|posted| posted.head)
    }

    /// The models that an import may have: the built-in ones and those that were published as masterdata.
    pub fn registry(&self) -> Result<Registry, AuthorError> {
        let estate: FeedId = ESTATE.parse().expect("the name of a built-in feed");
        let model: ModelName = MODEL_OF_MODELS.parse().expect("the name of a built-in model");
        let head = self.head(&estate);
        let Some(entry) = head.as_ref().and_then(|head| head.model(&model)) else {
            return Ok(Registry::built_in());
        };
        let records = model::published(&self.store, entry)?;
        let defs = records.iter().filter_map(|record| ModelDef::from_record(record).ok());
        // What was refused had been refused by the import too, before it was published.
        Ok(Registry::with(defs).0)
    }

    /// The records of a model as they were published.
    pub fn published(&self, feed: &FeedId, model: &ModelName) -> Result<Vec<Record>, AuthorError> {
        let head = self.head(feed);
        match head.as_ref().and_then(|head| head.model(model)) {
            Some(entry) => model::published(&self.store, entry),
            None => Ok(Vec::new()),
        }
    }

    /// Takes away what no head has named for the time of grace.
    pub fn sweep(&mut self, now: Instant) -> Result<u64, SweepError> {
        self.sweeper.sweep(&self.store, &self.board, now)
    }

    /// Publishes an import: one revision for each feed in which it changes something, in the order of the feeds.
    ///
    /// If the disk fails at a later feed, the earlier ones stay published; the same import again publishes the rest.
    pub fn publish(
        &mut self,
        import: &Import,
        now: Timestamp,
    ) -> Result<Vec<Published>, AuthorError> {
        let mut published = Vec::new();
        for feed in import.registry.feeds() {
            let models = models_of(&import.registry, &feed, import);
            if let Some(revision) = self.publish_feed(&feed, &models, import, now)? {
                published.push(revision);
            }
        }
        if !published.is_empty() {
            published.extend(self.cut_excerpts(now));
        }
        Ok(published)
    }

    fn publish_feed(
        &mut self,
        feed: &FeedId,
        models: &[ModelName],
        import: &Import,
        now: Timestamp,
    ) -> Result<Option<Published>, AuthorError> {
        if models.is_empty() {
            return Ok(None);
        }
        let old = self.head(feed);
        let revision = old.as_ref().map_or(1, |head| head.revision + 1);
        let mut edition = Edition::new(&self.store, &mut self.packer, revision, old.is_some());
        let mut changed = Vec::new();
        for model in models {
            let before = match old.as_ref().and_then(|head| head.model(model)) {
                Some(entry) => edition.manifest(entry)?,
                None => Manifest { model: model.clone(), segments: Vec::new() },
            };
            let is_new = old.as_ref().is_none_or(|head| head.model(model).is_none());
            match edition.edit(&before, &import.batch)? {
                Outcome::Same if !is_new => {}
                Outcome::Same => changed.push(before),
                Outcome::Changed(manifest) => changed.push(manifest),
            }
        }
        let written = edition.finish()?;
        if changed.is_empty() {
            return Ok(None);
        }
        let epoch = old.as_ref().map_or(self.options.epoch, |head| head.epoch);
        self.put_out(feed, old.as_deref(), epoch, changed, written, now).map(Some)
    }

    /// Names what was written in a new head, and commits that.
    fn put_out(
        &self,
        feed: &FeedId,
        old: Option<&Head>,
        epoch: u64,
        changed: Vec<Manifest>,
        written: Written,
        now: Timestamp,
    ) -> Result<Published, AuthorError> {
        let Written { pages, changes, segments } = written;
        let entries = changed.iter().map(|manifest| self.store_manifest(manifest));
        let entries = entries.collect::<Result<Vec<_>, _>>()?;
        let head = Head { epoch, ..self.next_head(feed, old, entries, pages, now) };
        let position = self.commit(head)?;
        Ok(Published { feed: feed.clone(), position, changes, segments })
    }

    fn store_manifest(&self, manifest: &Manifest) -> Result<HeadModel, AuthorError> {
        let model = manifest.model.clone();
        let refuse = |reason: String| AuthorError::Large { model: model.clone(), reason };
        manifest.check().map_err(|error| refuse(error.to_string()))?;
        let bytes = manifest.to_bytes().map_err(|error| refuse(error.to_string()))?;
        let manifest_bytes = u32::try_from(bytes.len()).expect("a manifest is at most 32 MB");
        let name = self.store.put(&bytes)?;
        let (count, digest) = (manifest.count(), manifest.digest());
        Ok(HeadModel { model, count, digest, manifest: name, manifest_bytes })
    }

    /// The head after these changes; without pages the history begins anew at this revision.
    fn next_head(
        &self,
        feed: &FeedId,
        old: Option<&Head>,
        entries: Vec<HeadModel>,
        pages: Vec<RunPage>,
        now: Timestamp,
    ) -> Head {
        let mut models: BTreeMap<ModelName, HeadModel> = BTreeMap::new();
        let before = old.map_or(&[][..], |head| &head.models);
        for entry in before.iter().cloned().chain(entries) {
            models.insert(entry.model.clone(), entry);
        }
        let revision = old.map_or(1, |head| head.revision + 1);
        let mut runs = Vec::new();
        if !pages.is_empty() {
            runs.extend(old.into_iter().flat_map(|head| head.runs.iter().cloned()));
            runs.push(Run { revision, pages });
        }
        let mut head = Head {
            version: VERSION,
            feed: feed.clone(),
            epoch: old.map_or(self.options.epoch, |head| head.epoch),
            revision,
            horizon: revision - runs.len() as u64,
            published: now,
            models: models.into_values().collect(),
            runs,
        };
        self.retain(&mut head);
        head
    }

    /// Drops the oldest runs while there are more than the records themselves are worth.
    fn retain(&self, head: &mut Head) {
        let records: u64 = head.models.iter().map(|model| model.count).sum();
        let worth = records.max(limits::CHANGES_ALWAYS_TAKEN);
        let runs_max = self.options.runs_max.min(limits::HEAD_RUNS_MAX);
        let size = |run: &Run| run.pages.iter().map(|page| u64::from(page.count)).sum::<u64>();
        let mut total: u64 = head.runs.iter().map(size).sum();
        let mut drop = 0;
        while head.runs.len() - drop > runs_max || (total > worth && drop < head.runs.len()) {
            total -= size(&head.runs[drop]);
            drop += 1;
        }
        head.runs.drain(..drop);
        head.horizon += drop as u64;
    }

    /// Signs the head, makes it durable and offers it; this is the moment at which the revision begins to exist.
    fn commit(&self, mut head: Head) -> Result<Position, AuthorError> {
        let signed = loop {
            match SignedHead::sign(&head, &self.key) {
                Ok(signed) => break signed,
                Err(HeadError::Large { .. }) if !head.runs.is_empty() => {
                    let drop = head.runs.len().div_ceil(2);
                    head.runs.drain(..drop);
                    head.horizon += drop as u64;
                }
                Err(source) => return Err(AuthorError::Sign { feed: head.feed, source }),
            }
        };
        let bytes = serde_json::to_vec(&signed).expect("a signed head is three strings");
        let path = self.dir.join(format!("{}.{HEAD}", head.feed));
        // The only file here that cannot be made again from others; the twin first, so that it is never the older one.
        for path in [path.with_extension(TWIN), path] {
            files::replace(&path, &bytes, files::PUBLIC)
                .map_err(|source| AuthorError::File { path, source })?;
        }
        let (position, feed) = (head.position(), head.feed.clone());
        self.board.post(&feed, Posted { head: Arc::new(head), bytes: Bytes::from(bytes) });
        tracing::info!(%feed, revision = position.revision, epoch = position.epoch, "published");
        Ok(position)
    }
}

/// The models of the feed that the import touches, in load order.
fn models_of(registry: &Registry, feed: &FeedId, import: &Import) -> Vec<ModelName> {
    let touched: Vec<&ModelName> = import.batch.models().collect();
    let names = registry.of_feed(feed).map(|def| &def.name);
    names.filter(|name| touched.contains(name)).cloned().collect()
}

/// A head, or its twin if it is damaged, gone or not to be read; then both are whole again.
fn read_either(path: &Path, key: &SigningKey) -> Result<Posted, AuthorError> {
    let unusable = match read_head(path, key) {
        Ok(posted) => return Ok(posted),
        Err(error) => error,
    };
    let twin = path.with_extension(TWIN);
    let Ok(posted) = read_head(&twin, key) else { return Err(unusable) };
    let (file, error) = (path.display(), chain(&unusable));
    tracing::warn!(%file, error, "a head was restored from its twin");
    files::replace(path, &posted.bytes, files::PUBLIC)
        .map_err(|source| AuthorError::File { path: path.to_owned(), source })?;
    Ok(posted)
}

fn read_head(path: &Path, key: &SigningKey) -> Result<Posted, AuthorError> {
    let bytes = std::fs::read(path)
        .map_err(|source| AuthorError::File { path: path.to_owned(), source })?;
    let head = SignedHead::parse(&bytes)
        .and_then(|signed| signed.open(&[key.verifying_key()]))
        .map_err(|source| AuthorError::Head { path: path.to_owned(), source })?;
    Ok(Posted { head: Arc::new(head), bytes: Bytes::from(bytes) })
}

#[cfg(test)]
mod tests;
