//! The box's side of enrolment with a disk: slips survive a restart, a used slip is gone before anything is certified,
//! and every ending is in the audit.
//!
//! Whoever reads an open slip can use it, so slips lie in the vault and in no file of their own; while the vault is
//! locked new ones end with the process, and those that an earlier release left in a file wait for it to open: nothing
//! would be left of the fact that one was used.
//! Who closes all slips closes those in a locked vault too: that is written beside it, and holds when it opens.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use storebox_proto::ids::SiteId;
use storebox_proto::seal::RingState;
use storebox_proto::time::Timestamp;
use storebox_proto::trust::porter::{Counts, From, RequestId, Shown, StoredSlip};
use storebox_proto::trust::slip::SlipId;
use storebox_proto::trust::strike::Signed;
use storebox_proto::trust::words::{
    Ask, ByCode, BySlip, CodeShare, Grant, Granted, Nonce, Request,
};
use storebox_proto::trust::{
    Approved, Event, Kind, Member, MemberKey, Porter, Refused, Secret, Slip, Wish,
};
use zeroize::Zeroizing;

use super::audit::{Audit, Line};
use super::client::Way;
use super::house::House;
use super::judge::Known;
use super::mint::MintError;
use super::paper::{self, PaperError, to_text};
use super::strikes::StrikeError;
use crate::secrets::{Vault, VaultError};
use crate::{env, files};

/// The name of the open slips within the vault.
const SLIPS: &str = "slips";
/// Where a box of an earlier release kept them, in the open.
const SLIPS_BEFORE: &str = "slips.json";
/// Says that the slips in the vault were closed while it was locked.
const SLIPS_CLOSED: &str = "slips.closed";

/// Why somebody is not enrolled.
#[derive(Debug, thiserror::Error)]
pub enum PorchError {
    /// By the rules.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The disk.
    #[error(transparent)]
    Paper(#[from] PaperError),
    /// Nothing is certified.
    #[error(transparent)]
    Mint(#[from] MintError),
    /// The slips cannot be kept.
    #[error("keep the open slips")]
    Vault(#[from] VaultError),
}

/// The door of the box; cheap to clone.
#[derive(Clone)]
pub struct Porch {
    inner: Arc<Inner>,
}

struct Inner {
    house: Arc<House>,
    vault: Vault,
    porter: Mutex<Porter>,
    audit: Audit,
    outcomes: Outcomes,
    folder: PathBuf,
}

/// How enrolments ended, for the metrics.
#[derive(Debug, Default)]
struct Outcomes {
    enrolled: AtomicU64,
    refused: AtomicU64,
    ended: AtomicU64,
}

impl Porch {
    /// With the slips that were open when the box stopped.
    pub fn open(house: Arc<House>, folder: &Path, vault: Vault) -> Result<Self, PorchError> {
        let porter = Mutex::new(Porter::restored(open_slips(&vault, folder)?));
        let (audit, outcomes) = (Audit::new(folder.to_owned()), Outcomes::default());
        let folder = folder.to_owned();
        Ok(Self { inner: Arc::new(Inner { house, vault, porter, audit, outcomes, folder }) })
    }

    /// Where this box belongs.
    pub fn site(&self) -> &SiteId {
        &self.inner.house.member.site
    }

    /// The certificate of head office as PEM.
    pub fn root_pem(&self) -> String {
        self.inner.house.root_pem()
    }

    /// How the other boxes of this site are believed.
    pub fn way_home(&self) -> Way {
        self.inner.house.way_to(self.site().clone()).0
    }

    /// Whether somebody may come in now with a slip or a code that was opened.
    pub fn takes_newcomers(&self) -> bool {
        let counts = self.counts();
        counts.slips > 0 || counts.code_until.is_some()
    }

    /// Opens a slip; its text is shown once, to be printed.
    pub fn open_slip(
        &self,
        wish: Wish,
        lasts: Duration,
        addresses: Vec<std::net::SocketAddr>,
    ) -> Result<(Slip, Timestamp), PorchError> {
        let now = env::believable();
        let until = after(now, lasts);
        let slip = Slip {
            site: self.site().clone(),
            authority: self.inner.house.authority(),
            id: SlipId(env::random()),
            secret: Secret::new(env::random()),
            addresses,
        };
        let mut porter = self.porter();
        porter.open_slip(wish, slip.id, slip.secret.clone(), until, now)?;
        self.settle(porter)?;
        Ok((slip, until))
    }

    /// Opens the window for a code; it is shown once.
    pub fn open_code(
        &self,
        wish: Wish,
        lasts: Duration,
    ) -> Result<(String, Timestamp), PorchError> {
        let now = env::believable();
        let until = after(now, lasts);
        // Below the largest multiple of 10^8 every code is equally likely; 2^64 is so far above that it does not matter.
        let code = format!("{:08}", u64::from_le_bytes(env::random()) % 100_000_000);
        let mut porter = self.porter();
        porter.open_code(wish, &code, until, now)?;
        self.settle(porter)?;
        Ok((format!("{} {}", &code[..4], &code[4..]), until))
    }

    /// Closes all slips and the code; returns how many were open.
    pub fn close(&self, by: &str) -> Result<usize, PorchError> {
        let now = env::believable();
        let mut porter = self.porter();
        let closed = porter.close_slips(now) + usize::from(porter.close_code(now));
        // Those that wait for the vault, or lie in one that is locked, are closed too.
        if self.inner.vault.is_locked() {
            let path = self.inner.folder.join(SLIPS_CLOSED);
            files::replace(&path, b"", files::PRIVATE)
                .map_err(|source| PaperError::File { path, source })?;
        }
        forget(&self.inner.folder, SLIPS_BEFORE)?;
        self.settle(porter)?;
        self.inner.audit.add(&Line::act("closed", by, now));
        Ok(closed)
    }

    /// A newcomer with a slip.
    pub fn by_slip(&self, from: From, message: BySlip) -> Result<Approved, PorchError> {
        self.ask(|porter, now| porter.handle_slip(from, message, now))
    }

    /// A newcomer who begins an exchange about the code.
    pub fn by_share(&self, from: From, message: &CodeShare) -> Result<CodeShare, PorchError> {
        let random = Secret::new(env::random());
        self.ask(|porter, now| porter.handle_share(from, message, &random, now))
    }

    /// A newcomer who ends it.
    pub fn by_code(&self, from: From, message: ByCode) -> Result<Approved, PorchError> {
        self.ask(|porter, now| porter.handle_code(from, message, now))
    }

    /// A newcomer who asks a person.
    pub fn by_request(&self, from: From, message: Request) -> Result<Nonce, PorchError> {
        let nonce = env::random();
        self.ask(|porter, now| porter.handle_request(from, message, nonce, now))
    }

    /// The number can be compared now.
    pub fn by_nonce(&self, from: From, message: &Nonce) -> Result<(), PorchError> {
        self.ask(|porter, now| porter.handle_nonce(from, message, now))
    }

    /// Whether the person has answered.
    pub fn fetch(&self, from: From) -> Result<Option<Approved>, PorchError> {
        self.ask(|porter, now| porter.handle_fetch(from, now))
    }

    /// Requests that wait.
    pub fn requests(&self) -> Vec<Shown> {
        let mut porter = self.porter();
        porter.handle_timeout(env::believable());
        porter.requests()
    }

    /// A person answers a request: lets it in, perhaps in place of a member of that name, or not.
    pub fn answer(&self, id: RequestId, yes: Option<bool>, by: &str) -> Result<(), PorchError> {
        match yes {
            Some(replace) => self.ask(|porter, _| porter.approve(id, by.to_owned(), replace)),
            None => {
                self.ask(|porter, _| porter.deny(id))?;
                self.inner.audit.add(&Line::act("denied", by, env::believable()));
                Ok(())
            }
        }
    }

    /// Certifies whom the porter has approved, and hands over the keys of its scope.
    pub fn grant(&self, approved: &Approved, rings: Vec<RingState>) -> Result<Granted, PorchError> {
        let grant = self.certify(&approved.ask, rings)?;
        Ok(approved.grant(serde_json::to_string(&grant).expect("names and texts are JSON")))
    }

    /// Certifies a member again, perhaps with a new key; its connection proves who it is.
    pub fn renew(
        &self,
        known: &Known,
        key: MemberKey,
        rings: Vec<RingState>,
    ) -> Result<Grant, PorchError> {
        let Member { kind, name, .. } = known.member.clone();
        if kind == Kind::Box {
            return Err(Refused::Box.into());
        }
        let grant = self.certify(&Ask { kind, name, key }, rings)?;
        let act = Line::act("renewed", "", env::believable());
        self.inner.audit.add(&Line { member: known.member.to_string(), ..act });
        Ok(grant)
    }

    fn certify(&self, ask: &Ask, rings: Vec<RingState>) -> Result<Grant, PorchError> {
        let house = &self.inner.house;
        let site = house.member.site.clone();
        let member = Member { site: site.clone(), kind: ask.kind, name: ask.name.clone() };
        let chain = house.door.certify(&member, &ask.key, env::believable())?;
        Ok(Grant {
            site,
            name: ask.name.clone(),
            chain: chain.iter().map(to_text).collect(),
            root: to_text(&house.root),
            list_key: house.list_key.clone(),
            rings,
        })
    }

    /// Takes a newer list of what was struck off; true if it was newer.
    pub fn take_strikes(&self, signed: &Signed) -> Result<bool, StrikeError> {
        let strikes = &self.inner.house.strikes;
        let is_new = strikes.take(signed)?;
        if is_new {
            let line = Line::act("struck", "head office", env::believable());
            let why = format!("list {} with {} keys", strikes.number(), strikes.count());
            tracing::info!(number = strikes.number(), keys = strikes.count(), "struck off");
            self.inner.audit.add(&Line { why, ..line });
        }
        Ok(is_new)
    }

    /// Whether a member was struck off since its handshake.
    pub fn has_struck(&self, known: &Known) -> bool {
        self.inner.house.judge.has_struck(known)
    }

    /// The number of the list in force and how many keys it has.
    pub fn struck(&self) -> (u64, usize) {
        (self.inner.house.strikes.number(), self.inner.house.strikes.count())
    }

    /// Which member this box is.
    pub fn member(&self) -> &Member {
        &self.inner.house.member
    }

    /// When this box's certificate expires.
    pub fn expires(&self) -> Option<Timestamp> {
        self.inner.house.expires()
    }

    /// What happened lately, newest first.
    pub fn audit(&self) -> Vec<Line> {
        self.inner.audit.newest()
    }

    /// How much is open.
    pub fn counts(&self) -> Counts {
        let mut porter = self.porter();
        porter.handle_timeout(env::believable());
        porter.counts()
    }

    /// Enrolled, refused and ended unused since the start.
    pub fn outcomes(&self) -> [(&'static str, u64); 3] {
        let Outcomes { enrolled, refused, ended } = &self.inner.outcomes;
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        [("enrolled", read(enrolled)), ("refused", read(refused)), ("ended", read(ended))]
    }

    /// One step of the machine; what has to be on disk is there before it counts.
    fn ask<T>(
        &self,
        step: impl FnOnce(&mut Porter, Timestamp) -> Result<T, Refused>,
    ) -> Result<T, PorchError> {
        let now = env::believable();
        let mut porter = self.porter();
        let answer = step(&mut porter, now);
        self.settle(porter)?;
        Ok(answer?)
    }

    /// Writes the slips if they have changed, and tells the audit.
    fn settle(&self, mut porter: MutexGuard<'_, Porter>) -> Result<(), PorchError> {
        let events: Vec<_> = std::iter::from_fn(|| porter.poll_event()).collect();
        if !events.is_empty() {
            keep_slips(&self.inner.vault, &porter.stored())?;
        }
        drop(porter);
        for event in &events {
            self.count(event);
            let Some(line) = Line::of(event) else { continue };
            let Line { act, way, member, address, why, .. } = &line;
            match event {
                Event::Refused { why: reason, .. } => {
                    let code = reason.code().as_str();
                    tracing::warn!(way, address, code, why, "enrolment refused");
                }
                Event::Opened { .. }
                | Event::Approved { .. }
                | Event::Ended { .. }
                | Event::Asked { .. } => {
                    tracing::info!(way, member, address, why, "enrolment {act}");
                }
            }
            self.inner.audit.add(&line);
        }
        Ok(())
    }

    /// A message was too long or none at all, so that no rule has seen it.
    pub fn count_unread(&self) {
        self.inner.outcomes.refused.fetch_add(1, Ordering::Relaxed);
    }

    fn count(&self, event: &Event) {
        let Outcomes { enrolled, refused, ended } = &self.inner.outcomes;
        let counter = match event {
            Event::Approved { .. } => enrolled,
            Event::Refused { .. } => refused,
            Event::Ended { .. } => ended,
            Event::Opened { .. } | Event::Asked { .. } => return,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    fn porter(&self) -> MutexGuard<'_, Porter> {
        self.inner.porter.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The slips that were open when the box stopped; what an earlier release left in the open is taken into the vault, and
/// counts from then on.
fn open_slips(vault: &Vault, folder: &Path) -> Result<Vec<StoredSlip>, PorchError> {
    if vault.is_locked() {
        return Ok(Vec::new());
    }
    if folder.join(SLIPS_CLOSED).exists() {
        keep_slips(vault, &[])?;
        forget(folder, SLIPS_CLOSED)?;
    }
    let before = folder.join(SLIPS_BEFORE);
    if let Some(stored) = paper::read_json::<Vec<StoredSlip>>(&before, "a list of slips")? {
        keep_slips(vault, &stored)?;
        forget(folder, SLIPS_BEFORE)?;
        return Ok(stored);
    }
    let Some(text) = vault.get(SLIPS) else { return Ok(Vec::new()) };
    Ok(serde_json::from_str(&text).unwrap_or_else(|error| {
        // What stands there is secret: where it breaks is told, and not what it says.
        let (line, column) = (error.line(), error.column());
        tracing::error!(line, column, "the list of open slips cannot be read: they are void");
        Vec::new()
    }))
}

/// On the medium too, or a lost power would bring back what was used or closed meanwhile.
fn forget(folder: &Path, name: &str) -> Result<(), PorchError> {
    let path = folder.join(name);
    let gone = match std::fs::remove_file(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        gone => gone,
    };
    gone.and_then(|()| File::open(folder)?.sync_all())
        .map_err(|source| PaperError::File { path, source }.into())
}

/// Keeps them for the next start; a locked vault keeps nothing, and they end with the process.
fn keep_slips(vault: &Vault, slips: &[StoredSlip]) -> Result<(), VaultError> {
    if vault.is_locked() {
        return Ok(());
    }
    let text = serde_json::to_string(slips).expect("names, numbers and texts are JSON");
    let text = Zeroizing::new(text);
    // Strangers who are refused without end wear no disk out.
    match vault.get(SLIPS).is_some_and(|known| *known == *text) {
        true => Ok(()),
        false => vault.put(SLIPS, text),
    }
}

fn after(now: Timestamp, lasts: Duration) -> Timestamp {
    let ms = i64::try_from(lasts.as_millis()).unwrap_or(i64::MAX);
    Timestamp::from_unix_ms(now.unix_ms().saturating_add(ms))
}

#[cfg(test)]
mod tests;
