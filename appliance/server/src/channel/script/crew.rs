//! The threads on which scripts run: their own, and only so many.
//!
//! They serve nothing else, so a script that uses up its time keeps nobody waiting; and what a hostile one has made of
//! their memory is used again by the next, instead of being left behind on thread after thread.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use tokio::sync::{Semaphore, oneshot};

type Work = Box<dyn FnOnce() + Send>;

/// The threads; they start with the first script and end with the last handle.
pub(super) struct Crew {
    turns: Arc<Semaphore>,
    count: usize,
    started: Mutex<Option<Sender<Work>>>,
}

impl Crew {
    /// So many threads at most.
    pub(super) fn new(count: usize) -> Self {
        Self { turns: Arc::new(Semaphore::new(count)), count, started: Mutex::default() }
    }

    /// Runs something on one of them, when one has time; nothing if it did not come to an end.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let turn = Arc::clone(&self.turns).acquire_owned().await.ok()?;
        let (sender, receiver) = oneshot::channel();
        let job: Work = Box::new(move || {
            let done = work();
            drop(turn);
            // Whoever asked may have gone away meanwhile.
            let _ = sender.send(done);
        });
        self.sender().send(job).ok()?;
        receiver.await.ok()
    }

    fn sender(&self) -> Sender<Work> {
        let mut started = self.started.lock().unwrap_or_else(PoisonError::into_inner);
        let start = || {
            let (sender, receiver) = channel();
            let receiver = Arc::new(Mutex::new(receiver));
            for number in 0..self.count {
                let receiver = Arc::clone(&receiver);
                let thread = thread::Builder::new().name(format!("script {number}"));
                if let Err(error) = thread.spawn(move || serve(&receiver)) {
                    tracing::error!(%error, "a thread for scripts does not start");
                }
            }
            sender
        };
        started.get_or_insert_with(start).clone()
    }
}

fn serve(receiver: &Mutex<Receiver<Work>>) {
    loop {
        let next = receiver.lock().unwrap_or_else(PoisonError::into_inner).recv();
        match next {
            Ok(work) => work(),
            Err(_) => return,
        }
    }
}
