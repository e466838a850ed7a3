//! Which sealed writes were taken, caller by caller, and what was answered to those that may be sent again.
//!
//! All of it lives in memory: after a restart the box has another life, and what was sealed for the former one is
//! refused before it comes here.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use storebox_proto::problem::Code;
use storebox_proto::seal::SealError;
use storebox_proto::seal::window::Window;

/// Callers that are remembered; as many as may be let in.
const CALLERS_MAX: usize = 20_000;
/// Answers that are kept for a request that is sealed again, of all callers.
const ANSWERS_MAX: usize = 1024;
/// Their bodies together.
const ANSWERS_BYTES_MAX: usize = 4 * 1024 * 1024;
/// How long they are kept.
const KEPT: Duration = Duration::from_secs(600);

/// The answer that was given first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    /// The status.
    pub status: u16,
    /// What was refused, if it was.
    pub code: Option<Code>,
    /// The headers that travel inside.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// What is to be done with a write whose counter was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taken {
    /// Do it.
    New,
    /// It was done; this was answered.
    Again(Arc<Given>),
}

#[derive(Debug)]
struct Kept {
    caller: String,
    key: [u8; 16],
    at: Instant,
    given: Arc<Given>,
}

#[derive(Debug, Default)]
struct Inner {
    windows: BTreeMap<String, Window>,
    kept: VecDeque<Kept>,
    kept_bytes: usize,
}

/// All callers; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Callers(Arc<Mutex<Inner>>);

impl Callers {
    /// Takes a write's counter, once, and looks for the answer that its key was given.
    ///
    /// With the error comes the newest counter of this caller, so that it can go on.
    pub fn take(
        &self,
        caller: &str,
        counter: u64,
        key: [u8; 16],
        now: Instant,
    ) -> Result<Taken, (SealError, u64)> {
        let mut inner = self.lock();
        if !inner.windows.contains_key(caller) && inner.windows.len() >= CALLERS_MAX {
            return Err((SealError::Content("more callers than may be let in"), 0));
        }
        let window = inner.windows.entry(caller.to_owned()).or_default();
        window.take(counter).map_err(|error| (error, window.top()))?;
        inner.forget(now);
        let known = inner.kept.iter().find(|kept| kept.caller == caller && kept.key == key);
        Ok(known.map_or(Taken::New, |kept| Taken::Again(Arc::clone(&kept.given))))
    }

    /// Keeps the answer to a write.
    pub fn keep(&self, caller: &str, key: [u8; 16], given: Given, now: Instant) {
        let mut inner = self.lock();
        if given.body.len() > ANSWERS_BYTES_MAX / 4 {
            return;
        }
        inner.kept_bytes += given.body.len();
        let caller = caller.to_owned();
        inner.kept.push_back(Kept { caller, key, at: now, given: Arc::new(given) });
        inner.forget(now);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn forget(&mut self, now: Instant) {
        let is_over = |kept: &Kept| now.saturating_duration_since(kept.at) >= KEPT;
        while let Some(oldest) = self.kept.front() {
            let too_many = self.kept.len() > ANSWERS_MAX || self.kept_bytes > ANSWERS_BYTES_MAX;
            if !too_many && !is_over(oldest) {
                return;
            }
            self.kept_bytes -= oldest.given.body.len();
            self.kept.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env;

    fn given(body: &[u8]) -> Given {
        Given { status: 200, code: None, headers: Vec::new(), body: body.to_vec() }
    }

    #[test]
    fn a_write_that_is_sealed_again_gets_its_first_answer() {
        let callers = Callers::default();
        let now = env::instant();
        assert_eq!(callers.take("till-1", 1, [1; 16], now), Ok(Taken::New));
        callers.keep("till-1", [1; 16], given(b"opened"), now);
        let again = Taken::Again(Arc::new(given(b"opened")));
        assert_eq!(callers.take("till-1", 2, [1; 16], now), Ok(again));
        assert_eq!(callers.take("till-2", 2, [1; 16], now), Ok(Taken::New), "another caller");
        assert_eq!(callers.take("till-1", 3, [1; 16], now + KEPT), Ok(Taken::New));
    }

    #[test]
    fn a_refused_counter_comes_with_the_newest_one() {
        let callers = Callers::default();
        let now = env::instant();
        assert!(callers.take("till-1", 100, [1; 16], now).is_ok());
        let replayed = (SealError::Replayed { counter: 100 }, 100);
        assert_eq!(callers.take("till-1", 100, [2; 16], now), Err(replayed));
        let (error, top) = callers.take("till-1", 36, [3; 16], now).unwrap_err();
        assert_eq!((error, top), (SealError::Reordered { counter: 36, top: 100 }, 100));
    }

    #[test]
    fn answers_are_bounded_in_number_and_size() {
        let callers = Callers::default();
        let now = env::instant();
        for number in 0..2000u64 {
            let mut key = [0; 16];
            key[..8].copy_from_slice(&number.to_be_bytes());
            callers.keep("till-1", key, given(&[0; 100_000]), now);
        }
        let inner = callers.lock();
        assert!(inner.kept.len() <= ANSWERS_MAX && inner.kept_bytes <= ANSWERS_BYTES_MAX);
    }
}
