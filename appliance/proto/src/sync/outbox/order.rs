//! What has to come before what: lanes, dependencies, cash sessions.

use std::collections::{BTreeMap, BTreeSet};

use super::record::Meta;
use super::{Entry, Outbox};
use crate::ids::{LaneId, TxKey};
use crate::ticket::envelope::CASH_UP;

/// So many that depend on an entry, one through the other, are looked for in front of it in its lane.
const DEPENDENTS_MAX: usize = 256;

/// Rank, epoch and number of the terminal, position: the order within a lane.
type Place = (u64, u32, u64, u64);
const FIRST: Place = (0, 0, 0, 0);
const LAST: Place = (u64::MAX, u32::MAX, u64::MAX, u64::MAX);

fn place(position: u64, rank: u64, meta: &Meta) -> Place {
    (rank, meta.epoch, meta.sequence, position)
}

/// Entries that the authoritative sink has not taken, by what orders them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Order {
    /// Most lanes have one entry, so one set holds them all.
    lanes: BTreeSet<(LaneId, Place)>,
    sessions: BTreeMap<String, BTreeSet<u64>>,
    dependents: BTreeMap<TxKey, BTreeSet<u64>>,
}

/// What an entry waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Blocker {
    /// Another entry.
    Entry(u64),
    /// A number of its terminal that has not arrived.
    Number,
}

impl Order {
    pub(super) fn insert(&mut self, position: u64, rank: u64, meta: &Meta) {
        self.lanes.insert((meta.lane.clone(), place(position, rank, meta)));
        if let Some(session) = &meta.session {
            self.sessions.entry(session.clone()).or_default().insert(position);
        }
        for key in &meta.depends_on {
            self.dependents.entry(*key).or_default().insert(position);
        }
    }

    pub(super) fn remove(&mut self, position: u64, rank: u64, meta: &Meta) {
        self.lanes.remove(&(meta.lane.clone(), place(position, rank, meta)));
        if let Some(session) = &meta.session {
            remove_from(&mut self.sessions, session, &position);
        }
        for key in &meta.depends_on {
            remove_from(&mut self.dependents, key, &position);
        }
    }

    /// Entries that may go on now that this one was taken.
    pub(super) fn waiting_for(&self, meta: &Meta) -> Vec<u64> {
        let dependents = self.dependents.get(&meta.key).into_iter().flatten().copied();
        let next = self.lane_from(&meta.lane, FIRST).next();
        dependents.chain(next.map(|(.., position)| *position)).collect()
    }

    /// What comes behind an entry in its lane, and what depends on it.
    fn behind(&self, position: u64, rank: u64, meta: &Meta) -> impl Iterator<Item = u64> + '_ {
        let place = place(position, rank, meta);
        let lane = self.lane_from(&meta.lane, place).map(|(.., other)| *other);
        lane.chain(self.dependents.get(&meta.key).into_iter().flatten().copied())
    }

    fn before_in_lane(&self, lane: &LaneId, this: Place) -> Option<u64> {
        let before = self.lanes.range((lane.clone(), FIRST)..(lane.clone(), this)).next_back();
        before.map(|(_, (.., before))| *before)
    }

    /// A lane in its order, from a place on.
    fn lane_from(
        &self,
        lane: &LaneId,
        place: Place,
    ) -> impl DoubleEndedIterator<Item = &Place> + use<'_> {
        self.lanes.range((lane.clone(), place)..=(lane.clone(), LAST)).map(|(_, place)| place)
    }
}

fn remove_from<K: Ord, V: Ord>(lists: &mut BTreeMap<K, BTreeSet<V>>, key: &K, value: &V) {
    if let Some(list) = lists.get_mut(key) {
        list.remove(value);
        if list.is_empty() {
            lists.remove(key);
        }
    }
}

impl Outbox {
    /// The place in the lane for a new entry: in front of later epochs and numbers of the same terminal that came
    /// first.
    pub(super) fn rank_for(&self, position: u64, meta: &Meta) -> u64 {
        let mut rank = position;
        for (other_rank, epoch, sequence, other) in self.order.lane_from(&meta.lane, FIRST).rev() {
            let Some(entry) = self.entries.get(other) else { continue };
            if entry.meta.terminal == meta.terminal {
                if (*epoch, *sequence) < (meta.epoch, meta.sequence) {
                    break;
                }
                rank = *other_rank;
            }
        }
        rank
    }

    /// What an entry waits for, if these are sent before it in the same batch.
    pub(super) fn blocker(&self, position: u64, batch: &BTreeSet<u64>) -> Option<Blocker> {
        let entry = self.entries.get(&position)?;
        let meta = &entry.meta;
        let is_ahead = |before: &u64| !batch.contains(before);
        if self.before_in_lane(position, entry).is_some_and(|before| is_ahead(&before))
            && let Some(before) = self.before_its_dependents(position).filter(is_ahead)
        {
            return Some(Blocker::Entry(before));
        }
        for key in &meta.depends_on {
            if let Some(needed) = self.keys.get(key)
                && !batch.contains(needed)
                && self.entries.get(needed).is_some_and(|needed| needed.phase.is_held())
            {
                return Some(Blocker::Entry(*needed));
            }
        }
        if meta.kind.as_str() == CASH_UP { self.session_blocker(position, batch) } else { None }
    }

    pub(super) fn before_in_lane(&self, position: u64, entry: &Entry) -> Option<u64> {
        let this = place(position, entry.rank, &entry.meta);
        self.order.before_in_lane(&entry.meta.lane, this)
    }

    /// What is before an entry in its lane, and before everything there that depends on it.
    ///
    /// Two tills that share a lane come in any order when a box takes back what its mirror has: a payment may stand
    /// in front of the order that it depends on, and each would wait for the other.
    fn before_its_dependents(&self, position: u64) -> Option<u64> {
        let entry = self.entries.get(&position)?;
        let mut first = place(position, entry.rank, &entry.meta);
        let (mut found, mut open) = (BTreeSet::from([position]), vec![entry]);
        while let Some(needed) = open.pop() {
            for dependent in self.order.dependents.get(&needed.meta.key).into_iter().flatten() {
                let Some(other) = self.entries.get(dependent) else { continue };
                let is_here = other.meta.lane == entry.meta.lane;
                if is_here && found.len() < DEPENDENTS_MAX && found.insert(*dependent) {
                    first = first.min(place(*dependent, other.rank, &other.meta));
                    open.push(other);
                }
            }
        }
        self.order.before_in_lane(&entry.meta.lane, first)
    }

    /// A neighbour's entry, and those of its neighbours that have to come behind it and have not been taken.
    pub(super) fn guests_behind(&self, first: u64) -> BTreeSet<u64> {
        let (mut found, mut open) = (BTreeSet::from([first]), vec![first]);
        while let Some(position) = open.pop() {
            let Some(entry) = self.entries.get(&position) else { continue };
            let session = entry.meta.session.as_ref();
            let session = session.and_then(|session| self.order.sessions.get(session));
            let closes = |position: &u64| {
                let other = self.entries.get(position);
                other.is_some_and(|other| other.meta.kind.as_str() == CASH_UP)
            };
            let closing = session.into_iter().flatten().copied().filter(closes);
            let behind = self.order.behind(position, entry.rank, &entry.meta).chain(closing);
            let guests = behind.filter(|next| self.guest(*next).is_some());
            open.extend(guests.filter(|next| found.insert(*next)));
        }
        found
    }

    fn session_blocker(&self, position: u64, batch: &BTreeSet<u64>) -> Option<Blocker> {
        let entry = self.entries.get(&position)?;
        let session = self.order.sessions.get(entry.meta.session.as_ref()?);
        for other in session.into_iter().flatten().filter(|other| **other != position) {
            let Some(member) = self.entries.get(other) else { continue };
            let is_later_in_lane = member.meta.lane == entry.meta.lane
                && place(*other, member.rank, &member.meta)
                    > place(position, entry.rank, &entry.meta);
            let is_later_cash_up = member.meta.kind.as_str() == CASH_UP && *other > position;
            if !batch.contains(other) && !is_later_in_lane && !is_later_cash_up {
                return Some(Blocker::Entry(*other));
            }
        }
        let epoch = self.epoch(&entry.meta)?;
        let gap = !entry.forced && epoch.seen.has_gap_below(entry.meta.sequence);
        gap.then_some(Blocker::Number)
    }
}
