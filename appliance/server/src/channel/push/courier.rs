//! Brings records to other programs.

use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::future::{Either, select};
use futures_util::stream::FuturesUnordered;
use storebox_proto::estate::channel::{Delivery, PushDefinition, Webhook};
use storebox_proto::time::Timestamp;

use super::store::{Last, Record};
use super::{BATCH, Inner, LOOK_MAX, LOOK_MIN, Now, Rest, body, event, figures};
use crate::blocking::beside;
use crate::db::DiskError;
use crate::logging;
use crate::webhook::CallFault;

/// Targets that are called at the same time.
const AT_ONCE: usize = 8;
/// Batches that one target gets before it is looked whether it still shall.
const BATCHES_MAX: usize = 20;
/// The first pause of a target that is away; doubled each time.
const PAUSE_FIRST: Duration = Duration::from_secs(1);
/// The longest pause.
pub(super) const PAUSE_MAX: Duration = Duration::from_secs(300);

/// Delivers whatever is due, to each target as fast as it takes it; never ends.
pub(super) async fn deliver(inner: &Arc<Inner>) {
    let (mut works, mut busy) = (FuturesUnordered::new(), BTreeSet::new());
    let mut moved = inner.moved.subscribe();
    loop {
        moved.mark_unchanged();
        let now = inner.now();
        for push in due(inner, now, &busy).await {
            busy.insert(push.id.clone());
            works.push(async move {
                if let Err(error) = deliver_one(inner, &push).await {
                    tracing::warn!(push = %push.id, %error, "a push cannot be kept");
                    rest(inner, &push.id, inner.now().instant);
                }
                push.id.clone()
            });
        }
        let told = Arc::clone(inner);
        beside(move || figures::take(&told)).await;
        let changed = tokio::time::timeout(pause(inner, now.instant), moved.changed());
        let done = async {
            match works.next().await {
                Some(id) => id,
                None => std::future::pending().await,
            }
        };
        match select(pin!(changed), pin!(done)).await {
            Either::Left(_) => {}
            Either::Right((id, _)) => {
                busy.remove(&id);
            }
        }
    }
}

/// How long no target needs to be asked again; who rests no longer was looked at already.
fn pause(inner: &Inner, now: Instant) -> Duration {
    let rests = inner.rests();
    let next = rests.values().map(|rest| rest.until).filter(|until| *until > now).min();
    let pause = next.map_or(LOOK_MAX, |until| until.saturating_duration_since(now));
    pause.clamp(LOOK_MIN * 2, LOOK_MAX)
}

/// Whether a delivery is under way, or the time between two is over and one begins: blocking.
///
/// A clock that went back does not stop them.
pub(super) fn is_time(
    inner: &Inner,
    push: &PushDefinition,
    now: Timestamp,
) -> Result<bool, DiskError> {
    if push.frequency == 0 {
        return Ok(true);
    }
    let course = inner.store.course(&push.id).unwrap_or_default();
    let first = inner.store.waiting(&push.id, 0, 1)?;
    if first.first().is_some_and(|first| first.number <= course.until) {
        return Ok(true);
    }
    let between_ms = i64::from(push.frequency) * 60_000;
    let is_over = course.last.as_ref().is_none_or(|last| {
        let passed = now.unix_ms().saturating_sub(last.at.unix_ms());
        passed < 0 || passed >= between_ms
    });
    if is_over {
        let number = inner.store.number();
        inner.store.amend(&push.id, |course| course.until = number)?;
    }
    Ok(is_over)
}

/// The definitions whose targets are to be called now, besides those that are.
pub(super) async fn due(
    inner: &Arc<Inner>,
    now: Now,
    busy: &BTreeSet<String>,
) -> Vec<Arc<PushDefinition>> {
    let definitions = inner.parts.channels.definitions();
    let candidates = definitions.pushes().filter(|push| !busy.contains(&push.id));
    let candidates: Vec<_> = candidates.cloned().collect();
    let (inner, room) = (Arc::clone(inner), AT_ONCE.saturating_sub(busy.len()));
    let looked = beside(move || {
        let due = candidates.into_iter().filter(|push| is_due(&inner, push, now));
        due.take(room).collect()
    });
    looked.await
}

fn is_due(inner: &Inner, push: &PushDefinition, now: Now) -> bool {
    let is_called = push.delivery == Delivery::Webhook && push.webhook.is_some();
    if !is_called || inner.store.count(&push.id) == 0 {
        return false;
    }
    let is_resting = inner.rests().get(&push.id).is_some_and(|rest| rest.until > now.instant);
    let is_time = || {
        is_time(inner, push, now.at).unwrap_or_else(|error| {
            tracing::warn!(push = %push.id, %error, "records of pushes cannot be read");
            false
        })
    };
    !is_resting && is_time()
}

/// Delivers what waits for one target, until it has a rest.
pub(super) async fn deliver_one(
    inner: &Arc<Inner>,
    push: &Arc<PushDefinition>,
) -> Result<(), DiskError> {
    let Some(webhook) = &push.webhook else { return Ok(()) };
    for _ in 0..BATCHES_MAX {
        let waiting = aside(inner, push, |inner, push| inner.store.waiting(&push.id, 0, BATCH));
        let records = waiting.await?;
        if records.is_empty() {
            return Ok(());
        }
        match call(inner, push, webhook, records.clone()).await {
            Ok(()) => taken(inner, push, records).await?,
            Err(fault) if fault.is_passing() || matches!(fault, CallFault::Invalid(_)) => {
                return away(inner, push, &fault).await;
            }
            // One of them is what the target does not want.
            Err(_) => {
                for record in records {
                    if !alone(inner, push, webhook, record).await? {
                        return Ok(());
                    }
                }
            }
        }
    }
    Ok(())
}

/// Tells one record; false if the target is away.
async fn alone(
    inner: &Arc<Inner>,
    push: &Arc<PushDefinition>,
    webhook: &Webhook,
    record: Record,
) -> Result<bool, DiskError> {
    match call(inner, push, webhook, vec![record.clone()]).await {
        Ok(()) => taken(inner, push, vec![record]).await?,
        Err(fault) if fault.is_passing() => {
            away(inner, push, &fault).await?;
            return Ok(false);
        }
        Err(fault) => {
            let error = logging::chain(&fault);
            tracing::warn!(push = %push.id, id = record.id, error, "a push is refused");
            let bury = move |inner: &Inner, push: &PushDefinition| {
                inner.store.bury(&push.id, &record, &error)
            };
            aside(inner, push, bury).await?;
        }
    }
    Ok(true)
}

async fn call(
    inner: &Arc<Inner>,
    push: &Arc<PushDefinition>,
    webhook: &Webhook,
    records: Vec<Record>,
) -> Result<(), CallFault> {
    let numbers = |record: Option<&Record>| record.map_or(0, |record| record.number);
    let id = format!("{}-{}-{}", push.id, numbers(records.first()), numbers(records.last()));
    let told = aside(inner, push, move |inner, push| {
        let each = records.into_iter();
        let told = each.map(|record| event::told(&inner.parts.channels, push, record));
        body(push, &told.collect::<Vec<_>>())
    });
    let body = told.await;
    inner.parts.webhooks.tell(webhook, &id, &body).await
}

async fn taken(
    inner: &Arc<Inner>,
    push: &Arc<PushDefinition>,
    records: Vec<Record>,
) -> Result<(), DiskError> {
    inner.rests().remove(&push.id);
    let number = records.last().map_or(0, |record| record.number);
    let last = Last { at: inner.now().at, number, count: records.len() };
    aside(inner, push, move |inner, push| inner.store.delivered(&push.id, &records, last)).await
}

async fn away(
    inner: &Arc<Inner>,
    push: &Arc<PushDefinition>,
    fault: &CallFault,
) -> Result<(), DiskError> {
    let error = logging::chain(fault);
    let now = inner.now();
    let attempts = rest(inner, &push.id, now.instant);
    tracing::info!(push = %push.id, attempts, error, "the target of a push is away");
    aside(inner, push, move |inner, push| {
        inner.store.amend(&push.id, |course| {
            course.failing_since = course.failing_since.or(Some(now.at));
            course.error = Some(error);
        })
    })
    .await
}

fn rest(inner: &Inner, id: &str, now: Instant) -> u32 {
    let mut rests = inner.rests();
    let attempts = rests.get(id).map_or(0, |rest| rest.attempts).saturating_add(1);
    let pause = PAUSE_FIRST * 2_u32.saturating_pow(attempts.min(16) - 1);
    rests.insert(id.to_owned(), Rest { attempts, until: now + pause.min(PAUSE_MAX) });
    attempts
}

/// Work on the disk, away from what serves requests.
async fn aside<T: Send + 'static>(
    inner: &Arc<Inner>,
    push: &Arc<PushDefinition>,
    work: impl FnOnce(&Inner, &PushDefinition) -> T + Send + 'static,
) -> T {
    let (inner, push) = (Arc::clone(inner), Arc::clone(push));
    beside(move || work(&inner, &push)).await
}
