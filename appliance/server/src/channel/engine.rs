//! Runs hooks: scripts on threads of their own, other programs over HTTP.
//!
//! A hook before the commit that refuses, fails or runs away refuses the call, and is named.
//! One after the commit is in [`Afterwards`] before the commit and never fails a call.
//!
//! Invariants:
//! - a script never runs on a thread that serves requests, and only so many run at once;
//! - every hook has an end: a script by the limits of its sandbox, a webhook by the time in its definition;
//! - what a hook does to one call is not seen by another.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use storebox_proto::estate::channel::{ChannelService, Hook, Script, ServiceType, Stage, Webhook};
use storebox_proto::ids::TxKey;
use storebox_proto::problem::{Code, Problem};
use storebox_proto::query::Entity;
use tokio::sync::Semaphore;

use super::afterwards::Afterwards;
use super::context::Context;
use super::hooks::{Hooks, Point};
use super::request_log::Step;
use super::script::{Sandbox, ScriptFault};
use super::tally::Tally;
use crate::env;
use crate::logging::chain;
use crate::webhook::{CallFault, Webhooks};

/// Other programs that are asked at the same time.
const WEBHOOKS_AT_ONCE: usize = 64;
/// How long a hook waits for its turn.
const TURN_MAX: Duration = Duration::from_secs(2);

/// What a hook is told of the call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Facts {
    /// When.
    pub stage: Option<Stage>,
    /// In which service.
    pub service: ServiceType,
    /// What it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entity: Option<Entity>,
    /// The channel.
    pub channel: String,
    /// The terminal.
    pub terminal: String,
    /// The user, if one is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The roles by which the call is allowed.
    #[serde(default)]
    pub roles: BTreeSet<String>,
    /// By which everything about the call is found.
    pub correlation: String,
}

impl Facts {
    /// The facts of a call at a point.
    pub fn at(context: &Context, point: Point) -> Self {
        Self { stage: Some(point.stage), entity: point.entity, ..Self::of(context, point.service) }
    }

    fn of(context: &Context, service: ServiceType) -> Self {
        Self {
            stage: None,
            service,
            entity: None,
            channel: context.channel.id.clone(),
            terminal: context.terminal().to_string(),
            user: context.user.clone(),
            roles: context.roles.clone(),
            correlation: context.caller.correlation.clone(),
        }
    }
}

/// Code of the chain, wherever it is defined.
#[derive(Debug, Clone, Copy)]
pub struct Chain<'a> {
    /// By which it is named: `hook h1`.
    pub name: &'a str,
    script: Option<&'a Script>,
    webhook: Option<&'a Webhook>,
    parameters: &'a Map<String, Value>,
}

impl<'a> Chain<'a> {
    /// The code of a hook.
    pub fn of_hook(name: &'a str, hook: &'a Hook) -> Self {
        let Hook { script, webhook, parameters, .. } = hook;
        Self { name, script: script.as_ref(), webhook: webhook.as_ref(), parameters }
    }

    /// The code of a service.
    fn of_service(name: &'a str, service: &'a ChannelService) -> Self {
        let ChannelService { script, webhook, raw_parameters, .. } = service;
        Self {
            name,
            script: script.as_ref(),
            webhook: webhook.as_ref(),
            parameters: raw_parameters,
        }
    }

    /// A script that is defined nowhere.
    pub fn of_script(script: &'a Script, parameters: &'a Map<String, Value>) -> Self {
        Self { name: "script", script: Some(script), webhook: None, parameters }
    }
}

/// Why code of the chain gives no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChainFault {
    /// It does not want the call.
    #[error("refuses: {0}")]
    Refused(String),
    /// It is broken; it would be the next time too.
    #[error("{0}")]
    Broken(String),
    /// It cannot be asked now.
    #[error("cannot be asked: {0}")]
    Away(String),
}

impl ChainFault {
    /// The refusal of a call by this.
    pub fn problem(&self, name: &str) -> Problem {
        let code = match self {
            Self::Refused(_) => Code::HookRefused,
            Self::Broken(_) | Self::Away(_) => Code::HookFailed,
        };
        Problem::new(code, format!("{name} {self}"))
    }
}

/// Runs code of the chain; cheap to clone.
#[derive(Clone)]
pub struct Runner {
    sandbox: Sandbox,
    webhooks: Webhooks,
    calls: Arc<Semaphore>,
    tally: Tally,
}

impl Runner {
    /// A runner that calls other programs this way.
    pub fn new(webhooks: Webhooks) -> Self {
        let calls = Arc::new(Semaphore::new(WEBHOOKS_AT_ONCE));
        Self { sandbox: Sandbox::default(), webhooks, calls, tally: Tally::default() }
    }

    /// How often code ran here, and how.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Runs code on an object and counts it; `id` names the telling, and is the same when it is repeated.
    pub async fn run(
        &self,
        chain: Chain<'_>,
        facts: &Facts,
        id: &str,
        object: Value,
    ) -> Result<Value, ChainFault> {
        let begun = env::instant();
        let ran = self.attempt(chain, facts, id, object).await;
        let error = ran.as_ref().err().map(ToString::to_string);
        self.tally.note(chain.name, begun.elapsed(), error);
        ran
    }

    /// Runs code on an object, as a person wants to see it; not counted.
    pub async fn attempt(
        &self,
        chain: Chain<'_>,
        facts: &Facts,
        id: &str,
        object: Value,
    ) -> Result<Value, ChainFault> {
        let mut call = json!(facts);
        call["name"] = json!(chain.name);
        call["parameters"] = json!(chain.parameters);
        match (chain.script, chain.webhook) {
            (Some(script), _) => self.script(script, call, object).await,
            (None, Some(webhook)) => {
                let heard = self.webhook(webhook, id, call, object.clone()).await;
                match heard {
                    // Of who only hears of it nothing is asked: that it answered is enough.
                    Err(Unheard::Misunderstood(_)) if is_told(facts) => Ok(object),
                    heard => heard.map_err(ChainFault::from),
                }
            }
            (None, None) => Err(ChainFault::Broken("has no code".to_owned())),
        }
    }

    async fn script(
        &self,
        script: &Script,
        call: Value,
        object: Value,
    ) -> Result<Value, ChainFault> {
        let ran = self.sandbox.run_apart(script.0.clone(), call, object, TURN_MAX).await;
        ran.map_err(|fault| match fault {
            ScriptFault::Refused(why) => ChainFault::Refused(why),
            ScriptFault::Busy => ChainFault::Away(fault.to_string()),
            ScriptFault::Syntax(_)
            | ScriptFault::Stopped(_)
            | ScriptFault::Failed(_)
            | ScriptFault::Value(_) => ChainFault::Broken(fault.to_string()),
        })
    }

    async fn webhook(
        &self,
        webhook: &Webhook,
        id: &str,
        call: Value,
        object: Value,
    ) -> Result<Value, Unheard> {
        let turn = tokio::time::timeout(TURN_MAX, self.calls.acquire()).await;
        let Ok(Ok(_turn)) = turn else {
            return Err(ChainFault::Away("other webhooks keep the box busy".to_owned()).into());
        };
        let told = json!({"context": call, "object": &object});
        let answer = self.webhooks.call(webhook, id, &told).await;
        let answer = answer.map_err(|fault| match fault {
            CallFault::Refused { text, .. } => ChainFault::Refused(text).into(),
            CallFault::Secret { .. } | CallFault::Unavailable(_) => {
                ChainFault::Away(chain(&fault)).into()
            }
            CallFault::Invalid(_) => ChainFault::Broken(chain(&fault)).into(),
            CallFault::Answer(_) => Unheard::Misunderstood(chain(&fault)),
        })?;
        match answer {
            Value::Null => Ok(object),
            Value::Object(mut fields) => match (fields.remove("refuse"), fields.remove("object")) {
                (Some(Value::String(why)), _) => Err(ChainFault::Refused(why).into()),
                (None, Some(object)) => Ok(object),
                (None, None) if fields.is_empty() => Ok(object),
                (Some(_) | None, _) => Err(misunderstood()),
            },
            Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                Err(misunderstood())
            }
        }
    }
}

fn misunderstood() -> Unheard {
    Unheard::Misunderstood("answers neither with `object` nor with `refuse`".to_owned())
}

/// Whether the code only hears of something that has happened.
fn is_told(facts: &Facts) -> bool {
    facts.stage == Some(Stage::AfterComplete)
}

/// Why a webhook gives no result.
enum Unheard {
    Fault(ChainFault),
    /// It was told, and what it answers is not understood.
    Misunderstood(String),
}

impl From<ChainFault> for Unheard {
    fn from(fault: ChainFault) -> Self {
        Self::Fault(fault)
    }
}

impl From<Unheard> for ChainFault {
    fn from(unheard: Unheard) -> Self {
        match unheard {
            Unheard::Fault(fault) => fault,
            Unheard::Misunderstood(what) => Self::Broken(what),
        }
    }
}

/// The hooks of a box.
pub struct Engine {
    runner: Runner,
    afterwards: Afterwards,
}

impl Engine {
    /// Hooks that run here, and those after the commit there.
    pub fn new(runner: Runner, afterwards: Afterwards) -> Self {
        Self { runner, afterwards }
    }

    async fn each(
        &self,
        context: &Context,
        point: Point,
        mut object: Value,
    ) -> Result<Value, Problem> {
        let facts = Facts::at(context, point);
        for hook in context.hooks_at(point) {
            let name = format!("hook {}", hook.id);
            let id = format!("{}-{}", facts.correlation, hook.id);
            let begun = env::instant();
            let ran = self.runner.run(Chain::of_hook(&name, hook), &facts, &id, object).await;
            let took_us = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
            let error = ran.as_ref().err().map(ToString::to_string);
            if let Some(error) = &error {
                let stage = point.stage.as_str();
                tracing::warn!(hook = %hook.id, stage, took_us, error, "a hook stops a call");
            }
            let stage = point.stage.as_str();
            context.step(Step { hook: hook.id.clone(), stage, took_us, error });
            object = ran.map_err(|fault| fault.problem(&name))?;
        }
        Ok(object)
    }
}

impl Hooks for Engine {
    fn run<'a>(
        &'a self,
        context: &'a Context,
        point: Point,
        object: Value,
    ) -> BoxFuture<'a, Result<Value, Problem>> {
        Box::pin(self.each(context, point, object))
    }

    fn serve<'a>(
        &'a self,
        context: &'a Context,
        service: &'a ChannelService,
        request: Value,
    ) -> BoxFuture<'a, Result<Value, Problem>> {
        Box::pin(async move {
            let name = format!("service {}", service.service.as_str());
            let facts = Facts::of(context, service.service);
            let chain = Chain::of_service(&name, service);
            let ran = self.runner.run(chain, &facts, &facts.correlation, request).await;
            ran.map_err(|fault| fault.problem(&name))
        })
    }

    fn prepare<'a>(
        &'a self,
        context: &'a Context,
        point: Point,
        object: &'a Value,
        key: TxKey,
    ) -> BoxFuture<'a, ()> {
        let hooks: Vec<&Arc<Hook>> = context.hooks_at(point).collect();
        Box::pin(async move {
            let defined = context.definitions.hooks_after_commit();
            for hook in hooks {
                let facts = Facts::at(context, point);
                self.afterwards.write_down(hook, facts, object, key, defined).await;
            }
        })
    }

    fn completed(&self, key: TxKey) {
        self.afterwards.look(key);
    }
}

#[cfg(test)]
pub(super) mod tests;
