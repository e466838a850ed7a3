//! The wish of the operating system that the box goes down.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Listens for SIGTERM (systemd) and SIGINT (a person at the keyboard).
#[derive(Debug)]
pub struct Wishes {
    terminate: Signal,
    interrupt: Signal,
}

impl Wishes {
    /// Listens from now on, so that a signal during the start is not lost.
    pub fn listen() -> std::io::Result<Self> {
        let terminate = signal(SignalKind::terminate())?;
        Ok(Self { terminate, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for the first signal and tells its name.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
