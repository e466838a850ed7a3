//! Which box to use: the best that is well, and no change without a reason.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Instant;

use super::SETTLE;
use super::entry::{Entry, Health};
use crate::ids::NodeId;

/// What makes two endpoints one box.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum BoxKey {
    /// They say or prove the same name.
    Node(NodeId),
    /// Nothing is known but the endpoint.
    Endpoint(SocketAddr),
}

/// The box to use, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// Which box.
    pub key: BoxKey,
    /// Its endpoint.
    pub endpoint: SocketAddr,
}

/// One box, for display.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BoxView {
    /// Which box.
    pub key: BoxKey,
    /// Whom to prefer: lower first.
    pub priority: u16,
    /// Its endpoints and how they are.
    pub endpoints: Vec<(SocketAddr, Health)>,
}

fn key_of(endpoint: SocketAddr, entry: &Entry) -> BoxKey {
    entry.node().map_or(BoxKey::Endpoint(endpoint), |node| BoxKey::Node(node.clone()))
}

/// A box with an endpoint that may be used: the one that has been up longest, so that it stays the same.
struct Candidate {
    key: BoxKey,
    /// That endpoint is in no doubt.
    well: bool,
    priority: u16,
    up_since: Instant,
    lead: SocketAddr,
}

fn candidates(entries: &BTreeMap<SocketAddr, Entry>) -> Vec<Candidate> {
    let mut best: BTreeMap<BoxKey, Candidate> = BTreeMap::new();
    for (&lead, entry) in entries {
        let Some(up_since) = entry.health.up_since() else { continue };
        let key = key_of(lead, entry);
        let priority = entry.priority();
        let well = matches!(entry.health, Health::Up { .. });
        let known =
            best.entry(key.clone()).or_insert(Candidate { key, well, priority, up_since, lead });
        known.priority = known.priority.min(priority);
        if (!well, up_since, lead) < (!known.well, known.up_since, known.lead) {
            (known.well, known.up_since, known.lead) = (well, up_since, lead);
        }
    }
    best.into_values().collect()
}

/// The endpoint of every box that is asked most often.
pub(super) fn leads(entries: &BTreeMap<SocketAddr, Entry>) -> BTreeSet<SocketAddr> {
    candidates(entries).into_iter().map(|candidate| candidate.lead).collect()
}

/// The box to use now: the one in use while it is well, unless a better one has been well for a while.
///
/// One failure is no reason to leave the endpoint in use; once that is down, a box in no doubt comes before
/// the doubted addresses of the box that was in use.
pub(super) fn choose(
    entries: &BTreeMap<SocketAddr, Entry>,
    current: Option<&Choice>,
    now: Instant,
) -> Option<Choice> {
    let mut boxes = candidates(entries);
    boxes.sort_by(|a, b| {
        (!a.well, a.priority, a.up_since, &a.key).cmp(&(!b.well, b.priority, b.up_since, &b.key))
    });
    let kept = current.and_then(|current| kept(entries, &boxes, current));
    let Some(kept) = kept else { return boxes.into_iter().next().map(Candidate::choice) };
    let settled = |candidate: &&Candidate| {
        candidate.well && candidate.priority < kept.priority && now >= candidate.up_since + SETTLE
    };
    match boxes.iter().find(settled) {
        Some(better) => Some(Choice { key: better.key.clone(), endpoint: better.lead }),
        None => Some(kept.choice()),
    }
}

/// The box in use, if it is still well: at the same endpoint if that one is.
fn kept(
    entries: &BTreeMap<SocketAddr, Entry>,
    boxes: &[Candidate],
    current: &Choice,
) -> Option<Candidate> {
    let same_endpoint = entries.get(&current.endpoint).filter(|entry| entry.health.is_usable());
    let key = same_endpoint.map_or_else(|| current.key.clone(), |e| key_of(current.endpoint, e));
    let kept = boxes.iter().find(|candidate| candidate.key == key)?;
    let lead = if same_endpoint.is_some() { current.endpoint } else { kept.lead };
    let doubted = same_endpoint.is_none() && !kept.well;
    if doubted && boxes.iter().any(|candidate| candidate.well) {
        return None;
    }
    let Candidate { well, priority, up_since, .. } = *kept;
    Some(Candidate { key, well, priority, up_since, lead })
}

/// When a better box will have been well for long enough, if there is one.
pub(super) fn settles_at(
    entries: &BTreeMap<SocketAddr, Entry>,
    current: Option<&Choice>,
) -> Option<Instant> {
    let boxes = candidates(entries);
    let kept = kept(entries, &boxes, current?)?;
    let better =
        boxes.iter().filter(|candidate| candidate.well && candidate.priority < kept.priority);
    better.map(|candidate| candidate.up_since + SETTLE).min()
}

/// All boxes, the ones to prefer first.
pub(super) fn boxes(entries: &BTreeMap<SocketAddr, Entry>) -> Vec<BoxView> {
    let mut views: BTreeMap<BoxKey, BoxView> = BTreeMap::new();
    for (&endpoint, entry) in entries {
        let key = key_of(endpoint, entry);
        let view = views.entry(key.clone()).or_insert_with(|| BoxView {
            key,
            priority: u16::MAX,
            endpoints: Vec::new(),
        });
        view.priority = view.priority.min(entry.priority());
        view.endpoints.push((endpoint, entry.health.clone()));
    }
    let mut views: Vec<BoxView> = views.into_values().collect();
    views.sort_by(|a, b| (a.priority, &a.key).cmp(&(b.priority, &b.key)));
    views
}

impl Candidate {
    fn choice(self) -> Choice {
        Choice { key: self.key, endpoint: self.lead }
    }
}
