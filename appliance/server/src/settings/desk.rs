//! The owner of a box's settings: looks at what head office wants, and at how the box is with it.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use storebox_proto::feed::Position;
use storebox_proto::ids::{NodeId, SiteId};
use storebox_proto::rings::Seat;
use storebox_proto::settings::{Book, Health, Verdict, Wanted};
use storebox_proto::time::Timestamp;
use tokio_util::sync::CancellationToken;

use super::book;
use crate::blocking::beside;
use crate::config::{self, Config, Origin};
use crate::masterdata::{Masterdata, Rollout};
use crate::status::{Finding, Panel, RefusedSettings, SettingsStatus, Status};
use crate::{env, logging};

/// Between two looks at the estate, which is in memory.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// An estate that could not be read is not read again before.
const UNREADABLE_REST: Duration = Duration::from_secs(60);
/// Papers on the way are waited for this long before the box begins again.
const CALM_MAX: Duration = Duration::from_secs(600);

/// What head office sets on this box; cheap to clone.
#[derive(Debug, Clone)]
pub struct Desk {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    data_dir: PathBuf,
    origin: Origin,
    node: NodeId,
    site: SiteId,
    /// Held by whoever writes the book, for as long as the disk takes.
    turn: Mutex<()>,
    /// Held for as long as it takes to copy it.
    book: Mutex<Book>,
    ring: Mutex<String>,
    again: AtomicBool,
    masterdata: OnceLock<Masterdata>,
    root: CancellationToken,
}

/// What is said about the settings of a box.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
pub struct Settings {
    /// The rollout ring that the box is in.
    pub ring: String,
    /// What is proven, on trial and refused, and the last steps.
    #[schema(value_type = Object)]
    pub book: Book,
}

impl Desk {
    /// The desk of a box that starts with this configuration, and the book that it was read with; `root` is what stops
    /// the box.
    pub fn open(config: &Config, book: Book, origin: &Origin, root: CancellationToken) -> Self {
        let inner = Inner {
            data_dir: config.data_dir.clone(),
            origin: origin.clone(),
            node: config.node.clone(),
            site: config.discovery.site.clone(),
            turn: Mutex::default(),
            book: Mutex::new(book),
            ring: Mutex::default(),
            again: AtomicBool::new(false),
            masterdata: OnceLock::new(),
            root,
        };
        Self { inner: Arc::new(inner) }
    }

    /// Whether the box stops only to begin again with other settings.
    pub fn begins_again(&self) -> bool {
        self.inner.again.load(Ordering::Acquire)
    }

    /// Where head office's wishes are read, which is told once.
    pub fn read_from(&self, masterdata: Masterdata) {
        let _ = self.inner.masterdata.set(masterdata);
    }

    /// What is known.
    pub fn view(&self) -> Settings {
        Settings { ring: lock(&self.inner.ring).clone(), book: self.book().clone() }
    }

    /// A person wants the settings before; false if there are none.
    pub async fn take_back(&self, by: String) -> std::io::Result<bool> {
        let who = by.clone();
        let act = move |book: &mut Book, at| book.take_back(&who, at).then_some(());
        if self.change(act).await?.is_none() {
            return Ok(false);
        }
        tracing::info!(by, "settings are taken back");
        self.begin_again();
        Ok(true)
    }

    /// Says it in the status of the box.
    pub fn report(&self) -> impl Fn(&mut Status) + Send + Sync + 'static {
        let desk = self.clone();
        move |status| {
            let Settings { ring, book } = desk.view();
            let state = match (&book.trial, book.proven.revision) {
                (Some(_), _) => "trial",
                (None, 0) => "none",
                (None, _) => "proven",
            };
            let in_force = book.in_force();
            let refused = book.refused.as_ref();
            status.settings = Some(SettingsStatus {
                revision: in_force.revision,
                state: state.to_owned(),
                ring,
                keys: in_force.values.keys().cloned().collect(),
                refused: refused.map(|refused| RefusedSettings {
                    revision: refused.wanted.revision,
                    why: refused.why.clone(),
                }),
            });
        }
    }

    /// Looks until the box stops; what was begun is on disk.
    pub async fn run(self, panel: Panel, stop: CancellationToken) {
        let mut look = tokio::time::interval(LOOK_EVERY);
        let prove = Duration::from_secs(self.book().in_force().prove_s.into());
        let mut health = Health::new(prove, env::instant());
        let mut estate: Option<Look> = None;
        let mut waits: Option<Instant> = None;
        while stop.run_until_cancelled(look.tick()).await.is_some() {
            let status = panel.status().await;
            self.judge(&mut health, &status).await;
            let Some(wanted) = self.wanted(&mut estate).await else { continue };
            self.agree(&wanted).await;
            if self.begins_again() || !self.book().is_new(&wanted) {
                waits = None;
                continue;
            }
            let now = env::instant();
            let since = *waits.get_or_insert(now);
            let prints = status.devices.iter().any(|device| device.waiting > 0);
            if prints && now.saturating_duration_since(since) < CALM_MAX {
                continue;
            }
            self.take(wanted).await;
        }
    }

    /// What head office wants; the estate is read only when it has changed.
    async fn wanted(&self, last: &mut Option<Look>) -> Option<Wanted> {
        let masterdata = self.inner.masterdata.get()?;
        let (position, now) = (masterdata.estate_position()?, env::instant());
        if !last.as_ref().is_some_and(|last| last.is_current(position, now)) {
            let (masterdata, inner) = (masterdata.clone(), Arc::clone(&self.inner));
            let found =
                beside(move || masterdata.rollout(Seat { node: &inner.node, site: &inner.site }));
            let found = found.await;
            if let Some(found) = &found {
                found.ring.clone_into(&mut lock(&self.inner.ring));
            }
            *last = Some(Look { position, at: now, found });
        }
        last.as_ref()?.found.as_ref().map(|found| found.wanted.clone())
    }

    async fn agree(&self, wanted: &Wanted) {
        // Nothing to change is the rule.
        if !self.book().clone().agree(wanted) {
            return;
        }
        let wanted = wanted.clone();
        let agreed = self.change(move |book, _| book.agree(&wanted).then_some(())).await;
        if let Err(error) = agreed {
            tracing::warn!(%error, "the book of settings cannot be written");
        }
    }

    /// Tries what head office wants, or refuses it by name.
    async fn take(&self, wanted: Wanted) {
        let (revision, inner) = (wanted.revision, Arc::clone(&self.inner));
        let taken = self.change(move |book, at| {
            // A person or an earlier look may have settled it.
            if !book.is_new(&wanted) {
                return None;
            }
            let runs = inner.try_on(&wanted);
            match &runs {
                Ok(()) => book.begin(wanted, at),
                Err(why) => book.refuse(wanted, why, at),
            }
            Some(runs)
        });
        match taken.await {
            Ok(None) => {}
            Ok(Some(Ok(()))) => {
                tracing::info!(revision, "the box begins again with other settings");
                self.begin_again();
            }
            Ok(Some(Err(why))) => {
                tracing::warn!(
                    code = "settings_refused",
                    revision,
                    error = why,
                    "settings are refused"
                );
            }
            Err(error) => {
                tracing::warn!(%error, revision, "settings cannot be written down and wait");
            }
        }
    }

    /// Proves what is on trial, or takes it back.
    async fn judge(&self, health: &mut Health, status: &Status) {
        let Some(trial) = self.book().trial.clone() else { return };
        if self.begins_again() {
            return;
        }
        let revision = trial.wanted.revision;
        let ill = match health.handle_look(wellness(status), env::instant()) {
            Verdict::Open => return,
            Verdict::Well => None,
            Verdict::Ill(why) => Some(why),
        };
        let why = ill.clone();
        let judged = self.change(move |book, at| {
            // A person may have taken it back meanwhile.
            if book.trial.as_ref() != Some(&trial) {
                return None;
            }
            match why {
                None => book.prove(at),
                Some(why) => drop(book.roll_back(&why, at)),
            }
            Some(())
        });
        match (judged.await, ill) {
            (Ok(None), _) => {}
            (Ok(Some(())), None) => tracing::info!(revision, "settings are proven"),
            (Ok(Some(())), Some(why)) => {
                tracing::warn!(
                    code = "settings_failed",
                    revision,
                    error = why,
                    "settings are rolled back"
                );
                self.begin_again();
            }
            (Err(error), _) => tracing::warn!(%error, "the book of settings cannot be written"),
        }
    }

    fn begin_again(&self) {
        self.inner.again.store(true, Ordering::Release);
        self.inner.root.cancel();
    }

    /// Changes the book, on disk first and then in memory, beside the threads that serve; nothing if `act` finds
    /// nothing to change.
    async fn change<T: Send + 'static>(
        &self,
        act: impl FnOnce(&mut Book, Timestamp) -> Option<T> + Send + 'static,
    ) -> std::io::Result<Option<T>> {
        let inner = Arc::clone(&self.inner);
        beside(move || inner.change(act)).await
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        lock(&self.inner.book)
    }
}

impl Inner {
    /// One writer at a time; readers see the book before until the new one is on disk.
    fn change<T>(
        &self,
        act: impl FnOnce(&mut Book, Timestamp) -> Option<T>,
    ) -> std::io::Result<Option<T>> {
        let _turn = lock(&self.turn);
        let mut changed = lock(&self.book).clone();
        let Some(done) = act(&mut changed, env::timestamp()) else { return Ok(None) };
        book::write(&self.data_dir, &changed)?;
        *lock(&self.book) = changed;
        Ok(Some(done))
    }

    /// Whether head office may set these, and the box's own file goes with them.
    fn try_on(&self, wanted: &Wanted) -> Result<(), String> {
        config::check_remote(&wanted.values).map_err(|unfit| unfit.to_string())?;
        let loaded = self.origin.load_with(&wanted.values);
        loaded.map(drop).map_err(|error| logging::chain(&error))
    }
}

/// What a look at one state of the estate has found.
struct Look {
    position: Position,
    at: Instant,
    found: Option<Rollout>,
}

impl Look {
    /// Whether another look would find the same; what could not be read may be readable after a while.
    fn is_current(&self, position: Position, now: Instant) -> bool {
        let is_late = now.saturating_duration_since(self.at) >= UNREADABLE_REST;
        self.position == position && (self.found.is_some() || !is_late)
    }
}

/// A box is well that can do its job and takes sales, and none of whose parts fails again and again.
fn wellness(status: &Status) -> Result<(), String> {
    if !status.ready {
        return Err(format!("the box is not ready: {}", status.reasons.join(", ")));
    }
    let refuses =
        |finding: &&Finding| ["storage_full", "storage_failed"].contains(&finding.code.as_str());
    if let Some(finding) = status.findings.iter().find(refuses) {
        return Err(finding.text.clone());
    }
    match status.tasks.iter().find(|task| task.state == "pausing") {
        Some(task) => Err(format!("a part of the box fails: {}", task.name)),
        None => Ok(()),
    }
}

/// A book is plain data: it is whole even if a thread died while holding the lock.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
