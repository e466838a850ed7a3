//! Head office's side: boxes call, questions wait for them, and what they show goes to whoever asked.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use storebox_proto::ids::NodeId;
use storebox_proto::limits::VISIT_QUESTIONS_MAX;
use storebox_proto::order::Order;
use storebox_proto::visit::{Asked, Call, Question, Sight, is_sight};
use tokio::sync::{Notify, oneshot};

use crate::env;

/// A call of a box that is open, or may be asked to open, is held for so long when there is nothing to say.
const HOLD: Duration = Duration::from_secs(15);
/// A box that did not call for this long is not open any more.
const SILENT_MAX: Duration = Duration::from_secs(60);
/// Whoever asks waits no longer.
const ANSWER_MAX: Duration = Duration::from_secs(50);
/// A wish to be let in that no box came for is forgotten.
const KNOCK_MAX: Duration = Duration::from_secs(120);

/// Why nothing is seen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LookError {
    /// It is not on the list.
    #[error("field path: is none of what may be looked at")]
    Path,
    /// Nobody at the store lets head office look.
    #[error("box {0} is closed: somebody at the store opens it with `storebox visit open`")]
    Closed(NodeId),
    /// Too many ask at once.
    #[error("box {0} has more questions than it answers")]
    Busy(NodeId),
    /// The box did not answer in time.
    #[error("box {0} did not answer in time")]
    Silent(NodeId),
}

/// The boxes that call; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Hall {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    boxes: BTreeMap<NodeId, Guest>,
    numbers: u64,
}

#[derive(Debug, Default)]
struct Guest {
    open_until: Option<Instant>,
    questions: VecDeque<Question>,
    waiting: BTreeMap<u64, oneshot::Sender<Sight>>,
    knock: Option<(Order, Instant)>,
    asked: Arc<Notify>,
}

impl Guest {
    fn is_open(&self, now: Instant) -> bool {
        self.open_until.is_some_and(|until| now < until)
    }

    fn has_nothing_to_say(&self) -> bool {
        self.questions.is_empty() && self.knock.is_none()
    }

    /// Whoever went away waits no longer.
    fn forget_gone(&mut self) {
        self.waiting.retain(|_, tell| !tell.is_closed());
        self.questions.retain(|question| self.waiting.contains_key(&question.id));
    }
}

impl Hall {
    /// A box calls; it is answered as soon as something is asked, or after a while, and at once if it shows something:
    /// it may have more to show.
    ///
    /// Dropped at the await, nothing is lost: questions are taken last.
    pub async fn hear(&self, node: &NodeId, call: Call) -> Asked {
        let now = env::instant();
        let hold = match (call.open_s, call.waits) {
            _ if !call.sights.is_empty() => Duration::ZERO,
            (0, false) => Duration::ZERO,
            (0, true) => HOLD,
            (open_s, _) => HOLD.min(Duration::from_secs(open_s)),
        };
        let asked = {
            let mut inner = self.lock();
            let guest = inner.boxes.entry(node.clone()).or_default();
            let left = Duration::from_secs(call.open_s).min(SILENT_MAX);
            guest.open_until = (call.open_s > 0).then(|| now + left);
            for sight in call.sights {
                if let Some(waits) = guest.waiting.remove(&sight.id) {
                    // Whoever asked may have gone away.
                    let _ = waits.send(sight);
                }
            }
            if call.open_s == 0 {
                guest.questions.clear();
                guest.waiting.clear();
            }
            guest.has_nothing_to_say().then(|| Arc::clone(&guest.asked))
        };
        if let Some(asked) = asked.filter(|_| hold > Duration::ZERO) {
            let _ = tokio::time::timeout(hold, asked.notified()).await;
        }
        self.take(node)
    }

    fn take(&self, node: &NodeId) -> Asked {
        let (mut inner, now) = (self.lock(), env::instant());
        let Some(guest) = inner.boxes.get_mut(node) else { return Asked::default() };
        let knock =
            guest.knock.take().filter(|(_, at)| now.saturating_duration_since(*at) < KNOCK_MAX);
        guest.forget_gone();
        let questions = guest.questions.drain(..).collect();
        Asked { questions, knock: knock.map(|(order, _)| order) }
    }

    /// Asks a box whose visit is open.
    pub async fn look(&self, node: &NodeId, path: &str, by: &str) -> Result<Sight, LookError> {
        if !is_sight(path) {
            return Err(LookError::Path);
        }
        let (answer, id) = {
            let (mut inner, now) = (self.lock(), env::instant());
            inner.numbers += 1;
            let id = inner.numbers;
            let guest = inner.boxes.get_mut(node).filter(|guest| guest.is_open(now));
            let guest = guest.ok_or_else(|| LookError::Closed(node.clone()))?;
            guest.forget_gone();
            if guest.waiting.len() >= VISIT_QUESTIONS_MAX {
                return Err(LookError::Busy(node.clone()));
            }
            let (tell, answer) = oneshot::channel();
            guest.waiting.insert(id, tell);
            guest.questions.push_back(Question { id, path: path.to_owned(), by: by.to_owned() });
            guest.asked.notify_one();
            (answer, id)
        };
        let heard = tokio::time::timeout(ANSWER_MAX, answer).await;
        if let Some(guest) = self.lock().boxes.get_mut(node) {
            guest.waiting.remove(&id);
            guest.questions.retain(|question| question.id != id);
        }
        match heard {
            Ok(Ok(sight)) => Ok(sight),
            Ok(Err(_)) => Err(LookError::Closed(node.clone())),
            Err(_) => Err(LookError::Silent(node.clone())),
        }
    }

    /// Wishes to be let in; only a box whose configuration allows it does so, at its next call.
    pub fn knock(&self, node: &NodeId, order: Order) {
        let mut inner = self.lock();
        let guest = inner.boxes.entry(node.clone()).or_default();
        guest.knock = Some((order, env::instant()));
        guest.asked.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node() -> NodeId {
        "store-1".parse().unwrap()
    }

    fn open() -> Call {
        Call { open_s: 600, ..Call::default() }
    }

    /// A box that shows something no longer waited for: it is open, and is answered at once.
    fn showing() -> Call {
        let sight = Sight { id: 0, status: 200, content_type: String::new(), body: String::new() };
        Call { sights: vec![sight], ..open() }
    }

    #[tokio::test]
    async fn whoever_goes_away_takes_the_question_along() {
        let hall = Hall::default();
        assert_eq!(hall.hear(&node(), showing()).await, Asked::default());
        for _ in 0..=VISIT_QUESTIONS_MAX {
            let node = node();
            let look = hall.look(&node, "/v1/status", "olga");
            assert!(tokio::time::timeout(Duration::ZERO, look).await.is_err(), "asked and left");
        }
        let node = node();
        let look = hall.look(&node, "/metrics", "olga");
        let answer = async {
            let Asked { questions, .. } = hall.hear(&node, open()).await;
            assert_eq!(questions.len(), 1, "{questions:?}");
            let (id, body) = (questions[0].id, "seen".to_owned());
            let sight = Sight { id, status: 200, content_type: String::new(), body };
            hall.hear(&node, Call { sights: vec![sight], ..open() }).await
        };
        let (seen, _) = tokio::join!(look, answer);
        assert_eq!(seen.unwrap().body, "seen");
    }

    #[tokio::test]
    async fn a_box_that_may_be_asked_to_open_is_held_until_it_is() {
        let (hall, node) = (Hall::default(), node());
        let order = Order { seconds: 60, by: "olga".to_owned() };
        let call = Call { waits: true, ..Call::default() };
        let knock = async { hall.knock(&node, order.clone()) };
        let (asked, ()) = tokio::join!(biased; hall.hear(&node, call), knock);
        assert_eq!(asked.knock, Some(order));
    }

    #[tokio::test]
    async fn what_is_asked_of_a_box_that_closes_is_answered_so() {
        let (hall, node) = (Hall::default(), node());
        hall.hear(&node, showing()).await;
        let look = hall.look(&node, "/v1/status", "olga");
        let closed = hall.hear(&node, Call::default());
        let (seen, _) = tokio::join!(biased; look, closed);
        assert_eq!(seen, Err(LookError::Closed(node.clone())));
        assert_eq!(hall.look(&node, "/v1/users", "olga").await, Err(LookError::Path));
    }
}
