//! Samples the box a few times a minute and keeps the points.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use storebox_proto::chronicle::{Gatherer, Point, Ring, Sample, minute_of};
use storebox_proto::time::{ClockConfidence, Timestamp};
use tokio_util::sync::CancellationToken;

use super::WaitClock;
use super::file::{FILE, RingFile};
use crate::blocking::beside;
use crate::env;
use crate::status::{Panel, Status};

/// Between two samples.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// What the refresher says of a feed that stands where its author stands.
const LEVEL: [&str; 3] = ["following", "up to date", "published"];

/// The last day of the box; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Chronicle(Arc<Mutex<Pages>>);

#[derive(Debug, Default)]
struct Pages {
    ring: Ring,
    gatherer: Gatherer,
}

impl Chronicle {
    /// The points of the last so many minutes, the one that has not ended included.
    pub fn last(&self, minutes: usize) -> Vec<Point> {
        let now = minute_of(env::timestamp());
        let pages = self.pages();
        let mut points = pages.ring.last(minutes, now);
        let open = pages.gatherer.current().filter(|open| open.minute == now && minutes > 0);
        points.retain(|point| open.is_none_or(|open| open.minute != point.minute));
        points.extend(open);
        points
    }

    fn note(&self, at: Timestamp, sample: Sample) -> Option<(usize, Point)> {
        let mut pages = self.pages();
        let ended = pages.gatherer.note(at, sample)?;
        Some((pages.ring.put(ended), ended))
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The task that keeps the chronicle.
#[derive(Debug)]
pub struct Keeper {
    chronicle: Chronicle,
    file: Arc<RingFile>,
    panel: Panel,
    waits: WaitClock,
}

impl Keeper {
    /// Opens the chronicle of a data directory.
    pub fn open(data_dir: &Path, panel: Panel, waits: WaitClock) -> io::Result<(Self, Chronicle)> {
        let (file, ring) = RingFile::open(&data_dir.join(FILE))?;
        let pages = Pages { ring, gatherer: Gatherer::default() };
        let chronicle = Chronicle(Arc::new(Mutex::new(pages)));
        let keeper = Self { chronicle: chronicle.clone(), file: Arc::new(file), panel, waits };
        Ok((keeper, chronicle))
    }

    /// Samples until the box stops, and keeps the minute that has not ended.
    ///
    /// Dropped at an await, it loses that minute.
    pub async fn run(self, stop: CancellationToken) {
        let mut look = tokio::time::interval(LOOK_EVERY);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while stop.run_until_cancelled(look.tick()).await.is_some() {
            let status = self.panel.status().await;
            // A point at a wrong time would only hide the right one.
            if status.clock == ClockConfidence::Wrong {
                continue;
            }
            let sample = sample(&status, &self.waits);
            if let Some((slot, point)) = self.chronicle.note(status.now, sample) {
                self.write(slot, point).await;
            }
        }
        let last = self.chronicle.pages().gatherer.current();
        if let Some(point) = last {
            let slot = self.chronicle.pages().ring.put(point);
            self.write(slot, point).await;
        }
    }

    /// A dying disk may hold a write for long; the runtime does not wait for it.
    async fn write(&self, slot: usize, point: Point) {
        let file = Arc::clone(&self.file);
        if let Err(error) = beside(move || file.put(slot, &point)).await {
            tracing::debug!(%error, "a minute of the chronicle cannot be written");
        }
    }
}

/// What a status says in numbers; at head office sales are what was settled.
fn sample(status: &Status, waits: &WaitClock) -> Sample {
    let (outbox, ledger) = (status.outbox.as_ref(), status.ledger.as_ref());
    let mut lines = status.lines.iter().filter(|line| line.service == "masterdata").peekable();
    let level = |state: &str| LEVEL.contains(&state);
    let is_level = lines
        .peek()
        .is_some()
        .then(|| lines.all(|line| line.up) && status.feeds.iter().all(|feed| level(&feed.state)));
    let taken = outbox.map(|outbox| outbox.accepted);
    Sample {
        waiting: outbox.map(|outbox| outbox.waiting),
        oldest_s: outbox.and_then(|outbox| outbox.oldest_s),
        sales: taken.or(ledger.map(|ledger| ledger.settled)),
        sent: outbox.map(|outbox| outbox.settled),
        is_level,
        waits: waits.waits(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Role;
    use crate::status::{OutboxStatus, PanelBuilder};
    use crate::supervise::Supervisor;

    #[tokio::test(start_paused = true)]
    async fn what_was_sampled_is_there_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let supervisor = Supervisor::new();
        let node = "store-1".parse().unwrap();
        let mut panel = PanelBuilder::new(node, Role::Store, String::new(), supervisor);
        panel.add(|status| {
            status.outbox = Some(OutboxStatus { waiting: 14, ..OutboxStatus::default() });
        });
        let waits = WaitClock::default();
        waits.count(Duration::from_micros(300));
        let (keeper, chronicle) = Keeper::open(dir.path(), panel.finish(), waits.clone()).unwrap();
        let stop = CancellationToken::new();
        let run = keeper.run(stop.clone());
        let meanwhile = async {
            while chronicle.last(5).is_empty() {
                tokio::time::advance(LOOK_EVERY).await;
            }
            stop.cancel();
        };
        tokio::join!(run, meanwhile);
        assert_eq!(chronicle.last(5).last().unwrap().waiting, Some(14));
        let panel = PanelBuilder::new(
            "store-1".parse().unwrap(),
            Role::Store,
            String::new(),
            Supervisor::new(),
        );
        let (_, again) = Keeper::open(dir.path(), panel.finish(), waits).unwrap();
        assert_eq!(again.last(5).last().unwrap().waiting, Some(14));
    }
}
