//! Puts the feeds of this node on storage, so that boxes which reach nothing else read them there.
//!
//! Objects first, the head last: whoever reads in between has the old head, and all that it names is still there.
//! A head that is newer, or signed by another author, is never overwritten: it is somebody else's publication.
//! What no head names any more is removed after a day, since a slow reader may be in the middle of it.
//! Sealed storage is written anew with each generation of its ring; what the former one had sealed goes when that
//! no longer opens.
//!
//! Dropped at an await, it leaves objects that the next attempt finds there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use ed25519_dalek::VerifyingKey;
use futures_util::future::select_all;
use futures_util::{StreamExt, stream};
use serde::{Deserialize, Serialize};
use storebox_proto::feed::registry::ESTATE;
use storebox_proto::feed::{Head, Manifest, Position, SignedHead};
use storebox_proto::ids::{FeedId, Hash32};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::board::{Board, Posted};
use super::refresher::chain;
use super::source::SIGNED_HEAD_BYTES_MAX;
use super::storage::{Storage, StorageError, head_path, object_path};
use crate::db::{SegmentStore, StoreError};
use crate::{env, files, logging};

/// Files that are written at the same time.
const WRITES_MAX: usize = 4;
/// How long an object stays that no head names.
const GRACE_MS: i64 = 24 * 3600 * 1000;
/// How long a publication stays that was sealed with a former key, or not at all.
const FORMER_MS: i64 = 48 * 3600 * 1000;
const RETRY_MIN: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(60);

/// Why a publication is not complete; what was there before is unharmed.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The storage does not take it.
    #[error("write to the storage")]
    Storage(#[from] StorageError),
    /// What the head names cannot be read here.
    #[error("read what feed {feed} names")]
    Read {
        /// The feed.
        feed: FeedId,
        /// Why.
        #[source]
        source: StoreError,
    },
    /// The blocks of releases cannot be read here.
    #[error("read the blocks of releases")]
    Blocks(#[source] StoreError),
    /// An object is damaged here.
    #[error("object {name} of feed {feed} is damaged here")]
    Damaged {
        /// The feed.
        feed: FeedId,
        /// Its name.
        name: Hash32,
    },
    /// The storage holds a newer publication.
    #[error("feed {feed} is at {there} on the storage, newer than {here}")]
    Newer {
        /// The feed.
        feed: FeedId,
        /// What the storage holds.
        there: Position,
        /// What is here.
        here: Position,
    },
    /// The storage holds somebody else's publication.
    #[error("feed {feed} on the storage is signed by another author")]
    Foreign {
        /// The feed.
        feed: FeedId,
    },
}

/// What a publication came to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Publication {
    /// Where each feed stands there, by name.
    #[schema(value_type = Object)]
    pub feeds: BTreeMap<FeedId, Position>,
    /// Objects that were written.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// How a standing publication is.
#[derive(Debug, Clone, Default)]
pub struct Standing {
    /// Where each feed stood there when it was seen or written last, whatever became of the others.
    pub feeds: BTreeMap<FeedId, Position>,
    /// Why the last attempt was not complete.
    pub error: Option<String>,
    /// Whether there was an attempt; before its end nothing is known.
    pub is_known: bool,
}

/// What is known to be there, and since when no head has named it.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Memory {
    objects: BTreeMap<Hash32, Option<i64>>,
    /// The key with which they are sealed.
    #[serde(default)]
    tag: Option<String>,
    /// Files of former keys, and since when.
    #[serde(default)]
    former: BTreeMap<String, i64>,
}

/// What has to be there before a head is, with its length if that is written down.
type Wanted = BTreeMap<Hash32, Option<u64>>;

/// Writes to one storage.
pub struct Publisher {
    storage: Storage,
    board: Board,
    segments: SegmentStore,
    /// Blocks of releases, all of which are on offer.
    blocks: Option<SegmentStore>,
    keys: Vec<VerifyingKey>,
    memory_file: Option<PathBuf>,
    memory: Memory,
    /// Where each feed was seen or brought last.
    there: BTreeMap<FeedId, Position>,
    standing: watch::Sender<Standing>,
}

impl Publisher {
    /// A publisher of what is on this board, signed by one of these keys.
    pub fn new(
        storage: Storage,
        board: Board,
        segments: SegmentStore,
        keys: Vec<VerifyingKey>,
    ) -> Self {
        let (memory, standing) = (Memory::default(), watch::Sender::default());
        let storage = storage.for_writing();
        let (blocks, memory_file, there) = (None, None, BTreeMap::new());
        Self { storage, board, segments, blocks, keys, memory_file, memory, there, standing }
    }

    /// Publishes these blocks of releases as well.
    #[must_use]
    pub fn with_blocks(self, blocks: SegmentStore) -> Self {
        Self { blocks: Some(blocks), ..self }
    }

    /// Remembers in this file what is there, so that it need not be asked for each object.
    pub fn remembering(mut self, file: &Path) -> Self {
        let stored = std::fs::read(file).ok();
        self.memory =
            stored.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
        self.memory_file = Some(file.to_owned());
        self
    }

    /// How it is going.
    pub fn standing(&self) -> watch::Receiver<Standing> {
        self.standing.subscribe()
    }

    /// Publishes whatever comes, until it is told to stop.
    pub async fn run(mut self, shutdown: CancellationToken) {
        shutdown.clone().run_until_cancelled(self.publish_for_ever()).await;
    }

    async fn publish_for_ever(&mut self) {
        let mut pause = RETRY_MIN;
        loop {
            let mut watches: Vec<_> =
                self.board.feeds().iter().filter_map(|feed| self.board.watch(feed)).collect();
            watches.iter_mut().for_each(watch::Receiver::mark_unchanged);
            match self.publish().await {
                Ok(publication) => {
                    if publication.objects > 0 {
                        let (objects, bytes) = (publication.objects, publication.bytes);
                        tracing::info!(tier = self.storage.name(), objects, bytes, "published");
                    }
                    self.tell(None);
                    pause = RETRY_MIN;
                    let moved = select_all(watches.iter_mut().map(|one| Box::pin(one.changed())));
                    // A feed that is new has no watch yet.
                    let _ = tokio::time::timeout(RETRY_MAX, moved).await;
                }
                Err(error) => {
                    let error = chain(&error);
                    tracing::warn!(tier = self.storage.name(), error, "feeds are not published");
                    self.tell(Some(error));
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(RETRY_MAX);
                }
            }
        }
    }

    fn tell(&self, error: Option<String>) {
        let feeds = self.there.clone();
        self.standing.send_replace(Standing { feeds, error, is_known: true });
    }

    /// Brings the storage to where the board is; a feed that fails does not keep the others away.
    pub async fn publish(&mut self) -> Result<Publication, PublishError> {
        let mut done = Publication::default();
        let (mut named, mut failed) = (BTreeSet::new(), None);
        self.turn_over()?;
        for feed in self.board.feeds() {
            let Some(posted) = self.board.current(&feed) else { continue };
            let feed = posted.head.feed.clone();
            match self.publish_one(&feed, &posted, &mut done).await {
                Ok(wanted) => {
                    named.extend(wanted.into_keys());
                    done.feeds.insert(feed, posted.position());
                }
                Err(error) => {
                    tracing::warn!(%feed, error = %logging::chain(&error), "a feed is not published");
                    failed.get_or_insert(error);
                }
            }
        }
        // The other heads are there under the key of now.
        let marked = self.storage.mark().await;
        if let Some(error) = failed {
            // Nothing is swept: what the feed names that failed is not known to be named.
            self.remember();
            return Err(error);
        }
        marked?;
        self.sweep(&named).await?;
        self.remember();
        Ok(done)
    }

    async fn publish_one(
        &mut self,
        feed: &FeedId,
        posted: &Posted,
        done: &mut Publication,
    ) -> Result<Wanted, PublishError> {
        let wanted = self.objects_of(feed, &posted.head).await?;
        self.publish_feed(feed, posted, &wanted, done).await?;
        Ok(wanted)
    }

    /// Brings one feed there: what its head names, then the head.
    async fn publish_feed(
        &mut self,
        feed: &FeedId,
        posted: &Posted,
        wanted: &Wanted,
        done: &mut Publication,
    ) -> Result<(), PublishError> {
        let here = posted.position();
        let there = self.look(feed).await?;
        if let Some(there) = there.filter(|there| *there > here) {
            return Err(PublishError::Newer { feed: feed.clone(), there, here });
        }
        if there.is_none() {
            // Somebody emptied it: what was there is not.
            self.memory.objects.retain(|name, _| !wanted.contains_key(name));
        }
        let is_there = there == Some(here);
        // A head that is there says that all it names is, and nothing of blocks, which its records name.
        let is_known = |(name, bytes): &(&Hash32, &Option<u64>)| {
            self.memory.objects.contains_key(name) || is_there && bytes.is_some()
        };
        let missing = wanted.iter().filter(|object| !is_known(object));
        let missing: Vec<(Hash32, Option<u64>)> =
            missing.map(|(name, bytes)| (*name, *bytes)).collect();
        let (storage, stores) = (&self.storage, (&self.segments, self.blocks.as_ref()));
        let mut writes = stream::iter(missing)
            .map(|(name, bytes)| put(storage, stores, feed, name, bytes))
            .buffer_unordered(WRITES_MAX);
        let mut written = Vec::new();
        while let Some(result) = writes.next().await {
            let (name, bytes) = result?;
            done.objects += u64::from(bytes > 0);
            done.bytes += bytes;
            written.push(name);
        }
        drop(writes);
        self.memory.objects.extend(written.into_iter().map(|name| (name, None)));
        if !is_there {
            self.storage.write(&head_path(feed), &posted.bytes).await?;
            self.there.insert(feed.clone(), here);
        }
        Ok(())
    }

    /// Where the storage stands, which is remembered for the status; what cannot be asked stays as it was seen last.
    async fn look(&mut self, feed: &FeedId) -> Result<Option<Position>, PublishError> {
        let there = self.head_there(feed).await;
        match &there {
            Ok(Some(at)) => drop(self.there.insert(feed.clone(), *at)),
            Ok(None) | Err(PublishError::Foreign { .. }) => drop(self.there.remove(feed)),
            Err(_) => {}
        }
        there
    }

    /// Where the storage stands; a head that is damaged counts as none.
    async fn head_there(&self, feed: &FeedId) -> Result<Option<Position>, PublishError> {
        let bytes = self.storage.read(&head_path(feed), SIGNED_HEAD_BYTES_MAX).await?;
        let Some(signed) = bytes.and_then(|bytes| SignedHead::parse(&bytes).ok()) else {
            return Ok(None);
        };
        match signed.open(&self.keys) {
            Ok(head) if head.feed == *feed => Ok(Some(head.position())),
            Ok(_) | Err(_) => Err(PublishError::Foreign { feed: feed.clone() }),
        }
    }

    /// Everything that has to be there before the head is; with the estate, the blocks of releases.
    async fn objects_of(&self, feed: &FeedId, head: &Head) -> Result<Wanted, PublishError> {
        let mut objects = Wanted::new();
        if let Some(blocks) = self.blocks.clone().filter(|_| feed.as_str() == ESTATE) {
            let names = tokio::task::spawn_blocking(move || blocks.names());
            let names = names.await.expect("a panic ends the process before it gets here");
            objects
                .extend(names.map_err(PublishError::Blocks)?.into_iter().map(|name| (name, None)));
        }
        let pages = head.runs.iter().flat_map(|run| &run.pages);
        objects.extend(pages.map(|page| (page.name, Some(u64::from(page.bytes)))));
        for model in &head.models {
            let name = model.manifest;
            objects.insert(name, Some(u64::from(model.manifest_bytes)));
            let bytes = self.segments.read(name);
            let bytes =
                bytes.map_err(|source| PublishError::Read { feed: feed.clone(), source })?;
            let manifest = Manifest::parse(&bytes);
            let damaged = |_| PublishError::Damaged { feed: feed.clone(), name };
            let segments = manifest.map_err(damaged)?.segments;
            let sized = segments.iter().map(|entry| (entry.name, Some(u64::from(entry.bytes))));
            objects.extend(sized);
        }
        Ok(objects)
    }

    /// Leaves behind what was written with another key than that of now.
    fn turn_over(&mut self) -> Result<(), PublishError> {
        let tag = self.storage.tag()?;
        if self.memory.tag == tag {
            return Ok(());
        }
        let now = env::believable().unix_ms();
        let objects = std::mem::take(&mut self.memory.objects);
        if !objects.is_empty() {
            let heads = self.board.feeds().into_iter().map(|feed| head_path(&feed));
            let paths = objects.keys().map(object_path).chain(heads);
            let before = self.memory.tag.as_deref();
            let places = paths.filter_map(|path| self.storage.place_under(before, &path));
            self.memory.former.extend(places.map(|place| (place, now)));
        }
        self.memory.tag = tag;
        Ok(())
    }

    /// Removes what no head has named for a day, and what a former key had sealed.
    async fn sweep(&mut self, named: &BTreeSet<Hash32>) -> Result<(), PublishError> {
        let now = env::believable().unix_ms();
        let mut old = Vec::new();
        for (name, since) in &mut self.memory.objects {
            *since = if named.contains(name) { None } else { since.or(Some(now)) };
            if since.is_some_and(|since| now - since >= GRACE_MS) {
                old.push(*name);
            }
        }
        for name in old {
            self.storage.remove(&object_path(&name)).await?;
            self.memory.objects.remove(&name);
        }
        let is_over = |(_, since): &(&String, &i64)| now - **since >= FORMER_MS;
        let over: Vec<_> =
            self.memory.former.iter().filter(is_over).map(|(place, _)| place.clone()).collect();
        for place in over {
            self.storage.remove_as_is(&place).await?;
            self.memory.former.remove(&place);
        }
        Ok(())
    }

    fn remember(&self) {
        let Some(file) = &self.memory_file else { return };
        let bytes = serde_json::to_vec(&self.memory).expect("hashes and numbers are JSON");
        if let Err(error) = files::replace(file, &bytes, files::PUBLIC) {
            tracing::warn!(error = %error, "what was published cannot be remembered");
        }
    }
}

/// Writes one object, unless it is there in its whole length; how many bytes went over the line.
async fn put(
    storage: &Storage,
    (segments, blocks): (&SegmentStore, Option<&SegmentStore>),
    feed: &FeedId,
    name: Hash32,
    bytes: Option<u64>,
) -> Result<(Hash32, u64), PublishError> {
    let path = object_path(&name);
    if bytes.is_some() && storage.size(&path).await? == bytes {
        return Ok((name, 0));
    }
    let (segments, blocks) = (segments.clone(), blocks.cloned());
    let read = tokio::task::spawn_blocking(move || match (segments.read(name), blocks) {
        (Err(StoreError::Missing { .. }), Some(blocks)) => blocks.read(name),
        (read, _) => read,
    });
    let read: Result<Bytes, StoreError> =
        read.await.expect("a panic ends the process before it gets here");
    let content = read.map_err(|source| PublishError::Read { feed: feed.clone(), source })?;
    // Whoever reads it there would refuse it, and it would stay there under this name.
    if Hash32::of(&content) != name {
        return Err(PublishError::Damaged { feed: feed.clone(), name });
    }
    // The length of a block is written down nowhere.
    let length = content.len() as u64;
    if bytes.is_none() && storage.size(&path).await? == Some(length) {
        return Ok((name, 0));
    }
    storage.write(&path, &content).await?;
    Ok((name, length))
}

#[cfg(test)]
mod tests;
