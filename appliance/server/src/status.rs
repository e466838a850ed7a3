//! The state of a box in one answer, for the console, the command line and whoever watches.
//!
//! Each part adds what it knows through [`Panel::add`]; nobody else needs to know the parts.
//! What a passer-by may see is [`Status::summary`].

mod channels;
mod feed;
mod machine;
mod memory;
mod office;
mod sentence;
mod settings;
mod update;

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use storebox_proto::ids::NodeId;
use storebox_proto::time::{ClockConfidence, Timestamp};

use crate::config::Role;
use crate::env;
use crate::supervise::Supervisor;
use crate::tiers::SourceStatus;
pub use channels::{ChannelsStatus, HookStatus, PushFigures};
pub use feed::FeedStatus;
pub use machine::{
    MachineStatus, SlotStatus, SlotsStatus, UpdateLine, read_slots, report as report_machine,
};
use memory::LineMemory;
pub use office::{DeliveryStatus, LedgerStatus};
pub use sentence::{CERTIFY, Finding, Level, PROXY, findings};
pub use settings::{RefusedSettings, SettingsStatus, VisitStatus};
pub use update::{Failed, UpdateStatus};

/// Why a box is not ready that is on its way out.
const STOPPING: &str = "the box is stopping";
/// Why a box is not ready that never had masterdata.
pub const NO_MASTERDATA: &str = "no masterdata was replicated yet";
/// The owner of a state that does not answer within this is stuck.
const ANSWER_MAX: Duration = Duration::from_secs(2);

/// The state of a box.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// Its name.
    pub node: String,
    /// `main` or `store`.
    pub role: String,
    /// The program's version.
    pub version: String,
    /// Its public key.
    pub public_key: String,
    /// Seconds since it started.
    pub uptime_s: u64,
    /// Its clock.
    #[schema(value_type = String)]
    pub now: Timestamp,
    /// How far that clock may be believed.
    #[schema(value_type = String)]
    pub clock: ClockConfidence,
    /// What is to be said of it, the gravest first: the first is the sentence on the console.
    #[serde(default)]
    pub findings: Vec<Finding>,
    /// Whether it can do its job.
    pub ready: bool,
    /// Why it cannot.
    pub reasons: Vec<String>,
    /// Its masterdata.
    pub feeds: Vec<FeedStatus>,
    /// Where another box on the LAN says that it is this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namesake: Option<String>,
    /// The line to head office is cut on purpose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drill: Option<DrillStatus>,
    /// Head office may look at this box.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub visit: Option<VisitStatus>,
    /// Transactions that wait for head office (role `store`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outbox: Option<OutboxStatus>,
    /// Transactions that were settled (role `main`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ledger: Option<LedgerStatus>,
    /// Where settled transactions go (role `main`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deliveries: Vec<DeliveryStatus>,
    /// What head office sets in its configuration (role `store`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<SettingsStatus>,
    /// Rules that the replicated definitions of servers and services break.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub broken_rules: Vec<String>,
    /// Hooks and pushes of the chain (role `store`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channels: Option<ChannelsStatus>,
    /// The lines to other servers.
    pub lines: Vec<LineStatus>,
    /// Where it is served, and whether over TLS.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub listeners: Vec<ListenerStatus>,
    /// Its place in the chain of trust; for the operator only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trust: Option<TrustStatus>,
    /// The sources of masterdata and the ways of transactions, best first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<SourceStatus>,
    /// Its printers, scales, displays and scanners.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<DeviceStatus>,
    /// The machine below it.
    #[serde(default)]
    pub machine: MachineStatus,
    /// Where it stands with releases; nothing on a machine that is not updated by us.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub update: Option<UpdateStatus>,
    /// Its clients; for the operator only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub clients: Vec<ClientStatus>,
    /// Its tasks; for the operator only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tasks: Vec<TaskLine>,
}

/// A drill that is under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct DrillStatus {
    /// Who wanted it; for the operator only.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub by: String,
    /// Since when the line is cut.
    #[schema(value_type = String)]
    pub since: Timestamp,
    /// When it comes back by itself.
    #[schema(value_type = String)]
    pub until: Timestamp,
}

/// The outbox of a box.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OutboxStatus {
    /// Transactions that the authoritative sink has not settled.
    pub waiting: u64,
    /// The age of the oldest of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest_s: Option<u64>,
    /// Transactions that wait for a person.
    pub quarantined: u64,
    /// Transactions accepted since the journal began.
    pub accepted: u64,
    /// Transactions settled since the journal began.
    pub settled: u64,
    /// Transactions that persons gave up since the journal began.
    #[serde(default)]
    pub given_up: u64,
    /// Envelopes that contradict accepted ones and wait for a person.
    #[serde(default)]
    pub conflicts: u64,
    /// Of those that wait, how many are passed on for neighbours.
    #[serde(default)]
    pub passed_on: u64,
    /// As many may wait.
    #[serde(default)]
    pub held_max: u64,
    /// The disk failed: nothing is taken until the box starts again.
    #[serde(default)]
    pub failed: bool,
}

/// The line to another server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct LineStatus {
    /// Where it leads.
    pub to: String,
    /// What for: `masterdata`, `transactions`, or `proxy` for what the others lead through.
    pub service: String,
    /// Whether the last attempt was answered.
    pub up: bool,
    /// In words.
    pub detail: String,
    /// The other side answers, but does not let this box in.
    #[serde(default)]
    pub is_refused: bool,
    /// When it became up or down; nothing if it has been so since this box started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub since: Option<Timestamp>,
}

/// A device of a box.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeviceStatus {
    /// Its name.
    pub id: String,
    /// The till it stands at, as people call it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub till: String,
    /// `printer`, `scale`, `display` or `scanner`.
    pub kind: String,
    /// `starting`, `away` or `open`; `unused` if its definition makes no sense.
    pub link: String,
    /// How it does, in words: `works`, `it is out of paper`, `away: nothing is at usb:04b8:0202`.
    #[serde(default)]
    pub state: String,
    /// Why it does not work although it is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<DeviceTrouble>,
    /// Papers that wait for it.
    #[serde(default)]
    pub waiting: u64,
    /// Papers of which a person must say whether they were printed.
    #[serde(default)]
    pub in_doubt: u64,
}

/// Why a device does not work.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct DeviceTrouble {
    /// What programs act on, such as `paper_out`.
    pub code: String,
    /// For people, such as `it is out of paper`.
    pub words: String,
}

/// Where a box is served.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ListenerStatus {
    /// The address.
    pub address: String,
    /// Whether over TLS.
    pub tls: bool,
    /// Whether everybody on the network can read what goes over it.
    pub exposed: bool,
}

/// The place of a box in the chain of trust.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TrustStatus {
    /// Which member it is; empty: it was not adopted.
    pub member: String,
    /// When its certificate expires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
    /// The number of the list of what was struck off.
    pub strike_list: u64,
    /// How many keys are on it.
    pub struck: usize,
    /// Slips that are open.
    pub slips_open: usize,
    /// Until when a code is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code_until: Option<String>,
    /// Newcomers that wait for a person.
    pub requests_waiting: usize,
    /// Members that were let in since the start.
    pub enrolled: u64,
    /// Newcomers that were refused since the start.
    pub refused: u64,
}

/// A terminal or node of a box.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClientStatus {
    /// `terminal` or `node`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// When its token was used last since the box started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub last_seen: Option<Timestamp>,
}

/// A task of a box.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TaskLine {
    /// Its name.
    pub name: String,
    /// `running`, `pausing` or `ended`.
    pub state: String,
    /// How often it was started again.
    pub restarts: u64,
    /// Why it failed last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
}

impl Status {
    /// What anybody on the network may see: no client and no task is named, no place of a device.
    pub fn summary(mut self) -> Self {
        self.clients.clear();
        self.trust = None;
        self.settings.iter_mut().for_each(SettingsStatus::hush);
        self.machine.slots.iter_mut().for_each(|slots| slots.updates.clear());
        self.update.iter_mut().for_each(|update| update.failed.clear());
        self.drill.iter_mut().for_each(|drill| drill.by.clear());
        self.visit.iter_mut().for_each(|visit| visit.by.clear());
        self.tasks.clear();
        if let Some(channels) = &mut self.channels {
            channels.hush();
        }
        // Where a device is looked for is nobody's business either.
        for device in &mut self.devices {
            device.state.truncate(device.state.find(['(', ':']).unwrap_or(device.state.len()));
        }
        // Sentences name what they are about: they are made of what is left.
        self.findings = findings(&self);
        self
    }

    /// Adds a reason why the box is not ready.
    pub fn not_ready(&mut self, reason: impl Into<String>) {
        self.ready = false;
        self.reasons.push(reason.into());
    }
}

/// What a part adds to the status.
enum Part {
    /// It knows at once.
    Known(Box<dyn Fn(&mut Status) + Send + Sync>),
    /// It must ask the owner of a state.
    Asked(Box<dyn Fn(Status) -> BoxFuture<'static, Status> + Send + Sync>),
}

/// Collects the status of a box; cheap to clone once the box is built.
#[derive(Clone)]
pub struct Panel {
    inner: Arc<Inner>,
}

struct Inner {
    node: NodeId,
    role: Role,
    public_key: String,
    started: Instant,
    supervisor: Supervisor,
    parts: Vec<Part>,
    lines: LineMemory,
}

/// A panel to which parts still add themselves.
pub struct PanelBuilder(Inner);

impl PanelBuilder {
    /// The panel of this box, started now.
    pub fn new(node: NodeId, role: Role, public_key: String, supervisor: Supervisor) -> Self {
        let (started, parts) = (env::instant(), Vec::new());
        let lines = LineMemory::default();
        Self(Inner { node, role, public_key, started, supervisor, parts, lines })
    }

    /// Lets a part say what it knows.
    pub fn add(&mut self, part: impl Fn(&mut Status) + Send + Sync + 'static) {
        self.0.parts.push(Part::Known(Box::new(part)));
    }

    /// Lets a part ask for what it knows.
    ///
    /// If `ask` does not answer in time, the box is not ready: `silent` says who is stuck.
    pub fn ask<A, F, Fut>(
        &mut self,
        silent: &'static str,
        ask: F,
        put: impl Fn(&mut Status, A) + Send + Sync + Clone + 'static,
    ) where
        A: Send,
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Option<A>> + Send + 'static,
    {
        self.0.parts.push(Part::Asked(Box::new(move |mut status| {
            let (answer, put) = (ask(), put.clone());
            Box::pin(async move {
                match tokio::time::timeout(ANSWER_MAX, answer).await {
                    Ok(Some(answer)) => put(&mut status, answer),
                    Ok(None) | Err(_) => status.not_ready(silent),
                }
                status
            })
        })));
    }

    /// No part is added any more.
    pub fn finish(self) -> Panel {
        Panel { inner: Arc::new(self.0) }
    }
}

impl Panel {
    /// The name of the box.
    pub fn node(&self) -> &NodeId {
        &self.inner.node
    }

    /// The state of the box now.
    pub async fn status(&self) -> Status {
        let inner = &self.inner;
        let uptime = env::instant().saturating_duration_since(inner.started);
        let mut status = Status {
            node: inner.node.to_string(),
            role: inner.role.as_str().to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            public_key: inner.public_key.clone(),
            uptime_s: uptime.as_secs(),
            now: env::timestamp(),
            clock: env::clock_confidence(),
            findings: Vec::new(),
            ready: true,
            reasons: Vec::new(),
            feeds: Vec::new(),
            namesake: None,
            drill: None,
            settings: None,
            visit: None,
            outbox: None,
            ledger: None,
            deliveries: Vec::new(),
            channels: None,
            lines: Vec::new(),
            listeners: Vec::new(),
            trust: None,
            broken_rules: Vec::new(),
            sources: Vec::new(),
            devices: Vec::new(),
            machine: MachineStatus::default(),
            update: None,
            clients: Vec::new(),
            tasks: inner.supervisor.tasks().into_iter().map(TaskLine::from).collect(),
        };
        if inner.supervisor.root().is_cancelled() {
            status.not_ready(STOPPING);
        }
        for part in &inner.parts {
            match part {
                Part::Known(tell) => tell(&mut status),
                Part::Asked(ask) => status = ask(status).await,
            }
        }
        inner.lines.date(&mut status);
        status.findings = findings(&status);
        status
    }
}

impl From<crate::supervise::TaskStatus> for TaskLine {
    fn from(task: crate::supervise::TaskStatus) -> Self {
        use crate::supervise::State;
        let state = match task.state {
            State::Running => "running",
            State::Pausing => "pausing",
            State::Ended => "ended",
        };
        let (name, restarts, last_error) = (task.name, task.restarts, task.last_error);
        Self { name, state: state.to_owned(), restarts, last_error }
    }
}

impl fmt::Debug for Panel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Panel({})", self.inner.node)
    }
}
