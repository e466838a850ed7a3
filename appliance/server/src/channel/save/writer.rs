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

    /// Makes the change that a request asks for.
    pub(in crate::channel) async fn write(
        &self,
        service: &ChannelService,
        parameters: &WriteParameters,
        request: Value,
        context: &Context,
        wish: Wish,
    ) -> Result<Reply, Problem> {
        let asked = Hash32::of(&serde_json::to_vec(&request).unwrap_or_default());
        let given = input::key_of(&request)?;
        let _turn = self.stripe(&request).lock().await;
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
        if is_saved(service.service) {
            let point = point(service.service, Stage::AfterComplete);
            self.hooks.prepare(context, point, &object, key).await;
        }
        let accepted = self.accept(draft, context, key).await;
        self.hooks.completed(key);
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
        let (at, kind) = (env::timestamp(), draft.tx_kind());
        let stock = (draft.kind == INVENTORY_CHANGE).then(|| draft.payload.clone());
        let envelope = Envelope {
            key,
            kind,
            terminal: context.terminal().clone(),
            epoch: 0,
            sequence: 0,
            lane: draft.lane,
            depends_on: draft.depends_on,
            session: draft.session,
            occurred_at: at,
            clock: env::clock_confidence(),
            payload: draft.payload,
        };
        let receipt = self.numbers.accept(envelope).await?;
        if let Some(payload) = stock {
            self.reader.stock.accepted(&payload, at);
        }
        Ok(receipt)
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
            let answer = json!({"id": key});
            return Ok(Some(reply(answer, &receipt)));
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
        let id = request.get("id").and_then(Value::as_str).map_or(key.to_string(), str::to_owned);
        let documents = self.documents.clone();
        let kind = kind(service).parse();
        let load = move || documents.load(&kind.ok()?, &id).filter(|document| document.key == key);
        beside(load).await.map(|document| document.payload)
    }

    /// The lock of what a request is about.
    fn stripe(&self, request: &Value) -> &tokio::sync::Mutex<()> {
        let names = ["ticketId", "ticket", "id", "businessPartnerId", "session"];
        let id = names.iter().find_map(|name| request.get(*name)?.as_str()).unwrap_or_default();
        let hash = blake3::hash(id.as_bytes());
        &self.stripes[usize::from(hash.as_bytes()[0]) % STRIPES]
    }
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
