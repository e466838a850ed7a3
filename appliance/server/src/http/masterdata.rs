//! Masterdata for tills: by id, by an indexed field, by prefix, by likeness, and listed in order.
//!
//! Records leave as the bytes that are stored; nothing is parsed or formatted on the way.
//! Each answer names the feed and the revision of the one generation that it comes from.

use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderName, HeaderValue, Response, StatusCode, header};
use axum::{Extension, Json};
use bytes::Bytes;
use serde::Serialize;
use storebox_proto::feed::{IndexDef, Record, Scope};
use storebox_proto::ids::{ModelName, RecordId};
use storebox_proto::limits::PAGE_RECORDS_MAX;
use storebox_proto::problem::Code;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::cursor::Cursor;
use super::etag::{self, Known};
use super::identity::Identity;
use super::problem::Refusal;
use crate::db::{Generation, ReadError};
use crate::masterdata::{Assortment, Masterdata, NotReadable, View, position_of};

/// Records of an answer when the caller does not say.
const LIMIT_DEFAULT: usize = 100;
/// Epoch of the feed that answered.
const EPOCH: HeaderName = HeaderName::from_static("storebox-epoch");
/// The feed that answered.
const FEED: HeaderName = HeaderName::from_static("storebox-feed");
/// The excerpt in which nothing was found: elsewhere there may be something.
const EXCERPT: HeaderName = HeaderName::from_static("storebox-excerpt");
/// Revision of the feed that answered.
const REVISION: HeaderName = HeaderName::from_static("storebox-revision");

/// A model as clients see it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
struct ModelInfo {
    /// Its name.
    name: String,
    /// The feed it travels in.
    feed: String,
    /// `central` or `local`.
    #[schema(value_type = String)]
    scope: Scope,
    /// What it can be searched by, besides the id.
    #[schema(value_type = Vec<Object>)]
    indexes: Vec<IndexDef>,
    /// Records in the current generation.
    #[serde(skip_serializing_if = "Option::is_none")]
    records: Option<u64>,
    /// Digest of the current generation.
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<String>,
    /// Where its feed stands, as `epoch.revision`.
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<String>,
}

/// What is searched for; without a field, the model is listed in the order of its ids.
#[derive(Debug, Default, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct Search {
    /// An indexed field.
    field: Option<String>,
    /// The field has this value.
    value: Option<String>,
    /// The field starts with this.
    prefix: Option<String>,
    /// The field is like this, a typing error or two away.
    fuzzy: Option<String>,
    /// Go on behind the listing whose answer had this as `next`.
    after: Option<String>,
    /// At most so many records, 1 to 1000.
    limit: Option<usize>,
}

impl Search {
    /// Reads a query by hand: through serde it costs as much as the lookup itself.
    fn parse(query: &str) -> Result<Self, String> {
        let mut search = Self::default();
        let mut limit = None;
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let place = match name.as_ref() {
                "field" => &mut search.field,
                "value" => &mut search.value,
                "prefix" => &mut search.prefix,
                "fuzzy" => &mut search.fuzzy,
                "after" => &mut search.after,
                "limit" => &mut limit,
                other => {
                    let other: String = other.chars().take(64).collect();
                    return Err(format!("there is no parameter {other:?}"));
                }
            };
            if place.replace(value.into_owned()).is_some() {
                return Err(format!("{name} is given twice"));
            }
        }
        let number = |text: String| text.parse().map_err(|error| format!("limit: {error}"));
        search.limit = limit.map(number).transpose()?;
        Ok(search)
    }
}

/// The routes of this file.
pub fn routes(masterdata: Masterdata) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(models))
        .routes(routes!(record))
        .routes(routes!(records))
        .with_state(masterdata)
}

/// All models with their indexes and counts.
#[utoipa::path(get, path = "/v1/models", tag = "masterdata",
    responses((status = 200, description = "All models.", body = Vec<ModelInfo>)))]
async fn models(State(masterdata): State<Masterdata>) -> Json<Vec<ModelInfo>> {
    let info = |def: &storebox_proto::feed::ModelDef| {
        let view = masterdata.view(def.name.as_str()).ok();
        let generation = view.map(|view| view.generation);
        let of = generation.as_deref();
        ModelInfo {
            name: def.name.to_string(),
            feed: def.feed.to_string(),
            scope: def.scope,
            indexes: def.indexes.clone(),
            records: of.and_then(|generation| generation.count(&def.name)),
            digest: of.and_then(|generation| Some(generation.digest(&def.name)?.to_string())),
            position: of.map(|generation| position_of(generation).to_string()),
        }
    };
    Json(masterdata.registry().iter().map(info).collect())
}

/// One record by its id.
#[utoipa::path(get, path = "/v1/models/{model}/records/{id}", tag = "masterdata",
    params(("model" = String, Path), ("id" = String, Path)),
    responses((status = 200, description = "The record.", body = Object),
              (status = 304, description = "The caller has it."),
              (status = 404, description = "record_unknown, or outside_excerpt: it may exist, and is not replicated here")))]
async fn record(
    State(masterdata): State<Masterdata>,
    Extension(identity): Extension<Identity>,
    path: Result<Path<(String, String)>, PathRejection>,
    known: Known,
) -> Result<Response<Body>, Refusal> {
    let Path((model, id)) = path.map_err(|error| parameter(error.body_text()))?;
    check_model(&identity, &model)?;
    let id: RecordId = id.parse().map_err(|error| parameter(format!("{error}")))?;
    let View { model, generation } = masterdata.view(&model).map_err(not_readable)?;
    match generation.get(&model, &id).map_err(|error| not_read(&masterdata, error))? {
        Some(record) => Ok(answer(&generation, record.body, &known)),
        None => {
            let at = position_of(&generation);
            Err(match masterdata.excerpt_of(&model) {
                Some(excerpt) => {
                    let detail =
                        format!("no {model} has the id {id:?} in excerpt {excerpt} at {at}");
                    Refusal::new(Code::OutsideExcerpt, detail)
                }
                None => {
                    let detail = format!("no {model} has the id {id:?} at {at}");
                    Refusal::new(Code::RecordUnknown, detail)
                }
            })
        }
    }
}

/// Hashes of passwords are not for tills, however the path was written that led here.
fn check_model(identity: &Identity, model: &str) -> Result<(), Refusal> {
    match model {
        "User" if *identity != Identity::Operator => {
            Err(Refusal::new(Code::Forbidden, "users are for the operator"))
        }
        _ => Ok(()),
    }
}

/// Records by an indexed field, or all of a model in the order of their ids.
#[utoipa::path(get, path = "/v1/models/{model}/records", tag = "masterdata",
    params(("model" = String, Path), Search),
    responses((status = 200, description = "`records`, and in a listing that goes on, `next`.", body = Object),
              (status = 304, description = "The caller has it.")))]
async fn records(
    State(masterdata): State<Masterdata>,
    Extension(identity): Extension<Identity>,
    path: Result<Path<String>, PathRejection>,
    RawQuery(query): RawQuery,
    known: Known,
) -> Result<Response<Body>, Refusal> {
    let Path(model) = path.map_err(|error| parameter(error.body_text()))?;
    check_model(&identity, &model)?;
    let search = Search::parse(query.as_deref().unwrap_or_default()).map_err(parameter)?;
    let limit = search.limit.unwrap_or(LIMIT_DEFAULT);
    if !(1..=PAGE_RECORDS_MAX).contains(&limit) {
        return Err(parameter(format!("limit must be 1 to {PAGE_RECORDS_MAX}")));
    }
    match search {
        Search {
            field: Some(field),
            value: Some(value),
            prefix: None,
            fuzzy: None,
            after: None,
            ..
        } => by_value(&masterdata, &model, (&field, &value), limit, &known),
        Search {
            field: Some(field),
            value: None,
            prefix: Some(prefix),
            fuzzy: None,
            after: None,
            ..
        } => {
            let view = masterdata.view(&model).map_err(not_readable)?;
            aside(masterdata, view, known, move |View { model, generation }| {
                Ok(page(&generation.prefix(model, &field, &prefix, limit)?, None))
            })
            .await
        }
        Search {
            field: Some(field),
            value: None,
            prefix: None,
            fuzzy: Some(text),
            after: None,
            ..
        } => {
            let view = masterdata.view(&model).map_err(not_readable)?;
            aside(masterdata, view, known, move |View { model, generation }| {
                Ok(page(&generation.fuzzy(model, &field, &text, limit)?, None))
            })
            .await
        }
        Search { field: None, value: None, prefix: None, fuzzy: None, after, .. } => {
            let assortment = assortment_of(&masterdata, &identity, &model)?;
            list(masterdata, &model, (after, limit), assortment, known).await
        }
        Search { .. } => Err(parameter(
            "give `field` with one of `value`, `prefix` and `fuzzy`, or neither and optionally `after`",
        )),
    }
}

/// What the caller loads of a model; refused if it would load nothing because its box leaves that out.
fn assortment_of(
    masterdata: &Masterdata,
    identity: &Identity,
    model: &str,
) -> Result<Option<Assortment>, Refusal> {
    let assortment = match identity {
        Identity::Terminal(terminal) => masterdata.assortment_of(terminal),
        Identity::Node(_) | Identity::Operator => None,
    };
    // Models of feeds that this box has whole are listed whatever it leaves out of others.
    let model: Option<ModelName> = model.parse().ok();
    let cut = model.and_then(|model| masterdata.excerpt_of(&model)).is_some();
    match assortment.as_ref().filter(|_| cut).and_then(|one| one.left_out(masterdata)) {
        Some(detail) => Err(Refusal::new(Code::OutsideExcerpt, detail)),
        None => Ok(assortment),
    }
}

/// Records whose indexed field has a value.
fn by_value(
    masterdata: &Masterdata,
    model: &str,
    (field, value): (&str, &str),
    limit: usize,
    known: &Known,
) -> Result<Response<Body>, Refusal> {
    let View { model, generation } = masterdata.view(model).map_err(not_readable)?;
    let found = generation
        .find(&model, field, value, limit)
        .map_err(|error| not_read(masterdata, error))?;
    let mut response = answer(&generation, page(&found, None), known);
    if found.is_empty()
        && let Some(excerpt) = masterdata.excerpt_of(&model)
        && let Ok(excerpt) = HeaderValue::try_from(excerpt)
    {
        response.headers_mut().insert(EXCERPT, excerpt);
    }
    Ok(response)
}

async fn list(
    masterdata: Masterdata,
    model: &str,
    (after, limit): (Option<String>, usize),
    assortment: Option<Assortment>,
    known: Known,
) -> Result<Response<Body>, Refusal> {
    let cursor: Option<Cursor> = match after {
        Some(text) => Some(text.parse().map_err(|error| parameter(format!("after: {error}")))?),
        None => None,
    };
    let view = match &cursor {
        Some(cursor) => masterdata.view_at(model, cursor.position),
        None => masterdata.view(model),
    };
    let view = view.map_err(not_readable)?;
    let keeper = masterdata.clone();
    aside(masterdata, view, known, move |View { model, generation }| {
        let after = cursor.as_ref().map(|cursor| &cursor.last);
        let mut found = generation.list(model, after, limit)?;
        let goes_on = found.len() == limit;
        let last = found.last().filter(|_| goes_on).map(|record| record.id.clone());
        let next = last.map(|last| Cursor { position: position_of(generation), last });
        if next.is_some() {
            keeper.keep(generation);
        }
        if let Some(assortment) = &assortment {
            let mut taken = Vec::with_capacity(found.len());
            for record in found {
                if assortment.takes(model, &record)? {
                    taken.push(record);
                }
            }
            found = taken;
        }
        Ok(page(&found, next.as_ref()))
    })
    .await
}

/// Reads that touch many blocks do not hold up the requests that touch one.
async fn aside(
    masterdata: Masterdata,
    view: View,
    known: Known,
    read: impl FnOnce(&View) -> Result<Bytes, ReadError> + Send + 'static,
) -> Result<Response<Body>, Refusal> {
    let work = tokio::task::spawn_blocking(move || {
        let body = read(&view)?;
        Ok(answer(&view.generation, body, &known))
    });
    let stopping = |_| Refusal::new(Code::Stopping, "the box is stopping");
    work.await.map_err(stopping)?.map_err(|error| not_read(&masterdata, error))
}

/// `{"records":[…]}`, put together from stored bytes.
fn page(records: &[Record], next: Option<&Cursor>) -> Bytes {
    const OPEN: &[u8] = b"{\"records\":[";
    let next = next.map_or(String::new(), |next| format!(",\"next\":\"{next}\""));
    let bodies: usize = records.iter().map(|record| record.body.len() + 1).sum();
    let mut page = Vec::with_capacity(OPEN.len() + bodies + next.len() + 2);
    page.extend_from_slice(OPEN);
    for (index, record) in records.iter().enumerate() {
        if index > 0 {
            page.push(b',');
        }
        page.extend_from_slice(&record.body);
    }
    page.push(b']');
    page.extend_from_slice(next.as_bytes());
    page.push(b'}');
    page.into()
}

fn answer(generation: &Generation, body: Bytes, known: &Known) -> Response<Body> {
    let etag = etag::of(&body);
    let known = known.has(&etag);
    let mut response = Response::new(if known { Body::empty() } else { Body::from(body) });
    let head = response.headers_mut();
    if !known {
        head.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    head.insert(header::ETAG, etag);
    let feed = HeaderValue::from_str(generation.feed().as_str());
    head.insert(FEED, feed.expect("the name of a feed is plain ASCII"));
    head.insert(EPOCH, HeaderValue::from(generation.epoch()));
    head.insert(REVISION, HeaderValue::from(generation.revision()));
    if known {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    response
}

fn parameter(detail: impl Into<String>) -> Refusal {
    Refusal::new(Code::ParameterInvalid, detail)
}

fn not_readable(why: NotReadable) -> Refusal {
    let code = match &why {
        NotReadable::Unknown(_) | NotReadable::Local(_) => Code::ModelUnknown,
        NotReadable::Empty(_) => Code::ReplicaEmpty,
        NotReadable::Expired => Code::CursorExpired,
    };
    Refusal::new(code, why.to_string())
}

fn not_read(masterdata: &Masterdata, error: ReadError) -> Refusal {
    let code = match &error {
        ReadError::ModelUnknown { .. } => Code::ModelUnknown,
        ReadError::IndexUnknown { .. } => Code::IndexUnknown,
        ReadError::Damaged { model, segment, .. } => {
            masterdata.damaged(model, *segment);
            Code::ReplicaDamaged
        }
    };
    Refusal::new(code, error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_read_with_its_escapes_and_nothing_unknown() {
        let search = Search::parse("field=name&fuzzy=caf%C3%A9+au%20lait&limit=7").unwrap();
        assert_eq!(search.fuzzy.as_deref(), Some("café au lait"));
        assert_eq!((search.field.as_deref(), search.limit), (Some("name"), Some(7)));
        for refused in ["colour=red", "field=a&field=b", "limit=many", "limit=-1", "limit="] {
            assert!(Search::parse(refused).is_err(), "{refused}");
        }
    }
}
