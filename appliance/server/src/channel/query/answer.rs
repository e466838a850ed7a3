//! One query from its request to its answer.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};
use storebox_proto::estate::channel::{
    Channel, PushDefinition, QueryParameters, ServiceType, Stage,
};
use storebox_proto::limits::QUERY_ROWS_MAX;
use storebox_proto::problem::{Code, Problem};
use storebox_proto::query::{Entity, Query};
use tokio::sync::SemaphorePermit;

use super::reader::{Found, Reader};
use crate::blocking::beside;
use crate::channel::context::{Context, Place};
use crate::channel::desk::Reply;
use crate::channel::fault;
use crate::channel::hooks::{Hooks, Point};
use crate::env;

/// How long a question that looks at every row waits for its turn.
const TURN_MAX: Duration = Duration::from_secs(10);

/// Answers a query, with its hooks around it.
pub(in crate::channel) async fn answer(
    reader: &Arc<Reader>,
    hooks: &dyn Hooks,
    context: &Context,
    parameters: &QueryParameters,
    request: Value,
) -> Result<Reply, Problem> {
    let entity = Query::parse(&request).map_err(fault::query)?.entity;
    let point = |stage| Point { stage, service: ServiceType::Query, entity: Some(entity) };
    let request = hooks.run(context, point(Stage::BeforeQuery), request).await?;
    let query = Query::parse(&request).map_err(fault::query)?;
    allowed(&query, entity, context, parameters)?;
    let rows_max = parameters.rows_max.unwrap_or(QUERY_ROWS_MAX).min(QUERY_ROWS_MAX);
    let (own, asked) = (Arc::clone(reader), query.clone());
    let early = match blocking(move || own.is_broad(&asked)).await? {
        true => Some(turn(reader).await?),
        false => None,
    };
    let (own, scope) = (Arc::clone(reader), Scope::of(context));
    let planned = blocking(move || own.plan(query)).await?;
    // An index may let too much through, which shows only when it is asked.
    let _turn = match early {
        None if planned.is_broad() => Some(turn(reader).await?),
        early => early,
    };
    let own = Arc::clone(reader);
    let work = move || {
        let asked = planned.query.clone();
        Ok(to_json(&asked, own.find(planned, &scope, rows_max)?))
    };
    let json = blocking(work).await?;
    let json = hooks.run(context, point(Stage::AfterQuery), json).await?;
    Ok(Reply { max_age: parameters.cache_seconds(entity), ..Reply::of(json) })
}

/// One row by its id, as a channel sees it; nothing if it is not among those that a push is about.
pub(in crate::channel) fn one(
    reader: &Reader,
    channel: &Channel,
    place: Place,
    push: &PushDefinition,
    id: &str,
) -> Result<Option<Map<String, Value>>, Problem> {
    let mut criteria = vec![json!({"fieldName": "id", "operator": "equals", "value": id})];
    if let Some(Value::Array(list)) = &push.raw_where {
        criteria.extend(list.iter().cloned());
    }
    let request = json!({"entity": push.entity.entity(), "criteria": criteria});
    let query = Query::parse(&request).map_err(fault::query)?;
    let scope = Scope { channel: channel.id.clone(), place, today: today() };
    Ok(reader.find(reader.plan(query)?, &scope, 1)?.rows.into_iter().next())
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    let span = tracing::Span::current();
    beside(move || span.in_scope(work)).await
}

/// Waits for the turn of a question that looks at every row: these go one after the other, so that the time that
/// one may take is its own.
async fn turn(reader: &Reader) -> Result<SemaphorePermit<'_>, Problem> {
    match tokio::time::timeout(TURN_MAX, reader.scans.acquire()).await {
        Ok(Ok(permit)) => Ok(permit),
        Ok(Err(_)) | Err(_) => {
            let detail = "too many questions look at every row; ask again, or by an indexed field";
            Err(Problem::new(Code::Busy, detail))
        }
    }
}

/// What of a context decides which rows a caller sees.
#[derive(Debug, Clone, Default)]
pub(super) struct Scope {
    pub(super) channel: String,
    pub(super) place: Place,
    /// Today, as masterdata writes a day.
    pub(super) today: String,
}

impl Scope {
    fn of(context: &Context) -> Self {
        Self { channel: context.channel.id.clone(), place: context.place.clone(), today: today() }
    }
}

fn today() -> String {
    env::believable().to_string().chars().take(10).collect()
}

fn allowed(
    query: &Query,
    asked: Entity,
    context: &Context,
    parameters: &QueryParameters,
) -> Result<(), Problem> {
    if query.entity != asked {
        return Err(fault::field("entity", "cannot be changed by a hook"));
    }
    if let Some(terminal) = &query.terminal
        && terminal != context.terminal()
    {
        let detail = format!("terminal {} may not ask as {terminal}", context.terminal());
        return Err(Problem::new(Code::Forbidden, detail));
    }
    if !parameters.entities.is_empty() && !parameters.entities.contains(&query.entity) {
        let names: Vec<_> = parameters.entities.iter().map(|entity| entity.as_str()).collect();
        let detail = format!(
            "field entity: channel {} may ask for {}, not for {}",
            context.channel.id,
            names.join(", "),
            query.entity
        );
        return Err(Problem::new(Code::Forbidden, detail));
    }
    Ok(())
}

fn to_json(query: &Query, found: Found) -> Value {
    let end = query.start_row + found.rows.len() as u64;
    let rows: Vec<Value> = found.rows.into_iter().map(Value::Object).collect();
    json!({
        "entity": query.entity,
        "startRow": query.start_row,
        "endRow": end,
        "totalRows": found.total,
        "more": found.more,
        "data": rows,
        "metadata": {
            "plan": found.plan,
            "examined": found.examined,
            "position": found.position,
        },
    })
}
