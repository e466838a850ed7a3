//! The tasks of the box: each has a name, a policy and a status, and all stop together.
//!
//! This is the only place that starts tasks.
//! A task that must live as long as the box ends the box when it ends; one that may fail starts again after
//! a growing pause.
//! A panic never gets here: the panic hook ends the process.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::{env, logging};

/// The pause before the first restart; doubled each time.
const PAUSE_FIRST: Duration = Duration::from_secs(1);
/// The longest pause before a restart.
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// A task that lived this long is healthy: its pause starts small again.
const HEALTHY_AFTER: Duration = Duration::from_secs(60);

/// What a task may fail with.
pub type TaskError = Box<dyn std::error::Error + Send + Sync>;

/// What happens when a task ends before the box does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Policy {
    /// It starts again, after a growing pause.
    Restart,
    /// The box stops: without this task it would only pretend to work.
    StopBox,
}

/// What a task is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// It runs.
    Running,
    /// It failed and waits for its next start.
    Pausing,
    /// It is over.
    Ended,
}

/// A task as operators see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskStatus {
    /// Its name.
    pub name: String,
    /// What happens when it ends.
    pub policy: Policy,
    /// What it is doing.
    pub state: State,
    /// How often it was started again.
    pub restarts: u64,
    /// Why it failed last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
}

/// The sign of life of a loop; it must beat more often than the watchdog's time.
#[derive(Debug, Clone)]
pub struct Pulse(Arc<Mutex<Instant>>);

impl Pulse {
    /// The loop has come round.
    pub fn beat(&self) {
        *lock(&self.0) = env::instant();
    }
}

/// A task that had to live ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("task {task} ended: {reason}")]
pub struct Fatal {
    /// Its name.
    pub task: String,
    /// Why.
    pub reason: String,
}

/// Starts tasks, knows them and stops them; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Supervisor {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    root: CancellationToken,
    tracker: TaskTracker,
    tasks: Mutex<BTreeMap<String, TaskStatus>>,
    pulses: Mutex<BTreeMap<String, Pulse>>,
    fatal: Mutex<Option<Fatal>>,
}

/// A status is plain data: it is whole even if a thread died while holding the lock.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Supervisor {
    /// A supervisor without tasks.
    pub fn new() -> Self {
        Self::default()
    }

    /// The token whose cancelling stops the box.
    pub fn root(&self) -> CancellationToken {
        self.inner.root.clone()
    }

    /// Starts a task that can be made again.
    pub fn spawn<F, Fut>(&self, name: impl Into<String>, policy: Policy, mut make: F)
    where
        F: FnMut(CancellationToken) -> Fut + Send + 'static,
        Fut: Future<Output = Result<(), TaskError>> + Send + 'static,
    {
        let (supervisor, name) = (self.clone(), name.into());
        self.enter(&name, policy);
        self.inner.tracker.spawn(async move {
            let mut pause = PAUSE_FIRST;
            loop {
                let started = env::instant();
                let ended = make(supervisor.root()).await;
                let again = supervisor.ended(&name, policy, ended);
                if !again {
                    return;
                }
                let lived = env::instant().saturating_duration_since(started);
                pause = if lived >= HEALTHY_AFTER { PAUSE_FIRST } else { pause };
                let rest = tokio::time::sleep(pause);
                if supervisor.inner.root.run_until_cancelled(rest).await.is_none() {
                    return;
                }
                pause = (pause * 2).min(PAUSE_MAX);
                supervisor.change(&name, |task| task.state = State::Running);
            }
        });
    }

    /// Starts the owner of a state; it lives as long as the box, and the box stops without it.
    pub fn spawn_owner<F, Fut>(&self, name: impl Into<String>, run: F)
    where
        F: FnOnce(CancellationToken) -> Fut,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let (supervisor, name) = (self.clone(), name.into());
        self.enter(&name, Policy::StopBox);
        let task = run(self.root());
        self.inner.tracker.spawn(async move {
            task.await;
            supervisor.ended(&name, Policy::StopBox, Ok(()));
        });
    }

    /// Starts short work that no one watches, such as a connection; the stop waits for it too.
    pub fn spawn_short<Fut>(&self, work: Fut)
    where
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.inner.tracker.spawn(work);
    }

    /// A sign of life that the watchdog listens to.
    pub fn pulse(&self, name: impl Into<String>) -> Pulse {
        let pulse = Pulse(Arc::new(Mutex::new(env::instant())));
        lock(&self.inner.pulses).insert(name.into(), pulse.clone());
        pulse
    }

    /// The first loop that has been silent for longer than this.
    pub fn silent(&self, max: Duration) -> Option<String> {
        let now = env::instant();
        let pulses = lock(&self.inner.pulses);
        let late = |pulse: &Pulse| now.saturating_duration_since(*lock(&pulse.0)) > max;
        pulses.iter().find(|(_, pulse)| late(pulse)).map(|(name, _)| name.clone())
    }

    /// All tasks, by name.
    pub fn tasks(&self) -> Vec<TaskStatus> {
        lock(&self.inner.tasks).values().cloned().collect()
    }

    /// Why the box had to stop, if a task was the reason.
    pub fn fatal(&self) -> Option<Fatal> {
        lock(&self.inner.fatal).clone()
    }

    /// Stops all tasks and waits for them; the names of those that did not stop in time come back.
    pub async fn stop(&self, grace: Duration) -> Vec<String> {
        self.inner.root.cancel();
        self.inner.tracker.close();
        if tokio::time::timeout(grace, self.inner.tracker.wait()).await.is_ok() {
            return Vec::new();
        }
        let tasks = lock(&self.inner.tasks);
        let running = tasks.values().filter(|task| task.state == State::Running);
        running.map(|task| task.name.clone()).collect()
    }

    fn enter(&self, name: &str, policy: Policy) {
        let state = State::Running;
        let name = name.to_owned();
        let task = TaskStatus { name: name.clone(), policy, state, restarts: 0, last_error: None };
        lock(&self.inner.tasks).insert(name, task);
    }

    fn change(&self, name: &str, change: impl FnOnce(&mut TaskStatus)) {
        if let Some(task) = lock(&self.inner.tasks).get_mut(name) {
            change(task);
        }
    }

    /// Notes the end of a task and tells whether it starts again.
    fn ended(&self, name: &str, policy: Policy, result: Result<(), TaskError>) -> bool {
        if self.inner.root.is_cancelled() {
            self.change(name, |task| task.state = State::Ended);
            return false;
        }
        let reason = match result {
            Ok(()) => "it returned before the box stopped".to_owned(),
            Err(error) => logging::chain(error.as_ref()),
        };
        match policy {
            Policy::Restart => {
                tracing::warn!(task = name, error = reason, "task failed, it will start again");
                self.change(name, |task| {
                    task.state = State::Pausing;
                    task.restarts += 1;
                    task.last_error = Some(reason);
                });
                true
            }
            Policy::StopBox => {
                tracing::error!(task = name, error = reason, "task ended, the box stops");
                self.change(name, |task| {
                    task.state = State::Ended;
                    task.last_error = Some(reason.clone());
                });
                lock(&self.inner.fatal).get_or_insert(Fatal { task: name.to_owned(), reason });
                self.inner.root.cancel();
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_failing_task_starts_again_until_the_box_stops() {
        let supervisor = Supervisor::new();
        let (told, mut heard) = tokio::sync::mpsc::channel(8);
        supervisor.spawn("prober", Policy::Restart, move |_| {
            let told = told.clone();
            async move {
                told.send(()).await?;
                Err("no answer".into())
            }
        });
        for _ in 0..3 {
            heard.recv().await.unwrap();
        }
        assert_eq!(supervisor.stop(Duration::from_secs(10)).await, Vec::<String>::new());
        let task = supervisor.tasks().remove(0);
        assert_eq!(task.last_error.as_deref(), Some("no answer"));
        assert!(task.restarts >= 2);
        assert_eq!(supervisor.fatal(), None);
    }

    #[tokio::test]
    async fn the_end_of_an_owner_stops_the_box() {
        let supervisor = Supervisor::new();
        supervisor.spawn_owner("journal", |_| async {});
        supervisor.root().cancelled().await;
        assert_eq!(supervisor.fatal().unwrap().task, "journal");
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_does_not_stop_is_named() {
        let supervisor = Supervisor::new();
        supervisor.spawn_owner("stubborn", |_| std::future::pending());
        supervisor.spawn_owner("polite", |stop| async move { stop.cancelled().await });
        assert_eq!(supervisor.stop(Duration::from_secs(10)).await, ["stubborn"]);
    }

    #[tokio::test]
    async fn a_silent_loop_is_found() {
        let supervisor = Supervisor::new();
        let pulse = supervisor.pulse("accept");
        pulse.beat();
        assert_eq!(supervisor.silent(Duration::from_secs(30)), None);
        std::thread::yield_now();
        assert_eq!(supervisor.silent(Duration::ZERO), Some("accept".to_owned()));
    }
}
