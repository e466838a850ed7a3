//! A box tells head office how it is, and first of all by which key it signs its receipts.

use std::time::{Duration, Instant};

use serde_json::json;
use storebox_proto::feed::Position;
use storebox_proto::heartbeat::{
    FeedAt, Heartbeat, ReleaseAt, ReleaseFailed, SettingsAt, TEXT_CHARS_MAX,
};
use storebox_proto::ids::SiteId;
use storebox_proto::limits::{DEVICES_MAX, RELEASES_MAX};
use tokio_util::sync::CancellationToken;

use crate::env;
use crate::logging::chain;
use crate::replica::source::{HttpSource, SourceError};
use crate::status::{Failed, Level, Panel, Status, UpdateStatus};

/// Between two heartbeats of a box of which nothing else is to be said.
pub const EVERY: Duration = Duration::from_secs(30);
/// Between two looks: what changed is told then, and a heartbeat that did not arrive is told again.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// The task.
pub struct Pulse {
    panel: Panel,
    site: SiteId,
    source: HttpSource,
}

impl Pulse {
    /// Tells this main server what this panel says.
    pub fn new(panel: Panel, site: SiteId, source: HttpSource) -> Self {
        Self { panel, site, source }
    }

    /// Tells until the box stops; dropped at an await, one heartbeat is missing.
    pub async fn run(self, stop: CancellationToken) {
        stop.run_until_cancelled(self.beat_for_ever()).await;
    }

    async fn beat_for_ever(&self) {
        let mut heard: Option<(Instant, Heartbeat)> = None;
        let mut has_shown = false;
        loop {
            let status = self.panel.status().await;
            has_shown = has_shown || self.show_key(&status.public_key).await;
            let heartbeat = heartbeat(&status, &self.site);
            let now = env::instant();
            let is_due = heard.as_ref().is_none_or(|(at, last)| {
                now.saturating_duration_since(*at) >= EVERY || differs(last, &heartbeat)
            });
            if is_due {
                match self.source.post(&["sync", "v1", "heartbeat"], &heartbeat).await {
                    Ok(()) => heard = Some((now, heartbeat)),
                    Err(error) => {
                        tracing::debug!(error = %chain(&error), "head office does not hear this box");
                        heard = None;
                    }
                }
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Whether head office knows the key, or is too old to ask for it.
    async fn show_key(&self, public_key: &str) -> bool {
        let shown = json!({ "publicKey": public_key });
        match self.source.post(&["sync", "v1", "receipt-key"], &shown).await {
            Ok(()) | Err(SourceError::Status { status: 404, .. }) => true,
            Err(error) => {
                tracing::debug!(error = %chain(&error), "head office does not know this box's key yet");
                false
            }
        }
    }
}

/// Whether somebody at head office would want to know before the next heartbeat.
fn differs(last: &Heartbeat, now: &Heartbeat) -> bool {
    last.level != now.level
        || last.troubled != now.troubled
        || last.quarantined != now.quarantined
        || last.feeds != now.feeds
        || last.settings != now.settings
        || last.visit_until != now.visit_until
        || last.release != now.release
}

fn settings(status: &Status) -> Option<SettingsAt> {
    let settings = status.settings.as_ref()?;
    let refused = settings.refused.as_ref();
    let why = refused.map(|refused| refused.why.chars().take(TEXT_CHARS_MAX).collect());
    Some(SettingsAt {
        revision: settings.revision,
        state: settings.state.clone(),
        ring: settings.ring.clone(),
        refused: refused.map(|refused| refused.revision),
        why: why.unwrap_or_default(),
    })
}

fn heartbeat(status: &Status, site: &SiteId) -> Heartbeat {
    let feeds = status.feeds.iter().filter_map(|feed| {
        let position = Position { epoch: feed.epoch, revision: feed.revision };
        Some(FeedAt { feed: feed.feed.parse().ok()?, position })
    });
    let outbox = status.outbox.as_ref();
    let ails =
        |device: &&crate::status::DeviceStatus| device.trouble.is_some() || device.link == "away";
    let first = status.findings.first();
    Heartbeat {
        version: status.version.clone(),
        now: status.now,
        uptime_s: status.uptime_s,
        feeds: feeds.collect(),
        waiting: outbox.map(|outbox| outbox.waiting),
        oldest_s: outbox.and_then(|outbox| outbox.oldest_s),
        quarantined: outbox.map(|outbox| outbox.quarantined),
        troubled: status
            .devices
            .iter()
            .filter(ails)
            .map(|device| device.id.clone())
            .take(DEVICES_MAX)
            .collect(),
        site: Some(site.clone()),
        settings: settings(status),
        visit_until: status.visit.as_ref().map(|visit| visit.until),
        level: match first.map_or(Level::Good, |finding| finding.level) {
            Level::Good => "good",
            Level::Notice => "notice",
            Level::Bad => "bad",
        }
        .to_owned(),
        sentence: first
            .map(|finding| finding.text.chars().take(TEXT_CHARS_MAX).collect())
            .unwrap_or_default(),
        release: status.update.as_ref().map(release),
    }
}

fn release(update: &UpdateStatus) -> ReleaseAt {
    let failed = |failed: &Failed| ReleaseFailed {
        version: line(&failed.version),
        event: line(&failed.event),
        why: line(&failed.why),
    };
    ReleaseAt {
        board: line(&update.board),
        running: line(&update.running),
        wanted: update.wanted.clone(),
        state: update.state.clone(),
        why: line(&update.why),
        failed: update.failed.iter().map(failed).take(RELEASES_MAX).collect(),
    }
}

/// What others wrote, as one line of a heartbeat.
fn line(text: &str) -> String {
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    text.chars().map(plain).take(TEXT_CHARS_MAX).collect()
}
