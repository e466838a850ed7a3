//! The execution layer: a service, JSON and a context give JSON, without HTTP.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};
use storebox_proto::estate::channel::{
    ChannelService, Implementation, Parameters, PushDefinition, ServiceType, Stage,
};
use storebox_proto::feed::Registry;
use storebox_proto::ids::{FeedId, Hash32, TxKey};
use storebox_proto::problem::{Code, Problem};
use tracing::Instrument;

use super::book::{Book, Definitions};
use super::context::{Caller, Context, Place};
use super::hooks::{Hooks, Point};
use super::query::Reader;
use super::request_log::{LogEntry, RequestLog};
use super::save::Writer;
use super::{access, query};
use crate::db::Generation;
use crate::env;
use crate::masterdata::Masterdata;
use crate::uplink::{LocalDocuments, Outbox};

/// What channels work with.
#[derive(Clone)]
pub struct Parts {
    /// Masterdata.
    pub masterdata: Masterdata,
    /// Where changes go.
    pub outbox: Outbox,
    /// What was created in this shop.
    pub documents: LocalDocuments,
    /// The code of the chain.
    pub hooks: Arc<dyn Hooks>,
    /// Where calls are written down.
    pub log: Arc<dyn RequestLog>,
}

/// When the caller wants to be answered, if it says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Wish {
    /// As the service is defined.
    #[default]
    AsDefined,
    /// When it is on this box's disk.
    Held,
    /// When head office has it; for so long at most.
    Settled(Option<Duration>),
}

/// The answer of a service.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply {
    /// The answer.
    pub json: Value,
    /// How long the caller may keep it, in seconds.
    pub max_age: Option<u32>,
    /// The work goes on: where the caller can ask about it.
    pub goes_on: Option<TxKey>,
}

impl Reply {
    /// An answer that is final and not to be kept.
    pub fn of(json: Value) -> Self {
        Self { json, max_age: None, goes_on: None }
    }
}

/// The channels of a box; cheap to clone.
#[derive(Clone)]
pub struct Channels {
    inner: Arc<Inner>,
}

struct Inner {
    masterdata: Masterdata,
    book: Book,
    hooks: Arc<dyn Hooks>,
    log: Arc<dyn RequestLog>,
    reader: Arc<Reader>,
    writer: Writer,
}

impl Channels {
    /// Channels that work with these parts.
    pub fn new(parts: Parts) -> Self {
        let Parts { masterdata, outbox, documents, hooks, log } = parts;
        let book = Book::new(masterdata.clone());
        let reader = Arc::new(Reader::new(masterdata.clone(), documents.clone()));
        let writer = Writer::new(outbox, documents, Arc::clone(&reader), Arc::clone(&hooks));
        Self { inner: Arc::new(Inner { masterdata, book, hooks, log, reader, writer }) }
    }

    /// What is defined now.
    pub fn definitions(&self) -> Arc<Definitions> {
        self.inner.book.definitions()
    }

    /// The context of a caller; refused if its terminal belongs to no channel.
    pub fn context(&self, caller: Caller) -> Result<Context, Problem> {
        let look = self.look();
        let name = caller.terminal.as_str();
        let refuse = |detail: String| Problem::new(Code::ChannelUnknown, detail);
        let terminal = look("Terminal", "id", name).or_else(|| look("Terminal", "searchKey", name));
        let terminal = terminal.ok_or_else(|| {
            refuse(format!("terminal {name} is not in the masterdata, so it belongs to no channel"))
        })?;
        let id = terminal.get("channelId").and_then(Value::as_str);
        let id = id.ok_or_else(|| refuse(format!("terminal {name} belongs to no channel")))?;
        let definitions = self.definitions();
        let channel = definitions
            .channel(id)
            .cloned()
            .ok_or_else(|| refuse(format!("channel {id:.64} of terminal {name} does not exist")))?;
        Ok(Context::new(caller, channel, &terminal, definitions, &look))
    }

    /// Finds records of the estate.
    fn look(&self) -> impl Fn(&str, &str, &str) -> Option<Map<String, Value>> + '_ {
        |model, field, value| self.inner.masterdata.look(model, field, value)
    }

    /// What readers see of a feed now.
    pub fn generation(&self, feed: &FeedId) -> Option<Arc<Generation>> {
        self.inner.masterdata.generation(feed)
    }

    /// The models of this box.
    pub fn registry(&self) -> Arc<Registry> {
        self.inner.masterdata.registry()
    }

    /// Whether a caller may listen to what its channel is told.
    pub fn may_listen(&self, context: &Context) -> Result<(), Problem> {
        access::allow(context, ServiceType::Query)
    }

    /// What a push says of something, as its channel would be answered; nothing if it does not fit: blocking.
    pub fn row(
        &self,
        push: &PushDefinition,
        id: &str,
    ) -> Result<Option<Map<String, Value>>, Problem> {
        let definitions = self.definitions();
        let Some(channel) = definitions.channel(&push.channel_id) else { return Ok(None) };
        let place = Place::of(&Map::new(), channel, &self.look());
        query::one(&self.inner.reader, channel, place, push, id)
    }

    /// Calls a service by its name.
    pub async fn execute(
        &self,
        service: &str,
        request: Value,
        context: &Context,
        wish: Wish,
    ) -> Result<Reply, Problem> {
        let channel = &context.channel.id;
        let known = ServiceType::find(service);
        let defined = known.and_then(|known| context.definitions.service(channel, known));
        let defined = defined.cloned().ok_or_else(|| {
            let services = context.definitions.services(channel);
            let names: Vec<_> = services.map(|service| service.service.as_str()).collect();
            let detail = format!(
                "channel {channel} is not offered {service:?}; it is offered {}",
                if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
            );
            Problem::new(Code::ServiceUnknown, detail.chars().take(512).collect::<String>())
        })?;
        let span = context.span(defined.service.as_str());
        self.call(&defined, request, context, wish).instrument(span).await
    }

    async fn call(
        &self,
        service: &ChannelService,
        request: Value,
        context: &Context,
        wish: Wish,
    ) -> Result<Reply, Problem> {
        let (at, begun) = (env::timestamp(), env::instant());
        let kept = service.log.then(|| request.clone());
        // What the caller sent is known again by this, whatever hooks make of it.
        let asked = Hash32::of(&serde_json::to_vec(&request).unwrap_or_default());
        let outcome = match access::allow(context, service.service) {
            Ok(()) => self.serve(service, request, asked, context, wish).await,
            Err(refused) => Err(refused),
        };
        if let Some(request) = kept {
            self.inner.log.record(LogEntry {
                correlation: context.caller.correlation.clone(),
                at,
                took: begun.elapsed(),
                channel: context.channel.id.clone(),
                terminal: context.terminal().to_string(),
                user: context.user.clone(),
                roles: context.roles.iter().cloned().collect(),
                service: service.service,
                request,
                outcome: outcome.as_ref().map(|reply| reply.json.clone()).map_err(Problem::clone),
                steps: context.steps(),
            });
        }
        outcome
    }

    async fn serve(
        &self,
        service: &ChannelService,
        request: Value,
        asked: Hash32,
        context: &Context,
        wish: Wish,
    ) -> Result<Reply, Problem> {
        let hooks = &self.inner.hooks;
        let point = |stage| Point { stage, service: service.service, entity: None };
        let request = hooks.run(context, point(Stage::OnRequest), request).await?;
        let reply = match service.implementation {
            Implementation::Script | Implementation::Webhook => {
                Reply::of(hooks.serve(context, service, request).await?)
            }
            Implementation::Default => {
                self.serve_here(service, request, asked, context, wish).await?
            }
        };
        let is_committed =
            service.implementation == Implementation::Default && service.service.writes();
        let plain = is_committed.then(|| reply.json.clone());
        let json = hooks.run(context, point(Stage::OnResponse), reply.json).await;
        match (json, plain) {
            (Ok(json), _) => Ok(Reply { json, ..reply }),
            // What is committed stays so: the answer goes as it was, and the log names the hook.
            (Err(_), Some(json)) => Ok(Reply { json, ..reply }),
            (Err(refused), None) => Err(refused),
        }
    }

    async fn serve_here(
        &self,
        service: &ChannelService,
        request: Value,
        asked: Hash32,
        context: &Context,
        wish: Wish,
    ) -> Result<Reply, Problem> {
        let parameters = service.parameters();
        let parameters = parameters.map_err(|fault| {
            Problem::new(
                Code::Internal,
                format!("service {} is not understood: {fault}", service.id),
            )
        })?;
        match parameters {
            Parameters::Query(parameters) => {
                let (reader, hooks) = (&self.inner.reader, self.inner.hooks.as_ref());
                query::answer(reader, hooks, context, &parameters, request).await
            }
            Parameters::Write(parameters) => {
                let writer = &self.inner.writer;
                writer.write(service, &parameters, request, asked, context, wish).await
            }
        }
    }
}
