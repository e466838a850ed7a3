//! The task that keeps the address book: it brings the hints, asks the probes, tells who is chosen.
//!
//! All that decides is in `storebox_proto::sync::book`; here is what it needs of the world.
//! Dropped at an await, it leaves the memory file as it was last written.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use storebox_proto::beacon::{Place, Pointer};
use storebox_proto::ids::SiteId;
use storebox_proto::sync::book::{
    Action, Book, BoxView, Choice, Claim, Event as BookEvent, Hint, Outcome, PROBE_LIMIT, Source,
};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::browse::{BrowseConfig, Browser, Found, Sighting};
use super::daemon::{DaemonError, Interfaces, Service};
use super::memory::Memory;
use super::probe::{Connection, Connections, probe};
use super::resolve::{RESOLVE_MAX, by_dns, by_mdns, from_file, hints};
use super::tongue::{Greeting, Tongue, Tongues};
use super::unicast::Resolver;
use crate::config::Discovery;
use crate::env;

/// Reports of real requests that wait to be taken; more say nothing new.
const REPORTS_MAX: usize = 64;
/// How often the memory file is brought up to date.
const KEEP_EVERY: Duration = Duration::from_secs(30);

/// What the address book is fed with.
#[derive(Debug, Clone)]
pub struct SeekConfig {
    /// Announcements to look for.
    pub browse: BrowseConfig,
    /// Boxes of other stores are passed over; nothing takes all.
    pub site: Option<SiteId>,
    /// Places that a person typed or scanned.
    pub typed: Vec<Place>,
    /// Names to resolve, such as `storebox.local` and `storebox.<search domain>`.
    pub fixed: Vec<Place>,
    /// Domains whose DNS may name boxes (`_storebox._tcp`), besides those that the system searches.
    pub domains: Vec<String>,
    /// Whom to ask about them, instead of the system's servers.
    pub name_servers: Vec<SocketAddr>,
    /// Where the DHCP client puts what it was given.
    pub dhcp: Option<PathBuf>,
    /// The port of what DHCP gives without one.
    pub port: u16,
    /// Where the endpoints that answered are kept.
    pub memory: Option<PathBuf>,
    /// What a living box answers with anything but a server error.
    pub probe_path: String,
    /// Whom to believe over TLS; nothing: boxes are asked in the open only.
    pub greeting: Option<Greeting>,
}

impl SeekConfig {
    /// What the configuration knows, for boxes that announce themselves as this.
    pub fn of(discovery: &Discovery, services: Vec<Service>, memory: Option<PathBuf>) -> Self {
        let places = |texts: &[String]| {
            let pointers =
                texts.iter().filter_map(|text| Pointer::parse(text, discovery.port).ok());
            pointers.flat_map(|pointer| pointer.places).collect()
        };
        let interfaces = Interfaces::only(discovery.interfaces.clone());
        Self {
            browse: BrowseConfig { services, interfaces },
            site: Some(discovery.site.clone()),
            typed: places(&discovery.boxes),
            fixed: places(&discovery.names),
            domains: discovery.domains.clone(),
            name_servers: discovery.name_servers.clone(),
            dhcp: Some(discovery.dhcp_file.clone()).filter(|file| !file.as_os_str().is_empty()),
            port: discovery.port,
            memory,
            probe_path: "/healthz".to_owned(),
            greeting: None,
        }
    }
}

/// What is known now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct View {
    /// The box to use.
    pub chosen: Option<Choice>,
    /// All boxes, the ones to prefer first.
    pub boxes: Vec<BoxView>,
}

/// What others learn from, and tell, the address book.
#[derive(Debug, Clone)]
pub struct SeekerHandle {
    tongues: Tongues,
    view: watch::Receiver<View>,
    reports: mpsc::Sender<(SocketAddr, Outcome)>,
}

impl SeekerHandle {
    /// What is known now.
    pub fn view(&self) -> View {
        self.view.borrow().clone()
    }

    /// Whether this endpoint has answered over TLS, as a box of this site.
    pub fn speaks_tls(&self, endpoint: SocketAddr) -> bool {
        self.tongues.of(endpoint) == Some(Tongue::Tls)
    }

    /// Waits for news; `false` once the task has ended.
    pub async fn changed(&mut self) -> bool {
        self.view.changed().await.is_ok()
    }

    /// Tells how a request of real work went, which notices a dead box before any probe does.
    pub fn report(&self, endpoint: SocketAddr, outcome: Outcome) {
        // When the queue is full, others have just told the same.
        drop(self.reports.try_send((endpoint, outcome)));
    }
}

type Probed = (u64, SocketAddr, Outcome, Option<Connection>);
type Task<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Keeps the address book.
pub struct Seeker {
    config: SeekConfig,
    book: Book,
    browser: Browser,
    memory: Option<Memory>,
    keep_at: Instant,
    connections: Connections,
    tongues: Tongues,
    probes: FuturesUnordered<Task<Probed>>,
    lookups: FuturesUnordered<Task<Vec<Hint>>>,
    view: watch::Sender<View>,
    reports: mpsc::Receiver<(SocketAddr, Outcome)>,
    handle: SeekerHandle,
}

enum Event {
    Shutdown,
    Sighting(Sighting),
    Probed(Probed),
    LookedUp(Vec<Hint>),
    Report(SocketAddr, Outcome),
    Broken(SocketAddr),
    Due,
}

impl Seeker {
    /// Begins to look around.
    pub fn start(config: SeekConfig) -> Result<Self, DaemonError> {
        let browser = Browser::start(config.browse.clone())?;
        let (view, watched) = watch::channel(View::default());
        let (sender, reports) = mpsc::channel(REPORTS_MAX);
        let tongues = Tongues::new(config.greeting.clone());
        Ok(Self {
            config,
            book: Book::new(),
            browser,
            memory: None,
            keep_at: env::instant() + KEEP_EVERY,
            connections: Connections::default(),
            tongues: tongues.clone(),
            probes: FuturesUnordered::new(),
            lookups: FuturesUnordered::new(),
            view,
            reports,
            handle: SeekerHandle { tongues, view: watched, reports: sender },
        })
    }

    /// For those who use the boxes.
    pub fn handle(&self) -> SeekerHandle {
        self.handle.clone()
    }

    /// Keeps the book until the shutdown.
    pub async fn run(mut self, shutdown: CancellationToken) {
        self.remember().await;
        let typed = addresses(&self.config.typed);
        self.take(hints(typed, Source::Typed));
        self.book.handle_timeout(env::instant());
        loop {
            self.carry_out();
            match self.next_event(&shutdown).await {
                Event::Shutdown => return self.keep().await,
                Event::Sighting(Sighting::Seen(found)) => self.handle_found(&found),
                Event::Sighting(Sighting::Gone { instance, .. }) => self.handle_gone(&instance),
                Event::Probed((ticket, endpoint, outcome, connection)) => {
                    self.connections.keep(endpoint, connection);
                    self.book.handle_answer(ticket, outcome, env::instant());
                }
                Event::LookedUp(hints) => self.take(hints),
                Event::Report(endpoint, outcome) => {
                    self.book.handle_traffic(endpoint, outcome, env::instant());
                }
                Event::Broken(endpoint) => self.book.handle_doubt(endpoint, env::instant()),
                Event::Due => {
                    self.book.handle_timeout(env::instant());
                    if env::instant() >= self.keep_at {
                        self.keep().await;
                    }
                }
            }
        }
    }

    async fn next_event(&mut self, shutdown: &CancellationToken) -> Event {
        let due = self.book.poll_timeout().map_or(self.keep_at, |due| due.min(self.keep_at));
        tokio::select! {
            biased;
            () = shutdown.cancelled() => Event::Shutdown,
            Some(probed) = self.probes.next() => Event::Probed(probed),
            Some((endpoint, outcome)) = self.reports.recv() => Event::Report(endpoint, outcome),
            Some(hints) = self.lookups.next() => Event::LookedUp(hints),
            endpoint = self.connections.broken() => Event::Broken(endpoint),
            () = tokio::time::sleep_until(due.into()) => Event::Due,
            sighting = self.browser.next() => Event::Sighting(sighting),
        }
    }

    /// Does what the book wants, and shows what it says.
    fn carry_out(&mut self) {
        while let Some(action) = self.book.poll_transmit() {
            match action {
                Action::Probe { ticket, endpoint } => self.probe(ticket, endpoint),
                Action::LookAgain => self.look_again(),
            }
        }
        let mut news = false;
        while let Some(event) = self.book.poll_event() {
            news = true;
            match event {
                BookEvent::Chosen(Some(choice)) => {
                    tracing::info!(node = ?choice.key, endpoint = %choice.endpoint, "box chosen");
                }
                BookEvent::Chosen(None) => tracing::warn!("no box answers"),
                BookEvent::Health { endpoint, health } => {
                    tracing::debug!(%endpoint, ?health, "box");
                }
                BookEvent::Refused { endpoint } => tracing::debug!(%endpoint, "hint refused"),
            }
        }
        if news {
            let chosen = self.book.chosen().cloned();
            self.view.send_replace(View { chosen, boxes: self.book.boxes() });
        }
    }

    fn probe(&mut self, ticket: u64, endpoint: SocketAddr) {
        let kept = self.connections.take(endpoint);
        let (path, tongues) = (self.config.probe_path.clone(), self.tongues.clone());
        self.probes.push(Box::pin(async move {
            let (outcome, connection) = probe(endpoint, path, kept, &tongues, PROBE_LIMIT).await;
            (ticket, endpoint, outcome, connection)
        }));
    }

    fn look_again(&mut self) {
        self.browser.look_again();
        if !self.lookups.is_empty() {
            return;
        }
        let named = |places: &[Place], source| {
            let name = |place: &Place| match place {
                Place::Name { host, port } => Some((host.clone(), *port, source)),
                Place::Address(_) => None,
            };
            places.iter().filter_map(name).collect::<Vec<_>>()
        };
        let typed = named(&self.config.typed, Source::Typed);
        for (host, port, source) in
            typed.into_iter().chain(named(&self.config.fixed, Source::FixedName))
        {
            self.look_up(host, port, source);
        }
        let fixed = addresses(&self.config.fixed);
        self.lookups.push(Box::pin(async move { hints(fixed, Source::FixedName) }));
        let (domains, servers) = (self.config.domains.clone(), self.config.name_servers.clone());
        self.lookups.push(Box::pin(async move {
            let system = Resolver::of_system(&domains).await;
            let servers = if servers.is_empty() { system.servers } else { servers };
            let boxes = Resolver { servers, ..system }.boxes().await;
            hints(boxes, Source::FixedName)
        }));
        if let Some(path) = self.config.dhcp.clone() {
            let port = self.config.port;
            self.lookups.push(Box::pin(async move { from_dhcp(path, port).await }));
        }
    }

    fn look_up(&mut self, host: String, port: u16, source: Source) {
        if host.trim_end_matches('.').ends_with(".local") {
            let answer = self.browser.resolve(&host, RESOLVE_MAX);
            self.lookups.push(Box::pin(async move { hints(by_mdns(answer, port).await, source) }));
        } else {
            self.lookups.push(Box::pin(async move { hints(by_dns(host, port).await, source) }));
        }
    }

    fn handle_found(&mut self, found: &Found) {
        if self.config.site.as_ref().is_some_and(|site| *site != found.beacon.site) {
            return;
        }
        let (node, priority) = (found.beacon.node.clone(), found.beacon.priority);
        let claim = Some(Claim { node, priority });
        let hint = |&endpoint| Hint { endpoint, source: Source::Mdns, claim: claim.clone() };
        self.take(found.addresses.iter().map(hint).collect());
    }

    /// A goodbye may be forged and names no address: the box in use is asked, and nothing else happens.
    fn handle_gone(&mut self, instance: &str) {
        tracing::debug!(instance, "goodbye");
        if let Some(endpoint) = self.book.chosen().map(|choice| choice.endpoint) {
            self.book.handle_doubt(endpoint, env::instant());
        }
    }

    fn take(&mut self, hints: Vec<Hint>) {
        for hint in hints {
            self.book.handle_hint(hint, env::instant());
        }
    }

    async fn remember(&mut self) {
        let Some(path) = self.config.memory.clone() else { return };
        let (memory, hints) = Memory::open(path).await;
        self.memory = Some(memory);
        self.take(hints);
    }

    async fn keep(&mut self) {
        self.keep_at = env::instant() + KEEP_EVERY;
        if let Some(memory) = &mut self.memory {
            memory.keep(self.book.remembered()).await;
        }
    }
}

fn addresses(places: &[Place]) -> Vec<SocketAddr> {
    let address = |place: &Place| match place {
        Place::Address(endpoint) => Some(*endpoint),
        Place::Name { .. } => None,
    };
    places.iter().filter_map(address).collect()
}

async fn from_dhcp(path: PathBuf, port: u16) -> Vec<Hint> {
    let mut found = Vec::new();
    for place in from_file(&path, port).await {
        match place {
            Place::Address(endpoint) => found.push(endpoint),
            Place::Name { host, port } => found.extend(by_dns(host, port).await),
        }
    }
    hints(found, Source::Dhcp)
}
