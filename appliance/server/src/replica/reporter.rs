//! Tells head office what this box and its terminals refreshed.
//!
//! Nobody waits for it: what cannot be reported now is reported later, and what was reported twice is noted once.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::history::History;
use super::source::{HttpSource, SourceError};
use crate::files;
use crate::logging::chain;

const RETRY_MIN: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(60);

/// The task.
pub struct Reporter {
    history: History,
    source: HttpSource,
    /// Remembers the number up to which head office knows; without it all is reported again, which is harmless.
    path: PathBuf,
}

impl Reporter {
    /// A reporter to this source that remembers in this file how far it is.
    pub fn new(history: History, source: HttpSource, path: &Path) -> Self {
        Self { history, source, path: path.to_owned() }
    }

    /// Reports until it is told to stop; dropped at an await, it may report a page again after the next start.
    pub async fn run(self, shutdown: CancellationToken) {
        shutdown.run_until_cancelled(self.report_for_ever()).await;
    }

    async fn report_for_ever(&self) {
        let known = std::fs::read_to_string(&self.path).ok().and_then(|text| text.parse().ok());
        let mut reported: u64 = known.unwrap_or(0);
        let mut latest = self.history.watch();
        let mut pause = RETRY_MIN;
        loop {
            // Numbers begin anew when the history was thrown away.
            reported = reported.min(*latest.borrow_and_update());
            match self.report(reported).await {
                Ok(Some(number)) => {
                    reported = number;
                    pause = RETRY_MIN;
                    self.remember(number);
                }
                Ok(None) => {
                    if latest.changed().await.is_err() {
                        return;
                    }
                }
                Err(error) => {
                    tracing::debug!(error = %chain(&error), "refreshes are reported later");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(RETRY_MAX);
                }
            }
        }
    }

    /// Reports the next page; the number up to which is reported now, or nothing if there was none.
    async fn report(&self, after: u64) -> Result<Option<u64>, SourceError> {
        let entries = self.history.own_after(after);
        let Some(last) = entries.last().map(|entry| entry.number) else { return Ok(None) };
        self.source.post(&["sync", "v1", "history"], &entries).await?;
        Ok(Some(last))
    }

    fn remember(&self, number: u64) {
        if let Err(error) = files::replace(&self.path, number.to_string().as_bytes(), files::PUBLIC)
        {
            tracing::warn!(error = %error, "what was reported cannot be remembered");
        }
    }
}
