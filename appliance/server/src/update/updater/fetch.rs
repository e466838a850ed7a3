//! Bringing the bytes of a release: in blocks from whoever has them, or as one file from hawkBit.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use storebox_proto::ids::FeedId;
use storebox_proto::limits::RELEASES_MAX;
use storebox_proto::release::{Block, Index, Plan, Release};

use super::{StepError, Updater, lock};
use crate::env;
use crate::logging::chain;
use crate::replica::sources::Sources;
use crate::update::BlocksError;

/// After so long of fetching it is looked whether the release is still wanted.
const SLICE: Duration = Duration::from_secs(15);
/// The same where nothing is asked for anew.
const DOWNLOAD_SLICE: Duration = Duration::from_secs(5);
/// Blocks that are asked for at once: a quarter of a megabyte keeps a line busy whose answers take their time.
const AT_ONCE: usize = 8;
/// Blocks that are written together.
const BATCH: usize = 16;

impl Updater {
    /// Fetches what is missing, for a while; what has arrived stays.
    pub(super) async fn fetch(&mut self, release: &Release) -> Result<(), StepError> {
        if self.hawkbit.is_some() {
            return self.download(release).await;
        }
        let index = self.index(release).await?;
        self.blocks.turn_to(release.index)?;
        let blocks = self.blocks.clone();
        let mut plan = Plan::new(&index, &self.options.node, |name| blocks.contains(name));
        if plan.is_empty() {
            return self.assemble(release, index).await;
        }
        let end = env::instant() + SLICE;
        let (sources, mut under_way) = (self.sources.clone(), FuturesUnordered::new());
        let (mut arrived, mut failed) = (Vec::new(), None);
        loop {
            while under_way.len() < AT_ONCE && failed.is_none() && env::instant() < end {
                let Some(block) = plan.next_block() else { break };
                under_way.push(ask(sources.clone(), block));
            }
            let Some((block, answer)) = under_way.next().await else { break };
            match answer {
                Ok(bytes) => {
                    self.fetched_bytes += bytes.len() as u64;
                    arrived.push((block.name, bytes));
                }
                Err(error) => failed = Some(error),
            }
            if arrived.len() >= BATCH || under_way.is_empty() {
                let batch = std::mem::take(&mut arrived);
                let blocks = self.blocks.clone();
                let put = tokio::task::spawn_blocking(move || blocks.put(&batch));
                put.await.expect("a panic ends the process before it gets here")?;
                self.progress(&index, failed.is_none());
            }
        }
        failed.map_or(Ok(()), |error| Err(error.into()))
    }

    async fn download(&mut self, release: &Release) -> Result<(), StepError> {
        let Some(hawkbit) = &mut self.hawkbit else { return Ok(()) };
        let (told, fetched) = (Arc::clone(&self.told), &mut self.fetched_bytes);
        let part = self.folder.part(&release.id);
        let piece = |bytes, have| {
            *fetched += bytes;
            if let Some(told) = lock(&told).as_mut() {
                (told.have_bytes, told.fetched_bytes) = (have, *fetched);
                told.why.clear();
            }
        };
        match hawkbit.fetch(release, &part, DOWNLOAD_SLICE, piece).await {
            Ok(true) => {
                self.folder.complete(&release.id)?;
                self.whole = Some(release.id.clone());
                Ok(())
            }
            Ok(false) => Ok(()),
            Err(error) if error.is_final() => Err(self.give_up(release, error.into())),
            Err(error) => Err(error.into()),
        }
    }

    fn progress(&self, index: &Index, is_well: bool) {
        let have_bytes = self.blocks.have(index);
        if let Some(told) = lock(&self.told).as_mut() {
            (told.have_bytes, told.fetched_bytes) = (have_bytes, self.fetched_bytes);
            if is_well {
                told.why.clear();
            }
        }
    }

    /// The index of a release, fetched where it is not here.
    pub(super) async fn index(&mut self, release: &Release) -> Result<Index, StepError> {
        if let Some(index) = self.blocks.index(release.index) {
            return Ok(index);
        }
        let object = Block { name: release.index, bytes: release.index_bytes };
        let (_, bytes) = ask(self.sources.clone(), object).await;
        let bytes = bytes?;
        self.fetched_bytes += bytes.len() as u64;
        let read = Index::decode(&bytes).map_err(BlocksError::from).map_err(StepError::from);
        let index = read.and_then(|index| match index.bytes() == release.bytes {
            true => Ok(index),
            false => Err(StepError::Size { named: index.bytes(), signed: release.bytes }),
        });
        match index {
            Ok(index) => {
                self.blocks.put(&[(release.index, bytes)])?;
                Ok(index)
            }
            Err(error) => Err(self.give_up(release, error)),
        }
    }

    async fn assemble(&mut self, release: &Release, index: Index) -> Result<(), StepError> {
        let (blocks, signed, to) =
            (self.blocks.clone(), release.digest, self.folder.whole(&release.id));
        let put = tokio::task::spawn_blocking(move || blocks.assemble(&index, signed, &to));
        match put.await.expect("a panic ends the process before it gets here") {
            Ok(()) => {
                tracing::info!(release = release.id, "a release is here, whole");
                self.whole = Some(release.id.clone());
                Ok(())
            }
            Err(error @ BlocksError::Whole { .. }) => Err(self.give_up(release, error.into())),
            Err(error) => Err(error.into()),
        }
    }

    fn give_up(&mut self, release: &Release, error: StepError) -> StepError {
        let why = chain(&error);
        tracing::error!(release = release.id, error = why, "a release makes no whole");
        if self.broken.len() >= RELEASES_MAX {
            self.broken.pop_first();
        }
        self.broken.insert(release.index, (release.version, why));
        error
    }
}

/// One object of a release, from whoever is nearest; no head names it, so nobody is blamed who lacks it.
async fn ask(
    sources: Sources,
    block: Block,
) -> (Block, Result<Bytes, crate::replica::source::SourceError>) {
    let feed: FeedId = "releases".parse().expect("a literal that keeps the rule for feeds");
    let answer = sources.object(&feed, &block.name, block.bytes).await;
    (block, answer)
}
