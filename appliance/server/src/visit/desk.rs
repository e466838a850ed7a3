//! The box's side: opens, closes, calls head office and shows what it asks for.
//!
//! A visit opens and a thing is shown only once it is written down; it closes whatever the disk does, and the audit is
//! told as soon as it can be.
//! What waits for the disk is done beside the threads that serve, and nobody who asks what is open waits for it.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::http::{Request, header};
use http_body_util::{BodyExt, Limited};
use storebox_proto::limits::{VISIT_BODY_BYTES_MAX, VISIT_QUESTIONS_MAX};
use storebox_proto::order::{Order, Unfit};
use storebox_proto::time::Timestamp;
use storebox_proto::visit::{Asked, Call, DOCTOR, Entry, Open, Question, Sight, Visit};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tower::Service;

use super::audit::Audit;
use crate::blocking::beside;
use crate::config::Origin;
use crate::env;
use crate::http::identity::Identity;
use crate::logging::chain;
use crate::replica::source::HttpSource;
use crate::status::{Status, VisitStatus};

/// A box that is closed and may be asked to open rests so long between two calls, which head office holds for a while.
const KNOCK_REST: Duration = Duration::from_secs(45);
/// After a call that was not answered.
const REST: Duration = Duration::from_secs(2);
/// What is looked at answers within this.
const SIGHT_MAX: Duration = Duration::from_secs(40);
/// Between two attempts to write down that a visit is over.
const AGAIN: Duration = Duration::from_secs(10);

/// What the box shows, and where it calls.
pub struct Ground {
    /// Its routes.
    pub router: Router,
    /// Head office.
    pub source: HttpSource,
    /// Where its configuration comes from, for the doctor.
    pub origin: Origin,
    /// Whether head office may open a visit itself.
    pub on_request: bool,
}

/// The visits of a box; cheap to clone.
#[derive(Debug, Clone)]
pub struct Desk {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    data_dir: PathBuf,
    visit: Mutex<Visit>,
    audit: Mutex<Audit>,
    /// What is open, for whoever must not wait for a disk.
    shown: watch::Sender<Option<Open>>,
}

/// Why a visit is not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It may not be.
    #[error(transparent)]
    Unfit(#[from] Unfit),
    /// It could not be written down.
    #[error("write the visit down")]
    Audit(#[from] std::io::Error),
}

impl Desk {
    /// The desk of a data directory; nothing is open.
    pub fn open(data_dir: &Path) -> Self {
        let (visit, audit) = (Mutex::default(), Mutex::new(Audit::open(data_dir)));
        let shown = watch::Sender::new(None);
        Self { inner: Arc::new(Inner { data_dir: data_dir.to_owned(), visit, audit, shown }) }
    }

    /// Does what waits for the disk beside the threads that serve.
    pub async fn beside<T: Send + 'static>(
        &self,
        act: impl FnOnce(&Self) -> T + Send + 'static,
    ) -> T {
        let desk = self.clone();
        beside(move || act(&desk)).await
    }

    /// Lets head office look for a while, once it is written down who does it.
    pub fn let_in(&self, order: &Order) -> Result<(), OpenError> {
        let by = self.change(|visit, at, now| {
            visit.open(order, at, now)?;
            Ok::<_, Unfit>(visit.state(now).map_or_else(String::new, |open| open.by.clone()))
        })??;
        tracing::warn!(by, seconds = order.seconds, "head office may look at this box");
        Ok(())
    }

    /// Lets head office look no longer; false if it could not.
    pub fn close(&self, by: &str) -> bool {
        self.end(|visit, at, now| visit.close(by, at, now)).0
    }

    /// The audit, the newest line first.
    pub fn audit(&self) -> Vec<Entry> {
        lock(&self.inner.audit).newest()
    }

    /// Tells the panel whether head office may look.
    pub fn report(&self) -> impl Fn(&mut Status) + Send + Sync + 'static {
        let desk = self.clone();
        move |status| {
            let (shown, now) = (desk.inner.shown.borrow(), env::instant());
            let open = shown.as_ref().filter(|open| open.left(now) > Duration::ZERO);
            status.visit = open.map(|open| VisitStatus {
                by: open.by.clone(),
                since: open.since,
                until: open.until,
            });
        }
    }

    /// Calls head office while a visit is open, until the box stops, which closes it.
    pub async fn run(self, ground: Ground, stop: CancellationToken) {
        let ends = stop.run_until_cancelled(self.end_in_time());
        let calls = stop.run_until_cancelled(self.call_for_ever(&ground));
        tokio::join!(ends, calls);
        self.beside(|desk| desk.close("")).await;
    }

    /// Closes in time, whatever a call waits for, and writes down what could not be.
    async fn end_in_time(&self) {
        let mut shown = self.inner.shown.subscribe();
        let mut is_written = true;
        loop {
            let left = shown.borrow_and_update().as_ref().map(|open| open.left(env::instant()));
            let due = left.or((!is_written).then_some(AGAIN)).unwrap_or(Duration::MAX);
            // Changed, or due.
            let _ = tokio::time::timeout(due, shown.changed()).await;
            let tick = |desk: &Self| desk.end(|visit, at, now| visit.handle_timeout(at, now));
            is_written = self.beside(tick).await.1;
        }
    }

    async fn call_for_ever(&self, ground: &Ground) {
        let mut shown = self.inner.shown.subscribe();
        let (mut questions, mut sight) = (VecDeque::new(), None);
        let mut is_told = true;
        loop {
            let open_s = open_s(&shown);
            let is_open = open_s > 0;
            if !is_open {
                // Head office hears that it is closed, and nothing else.
                questions.clear();
                sight = None;
            }
            if !is_open && is_told && !ground.on_request {
                turned(&mut shown, is_open).await;
                continue;
            }
            if sight.is_none()
                && let Some(question) = questions.pop_front()
            {
                tokio::select! {
                    seen = self.show(&question, ground) => sight = Some(seen),
                    () = turned(&mut shown, is_open) => {}
                }
                continue;
            }
            // Each answer goes in a call of its own: one that does not get through takes no other with it.
            let sights = sight.take().into_iter().collect();
            let call = Call { open_s, sights, waits: !is_open && ground.on_request };
            let answer = tokio::select! {
                answer = ground.source.call::<Asked>(&["sync", "v1", "visit"], &call) => answer,
                () = turned(&mut shown, is_open) => { is_told = false; continue }
            };
            let asked = match answer {
                Ok(asked) => asked,
                Err(error) => {
                    tracing::debug!(error = %chain(&error), "head office takes no call");
                    tokio::time::sleep(REST).await;
                    continue;
                }
            };
            is_told = !is_open;
            if is_open {
                let room = VISIT_QUESTIONS_MAX.saturating_sub(questions.len());
                questions.extend(asked.questions.into_iter().take(room));
            } else if ground.on_request {
                self.hear_knock(asked.knock).await;
                let _ = tokio::time::timeout(KNOCK_REST, turned(&mut shown, is_open)).await;
            }
        }
    }

    /// Head office wishes to be let in, and the box's configuration allows it.
    async fn hear_knock(&self, knock: Option<Order>) {
        let Some(order) = knock else { return };
        if let Err(error) = self.beside(move |desk| desk.let_in(&order)).await {
            tracing::warn!(error = %chain(&error), "head office is not let in");
        }
    }

    /// What a question is answered with; nothing is shown that is not written down.
    async fn show(&self, question: &Question, ground: &Ground) -> Sight {
        let refuse = |status: u16, why: &str| Sight {
            id: question.id,
            status,
            content_type: "text/plain; charset=utf-8".to_owned(),
            body: why.to_owned(),
        };
        let asked = question.clone();
        let admit = move |desk: &Self| desk.change(|visit, at, now| visit.admit(&asked, at, now));
        match self.beside(admit).await {
            Ok(true) => {}
            Ok(false) => return refuse(403, "nobody at the store lets head office see this"),
            Err(error) => {
                tracing::error!(%error, "a look cannot be written down, so nothing is shown");
                return refuse(500, "the box cannot write down who looks");
            }
        }
        let shown = match question.path.as_str() {
            DOCTOR => tokio::time::timeout(SIGHT_MAX, self.examine(&ground.origin)).await,
            path => tokio::time::timeout(SIGHT_MAX, read(ground.router.clone(), path)).await,
        };
        match shown {
            Ok(Some((status, content_type, body))) => {
                Sight { id: question.id, status, content_type, body }
            }
            Ok(None) => refuse(500, "the box cannot show this"),
            Err(_) => refuse(504, "the box was too slow"),
        }
    }

    /// The doctor is a program of its own: it also looks at what the box cannot know of itself.
    async fn examine(&self, origin: &Origin) -> Option<(u16, String, String)> {
        let program = std::env::current_exe().ok()?;
        let mut command = std::process::Command::new(program);
        command
            .arg("--config")
            .arg(origin.file())
            .arg("--data-dir")
            .arg(&self.inner.data_dir)
            .args(["doctor", "--json"])
            .stdin(Stdio::null());
        // It ends by itself, whatever hangs.
        let output = beside(move || command.output()).await.ok()?;
        let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.truncate(text.floor_char_boundary(VISIT_BODY_BYTES_MAX));
        Some((200, "application/json".to_owned(), text))
    }

    /// Changes the visit once the audit has it; blocks for as long as the disk takes.
    fn change<T>(
        &self,
        act: impl FnOnce(&mut Visit, Timestamp, Instant) -> T,
    ) -> std::io::Result<T> {
        let mut visit = self.visit();
        let mut next = visit.clone();
        let done = act(&mut next, env::timestamp(), env::instant());
        self.write_down(&mut next)?;
        *visit = next;
        self.tell(&visit);
        Ok(done)
    }

    /// Ends the visit, whatever the disk does; false behind it: the audit does not have all lines yet.
    fn end<T>(&self, act: impl FnOnce(&mut Visit, Timestamp, Instant) -> T) -> (T, bool) {
        let mut visit = self.visit();
        let done = act(&mut visit, env::timestamp(), env::instant());
        self.tell(&visit);
        let written = self.write_down(&mut visit);
        if let Err(error) = &written {
            tracing::error!(%error, "the end of a visit cannot be written down yet");
        }
        (done, written.is_ok())
    }

    /// Gives the audit the lines of a visit, which keeps those that cannot be written.
    fn write_down(&self, visit: &mut Visit) -> std::io::Result<()> {
        let mut told = visit.clone();
        let lines = std::iter::from_fn(|| told.poll_entry()).collect();
        lock(&self.inner.audit).write(lines)?;
        *visit = told;
        Ok(())
    }

    fn tell(&self, visit: &Visit) {
        self.inner.shown.send_if_modified(|shown| {
            let is_other = shown.as_ref() != visit.open_one();
            if is_other {
                *shown = visit.open_one().cloned();
            }
            is_other
        });
    }

    fn visit(&self) -> MutexGuard<'_, Visit> {
        lock(&self.inner.visit)
    }
}

/// For how many seconds head office may look; 0: it may not.
fn open_s(shown: &watch::Receiver<Option<Open>>) -> u64 {
    // Its last second counts as one: it is open until it is closed.
    shown.borrow().as_ref().map_or(0, |open| open.left(env::instant()).as_secs().max(1))
}

/// Waits until what was open is closed, or the other way round.
async fn turned(shown: &mut watch::Receiver<Option<Open>>, was_open: bool) {
    // The desk itself holds the sender.
    let _ = shown.wait_for(|open| open.is_some() != was_open).await;
}

/// What the operator of the box would read there.
async fn read(mut router: Router, path: &str) -> Option<(u16, String, String)> {
    let mut request = Request::builder().uri(path).body(Body::empty()).ok()?;
    request.extensions_mut().insert(Identity::Operator);
    let response = router.call(request).await.ok()?;
    let status = response.status().as_u16();
    let content_type = response.headers().get(header::CONTENT_TYPE);
    let content_type = content_type.and_then(|text| text.to_str().ok()).unwrap_or("").to_owned();
    let body = Limited::new(response.into_body(), VISIT_BODY_BYTES_MAX).collect().await.ok()?;
    Some((status, content_type, String::from_utf8_lossy(&body.to_bytes()).into_owned()))
}

/// What is behind these locks is whole even if a thread died while holding one.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
