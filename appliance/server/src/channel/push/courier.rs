//! Brings records to other programs.

use std::sync::Arc;
use std::time::{Duration, Instant};

use storebox_proto::estate::channel::{Delivery, PushDefinition, Webhook};
use storebox_proto::time::Timestamp;

use super::store::{Course, Last, Record};
use super::{BATCH, Inner, LOOK_MAX, LOOK_MIN, Rest, body, event};
use crate::blocking::beside;
use crate::db::DiskError;
use crate::logging;
use crate::webhook::CallFault;

/// Targets that are called at the same time.
const AT_ONCE: usize = 4;
/// Batches that one target gets before others have their turn.
const BATCHES_MAX: usize = 20;
/// The first pause of a target that is away; doubled each time.
const PAUSE_FIRST: Duration = Duration::from_secs(1);
/// The longest pause.
pub(super) const PAUSE_MAX: Duration = Duration::from_secs(300);

/// Delivers everything that is due once.
pub(super) async fn deliver(inner: &Arc<Inner>) {
    let definitions = inner.parts.channels.definitions();
    let due: Vec<_> = definitions.pushes().filter(|push| is_due(inner, push)).cloned().collect();
    for some in due.chunks(AT_ONCE) {
        let each = some.iter().map(|push| async {
            if let Err(error) = deliver_one(inner, push).await {
                tracing::warn!(push = %push.id, %error, "a push cannot be kept");
            }
        });
        futures_util::future::join_all(each).await;
    }
}

/// How long nothing needs to be delivered, as far as is known.
pub(super) fn pause(inner: &Inner) -> Duration {
    let now = inner.now().instant;
    let rests = inner.rests();
    let next = rests.values().map(|rest| rest.until.saturating_duration_since(now)).min();
    next.unwrap_or(LOOK_MAX).clamp(LOOK_MIN * 2, LOOK_MAX)
}

/// Whether the time between two deliveries is over; a clock that went back does not stop them.
pub(super) fn is_time(push: &PushDefinition, course: &Course, now: Timestamp) -> bool {
    let between_ms = i64::from(push.frequency) * 60_000;
    course.last.as_ref().is_none_or(|last| {
        let passed = now.unix_ms().saturating_sub(last.at.unix_ms());
        passed < 0 || passed >= between_ms
    })
}

fn is_due(inner: &Inner, push: &PushDefinition) -> bool {
    if push.delivery != Delivery::Webhook || inner.store.count(&push.id) == 0 {
        return false;
    }
    let now = inner.now();
    let is_resting = inner.rests().get(&push.id).is_some_and(|rest| rest.until > now.instant);
    let course = inner.store.course(&push.id).unwrap_or_default();
    !is_resting && is_time(push, &course, now.at)
}

async fn deliver_one(inner: &Arc<Inner>, push: &Arc<PushDefinition>) -> Result<(), DiskError> {
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
    inner.parts.webhooks.call(webhook, &id, &body).await.map(drop)
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
        let mut course = inner.store.course(&push.id).unwrap_or_default();
        course.failing_since = course.failing_since.or(Some(now.at));
        course.error = Some(error);
        inner.store.keep_course(&push.id, course)
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
