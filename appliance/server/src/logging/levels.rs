//! Which modules log how much, changed while the box runs.
//!
//! A change ends by itself, after an hour unless told otherwise: a module left at `trace` would wear the flash
//! for years.
//! What logs is a matter of the whole process, and so are the levels.

use std::collections::BTreeMap;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::{Registry, reload};

use crate::config::{Level, Log};
use crate::env;

/// How long a change lasts when nothing else is said.
const MINUTES: u32 = 60;
/// The longest that a change may last.
const MINUTES_MAX: u32 = 24 * 60;
/// Modules whose level may be changed at once.
const CHANGED_MAX: usize = 64;

/// The levels of the process, once logging is set up.
static LEVELS: OnceLock<Levels> = OnceLock::new();

/// The levels of this process; none if nothing is logged.
pub fn levels() -> Option<&'static Levels> {
    LEVELS.get()
}

pub(super) fn remember(levels: Levels) {
    // Logging is set up once, so nothing is there yet.
    let _ = LEVELS.set(levels);
}

/// A wish of the operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LevelChange {
    /// Such as `storebox::http`; without it, everything that has no level of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub module: Option<String>,
    /// `error`, `warn`, `info`, `debug` or `trace`; without it, what the configuration says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub level: Option<Level>,
    /// Minutes until all changes end, 1 to 1440; 60 if it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minutes: Option<u32>,
}

/// The levels as they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct LevelsView {
    /// Of everything that has no level of its own.
    #[schema(value_type = String)]
    pub level: Level,
    /// Of single modules.
    #[schema(value_type = BTreeMap<String, String>)]
    pub modules: BTreeMap<String, Level>,
    /// Seconds until the configuration is in force again; none if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends_in_s: Option<u64>,
}

/// Why levels are not changed.
#[derive(Debug, thiserror::Error)]
pub enum LevelsError {
    /// Out of bounds.
    #[error("minutes must be 1 to {MINUTES_MAX}")]
    Minutes,
    /// Not what modules are called.
    #[error("{0:?} is not the path of a module, such as storebox::http")]
    Module(String),
    /// Too many.
    #[error("{CHANGED_MAX} modules have a level of their own already")]
    Full,
    /// The subscriber is gone.
    #[error("change the filter of the log")]
    Filter(#[from] reload::Error),
}

/// What is in force.
#[derive(Debug)]
struct Now {
    log: Log,
    ends: Option<Instant>,
}

/// The levels of a process.
#[derive(Debug)]
pub struct Levels {
    handle: reload::Handle<Targets, Registry>,
    configured: Log,
    now: Mutex<Now>,
    changed: watch::Sender<()>,
}

impl Levels {
    pub(super) fn new(handle: reload::Handle<Targets, Registry>, configured: Log) -> Self {
        let now = Mutex::new(Now { log: configured.clone(), ends: None });
        Self { handle, configured, now, changed: watch::Sender::new(()) }
    }

    /// The levels now.
    pub fn view(&self) -> LevelsView {
        let now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        let left = now.ends.map(|ends| ends.saturating_duration_since(env::instant()).as_secs());
        LevelsView { level: now.log.level, modules: now.log.modules.clone(), ends_in_s: left }
    }

    /// Changes them for a while.
    pub fn change(&self, change: LevelChange) -> Result<LevelsView, LevelsError> {
        let minutes = change.minutes.unwrap_or(MINUTES);
        if !(1..=MINUTES_MAX).contains(&minutes) {
            return Err(LevelsError::Minutes);
        }
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        let mut log = now.log.clone();
        match change.module {
            None => log.level = change.level.unwrap_or(self.configured.level),
            Some(module) if !is_module(&module) => return Err(LevelsError::Module(module)),
            Some(module) => {
                match change.level.or_else(|| self.configured.modules.get(&module).copied()) {
                    Some(level) => log.modules.insert(module, level),
                    None => log.modules.remove(&module),
                };
            }
        }
        if log.modules.len() > CHANGED_MAX + self.configured.modules.len() {
            return Err(LevelsError::Full);
        }
        self.handle.reload(filter(&log))?;
        let ends = env::instant() + Duration::from_secs(u64::from(minutes) * 60);
        now.ends = (log != self.configured).then_some(ends);
        now.log = log;
        drop(now);
        self.changed.send_replace(());
        tracing::info!(minutes, "log levels were changed");
        Ok(self.view())
    }

    /// Ends changes in time, until the box stops.
    pub async fn keep(&self, stop: CancellationToken) {
        let mut changed = self.changed.subscribe();
        loop {
            let ends = self.now.lock().unwrap_or_else(PoisonError::into_inner).ends;
            let due = async {
                match ends {
                    Some(ends) => tokio::time::sleep_until(ends.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                _ = changed.changed() => {}
                () = due => self.end(),
            }
        }
    }

    fn end(&self) {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        *now = Now { log: self.configured.clone(), ends: None };
        drop(now);
        match self.handle.reload(filter(&self.configured)) {
            Ok(()) => tracing::info!("log levels are as configured again"),
            Err(error) => tracing::warn!(error = %error, "log levels could not be put back"),
        }
    }
}

/// What passes at these levels.
pub(super) fn filter(log: &Log) -> Targets {
    let modules = log.modules.iter().map(|(module, level)| (module.clone(), level_of(*level)));
    Targets::new().with_default(level_of(log.level)).with_targets(modules)
}

fn level_of(level: Level) -> LevelFilter {
    match level {
        Level::Error => LevelFilter::ERROR,
        Level::Warn => LevelFilter::WARN,
        Level::Info => LevelFilter::INFO,
        Level::Debug => LevelFilter::DEBUG,
        Level::Trace => LevelFilter::TRACE,
    }
}

fn is_module(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    (1..=128).contains(&text.len()) && text.chars().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start() -> (Levels, reload::Layer<Targets, Registry>) {
        let log = Log::default();
        let (layer, handle) = reload::Layer::new(filter(&log));
        (Levels::new(handle, log), layer)
    }

    fn change(module: &str, level: Option<Level>, minutes: u32) -> LevelChange {
        LevelChange { module: Some(module.to_owned()), level, minutes: Some(minutes) }
    }

    #[test]
    fn a_module_gets_a_level_and_loses_it_again() {
        let (levels, _layer) = start();
        let view = levels.change(change("storebox::http", Some(Level::Debug), 5)).unwrap();
        assert_eq!(view.modules["storebox::http"], Level::Debug);
        assert!(view.ends_in_s.is_some_and(|seconds| seconds <= 300));
        let view = levels.change(change("storebox::http", None, 5)).unwrap();
        assert_eq!(
            view,
            LevelsView { level: Level::Info, modules: BTreeMap::new(), ends_in_s: None }
        );
    }

    #[test]
    fn nonsense_is_refused() {
        let (levels, _layer) = start();
        for (module, minutes) in [("no module", 5), ("", 5), ("a", 0), ("a", 1441)] {
            assert!(levels.change(change(module, Some(Level::Info), minutes)).is_err(), "{module}");
        }
        for number in 0..CHANGED_MAX {
            levels.change(change(&format!("m{number}"), Some(Level::Warn), 1)).unwrap();
        }
        let full = levels.change(change("one_more", Some(Level::Warn), 1));
        assert!(matches!(full, Err(LevelsError::Full)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_ends_by_itself() {
        let (levels, _layer) = start();
        levels.change(change("storebox", Some(Level::Trace), 1)).unwrap();
        let stop = CancellationToken::new();
        let kept = tokio::time::timeout(Duration::from_secs(61), levels.keep(stop));
        assert!(kept.await.is_err(), "nobody stopped it");
        assert_eq!(levels.view().modules, BTreeMap::new());
    }
}
