//! The ways to a sink: servers that settle in the same ledger, and neighbours that pass things on to it.
//!
//! Which way is taken is the tiers' to say; a sink that knows one way only has tiers of its own.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use storebox_proto::ids::SourceId;
use storebox_proto::sync::ladder::{Fault, Kind, Service};

use super::line;
use crate::pass::{Pass, SiteSecret};
use crate::tiers::{Probe, Tiers};
use crate::trust::line::Line;
use crate::valve::Valve;
use crate::wire::Wire;

const TRANSACTIONS: Service = Service::Transactions;

/// One way.
#[derive(Debug, Clone)]
pub struct Route {
    /// How it begins.
    line: Line,
    /// What this box is known by there.
    pub(super) pass: Pass,
    /// Everything goes there sealed, if it is to.
    pub(super) sealed: Option<Wire>,
    /// A client of its own, if the way leads through a socket of this box.
    pub(super) through: Option<reqwest::Client>,
    /// What a drill shuts; that of a neighbour is always open.
    pub(super) valve: Valve,
}

impl Route {
    /// A way over this line.
    pub fn over(line: Line, pass: Pass, sealed: Option<Wire>) -> Result<Self, reqwest::Error> {
        let through = line.socket().map(|_| line.client(line::builder())).transpose()?;
        Ok(Self { line, pass, sealed, through, valve: Valve::default() })
    }

    /// The way to a box on the LAN, in the open.
    pub fn near(url: String, pass: Pass) -> Self {
        let line = Line::straight(&url);
        Self { line, pass, sealed: None, through: None, valve: Valve::default() }
    }

    /// The same, shut by this valve.
    #[must_use]
    pub fn behind(self, valve: &Valve) -> Self {
        Self { valve: valve.clone(), ..self }
    }

    /// Where it begins.
    pub(super) fn url(&self) -> &str {
        self.line.url()
    }
}

/// All ways to a sink; a cheap handle.
#[derive(Clone)]
pub struct Routes {
    tiers: Tiers,
    routes: Arc<Mutex<BTreeMap<SourceId, Route>>>,
}

impl Routes {
    /// No way yet, in these tiers.
    pub fn new(tiers: Tiers) -> Self {
        Self { tiers, routes: Arc::default() }
    }

    /// The one way.
    pub fn single(route: Route) -> Self {
        let id: SourceId = "main".parse().expect("a literal that keeps the rule for sources");
        let routes = Self::new(Tiers::single(id.clone(), Kind::Primary, route.url()));
        routes.put(id, route);
        routes
    }

    /// Adds a way; its rung is put into the tiers by whoever knows all services of the source.
    pub fn put(&self, id: SourceId, route: Route) {
        self.lock().insert(id, route);
    }

    /// A found way is gone, unless the tiers still know its source.
    pub fn remove(&self, id: &SourceId) {
        if self.tiers.kind(id).is_none() {
            self.lock().remove(id);
        }
    }

    /// Whether there is any.
    pub fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// The tiers that decide.
    pub fn tiers(&self) -> &Tiers {
        &self.tiers
    }

    /// Looks at a way for the tiers.
    pub fn probe(&self) -> Probe {
        let routes = self.clone();
        Arc::new(move |id| {
            let (route, routes) = (routes.get(&id), routes.clone());
            Box::pin(async move {
                let Some(route) = route else { return Err(Fault::Silent) };
                let client = line::client().map_err(|_| Fault::Silent)?;
                let passes = routes.tiers.kind(&id) == Some(Kind::Peer);
                if passes {
                    return line::passes_on(&client, &route).await;
                }
                if line::answers(&client, &route).await { Ok(()) } else { Err(Fault::Silent) }
            })
        })
    }

    /// The ways to try, best first: those that work, or all where none is known to.
    ///
    /// The outbox has waits of its own, so that asking a silent one once more costs nothing but its answer.
    pub(super) fn to_try(&self) -> Vec<(SourceId, Route)> {
        let order = self.tiers.order(TRANSACTIONS);
        let order = if order.is_empty() { self.tiers.silent(TRANSACTIONS) } else { order };
        order.into_iter().filter_map(|id| Some((id.clone(), self.get(&id)?))).collect()
    }

    /// Whether one of the ways that did not answer does again.
    pub(super) async fn any_answers(&self, client: &reqwest::Client) -> bool {
        let silent = self.tiers.silent(TRANSACTIONS).into_iter();
        let looks = silent.filter_map(|id| Some((id.clone(), self.get(&id)?)));
        let mut looks: FuturesUnordered<_> =
            looks.map(|(id, route)| look(client, id, route)).collect();
        while let Some((id, answers)) = looks.next().await {
            if answers {
                self.tiers.success(&id, TRANSACTIONS, None);
                return true;
            }
        }
        false
    }

    /// Whether this way answers.
    pub(super) async fn answers(&self, client: &reqwest::Client, id: &SourceId) -> bool {
        match self.get(id) {
            Some(route) => line::answers(client, &route).await,
            None => false,
        }
    }

    /// The ways to boxes next door, with the secret of the store that they are shown.
    pub fn next_door(&self) -> Vec<(SourceId, Route, SiteSecret)> {
        let routes = self.lock();
        let near = routes.iter().filter(|(id, _)| self.is_peer(id));
        near.filter_map(|(id, route)| match &route.pass {
            Pass::Site(secret, _) => Some((id.clone(), route.clone(), secret.clone())),
            Pass::Token(_) => None,
        })
        .collect()
    }

    /// Whether this way leads through a neighbour.
    pub(super) fn is_peer(&self, id: &SourceId) -> bool {
        self.tiers.kind(id) == Some(Kind::Peer)
    }

    pub(super) fn get(&self, id: &SourceId) -> Option<Route> {
        self.lock().get(id).cloned()
    }

    /// What is behind the lock is whole even if a thread died while holding it.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<SourceId, Route>> {
        self.routes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn look(client: &reqwest::Client, id: SourceId, route: Route) -> (SourceId, bool) {
    let answers = line::answers(client, &route).await;
    (id, answers)
}
