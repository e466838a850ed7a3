//! A second node for what a box holds, in the simulated world, and a box that takes the place of one that burned.
//!
//! The driver's part of `uplink/mirror` and `uplink/takeover` in the box: copies before tills hear "mirrored", a till
//! that waits for a lost mirror no longer than its time, both sides compared again and again, and what the mirror has
//! and the box does not know taken back before anything is sent.

use std::collections::{BTreeMap, VecDeque};

use rand::RngExt;
use storebox_proto::ids::TxKey;
use storebox_proto::ticket::{Envelope, Grade};

use crate::defects::Defect;
use crate::net::{Message, Place};
use crate::queue::Ms;
use crate::world::{Event, World};

/// A till waits no longer for the copy.
const WAIT_MS: Ms = 500;
/// Both sides are compared this often, and this often while the mirror is lost.
const COMPARE_MS: Ms = 5000;
const LOOK_MS: Ms = 1000;
/// A mirror that has not answered by then is lost.
const ANSWER_MS: Ms = 3000;
/// Copies that are taken back at once.
const PAGE: usize = 2;

/// A box's view of its mirror.
#[derive(Default)]
pub(crate) struct Mirror {
    /// The box that it is; nothing: none.
    pub(crate) peer: Option<usize>,
    pub(crate) up: bool,
    /// Tills that wait, and since when.
    waiting: BTreeMap<TxKey, Ms>,
    asked_at: Option<Ms>,
    /// What is being taken back.
    lost: VecDeque<Envelope>,
    taking: bool,
}

impl Mirror {
    pub(crate) fn new(peer: Option<usize>) -> Self {
        Self { peer, ..Self::default() }
    }

    /// What a crash leaves.
    pub(crate) fn crash(&mut self) {
        *self = Self::new(self.peer);
    }
}

impl World {
    /// What was flushed is copied, or the tills hear at once that it is held.
    pub(crate) fn tell_tills(&mut self, number: usize, keys: Vec<TxKey>) {
        let now = self.queue.now();
        let store = &mut self.stores[number];
        let Some(peer) = store.mirror.peer.filter(|_| store.mirror.up) else {
            return keys.into_iter().for_each(|key| self.tell(number, key, Grade::Held));
        };
        let copies = store.sales.own_open(&keys);
        store.mirror.waiting.extend(copies.iter().map(|copy| (copy.key, now)));
        let held: Vec<TxKey> =
            keys.into_iter().filter(|key| !store.mirror.waiting.contains_key(key)).collect();
        held.into_iter().for_each(|key| self.tell(number, key, Grade::Held));
        let life = self.stores[number].life;
        self.queue.after(WAIT_MS, Event::MirrorWaits { store: number, life });
        self.say(number, peer, Message::Hold { copies });
    }

    fn tell(&mut self, number: usize, key: TxKey, grade: Grade) {
        if self.rng.random_ratio(1, 20) {
            return;
        }
        let store = &mut self.stores[number];
        store.confirm(key);
        if grade == Grade::Mirrored {
            store.mirrored.insert(key);
        }
    }

    /// The time of tills that waited for their mirror is over.
    pub(crate) fn mirror_is_late(&mut self, number: usize, defect: Defect) {
        let late = self.queue.now().saturating_sub(WAIT_MS);
        let mirror = &mut self.stores[number].mirror;
        if defect == Defect::WaitsForMirror {
            return;
        }
        let (gone, waiting) =
            std::mem::take(&mut mirror.waiting).into_iter().partition(|(_, since)| *since <= late);
        mirror.waiting = waiting;
        let gone: BTreeMap<TxKey, Ms> = gone;
        mirror.up &= gone.is_empty();
        gone.into_keys().for_each(|key| self.tell(number, key, Grade::Held));
    }

    /// Looks whether both sides have the same.
    pub(crate) fn compare(&mut self, number: usize) {
        let now = self.queue.now();
        let store = &mut self.stores[number];
        let (life, Some(peer)) = (store.life, store.mirror.peer) else { return };
        if store.mirror.asked_at.is_some_and(|at| now >= at + ANSWER_MS) {
            (store.mirror.up, store.mirror.asked_at) = (false, None);
        }
        let asks = store.mirror.asked_at.is_none() && !store.mirror.taking;
        if asks {
            store.mirror.asked_at = Some(now);
        }
        let again = if store.mirror.up { COMPARE_MS } else { LOOK_MS };
        self.queue.after(again, Event::Compare { store: number, life });
        if asks {
            self.say(number, peer, Message::AskCopies);
        }
    }

    /// A neighbour speaks of copies; tells whether it did.
    pub(crate) fn hear_copies(&mut self, number: usize, from: usize, message: &Message) -> bool {
        match message {
            Message::Hold { copies } => {
                let keys = copies.iter().map(|copy| copy.key).collect();
                let store = &mut self.stores[number];
                if store.defect != Defect::ForgetsCopies {
                    let named = copies.iter().map(|copy| ((from, copy.key), copy.clone()));
                    store.copies.extend(named);
                }
                self.say(number, from, Message::Holds { keys });
            }
            Message::Holds { keys } => {
                for key in keys {
                    if self.stores[number].mirror.waiting.remove(key).is_some() {
                        self.tell(number, *key, Grade::Mirrored);
                    }
                }
            }
            Message::AskCopies => {
                let copies = self.stores[number].copies.iter();
                let copies = copies.filter(|((owner, _), _)| *owner == from);
                // The latest first, as after a clock that was put back: their order says nothing.
                let copies = copies.rev().map(|(_, copy)| copy.clone()).collect();
                self.say(number, from, Message::Copies { copies });
            }
            Message::Copies { copies } => self.compared(number, from, copies),
            Message::LetGo { keys } => {
                for key in keys {
                    self.stores[number].copies.remove(&(from, *key));
                }
            }
            Message::AskHead { .. }
            | Message::Probe
            | Message::Alive
            | Message::Head { .. }
            | Message::AskObject { .. }
            | Message::Object { .. }
            | Message::Settle { .. }
            | Message::Settled { .. }
            | Message::AskKeys { .. }
            | Message::Known { .. } => return false,
        }
        true
    }

    fn compared(&mut self, number: usize, peer: usize, there: &[Envelope]) {
        let store = &mut self.stores[number];
        if store.mirror.asked_at.take().is_none() {
            return;
        }
        let here = store.sales.all_open();
        let surplus = there.iter().filter(|copy| !here.contains_key(&copy.key));
        let forgets = store.defect == Defect::LetsGoUnknown;
        let (done, lost): (Vec<&Envelope>, Vec<&Envelope>) =
            surplus.partition(|copy| forgets || store.sales.knows(&copy.key));
        let done = done.into_iter().map(|copy| copy.key).collect();
        let lost: VecDeque<Envelope> = lost.into_iter().cloned().collect();
        let has = |key: &TxKey| there.iter().any(|copy| copy.key == *key);
        let missing: Vec<_> = here.into_values().filter(|copy| !has(&copy.key)).collect();
        store.mirror.up = missing.is_empty();
        store.mirror.lost = lost;
        store.mirror.taking = true;
        store.sales.hush(true);
        self.say(number, peer, Message::LetGo { keys: done });
        if !missing.is_empty() {
            self.say(number, peer, Message::Hold { copies: missing });
        }
        self.take_back(number);
    }

    /// The next page of what this box did not know, each flushed before the next; then it is as it was.
    pub(crate) fn take_back(&mut self, number: usize) {
        let clock = self.stores[number].clock(self.queue.now());
        let store = &mut self.stores[number];
        if !store.mirror.taking {
            return;
        }
        let count = store.mirror.lost.len().min(PAGE);
        if count == 0 {
            store.mirror.taking = false;
            store.sales.hush(false);
            store.is_new = false;
            return self.serve(number);
        }
        for copy in store.mirror.lost.drain(..count) {
            store.sales.adopt(copy, clock);
        }
        self.flush_soon(number);
    }

    /// A box burns with all that is on it; another begins with nothing in its place and under its name.
    ///
    /// Only one does, and only when nobody was told less than "mirrored" of what is not settled.
    pub(crate) fn burn(&mut self, number: usize) {
        let store = &self.stores[number];
        let safe = |key: &TxKey| self.ledger.holds(key) || store.mirrored.contains(key);
        let may = self.burned.is_none()
            && store.up
            && store.mirror.up
            && store.confirmed.iter().all(safe);
        if may && !self.is_quiet() {
            self.burned = Some(number);
            self.note(format_args!("store {number} burns"));
            self.stores[number].burn(&self.author.feed, &mut self.rng);
            let down: Ms = self.rng.random_range(0..6000);
            self.queue.after(down, Event::Restart { store: number });
        }
    }

    /// What a till was told to be mirrored is on two boxes, and nobody waits longer than the mirror's time.
    pub(crate) fn check_mirrors(&mut self) -> Result<(), String> {
        let now = self.queue.now();
        for number in 0..self.stores.len() {
            let Some(peer) = self.stores[number].mirror.peer else { continue };
            let waits = |store: &crate::store::Store| {
                store.mirror.waiting.values().any(|since| now > since + WAIT_MS)
            };
            if self.stores[number].up && waits(&self.stores[number]) {
                return Err(format!("a till of store {number} waits for its mirror"));
            }
            let ledger = &self.ledger;
            self.stores[number].mirrored.retain(|key| !ledger.holds(key));
            let (store, mirror) = (&self.stores[number], &self.stores[peer]);
            let nodes = |key: &TxKey| {
                let copied = mirror.copies.contains_key(&(number, *key));
                usize::from(copied) + usize::from(store.sales.holds(key))
            };
            let wanted = if self.burned.is_some() { 1 } else { 2 };
            if let Some(key) = store.mirrored.iter().find(|key| nodes(key) < wanted) {
                let count = nodes(key);
                return Err(format!(
                    "{key} of store {number} was mirrored and is on {count} boxes"
                ));
            }
        }
        Ok(())
    }

    fn say(&mut self, from: usize, to: usize, message: Message) {
        let place = |number: usize| Place::Store { number, life: self.stores[number].life };
        let (from, to) = (place(from), place(to));
        self.send(from, to, message);
    }
}
