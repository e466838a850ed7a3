//! The parts that child processes play: a box, a looker-on, a till.
//!
//! Lines that begin with `@` are for the test that started the child; orders come on standard input.

use std::collections::BTreeSet;
use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;

use serde::Deserialize;
use storebox::discovery::{
    AnnounceConfig, Announcer, BrowseConfig, Browser, ElectConfig, Elector, Found, Interfaces,
    SeekConfig, Seeker, SeekerHandle, Service, Sighting, Told, discover,
};
use storebox_proto::beacon::{Beacon, Pointer, Progress, Role};
use storebox_proto::sync::book::Outcome;
use storebox_proto::sync::election::Candidate;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines, Stdin};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub(crate) const PART: &str = "STOREBOX_DISCOVERY_PART";
pub(crate) const SETTINGS: &str = "STOREBOX_DISCOVERY_SETTINGS";

/// The port on which every box of these tests answers, in a network of its own.
pub(crate) const PORT: u16 = 8443;

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    label: String,
    node: String,
    site: String,
    priority: u16,
    boot: u32,
    services: Vec<String>,
    interfaces: Vec<String>,
    works: bool,
    address: String,
    packets: u32,
    time_ms: u64,
    typed: Option<String>,
    fixed: Option<String>,
    dhcp: Option<String>,
    memory: Option<String>,
    domain: Option<String>,
    name_server: Option<String>,
    elects: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            label: "storebox-a1b2c3".to_owned(),
            node: "box-1".to_owned(),
            site: "s1".to_owned(),
            priority: 10,
            boot: std::process::id(),
            services: vec!["tills".to_owned()],
            interfaces: Vec::new(),
            works: false,
            address: String::new(),
            packets: 0,
            time_ms: 1_000,
            typed: None,
            fixed: None,
            dhcp: None,
            memory: None,
            domain: None,
            name_server: None,
            elects: false,
        }
    }
}

pub(crate) fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "@{line}").and_then(|()| out.flush()).expect("somebody listens");
}

pub(crate) fn play(part: &str) {
    let settings = std::env::var(SETTINGS).expect("given with the part");
    let settings: Settings = serde_json::from_str(&settings).expect("written by the test");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let orders = BufReader::new(tokio::io::stdin()).lines();
        match part {
            "box" => play_box(&settings, orders).await,
            "browser" => play_browser(&settings).await,
            "discover" => play_discover(&settings).await,
            "flood" => crate::hostile::flood(&settings.address, settings.packets),
            "impostor" => crate::impostor::play(settings.impostor()).await,
            "noise" => crate::hostile::noise(&settings.address, settings.packets),
            "till" => play_till(&settings, orders).await,
            "seller" => {
                let till = settings.memory.as_deref().expect("where the till's papers are");
                crate::siege::sell(till, &settings.address, settings.time()).await;
            }
            "silent" => crate::siege::be_silent(&settings.address, settings.time()).await,
            _ => panic!("no part {part:?}"),
        }
    });
}

impl Settings {
    fn impostor(&self) -> crate::impostor::Impostor {
        crate::impostor::Impostor {
            beacon: self.beacon(99),
            announce: self.announce(),
            node: self.node.clone(),
            feeds: self.memory.clone().expect("what it serves").into(),
            victim: self.address.parse().expect("an address"),
        }
    }

    fn time(&self) -> Duration {
        Duration::from_millis(self.time_ms)
    }

    fn services(&self) -> Vec<Service> {
        let service = |name: &String| match name.as_str() {
            "peers" => Service::Peers,
            _ => Service::Tills,
        };
        self.services.iter().map(service).collect()
    }

    fn beacon(&self, revision: u64) -> Beacon {
        Beacon {
            site: self.site.parse().expect("a site"),
            node: self.node.parse().expect("a node"),
            role: if self.elects { Role::Standby } else { Role::Primary },
            priority: self.priority,
            progress: Some(Progress { epoch: 1, revision }),
            api: 1,
            terminal_api: 1,
            takes_terminals: true,
            boot: self.boot,
            name: Some("Río".to_owned()),
        }
    }

    fn browse(&self) -> BrowseConfig {
        let interfaces = Interfaces::only(self.interfaces.clone());
        BrowseConfig { services: self.services(), interfaces }
    }

    fn announce(&self) -> AnnounceConfig {
        AnnounceConfig {
            label: self.label.parse().expect("a label"),
            port: PORT,
            services: self.services(),
            interfaces: Interfaces::only(self.interfaces.clone()),
            alias: self.elects,
        }
    }

    fn elect(&self) -> ElectConfig {
        ElectConfig {
            site: self.site.parse().expect("a site"),
            own: Candidate { priority: self.priority, node: self.node.parse().expect("a node") },
            boot: self.boot,
            interfaces: Interfaces::only(self.interfaces.clone()),
            probe_path: "/health".to_owned(),
            greeting: None,
        }
    }

    fn seek(&self) -> SeekConfig {
        let places = |text: &Option<String>| match text {
            Some(text) => Pointer::parse(text, PORT).expect("a pointer").places,
            None => Vec::new(),
        };
        SeekConfig {
            browse: self.browse(),
            site: Some(self.site.parse().expect("a site")),
            typed: places(&self.typed),
            fixed: places(&self.fixed),
            domains: self.domain.iter().cloned().collect(),
            name_servers: self.name_server.iter().map(|at| at.parse().expect("one")).collect(),
            dhcp: self.dhcp.clone().map(Into::into),
            port: PORT,
            memory: self.memory.clone().map(Into::into),
            probe_path: "/health".to_owned(),
            greeting: None,
        }
    }
}

/// Announces itself and answers probes; `revision N` and `goodbye` are its orders.
async fn play_box(settings: &Settings, mut orders: Lines<BufReader<Stdin>>) {
    let (beacons, watched) = watch::channel(settings.beacon(0));
    let shutdown = CancellationToken::new();
    let listener = TcpListener::bind(("::", PORT)).await.expect("a free port in a free network");
    say("announcing");
    let told = Told::default();
    let (mut in_charge, mut namesake) = (told.in_charge.subscribe(), told.namesake.subscribe());
    let announcer = Announcer::start(settings.announce(), watched, told.namesake.subscribe());
    let announcer = announcer.expect("mDNS starts");
    let announce = async {
        announcer.run(shutdown.clone()).await;
        say("left");
    };
    let elect = async {
        if settings.elects {
            let elector = Elector::start(settings.elect()).expect("mDNS starts");
            elector.run(&told, shutdown.clone()).await;
        }
    };
    let follow = async {
        while in_charge.changed().await.is_ok() {
            let is_primary = *in_charge.borrow();
            say(if is_primary { "in charge" } else { "standing by" });
            let role = if is_primary { Role::Primary } else { Role::Standby };
            beacons.send_modify(|beacon| beacon.role = role);
        }
    };
    let tell = async {
        while namesake.changed().await.is_ok() {
            let known = namesake.borrow_and_update().clone();
            say(&match known {
                Some(namesake) => format!("namesake {}", namesake.address),
                None => "namesake none".to_owned(),
            });
        }
    };
    let obey = async {
        while let Ok(Some(order)) = orders.next_line().await {
            match order.split_once(' ') {
                Some(("revision", revision)) => {
                    beacons.send_replace(settings.beacon(revision.parse().expect("a number")));
                }
                _ => {
                    say("leaving");
                    shutdown.cancel();
                }
            }
        }
    };
    tokio::join!(announce, elect, follow, tell, obey, answer(&listener, &settings.node));
}

/// Answers every request on every connection.
async fn answer(listener: &TcpListener, node: &str) {
    let response = format!("HTTP/1.1 200 OK\r\nstorebox-node: {node}\r\ncontent-length: 0\r\n\r\n");
    let mut served = JoinSet::new();
    loop {
        let Ok((mut stream, _)) = listener.accept().await else { continue };
        while served.try_join_next().is_some() {}
        let response = response.clone();
        served.spawn(async move {
            let mut request = [0; 4096];
            while stream.read(&mut request).await.is_ok_and(|read| read > 0) {
                if stream.write_all(response.as_bytes()).await.is_err() {
                    return;
                }
            }
        });
    }
}

fn describe(found: &Found) -> String {
    let addresses: Vec<String> = found.addresses.iter().map(SocketAddr::to_string).collect();
    let revision = found.beacon.progress.map_or(0, |progress| progress.revision);
    let Found { instance, host, beacon, .. } = found;
    format!("{instance}|{host}|{}|{}|rev {revision}", addresses.join(","), beacon.node)
}

async fn play_browser(settings: &Settings) {
    let mut browser = Browser::start(settings.browse()).expect("mDNS starts");
    say("browsing");
    let mut floods = 0;
    loop {
        let sighting = browser.next().await;
        if browser.floods() != floods {
            floods = browser.floods();
            say(&format!("flooded {floods}"));
        }
        match sighting {
            Sighting::Seen(found) => say(&format!("seen {}", describe(&found))),
            Sighting::Gone { instance, .. } => say(&format!("gone {instance}")),
        }
    }
}

async fn play_discover(settings: &Settings) {
    let time = Duration::from_millis(settings.time_ms);
    let found = discover(settings.browse(), time).await.expect("mDNS starts");
    for found in &found {
        say(&format!("found {}", describe(found)));
    }
    say(&format!("found {} in all", found.len()));
}

/// A till's requests of real work, one every 50 ms, each with a limit of 400 ms; it tells how they went.
async fn work(handle: SeekerHandle) {
    let mut beat = tokio::time::interval(Duration::from_millis(50));
    loop {
        beat.tick().await;
        let Some(choice) = handle.view().chosen else { continue };
        let request = async {
            let mut stream = tokio::net::TcpStream::connect(choice.endpoint).await?;
            stream.write_all(b"HEAD /sale HTTP/1.1\r\nhost: box\r\n\r\n").await?;
            stream.read(&mut [0; 64]).await
        };
        let answer = tokio::time::timeout(Duration::from_millis(400), request).await;
        let well = matches!(answer, Ok(Ok(read)) if read > 0);
        handle
            .report(choice.endpoint, if well { Outcome::Answered(None) } else { Outcome::Failed });
    }
}

async fn play_till(settings: &Settings, mut orders: Lines<BufReader<Stdin>>) {
    let seeker = Seeker::start(settings.seek()).expect("mDNS starts");
    let mut handle = seeker.handle();
    let shutdown = CancellationToken::new();
    say("seeking");
    let tell = async {
        let (mut last, mut up) = (None, BTreeSet::new());
        while handle.changed().await {
            let view = handle.view();
            let endpoints = view.boxes.into_iter().flat_map(|one| one.endpoints);
            let now_up: BTreeSet<SocketAddr> =
                endpoints.filter(|(_, health)| health.is_usable()).map(|(at, _)| at).collect();
            for endpoint in now_up.difference(&up) {
                say(&format!("up {endpoint}"));
            }
            up = now_up;
            let chosen = view.chosen.map(|choice| choice.endpoint);
            if chosen != last {
                last = chosen;
                say(&chosen.map_or("chosen none".to_owned(), |at| format!("chosen {at}")));
            }
        }
    };
    let obey = async {
        if let Ok(Some(_)) = orders.next_line().await {
            shutdown.cancel();
        }
    };
    let worker = seeker.handle();
    let work = async {
        if settings.works {
            work(worker).await;
        }
    };
    tokio::join!(
        work,
        async {
            seeker.run(shutdown.clone()).await;
            say("kept");
        },
        tell,
        obey
    );
}
