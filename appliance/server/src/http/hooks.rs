//! Hooks for the operator: what waits after the commit, and a hook tried on a sample.

use std::collections::BTreeSet;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use storebox_proto::estate::channel::{Script, ServiceType};
use storebox_proto::limits::SCRIPT_BYTES_MAX;
use storebox_proto::problem::{Code, Problem};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::problem::Refusal;
use crate::blocking::beside;
use crate::channel::afterwards::{NoErrand, Waiting};
use crate::channel::engine::{Chain, Facts, Runner};
use crate::channel::{Afterwards, Channels};
use crate::env;

/// Hooks of one answer.
const LISTED_MAX: usize = 1000;

/// What the handlers need; cheap to clone.
#[derive(Clone)]
pub struct HookDesk {
    /// The definitions.
    pub channels: Channels,
    /// What runs hooks.
    pub runner: Runner,
    /// What waits after the commit.
    pub afterwards: Afterwards,
}

/// The routes of this file.
pub fn routes(desk: HookDesk) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(attempt))
        .routes(routes!(retry))
        .routes(routes!(give_up))
        .with_state(desk)
}

/// What waits after the commit.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
struct List {
    /// The first thousand, the oldest transaction first.
    #[schema(value_type = Vec<Object>)]
    waiting: Vec<Waiting>,
    /// How many wait.
    total: usize,
    /// How many of them wait for a person.
    dead: usize,
    /// Hooks that could not be kept since the start.
    missed: u64,
}

/// A hook and a sample.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Trial {
    /// The id of a hook; or `script`.
    #[serde(default)]
    hook: Option<String>,
    /// A script that is defined nowhere; or `hook`.
    #[serde(default)]
    script: Option<String>,
    /// The sample.
    #[schema(value_type = Object)]
    object: Value,
    /// What the script is given besides; a hook has its own.
    #[serde(default)]
    #[schema(value_type = Object)]
    parameters: Map<String, Value>,
}

/// What became of the sample.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Tried {
    /// The object as the hook left it.
    #[schema(value_type = Object)]
    pub object: Value,
    /// How long it took, in microseconds.
    pub took_us: u64,
}

/// Hooks after the commit that have not succeeded yet.
#[utoipa::path(get, path = "/v1/hooks", tag = "channels",
    responses((status = 200, description = "What waits.", body = List)))]
async fn list(State(desk): State<HookDesk>) -> Json<List> {
    let (missed, (total, dead)) = (desk.afterwards.missed(), desk.afterwards.count());
    let waiting = beside(move || desk.afterwards.list(LISTED_MAX)).await;
    Json(List { waiting, total, dead, missed })
}

/// Try a hook, or a script, on a sample; nothing is stored, but a webhook is called.
#[utoipa::path(post, path = "/v1/hooks/try", tag = "channels", request_body(content = Trial,
    example = json!({"script": "object.name.make_upper();", "object": {"name": "ada"}})),
    responses((status = 200, description = "The sample as the hook left it.", body = Tried),
              (status = 422, description = "The hook refuses, or a field is wrong."),
              (status = 502, description = "The hook failed, or was stopped at a limit.")))]
async fn attempt(State(desk): State<HookDesk>, body: Bytes) -> Result<Json<Tried>, Refusal> {
    let trial: Trial = serde_json::from_slice(&body).map_err(|error| {
        Refusal::new(Code::BodyMalformed, format!("request is not understood: {error}"))
    })?;
    let begun = env::instant();
    let object = tried(&desk, trial).await?;
    let took_us = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
    Ok(Json(Tried { object, took_us }))
}

async fn tried(desk: &HookDesk, trial: Trial) -> Result<Value, Problem> {
    let Trial { hook, script, object, parameters } = trial;
    let id = format!("trial-{}", hex::encode(env::random::<8>()));
    let wrong = |detail: String| Problem::new(Code::FieldInvalid, detail);
    let nowhere = Facts {
        stage: None,
        service: ServiceType::Ticket,
        entity: None,
        channel: String::new(),
        terminal: String::new(),
        user: None,
        roles: BTreeSet::new(),
        correlation: id.clone(),
    };
    match (hook, script) {
        (Some(hook), None) => {
            let definitions = desk.channels.definitions();
            let mut all = definitions.channels().flat_map(|one| definitions.hooks(&one.id));
            let found = all
                .find(|one| one.id == hook)
                .ok_or_else(|| wrong(format!("field hook: no hook has the id {hook:.64}")))?;
            let facts = Facts {
                stage: Some(found.stage),
                service: found.service.unwrap_or(ServiceType::Ticket),
                entity: found.entity,
                channel: found.channel_id.clone(),
                ..nowhere
            };
            let name = format!("hook {hook}");
            let ran = desk.runner.attempt(Chain::of_hook(&name, found), &facts, &id, object).await;
            ran.map_err(|fault| fault.problem(&name))
        }
        (None, Some(script)) if script.len() > SCRIPT_BYTES_MAX => {
            Err(wrong(format!("field script: has more than {SCRIPT_BYTES_MAX} bytes")))
        }
        (None, Some(script)) => {
            let script = Script(script);
            let chain = Chain::of_script(&script, &parameters);
            let ran = desk.runner.attempt(chain, &nowhere, &id, object).await;
            ran.map_err(|fault| fault.problem("script"))
        }
        (Some(_), Some(_)) | (None, None) => {
            Err(wrong("field hook: give it, or script, and not both".to_owned()))
        }
    }
}

/// Run a hook again now that failed after the commit.
#[utoipa::path(post, path = "/v1/hooks/{id}/retry", tag = "channels",
    params(("id" = String, Path, description = "As it is listed.")),
    responses((status = 200, description = "What runs again.", body = Object),
              (status = 404, description = "Nothing waits under this id.")))]
async fn retry(
    State(desk): State<HookDesk>,
    Path(id): Path<String>,
) -> Result<Json<Value>, Refusal> {
    let errand = desk.afterwards.retry(&id).await.map_err(unknown)?;
    Ok(Json(serde_json::json!(errand)))
}

/// Give a hook up that failed after the commit.
#[utoipa::path(post, path = "/v1/hooks/{id}/drop", tag = "channels",
    params(("id" = String, Path, description = "As it is listed.")),
    responses((status = 200, description = "What was given up.", body = Object),
              (status = 404, description = "Nothing waits under this id.")))]
async fn give_up(
    State(desk): State<HookDesk>,
    Path(id): Path<String>,
) -> Result<Json<Value>, Refusal> {
    let errand = desk.afterwards.give_up(&id).await.map_err(unknown)?;
    tracing::warn!(hook = %errand.hook, key = %errand.key, "a hook after the commit was given up");
    Ok(Json(serde_json::json!(errand)))
}

fn unknown(error: NoErrand) -> Problem {
    Problem::new(Code::PathUnknown, error.to_string().chars().take(200).collect::<String>())
}
