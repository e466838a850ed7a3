//! Head office's side: a bundle becomes blocks and a record, and the record says how far it has come.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use storebox_proto::limits::RELEASES_MAX;
use storebox_proto::release::{self, Fault, Release, State, Version};
use storebox_proto::rings::EVERYONE;

use super::{Blocks, BlocksError, indexes, offered, rings};
use crate::blocking::beside;
use crate::env;
use crate::logging::chain;
use crate::masterdata::Masterdata;
use crate::replica::import::Weeks;
use crate::replica::office::{Office, OfficeError, Order};

/// What was published is read back within this.
const VISIBLE_MAX: Duration = Duration::from_secs(20);
/// A ring that was imported is read within this.
const RING_VISIBLE_MAX: Duration = Duration::from_secs(3);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A bundle that is to be offered.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewRelease {
    /// The bundle on this node's disk, by its absolute path.
    #[schema(value_type = String)]
    pub file: PathBuf,
    /// Its version.
    #[schema(value_type = String)]
    pub version: Version,
    /// The kind of machine it is for.
    pub board: String,
    /// The ring that gets it first.
    pub ring: String,
    /// After so many boxes on which it failed it halts by itself; 0: never.
    pub failures_max: u32,
    /// Who lets it be installed, as `storebox-image approve` wrote it; empty: nobody has to.
    #[serde(default)]
    pub approval: String,
}

/// What is to become of a release.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case", tag = "act", deny_unknown_fields)]
pub enum Change {
    /// The next ring gets it, or the one that is named.
    Promote {
        /// Which.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ring: Option<String>,
    },
    /// Nobody installs it any more.
    Halt {
        /// Why.
        why: String,
    },
    /// It goes on where it was halted.
    Resume {
        /// After so many boxes on which it failed, those before counted, it halts by itself again; without it never.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        failures_max: Option<u32>,
    },
    /// It is taken away, with all its bytes.
    Withdraw,
}

/// Why nothing was done.
#[derive(Debug, thiserror::Error)]
pub enum ShelfError {
    /// The bundle cannot be taken in.
    #[error(transparent)]
    Blocks(#[from] BlocksError),
    /// The path is not absolute.
    #[error("field file: must be an absolute path")]
    Path,
    /// What is said of it makes no sense.
    #[error("field {0}")]
    Field(Fault),
    /// Nobody has defined the ring.
    #[error("field ring: no ring is called {ring:?}")]
    Ring {
        /// What was asked for.
        ring: String,
    },
    /// There is another bundle of this version.
    #[error(
        "release {id} is on offer with other content; withdraw it, or give the new one a new version"
    )]
    Taken {
        /// Its id.
        id: String,
    },
    /// There are as many as there may be.
    #[error("{RELEASES_MAX} releases are on offer; withdraw one first")]
    Full,
    /// There is none of this id.
    #[error("no release is called {id:?}")]
    Unknown {
        /// What was asked for.
        id: String,
    },
    /// Everybody has it already.
    #[error("release {id} has reached every ring")]
    Last {
        /// Its id.
        id: String,
    },
    /// The record cannot be published.
    #[error("publish the release")]
    Office(#[from] OfficeError),
    /// The record was published and is not read yet.
    #[error("the release was published and is not visible yet; look again")]
    NotVisible,
}

/// The releases of a chain; a cheap handle.
#[derive(Clone)]
pub struct Shelf {
    office: Office,
    masterdata: Masterdata,
    blocks: Blocks,
    /// One change at a time: what is read of the shelf holds until the change is published, and nothing sweeps the
    /// blocks of a bundle whose record is still to come.
    turn: Arc<tokio::sync::Mutex<()>>,
}

impl Shelf {
    /// What this office publishes, with these blocks.
    pub fn new(office: Office, masterdata: Masterdata, blocks: Blocks) -> Self {
        Self { office, masterdata, blocks, turn: Arc::default() }
    }

    /// All releases, the newest first.
    pub fn list(&self) -> Vec<Release> {
        let mut releases = offered(&self.masterdata);
        releases.sort_by(|a, b| (b.version, &b.board).cmp(&(a.version, &a.board)));
        releases
    }

    /// Takes a bundle in and offers it; tells how many bytes no earlier release has.
    ///
    /// Dropped at an await, it leaves blocks that the next attempt finds.
    pub async fn add(&self, new: NewRelease) -> Result<(Release, u64), ShelfError> {
        if !new.file.is_absolute() {
            return Err(ShelfError::Path);
        }
        self.check_ring(&new.ring).await?;
        let _turn = self.turn.lock().await;
        let known = self.list();
        let id = Release::id_of(&new.board, new.version);
        let before = known.iter().find(|release| release.id == id).cloned();
        if before.is_none() && known.len() >= RELEASES_MAX {
            return Err(ShelfError::Full);
        }
        let (blocks, file) = (self.blocks.clone(), new.file.clone());
        let cut = beside(move || blocks.cut(&file)).await?;
        let release = Release {
            id,
            version: new.version,
            board: new.board,
            bytes: cut.bytes,
            digest: cut.digest,
            index: cut.index,
            index_bytes: cut.index_bytes,
            ring: new.ring,
            state: State::Offered,
            failures_max: new.failures_max,
            why: String::new(),
            approval: new.approval,
        };
        release.check().map_err(ShelfError::Field)?;
        match before {
            Some(before) if before.digest == release.digest => {
                return self.renew(before, release.approval).await;
            }
            Some(before) => return Err(ShelfError::Taken { id: before.id }),
            None => {}
        }
        self.publish(&release).await?;
        tracing::info!(release = release.id, ring = release.ring, "a release is on offer");
        Ok((release, cut.new_bytes))
    }

    /// The same bundle again: a new approval takes the place of the one before, and nothing else changes.
    async fn renew(&self, before: Release, approval: String) -> Result<(Release, u64), ShelfError> {
        if approval.is_empty() || approval == before.approval {
            return Ok((before, 0));
        }
        let renewed = Release { approval, ..before };
        self.publish(&renewed).await?;
        Ok((renewed, 0))
    }

    /// Lets a release come further, halts it or takes it away.
    pub async fn change(&self, id: &str, change: Change) -> Result<Release, ShelfError> {
        let _turn = self.turn.lock().await;
        let known = self.list().into_iter().find(|release| release.id == id);
        let release = known.ok_or_else(|| ShelfError::Unknown { id: id.to_owned() })?;
        self.change_to(release, change).await
    }

    async fn change_to(&self, mut release: Release, change: Change) -> Result<Release, ShelfError> {
        match change {
            Change::Promote { ring: Some(ring) } => {
                self.check_ring(&ring).await?;
                release.ring = ring;
            }
            Change::Promote { ring: None } => {
                let rings = rings(&self.masterdata);
                let next = rings.next(&release.ring);
                release.ring =
                    next.ok_or_else(|| ShelfError::Last { id: release.id.clone() })?.to_owned();
            }
            Change::Halt { why } => (release.state, release.why) = (State::Halted, why),
            Change::Resume { failures_max } => {
                (release.state, release.why) = (State::Offered, String::new());
                // The boxes on which it failed still say so: it would halt at the next look.
                release.failures_max = failures_max.unwrap_or(0);
            }
            Change::Withdraw => return self.withdraw(release).await,
        }
        release.check().map_err(ShelfError::Field)?;
        self.publish(&release).await?;
        tracing::info!(
            release = release.id,
            ring = release.ring,
            why = release.why,
            "a release was changed"
        );
        Ok(release)
    }

    async fn withdraw(&self, release: Release) -> Result<Release, ShelfError> {
        let id = release.id.clone();
        self.author(&json!({"model": release::MODEL, "removed": id})).await?;
        self.visible(|known| known.iter().all(|known| known.id != id)).await?;
        self.sweep().await;
        tracing::info!(release = release.id, "a release was withdrawn");
        Ok(release)
    }

    /// Removes the blocks of no release; boxes in the middle of one are told by the record, and what is left over is
    /// removed with the next one.
    async fn sweep(&self) {
        let Some(indexes) = indexes(&self.masterdata) else {
            tracing::warn!("blocks of a release stay, because not all releases can be read");
            return;
        };
        let blocks = self.blocks.clone();
        if let Err(error) = beside(move || blocks.keep_only(&indexes)).await {
            tracing::warn!(error = %chain(&error), "blocks of a release stay");
        }
    }

    /// Halts what failed on too many boxes; `failed` tells on which, and why.
    pub async fn look_after(&self, failed: impl Fn(&Release) -> Vec<String>) {
        for release in self.list() {
            let Some(why) = halts(&release, &failed) else { continue };
            tracing::error!(release = release.id, why, "a release halts by itself");
            if let Err(error) = self.halt_still(&release.id, &failed).await {
                tracing::warn!(release = release.id, error = %chain(&error), "it is tried again");
            }
        }
    }

    /// Whoever had the shelf before may have let it go on, or taken it away.
    async fn halt_still(
        &self,
        id: &str,
        failed: impl Fn(&Release) -> Vec<String>,
    ) -> Result<(), ShelfError> {
        let _turn = self.turn.lock().await;
        let known = self.list().into_iter().find(|release| release.id == id);
        let Some(release) = known else { return Ok(()) };
        let Some(why) = halts(&release, failed) else { return Ok(()) };
        self.change_to(release, Change::Halt { why }).await.map(|_| ())
    }

    /// A ring that was imported a moment ago is waited for.
    async fn check_ring(&self, ring: &str) -> Result<(), ShelfError> {
        let end = env::instant() + RING_VISIBLE_MAX;
        loop {
            let rings = rings(&self.masterdata);
            if ring == EVERYONE || rings.all().iter().any(|known| known.id == ring) {
                return Ok(());
            }
            if env::instant() > end {
                return Err(ShelfError::Ring { ring: ring.chars().take(64).collect() });
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    async fn publish(&self, release: &Release) -> Result<(), ShelfError> {
        let record = serde_json::to_value(release).expect("names and numbers are JSON");
        self.author(&json!({"model": release::MODEL, "record": record})).await?;
        self.visible(|known| known.contains(release)).await
    }

    async fn author(&self, line: &Value) -> Result<(), ShelfError> {
        let line = std::io::Cursor::new(line.to_string().into_bytes());
        self.office.import(Order::ChangeStream(Box::new(line), Weeks::ALL)).await?;
        Ok(())
    }

    /// Whoever asks right afterwards is to see what was done.
    async fn visible(&self, holds: impl Fn(&[Release]) -> bool) -> Result<(), ShelfError> {
        let end = env::instant() + VISIBLE_MAX;
        while !holds(&self.list()) {
            if env::instant() > end {
                return Err(ShelfError::NotVisible);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(())
    }
}

/// Why a release halts by itself, if it does.
fn halts(release: &Release, failed: impl Fn(&Release) -> Vec<String>) -> Option<String> {
    if release.state != State::Offered || release.failures_max == 0 {
        return None;
    }
    let boxes = failed(release);
    if boxes.len() < release.failures_max as usize {
        return None;
    }
    let why = format!("it failed on {}", boxes.join(", "));
    Some(why.chars().filter(|c| !c.is_control()).take(300).collect())
}
