//! One change from its request to its receipt.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};
use storebox_proto::estate::channel::{ChannelService, ServiceType, Stage, Wait, WriteParameters};
use storebox_proto::ids::{Hash32, TxKey};
use storebox_proto::problem::{Code, Problem};
use storebox_proto::query::Entity;
use storebox_proto::ticket::{Envelope, Grade, Receipt};

use super::draft::Draft;
use super::numbers::Numbers;
use super::stock::INVENTORY_CHANGE;
use super::{cash, customer, fulfil, input, inventory, ticket};
use crate::blocking::beside;
use crate::channel::context::Context;
use crate::channel::desk::{Reply, Wish};
use crate::channel::fault;
use crate::channel::hooks::{Hooks, Point};
use crate::channel::query::Reader;
use crate::env;
use crate::uplink::{LocalDocuments, Outbox};

/// How long a caller waits for head office if nothing is said.
const WAIT: Duration = Duration::from_secs(20);
/// Changes of one thing happen one after the other; things share so many locks.
const STRIPES: usize = 256;

/// What makes a draft of a request.
pub(super) struct Making<'a> {
    pub(super) reader: &'a Reader,
    pub(super) place: &'a crate::channel::context::Place,
    /// The key of the transaction; what is minted follows from it.
    pub(super) key: TxKey,
}

/// Writes; shared by all calls.
pub(in crate::channel) struct Writer {
    outbox: Outbox,
    documents: LocalDocuments,
    reader: Arc<Reader>,
    hooks: Arc<dyn Hooks>,
    numbers: Numbers,
    stripes: Vec<tokio::sync::Mutex<()>>,
}

impl Writer {
    pub(in crate::channel) fn new(
        outbox: Outbox,
        documents: LocalDocuments,
        reader: Arc<Reader>,
        hooks: Arc<dyn Hooks>,
    ) -> Self {
        let numbers = Numbers::new(outbox.clone());
        let stripes = (0..STRIPES).map(|_| tokio::sync::Mutex::default()).collect();
        Self { outbox, documents, reader, hooks, numbers, stripes }
    }

    /// Makes the change that a request asks for; `asked` is the hash of the request as the caller sent it, before any
    /// hook saw it.
    pub(in crate::channel) async fn write(
        &self,
        service: &ChannelService,
        parameters: &WriteParameters,
        request: Value,
        asked: Hash32,
        context: &Context,
        wish: Wish,
    ) -> Result<Reply, Problem> {
        let given = input::key_of(&request)?;
        let turn = match self.stripe(&request, given) {
            Some(stripe) => Some(stripe.lock().await),
            None => None,
        };
        if let Some(key) = given
            && let Some(reply) = self.repeated(key, service.service, &asked, &request).await?
        {
            return Ok(reply);
        }
        let key = given.unwrap_or_else(mint_key);
        let (before, after) = stages(service.service);
        let request = self.at(context, service.service, before, request).await?;
        let mut draft = self.draft(service.service, request, context, key).await?;
        draft.payload.insert("origin".to_owned(), origin(context, &asked));
        let object = Value::Object(draft.payload.clone());
        if is_saved(service.service) {
            self.at(context, service.service, Some(Stage::OnSave), object.clone()).await?;
        }
        let answer = Value::Object(Draft::answer(&draft.payload));
        let answer = self.at(context, service.service, after, answer).await?;
        let completion = Completion { hooks: self.hooks.as_ref(), key };
        if is_saved(service.service) {
            let point = point(service.service, Stage::AfterComplete);
            self.hooks.prepare(context, point, &object, key).await;
        }
        let accepted = self.accept(draft, context, key).await;
        // Nobody else waits until head office has it.
        drop((completion, turn));
        let receipt = accepted?;
        // What the caller says of this one call counts more than the definition.
        if service.is_async && wish == Wish::AsDefined {
            return Ok(Reply { goes_on: Some(key), ..reply(answer, &receipt) });
        }
        match limit(parameters, wish) {
            None => Ok(reply(answer, &receipt)),
            Some(limit) => Ok(reply(answer, &self.settled(key, limit).await?)),
        }
    }

    async fn at(
        &self,
        context: &Context,
        service: ServiceType,
        stage: Option<Stage>,
        object: Value,
    ) -> Result<Value, Problem> {
        match stage {
            Some(stage) => self.hooks.run(context, point(service, stage), object).await,
            None => Ok(object),
        }
    }

    async fn draft(
        &self,
        service: ServiceType,
        request: Value,
        context: &Context,
        key: TxKey,
    ) -> Result<Draft, Problem> {
        let (reader, place) = (Arc::clone(&self.reader), context.place.clone());
        let terminal = context.terminal().clone();
        let work = move || {
            let mut input = input::Input::of(request, "")?;
            input.fields.remove("key");
            if let Some(name) = input.take_text("terminal")?
                && name != terminal.as_str()
            {
                let detail = format!("terminal {terminal} may not act as {name}");
                return Err(Problem::new(Code::Forbidden, detail));
            }
            let making = Making { reader: &reader, place: &place, key };
            let mut draft = match service {
                ServiceType::Customer => customer::customer(&making, input),
                ServiceType::CustomerAddress => customer::address(&making, input),
                ServiceType::Inventory => inventory::inventory(&making, input),
                ServiceType::Ticket => ticket::ticket(&making, input),
                ServiceType::TicketShip => fulfil::ship(&making, input),
                ServiceType::TicketPay => fulfil::pay(&making, input),
                ServiceType::TicketInvoice => fulfil::invoice(&making, input),
                ServiceType::CashUp => cash::cash_up(&making, input),
                ServiceType::CashManagement => cash::cash_management(&making, input),
                ServiceType::Query => Err(fault::field("request", "a query changes nothing")),
            }?;
            let name = terminal.as_str();
            draft.payload.entry("terminal").or_insert_with(|| Value::String(name.to_owned()));
            Ok(draft)
        };
        let span = tracing::Span::current();
        beside(move || span.in_scope(work)).await
    }

    async fn accept(
        &self,
        draft: Draft,
        context: &Context,
        key: TxKey,
    ) -> Result<Receipt, Problem> {
        let kind = draft.tx_kind();
        let envelope = Envelope {
            key,
            kind,
            terminal: context.terminal().clone(),
            epoch: 0,
            sequence: 0,
            lane: draft.lane,
            depends_on: draft.depends_on,
            session: draft.session,
            occurred_at: env::timestamp(),
            clock: env::clock_confidence(),
            payload: draft.payload,
        };
        self.numbers.accept(envelope).await
    }

    async fn settled(&self, key: TxKey, limit: Duration) -> Result<Receipt, Problem> {
        match tokio::time::timeout(limit, self.outbox.settled(key)).await {
            Ok(receipt) => receipt,
            Err(_) => {
                let detail = format!("transaction {key} is held on this box and will be settled");
                Err(Problem::new(Code::NotSettledYet, detail))
            }
        }
    }

    /// The answer to a request that was answered before; nothing if its key is new.
    async fn repeated(
        &self,
        key: TxKey,
        service: ServiceType,
        asked: &Hash32,
        request: &Value,
    ) -> Result<Option<Reply>, Problem> {
        let known = self.outbox.known(key).await?;
        if known.summary.is_none() && known.settled.is_none() {
            return Ok(None);
        }
        let progress = self.outbox.progress(key).await?;
        let receipt = progress.settled.unwrap_or(progress.receipt);
        let envelope = match known.summary {
            Some(_) => self.outbox.show(key).await?.envelope,
            None => Value::Null,
        };
        let payload = match envelope.get("payload").and_then(Value::as_object) {
            Some(payload) => Some(payload.clone()),
            None => self.kept(key, service, request).await,
        };
        let Some(payload) = payload else {
            // It is settled and its content is no longer here: neither its answer nor its request can be told.
            return Ok(Some(reply(json!({"incomplete": true}), &receipt)));
        };
        let before = payload.get("origin").and_then(|origin| origin.get("request")?.as_str());
        if before != Some(asked.to_string().as_str()) {
            let detail = format!("transaction {key} was made by another request");
            return Err(Problem::new(Code::KeyConflict, detail));
        }
        Ok(Some(reply(Value::Object(Draft::answer(&payload)), &receipt)))
    }

    /// The content of a settled transaction, if its document is still here.
    async fn kept(
        &self,
        key: TxKey,
        service: ServiceType,
        request: &Value,
    ) -> Option<Map<String, Value>> {
        let (documents, reader) = (self.documents.clone(), Arc::clone(&self.reader));
        let request = request.clone();
        let load = move || {
            let kind = kind(service).parse().ok()?;
            let ids = names_of(&reader, service, &request, key);
            let mut found = ids.iter().filter_map(|id| documents.load(&kind, id));
            found.find(|document| document.key == key)
        };
        beside(load).await.map(|document| document.payload)
    }

    /// The lock of what a request is about; what is new has none, only its key.
    fn stripe(&self, request: &Value, key: Option<TxKey>) -> Option<&tokio::sync::Mutex<()>> {
        let names = ["ticketId", "ticket", "id"];
        let name = names.iter().find_map(|name| Some(request.get(*name)?.as_str()?.to_owned()));
        let name = name.or_else(|| key.map(|key| key.to_string()))?;
        let hash = blake3::hash(name.as_bytes());
        Some(&self.stripes[usize::from(hash.as_bytes()[0]) % STRIPES])
    }
}

/// Says that a commit is over when it is dropped, also by a caller that goes away meanwhile: what is under way in the
/// outbox then is found there, because whoever looks is answered after it.
struct Completion<'a> {
    hooks: &'a dyn Hooks,
    key: TxKey,
}

impl Drop for Completion<'_> {
    fn drop(&mut self) {
        self.hooks.completed(self.key);
    }
}

/// The ids under which what this request has made may be found: blocking.
fn names_of(reader: &Reader, service: ServiceType, request: &Value, key: TxKey) -> Vec<String> {
    let given = request.get("id").and_then(Value::as_str).map(str::to_owned);
    let central = |model: &str| reader.central_id(model, given.as_ref()?).ok()?;
    let central = match service {
        ServiceType::TicketShip | ServiceType::TicketPay | ServiceType::TicketInvoice => {
            return fulfil::names_of(reader, request, key);
        }
        ServiceType::Customer => central("BusinessPartner"),
        ServiceType::CustomerAddress => central("BPLocation"),
        ServiceType::Query
        | ServiceType::Inventory
        | ServiceType::Ticket
        | ServiceType::CashUp
        | ServiceType::CashManagement => None,
    };
    let names = [central, Some(given.unwrap_or_else(|| key.to_string()))];
    names.into_iter().flatten().collect()
}

fn stages(service: ServiceType) -> (Option<Stage>, Option<Stage>) {
    match service {
        ServiceType::Customer | ServiceType::CustomerAddress | ServiceType::Ticket => {
            (Some(Stage::BeforeSave), Some(Stage::AfterSave))
        }
        ServiceType::TicketShip => {
            (Some(Stage::BeforeCreateShipment), Some(Stage::AfterCreateShipment))
        }
        ServiceType::TicketPay => {
            (Some(Stage::BeforeCreatePayment), Some(Stage::AfterCreatePayment))
        }
        ServiceType::TicketInvoice => {
            (Some(Stage::BeforeCreateInvoice), Some(Stage::AfterCreateInvoice))
        }
        ServiceType::Query
        | ServiceType::Inventory
        | ServiceType::CashUp
        | ServiceType::CashManagement => (None, None),
    }
}

fn is_saved(service: ServiceType) -> bool {
    matches!(service, ServiceType::Customer | ServiceType::CustomerAddress | ServiceType::Ticket)
}

fn point(service: ServiceType, stage: Stage) -> Point {
    let entity = match service {
        ServiceType::Customer => Some(Entity::Customer),
        ServiceType::CustomerAddress => Some(Entity::CustomerAddress),
        ServiceType::Ticket
        | ServiceType::TicketShip
        | ServiceType::TicketPay
        | ServiceType::TicketInvoice => Some(Entity::Ticket),
        ServiceType::Query
        | ServiceType::Inventory
        | ServiceType::CashUp
        | ServiceType::CashManagement => None,
    };
    Point { stage, service, entity }
}

/// The kind of transaction that a service makes.
fn kind(service: ServiceType) -> &'static str {
    match service {
        ServiceType::Customer => customer::CUSTOMER,
        ServiceType::CustomerAddress => customer::ADDRESS,
        ServiceType::Inventory => INVENTORY_CHANGE,
        ServiceType::Ticket => ticket::ORDER,
        ServiceType::TicketShip => fulfil::SHIPMENT,
        ServiceType::TicketPay => fulfil::PAYMENT,
        ServiceType::TicketInvoice => fulfil::INVOICE,
        ServiceType::CashUp => cash::CASH_UP,
        ServiceType::CashManagement => cash::CASH_MANAGEMENT,
        ServiceType::Query => "Query",
    }
}

fn limit(parameters: &WriteParameters, wish: Wish) -> Option<Duration> {
    let defined = parameters.wait_seconds.map(|seconds| Duration::from_secs(u64::from(seconds)));
    match (wish, parameters.wait) {
        (Wish::Held, _) | (Wish::AsDefined, Wait::Held) => None,
        (Wish::AsDefined, Wait::Settled) => Some(defined.unwrap_or(WAIT)),
        (Wish::Settled(limit), _) => Some(limit.or(defined).unwrap_or(WAIT)),
    }
}

/// Who asked for it, for head office, and by which a repeated request is known.
fn origin(context: &Context, asked: &Hash32) -> Value {
    json!({
        "channel": context.channel.id,
        "user": context.user,
        "roles": context.roles,
        "correlation": context.caller.correlation,
        "request": asked.to_string(),
    })
}

fn reply(answer: Value, receipt: &Receipt) -> Reply {
    let mut fields = match answer {
        Value::Object(fields) => fields,
        // Only a hook can make an answer that is no object.
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Map::from_iter([("answer".to_owned(), answer)])
        }
    };
    fields.insert("transaction".to_owned(), json!(receipt.key));
    let grade = if receipt.grade == Grade::Settled { "settled" } else { "held" };
    fields.insert("grade".to_owned(), json!(grade));
    fields.insert("receipt".to_owned(), json!(receipt));
    Reply::of(Value::Object(fields))
}

fn mint_key() -> TxKey {
    let ms = u64::try_from(env::timestamp().unix_ms()).unwrap_or(0);
    TxKey(uuid::Builder::from_unix_timestamp_millis(ms, &env::random::<10>()).into_uuid())
}
