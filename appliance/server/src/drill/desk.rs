//! Where drills are ordered, and the task that ends them in time.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use storebox_proto::chronicle::Waits;
use storebox_proto::drill::{Drill, End, Event, Refused, Report, Sample};
use storebox_proto::order::Order;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::diary::Diary;
use crate::blocking::beside;
use crate::env;
use crate::status::{DrillStatus, Panel, Status};
use crate::valve::Valve;

/// Between two looks at a drill that is under way.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Why no drill begins.
#[derive(Debug, thiserror::Error)]
pub enum DrillError {
    /// It may not.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// It could not be written down, and what is not written down is not done.
    #[error("write the drill down")]
    Diary(#[source] std::io::Error),
    /// The box is starting or stopping.
    #[error("the box is not ready for a drill")]
    NotReady,
}

/// How many requests the box failed so far, and how long tills waited.
type Counted = Box<dyn Fn() -> (u64, Waits) + Send + Sync>;

/// What counts while the line is cut.
struct Eyes {
    panel: Panel,
    counted: Counted,
}

/// The drills of a box; cheap to clone.
#[derive(Clone)]
pub struct Drills {
    inner: Arc<Inner>,
}

struct Inner {
    valve: Valve,
    drill: Mutex<Drill>,
    diary: Mutex<Diary>,
    eyes: OnceLock<Eyes>,
    changed: watch::Sender<u64>,
}

impl Drills {
    /// The drills of this data directory, at this valve, which is open.
    pub fn open(data_dir: &Path, valve: Valve) -> Self {
        let (drill, diary) = (Mutex::default(), Mutex::new(Diary::open(data_dir)));
        let (eyes, changed) = (OnceLock::new(), watch::Sender::new(0));
        Self { inner: Arc::new(Inner { valve, drill, diary, eyes, changed }) }
    }

    /// What a drill looks at; said once, when all parts of the box are there.
    pub fn look_at(
        &self,
        panel: Panel,
        counted: impl Fn() -> (u64, Waits) + Send + Sync + 'static,
    ) {
        // Nobody orders a drill before the box serves.
        let _ = self.inner.eyes.set(Eyes { panel, counted: Box::new(counted) });
    }

    /// Cuts the line.
    pub async fn begin(&self, order: Order) -> Result<Report, DrillError> {
        let sample = self.sample().await.ok_or(DrillError::NotReady)?;
        let drills = self.clone();
        beside(move || drills.cut(order, sample)).await
    }

    /// Makes the line whole again; nothing if it is.
    pub async fn end(&self, by: Option<String>) -> Option<Report> {
        self.end_as(End::Person, by).await
    }

    /// All drills, the newest first; the first one may be under way.
    pub fn reports(&self) -> Vec<Report> {
        let mut reports = lock(&self.inner.diary).newest();
        if let (Some(now), Some(first)) = (lock(&self.inner.drill).report(), reports.first_mut()) {
            *first = now.clone();
        }
        reports
    }

    /// Tells the panel that the line is cut on purpose.
    pub fn report(&self) -> impl Fn(&mut Status) + Send + Sync + 'static {
        let drills = self.clone();
        move |status| {
            let drill = lock(&drills.inner.drill);
            let cut = drill.report().filter(|_| drill.is_cut());
            status.drill = cut.map(|report| DrillStatus {
                by: report.by.clone(),
                since: report.began,
                until: report.until,
            });
        }
    }

    /// Ends drills in time and finishes their reports, until the box stops; then the line is whole.
    ///
    /// Dropped at an await, it leaves a drill that the next start knows to have ended.
    pub async fn run(self, stop: CancellationToken) {
        let mut changed = self.inner.changed.subscribe();
        loop {
            let is_under_way = lock(&self.inner.drill).report().is_some();
            let look = async {
                match is_under_way {
                    true => tokio::time::sleep(LOOK_EVERY).await,
                    false => std::future::pending().await,
                }
            };
            tokio::select! {
                () = stop.cancelled() => break,
                _ = changed.changed() => {}
                () = look => self.look().await,
            }
        }
        self.end_as(End::Restart, None).await;
    }

    async fn look(&self) {
        let Some(sample) = self.sample().await else { return };
        let (at, now) = (env::timestamp(), env::instant());
        lock(&self.inner.drill).handle_sample(&sample, at, now);
        self.carry_out().await;
    }

    async fn end_as(&self, end: End, by: Option<String>) -> Option<Report> {
        // A box that stops may no longer know its numbers; the line does not wait for them.
        let sample = self.sample().await;
        let (at, now) = (env::timestamp(), env::instant());
        if !lock(&self.inner.drill).end(end, by, sample.as_ref(), at, now) {
            return None;
        }
        self.carry_out().await;
        self.inner.changed.send_modify(|count| *count += 1);
        self.reports().into_iter().next()
    }

    /// Cuts the line once it is written down who wants it; blocks for as long as the disk takes.
    fn cut(&self, order: Order, sample: Sample) -> Result<Report, DrillError> {
        let (at, now) = (env::timestamp(), env::instant());
        lock(&self.inner.drill).begin(order, sample, at, now)?;
        if let Err(error) = self.write_down() {
            *lock(&self.inner.drill) = Drill::default();
            return Err(DrillError::Diary(error));
        }
        self.inner.valve.shut();
        self.inner.changed.send_modify(|count| *count += 1);
        let report = self.reports().into_iter().next().ok_or(DrillError::NotReady)?;
        tracing::warn!(by = report.by, until = %report.until, "a drill cuts the line to head office");
        Ok(report)
    }

    async fn carry_out(&self) {
        if !lock(&self.inner.drill).is_cut() && self.inner.valve.is_shut() {
            self.inner.valve.open();
            tracing::warn!("the drill is over, the line to head office is whole");
        }
        let drills = self.clone();
        if let Err(error) = beside(move || drills.write_down()).await {
            tracing::error!(%error, "the report of a drill cannot be written down");
        }
    }

    fn write_down(&self) -> std::io::Result<()> {
        loop {
            let Some(event) = lock(&self.inner.drill).poll_event() else { return Ok(()) };
            let (Event::Cut(report) | Event::Whole(report) | Event::Finished(report)) = event;
            lock(&self.inner.diary).write(report)?;
        }
    }

    async fn sample(&self) -> Option<Sample> {
        let eyes = self.inner.eyes.get()?;
        let status = eyes.panel.status().await;
        let outbox = status.outbox?;
        let (failed, waits) = (eyes.counted)();
        Some(Sample {
            accepted: outbox.accepted,
            done: outbox.settled + outbox.given_up + outbox.quarantined,
            waiting: outbox.waiting,
            quarantined: outbox.quarantined,
            failed,
            waits,
        })
    }
}

/// What is behind these locks is whole even if a thread died while holding one.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Role;
    use crate::status::{OutboxStatus, PanelBuilder};
    use crate::supervise::Supervisor;

    fn drills(dir: &Path, valve: &Valve) -> Drills {
        let drills = Drills::open(dir, valve.clone());
        let node = "store-1".parse().unwrap();
        let mut panel = PanelBuilder::new(node, Role::Store, String::new(), Supervisor::new());
        panel.add(|status| status.outbox = Some(OutboxStatus::default()));
        panel.add(drills.report());
        drills.look_at(panel.finish(), || (0, Waits::default()));
        drills
    }

    #[tokio::test]
    async fn a_drill_that_nobody_ends_ends_with_the_box() {
        let (dir, valve) = (tempfile::tempdir().unwrap(), Valve::default());
        let drills = drills(dir.path(), &valve);
        let stop = CancellationToken::new();
        let run = drills.clone().run(stop.clone());
        let acts = async {
            let order = Order { seconds: 600, by: "anna".to_owned() };
            drills.begin(order.clone()).await.unwrap();
            assert!(valve.is_shut());
            assert!(matches!(drills.begin(order).await, Err(DrillError::Refused(_))));
            let status = drills.inner.eyes.get().unwrap().panel.status().await;
            assert_eq!(status.drill.unwrap().by, "anna");
            stop.cancel();
        };
        tokio::join!(run, acts);
        assert!(!valve.is_shut());
        let reports = Drills::open(dir.path(), Valve::default()).reports();
        assert_eq!((reports.len(), reports[0].end), (1, Some(End::Restart)));
    }

    #[tokio::test]
    async fn what_cannot_be_written_down_is_not_done() {
        let (dir, valve) = (tempfile::tempdir().unwrap(), Valve::default());
        let drills = drills(&dir.path().join("not-there"), &valve);
        let order = Order { seconds: 600, by: "anna".to_owned() };
        assert!(matches!(drills.begin(order).await, Err(DrillError::Diary(_))));
        assert!(!valve.is_shut() && drills.end(None).await.is_none());
    }
}
