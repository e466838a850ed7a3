//! The other boxes of the store: found on the LAN, read from and gone through.
//!
//! They announce themselves, or are typed, remembered, given by DHCP or named by the store's DNS: all at once.
//! Each of these is a hint: whoever is behind it must prove that it knows the secret of the store before anything is
//! sent to it, and what is read from it is signed by head office or named by its hash.

use std::collections::BTreeMap;
use std::time::Duration;

use storebox_proto::ids::{NodeId, SourceId};
use storebox_proto::sync::book::BoxKey;
use storebox_proto::sync::ladder::{Kind, Rung};

use super::{Basics, RoleError, token};
use crate::discovery::{Greeting, SeekConfig, Seeker, SeekerHandle, Service};
use crate::pass::{Pass, SiteSecret};
use crate::replica::source::{HttpSource, Source};
use crate::replica::sources::Sources;
use crate::supervise::Policy;
use crate::trust::line::{Believed, Lines};
use crate::trust::porch::Porch;
use crate::uplink::{Route, Routes};

/// One object of a feed arrives from a neighbour within this.
const OBJECT_MAX: Duration = Duration::from_secs(20);
/// A secret that can be guessed is none.
const SECRET_CHARS_MIN: usize = 16;

/// How this box shows its neighbours who it is; nothing: it knows none.
pub(super) fn pass(basics: &Basics<'_>) -> Result<Option<Pass>, RoleError> {
    let file = &basics.config.peers.secret_file;
    if file.as_os_str().is_empty() {
        return Ok(None);
    }
    let text = token(file)?;
    if text.reveal().len() < SECRET_CHARS_MIN {
        let source = std::io::Error::other("shorter than 16 characters");
        return Err(RoleError::File { path: file.clone(), source });
    }
    let secret = SiteSecret::new(text.reveal());
    basics.access.share(secret.clone());
    Ok(Some(Pass::Site(secret, basics.config.node.clone())))
}

/// Looks for neighbours as long as the box runs.
pub(super) fn seek(basics: &Basics<'_>, pass: Option<Pass>, sources: &Sources, routes: &Routes) {
    let config = basics.config;
    let (true, Some(pass)) = (config.peers.discover, pass) else { return };
    let memory = Some(config.data_dir.join("peers.json"));
    let greeting = basics.porch.and_then(greeting);
    let seek = SeekConfig::of(&config.discovery, vec![Service::Peers], memory);
    let seek = SeekConfig { greeting, ..seek };
    let lines = basics.lines.clone();
    let (sources, routes, own) = (sources.clone(), routes.clone(), config.node.clone());
    basics.supervisor.spawn("neighbours", Policy::Restart, move |stop| {
        let neighbours = Neighbours {
            own: own.clone(),
            pass: pass.clone(),
            sources: sources.clone(),
            routes: routes.clone(),
            lines: lines.clone(),
            known: BTreeMap::new(),
        };
        let seek = seek.clone();
        async move {
            let seeker = Seeker::start(seek)?;
            let handle = seeker.handle();
            let look = stop.run_until_cancelled(neighbours.follow(handle));
            tokio::join!(seeker.run(stop.clone()), look);
            Ok(())
        }
    });
}

/// How boxes of this site are known over TLS.
pub fn greeting(porch: &Porch) -> Option<Greeting> {
    let way = porch.way_home();
    Some(Greeting::new(way.config(None).ok()?, way.server_name()))
}

/// Keeps sources and routes in step with who is there.
struct Neighbours {
    own: NodeId,
    pass: Pass,
    sources: Sources,
    routes: Routes,
    lines: Lines,
    known: BTreeMap<SourceId, String>,
}

impl Neighbours {
    async fn follow(mut self, mut handle: SeekerHandle) {
        loop {
            self.look(&handle);
            if !handle.changed().await {
                return;
            }
        }
    }

    /// Takes over who is there now; one that does not answer stays, its breaker says so.
    fn look(&mut self, handle: &SeekerHandle) {
        let mut there = BTreeMap::new();
        for seen in handle.view().boxes {
            let BoxKey::Node(node) = seen.key else { continue };
            let usable = seen.endpoints.iter().find(|(_, health)| health.is_usable());
            let endpoint = usable.or(seen.endpoints.first());
            let (true, Some((endpoint, _))) = (node != self.own, endpoint) else { continue };
            if let Ok(id) = format!("peer-{node}").parse::<SourceId>() {
                let scheme = if handle.speaks_tls(*endpoint) { "https" } else { "http" };
                there.insert(id, format!("{scheme}://{endpoint}"));
            }
        }
        let gone: Vec<SourceId> =
            self.known.keys().filter(|id| !there.contains_key(*id)).cloned().collect();
        for id in gone {
            self.sources.remove(&id);
            self.routes.remove(&id);
            self.known.remove(&id);
        }
        for (id, url) in there {
            if self.known.get(&id).is_none_or(|known| *known != url) {
                self.enter(id, url);
            }
        }
    }

    fn enter(&mut self, id: SourceId, url: String) {
        // To one that speaks nothing else the way leads through TLS.
        let line = match self.lines.open(&url, Believed::Home) {
            Ok(line) => line,
            Err(error) => {
                tracing::warn!(tier = %id, %error, "neighbour cannot be reached");
                return;
            }
        };
        let source = HttpSource::over(&line, self.pass.clone(), OBJECT_MAX);
        let route = Route::over(line, self.pass.clone(), None);
        let (Ok(source), Ok(route)) = (source, route) else { return };
        self.routes.put(id.clone(), route);
        let rung = Rung { found: true, ..Rung::new(id.clone(), Kind::Peer) };
        if self.sources.put(rung, &url, Source::Http(source)) {
            tracing::info!(tier = %id, url, "neighbour found");
            self.known.insert(id, url);
        } else {
            self.routes.remove(&id);
        }
    }
}
