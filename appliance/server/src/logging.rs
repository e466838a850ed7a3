//! Where log lines go: to journald with fields under systemd, as text for people otherwise.
//!
//! A panic is a broken invariant: it is logged and ends the process, so that systemd brings back a known
//! state instead of leaving a runtime that lost one of its tasks.
//! The one exception is sled on damaged files (decision 0002): the database catches that panic and is rebuilt.

use std::error::Error;
use std::os::fd::AsFd;

use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::Log;
use crate::{db, discovery};

mod levels;
mod ring;

pub use levels::{LevelChange, Levels, LevelsView, levels};
pub use ring::lines;

/// What journald calls the service.
const IDENTIFIER: &str = "storebox";

/// Why logging cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// journald was promised but does not answer.
    #[error("connect to journald")]
    Journal(#[source] std::io::Error),
    /// Something else has set up logging in this process.
    #[error("set up logging a second time")]
    Twice(#[source] tracing_subscriber::util::TryInitError),
}

/// Sets up logging and the panic hook for the whole process.
pub fn start(log: &Log) -> Result<(), LoggingError> {
    let (filter, handle) = reload::Layer::new(levels::filter(log));
    let registry = tracing_subscriber::registry().with(filter).with(ring::Ring);
    if writes_to_journal() {
        let journal = tracing_journald::layer().map_err(LoggingError::Journal)?;
        let journal = journal
            .with_syslog_identifier(IDENTIFIER.to_owned())
            .with_field_prefix(Some(IDENTIFIER.to_ascii_uppercase()));
        registry.with(journal).try_init().map_err(LoggingError::Twice)?;
    } else {
        let text = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
        let text = text.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()));
        // A line that a full disk does not take is left out; telling of that on the same disk would panic.
        let text = text.log_internal_errors(false);
        registry.with(text).try_init().map_err(LoggingError::Twice)?;
    }
    std::panic::set_hook(Box::new(end_the_process));
    levels::remember(Levels::new(handle, log.clone()));
    Ok(())
}

/// Whether standard error is the journal's stream, as systemd names it by device and inode.
fn writes_to_journal() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else { return false };
    match nix::sys::stat::fstat(std::io::stderr().as_fd()) {
        Ok(stat) => stream == format!("{}:{}", stat.st_dev, stat.st_ino),
        Err(_) => false,
    }
}

fn end_the_process(panic: &std::panic::PanicHookInfo<'_>) {
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    let message = panic.payload_as_str().unwrap_or("a value that is not text");
    let thread = std::thread::current();
    let thread = thread.name().unwrap_or("unnamed");
    if db::panic_is_contained() {
        tracing::warn!(
            error = message,
            place,
            thread,
            "the database panicked, its replica will be rebuilt"
        );
        return;
    }
    if discovery::panic_is_contained(thread) {
        tracing::warn!(error = message, place, thread, "mDNS panicked, it starts again");
        return;
    }
    let trace = std::backtrace::Backtrace::force_capture();
    tracing::error!(error = message, place, thread, %trace, "panicked, the process ends");
    std::process::abort();
}

/// An error with all its causes, as the field `error` wants it.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_names_every_cause() {
        let error = LoggingError::Journal(std::io::Error::other("no socket"));
        assert_eq!(chain(&error), "connect to journald: no socket");
    }
}
