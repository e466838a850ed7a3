//! A device that is not there: a simulator in a thread of its own, on a pseudo-terminal.
//!
//! A link leads to the pseudo-terminal, so that a device that is unplugged and comes back under another name of the
//! kernel's is found again where it was configured.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use storebox_peripherals::line::Line;
use storebox_peripherals::runner::Runner;
use storebox_peripherals::sim::Pty;

use crate::env;

/// How soon something that is done to a device happens.
const TURN: Duration = Duration::from_millis(5);

/// A simulated device that is plugged in until this is dropped.
pub struct Simulated<A, E> {
    link: PathBuf,
    acts: Sender<A>,
    events: Receiver<E>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl<A: Send + 'static, E: Send + 'static> Simulated<A, E> {
    /// Plugs a simulator in; `link` leads to it.
    pub fn plug_in<L>(
        sim: L,
        act: impl Fn(&mut L, A) + Send + 'static,
        link: &Path,
    ) -> io::Result<Self>
    where
        L: Line<Event = E> + Send + 'static,
    {
        let pty = Pty::open()?;
        if link.is_symlink() {
            std::fs::remove_file(link)?;
        }
        std::os::unix::fs::symlink(pty.path(), link)?;
        let (acts, to_do) = channel();
        let (seen, events) = channel();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::Builder::new().name("simulator".to_owned()).spawn(move || {
            let mut runner = Runner::new(sim, pty, env::instant());
            while !stopped.load(Ordering::Relaxed) {
                to_do.try_iter().for_each(|what| act(runner.line(), what));
                let Ok(happened) = runner.turn(&env::instant, TURN) else { return };
                for event in happened {
                    if seen.send(event).is_err() {
                        return;
                    }
                }
            }
        })?;
        Ok(Self { link: link.to_owned(), acts, events, stop, thread: Some(thread) })
    }
}

impl<A, E> Simulated<A, E> {
    /// Does something to the device; one that is unplugged feels nothing.
    pub fn act(&self, act: A) {
        let _ = self.acts.send(act);
    }

    /// A way to do something to the device from elsewhere.
    pub fn hand(&self) -> Sender<A> {
        self.acts.clone()
    }

    /// What happened at the device since the last look.
    pub fn events(&self) -> Vec<E> {
        self.events.try_iter().collect()
    }
}

impl<A, E> Drop for Simulated<A, E> {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        let _ = std::fs::remove_file(&self.link);
    }
}
