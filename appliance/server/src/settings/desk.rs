//! The owner of a box's settings: looks at what head office wants, and at how the box is with it.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use storebox_proto::ids::{NodeId, SiteId};
use storebox_proto::rings::Seat;
use storebox_proto::settings::{Book, Health, Verdict, Wanted};
use tokio_util::sync::CancellationToken;

use super::book;
use crate::config::{self, Config, Origin};
use crate::masterdata::Masterdata;
use crate::status::{Finding, Panel, RefusedSettings, SettingsStatus, Status};
use crate::{env, logging};

/// Between two looks at the estate, which is in memory.
const LOOK_EVERY: Duration = Duration::from_secs(1);
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
    /// The desk of a box that starts with this configuration; `root` is what stops it.
    pub fn open(config: &Config, origin: &Origin, root: CancellationToken) -> Self {
        let inner = Inner {
            data_dir: config.data_dir.clone(),
            origin: origin.clone(),
            node: config.node.clone(),
            site: config.discovery.site.clone(),
            book: Mutex::new(book::open(&config.data_dir)),
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
    pub fn take_back(&self, by: &str) -> std::io::Result<bool> {
        let mut changed = self.book().clone();
        if !changed.take_back(by, env::timestamp()) {
            return Ok(false);
        }
        self.put(changed)?;
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
        let mut waits: Option<Instant> = None;
        while stop.run_until_cancelled(look.tick()).await.is_some() {
            let status = panel.status().await;
            self.judge(&mut health, &status);
            let Some(wanted) = self.wanted() else { continue };
            self.agree(&wanted);
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
            self.take(wanted);
        }
    }

    fn wanted(&self) -> Option<Wanted> {
        let masterdata = self.inner.masterdata.get()?;
        let seat = Seat { node: &self.inner.node, site: &self.inner.site };
        masterdata.rings()?.of(seat).clone_into(&mut lock(&self.inner.ring));
        masterdata.wanted(seat)
    }

    fn agree(&self, wanted: &Wanted) {
        let mut changed = self.book().clone();
        if changed.agree(wanted)
            && let Err(error) = self.put(changed)
        {
            tracing::warn!(%error, "the book of settings cannot be written");
        }
    }

    /// Tries what head office wants, or refuses it by name.
    fn take(&self, wanted: Wanted) {
        let revision = wanted.revision;
        let fits = config::check_remote(&wanted.values).map_err(|unfit| unfit.to_string());
        let runs = fits.and_then(|()| {
            let loaded = self.inner.origin.load_with(&wanted.values);
            loaded.map(drop).map_err(|error| logging::chain(&error))
        });
        let mut changed = self.book().clone();
        match &runs {
            Ok(()) => changed.begin(wanted, env::timestamp()),
            Err(why) => changed.refuse(wanted, why, env::timestamp()),
        }
        if let Err(error) = self.put(changed) {
            tracing::warn!(%error, revision, "settings cannot be written down and wait");
            return;
        }
        match runs {
            Ok(()) => {
                tracing::info!(revision, "the box begins again with other settings");
                self.begin_again();
            }
            Err(why) => {
                tracing::warn!(
                    code = "settings_refused",
                    revision,
                    error = why,
                    "settings are refused"
                );
            }
        }
    }

    /// Proves what is on trial, or takes it back.
    fn judge(&self, health: &mut Health, status: &Status) {
        let Some(trial) = self.book().trial.clone() else { return };
        if self.begins_again() {
            return;
        }
        let revision = trial.wanted.revision;
        let mut changed = self.book().clone();
        let is_taken_back = match health.handle_look(wellness(status), env::instant()) {
            Verdict::Open => return,
            Verdict::Well => {
                changed.prove(env::timestamp());
                tracing::info!(revision, "settings are proven");
                false
            }
            Verdict::Ill(why) => {
                changed.roll_back(&why, env::timestamp());
                tracing::warn!(
                    code = "settings_failed",
                    revision,
                    error = why,
                    "settings are rolled back"
                );
                true
            }
        };
        match self.put(changed) {
            Ok(()) if is_taken_back => self.begin_again(),
            Ok(()) => {}
            Err(error) => tracing::warn!(%error, "the book of settings cannot be written"),
        }
    }

    fn begin_again(&self) {
        self.inner.again.store(true, Ordering::Release);
        self.inner.root.cancel();
    }

    /// On disk first, then in memory.
    fn put(&self, changed: Book) -> std::io::Result<()> {
        book::write(&self.inner.data_dir, &changed)?;
        *self.book() = changed;
        Ok(())
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        lock(&self.inner.book)
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
