//! A wall clock that is set, and runs at another pace, while everything else that measures time is right.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::Context;

const THOUSAND: i64 = 1000;

/// The clock of all processes that were started with it.
pub(crate) struct Clock {
    file: File,
    path: PathBuf,
}

impl Clock {
    pub(crate) fn make(path: &Path) -> anyhow::Result<Self> {
        let file = File::options().read(true).write(true).create(true).truncate(true).open(path)?;
        let clock = Self { file, path: path.to_owned() };
        clock.set(wall(), 1)?;
        Ok(clock)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// So late is it now, since 1970; and so many seconds pass in each.
    pub(crate) fn set(&self, now: Duration, pace: u32) -> anyhow::Result<()> {
        let pace = i64::from(pace) * THOUSAND;
        let microseconds = i64::try_from(up()?.as_micros())?;
        let added = i64::try_from(now.as_nanos())? - microseconds * pace;
        let bytes = [added.to_ne_bytes(), pace.to_ne_bytes()].concat();
        Ok(self.file.write_all_at(&bytes, 0)?)
    }
}

/// What this machine believes, since 1970.
#[expect(clippy::disallowed_methods, reason = "the campaign sets clocks by the machine's")]
pub(crate) fn wall() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

/// How long the machine has been running.
fn up() -> anyhow::Result<Duration> {
    let text = fs::read_to_string("/proc/uptime")?;
    let seconds: f64 = text.split(' ').next().context("a number")?.parse()?;
    Ok(Duration::from_secs_f64(seconds))
}
