//! The box's side: opens, closes, calls head office and shows what it asks for.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::http::{Request, header};
use http_body_util::{BodyExt, Limited};
use storebox_proto::limits::VISIT_BODY_BYTES_MAX;
use storebox_proto::time::Timestamp;
use storebox_proto::visit::{Asked, Call, DOCTOR, Entry, Order, Question, Refused, Sight, Visit};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tower::Service;

use super::audit::Audit;
use crate::config::Origin;
use crate::env;
use crate::http::identity::Identity;
use crate::replica::refresher::chain;
use crate::replica::source::HttpSource;
use crate::status::{Status, VisitStatus};

/// Between two calls of a box that is closed and may be asked to open.
const KNOCK_EVERY: Duration = Duration::from_secs(5);
/// After a call that was not answered.
const REST: Duration = Duration::from_secs(2);
/// What is looked at answers within this.
const SIGHT_MAX: Duration = Duration::from_secs(40);
/// How often an open visit is held against its end.
const TICK: Duration = Duration::from_millis(500);

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
    changed: watch::Sender<u64>,
}

/// Why a visit is not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It may not be.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// It could not be written down.
    #[error("write the visit down")]
    Audit(#[from] std::io::Error),
}

impl Desk {
    /// The desk of a data directory; nothing is open.
    pub fn open(data_dir: &Path) -> Self {
        let (visit, audit) = (Mutex::default(), Mutex::new(Audit::open(data_dir)));
        let changed = watch::Sender::new(0);
        Self { inner: Arc::new(Inner { data_dir: data_dir.to_owned(), visit, audit, changed }) }
    }

    /// Lets head office look for a while, once it is written down who does it.
    pub fn let_in(&self, order: &Order) -> Result<(), OpenError> {
        self.change(|visit, at, now| visit.open(order, at, now))??;
        tracing::warn!(by = order.by, seconds = order.seconds, "head office may look at this box");
        Ok(())
    }

    /// Lets head office look no longer; false if it could not.
    pub fn close(&self, by: &str) -> bool {
        self.change(|visit, at, now| visit.close(by, at, now)).unwrap_or_else(|error| {
            // Closing does not wait for a disk.
            tracing::error!(%error, "the end of a visit cannot be written down");
            self.visit().close(by, env::timestamp(), env::instant());
            self.tell();
            true
        })
    }

    /// The audit, the newest line first.
    pub fn audit(&self) -> Vec<Entry> {
        lock(&self.inner.audit).newest()
    }

    /// Tells the panel whether head office may look.
    pub fn report(&self) -> impl Fn(&mut Status) + Send + Sync + 'static {
        let desk = self.clone();
        move |status| {
            let visit = desk.visit();
            status.visit = visit.state(env::instant()).map(|open| VisitStatus {
                by: open.by.clone(),
                since: open.since,
                until: open.until,
            });
        }
    }

    /// Calls head office while a visit is open, until the box stops, which closes it.
    pub async fn run(self, ground: Ground, stop: CancellationToken) {
        let watch = stop.run_until_cancelled(self.watch());
        let calls = stop.run_until_cancelled(self.call_for_ever(&ground));
        tokio::join!(watch, calls);
        self.close("");
    }

    /// Closes in time, whatever a call waits for.
    async fn watch(&self) {
        loop {
            tokio::time::sleep(TICK).await;
            let closed = self.change(|visit, at, now| visit.handle_timeout(at, now));
            if let Err(error) = closed {
                tracing::error!(%error, "the end of a visit cannot be written down");
            }
        }
    }

    async fn call_for_ever(&self, ground: &Ground) {
        let mut changed = self.inner.changed.subscribe();
        let mut sights = Vec::new();
        let mut is_told = true;
        loop {
            changed.mark_unchanged();
            let left = self.visit().left(env::instant());
            let is_open = left > Duration::ZERO;
            if !is_open && is_told && !ground.on_request {
                let _ = changed.changed().await;
                continue;
            }
            let call = Call { open_s: left.as_secs(), sights: sights.clone() };
            let asked = tokio::select! {
                asked = ground.source.call::<Asked>(&["sync", "v1", "visit"], &call) => asked,
                _ = changed.changed() => { is_told = false; continue }
            };
            let asked = match asked {
                Ok(asked) => asked,
                Err(error) => {
                    tracing::debug!(error = %chain(&error), "head office takes no call");
                    tokio::time::sleep(REST).await;
                    continue;
                }
            };
            is_told = !is_open;
            sights.clear();
            if let Some(knock) = asked.knock.filter(|_| ground.on_request && !is_open)
                && let Err(error) = self.let_in(&knock)
            {
                tracing::warn!(error = %chain(&error), "head office is not let in");
            }
            for question in &asked.questions {
                sights.push(self.show(question, ground).await);
            }
            if !is_open && sights.is_empty() {
                let _ = tokio::time::timeout(KNOCK_EVERY, changed.changed()).await;
            }
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
        match self.change(|visit, at, now| visit.admit(question, at, now)) {
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
        let output = tokio::task::spawn_blocking(move || command.output()).await.ok()?.ok()?;
        let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.truncate(text.floor_char_boundary(VISIT_BODY_BYTES_MAX));
        Some((200, "application/json".to_owned(), text))
    }

    /// Changes the visit once the audit has it.
    fn change<T>(
        &self,
        act: impl FnOnce(&mut Visit, Timestamp, Instant) -> T,
    ) -> std::io::Result<T> {
        let (at, now) = (env::timestamp(), env::instant());
        let mut visit = self.visit();
        let mut next = visit.clone();
        let done = act(&mut next, at, now);
        let entries = std::iter::from_fn(|| next.poll_entry()).collect();
        lock(&self.inner.audit).write(entries)?;
        let is_changed = next.state(now) != visit.state(now) || next.is_open() != visit.is_open();
        *visit = next;
        drop(visit);
        if is_changed {
            self.tell();
        }
        Ok(done)
    }

    fn tell(&self) {
        self.inner.changed.send_modify(|count| *count += 1);
    }

    fn visit(&self) -> MutexGuard<'_, Visit> {
        lock(&self.inner.visit)
    }
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
