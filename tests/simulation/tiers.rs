//! Where a box reads its feed in the simulated world: head office, its neighbours, and storage that somebody fills.
//!
//! The driver's part of `Sources` in the box, over the same ladder: heads by rank, objects from the nearest, the next
//! place when one fails, and what is forged, stale or incomplete is known by the place that it came from.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rand::RngExt;
use storebox_proto::feed::head::SignedHead;
use storebox_proto::feed::position::Position;
use storebox_proto::ids::{Hash32, SourceId};
use storebox_proto::sync::fetch::Request;
use storebox_proto::sync::ladder::{Fault, Kind, Ladder, Rung, Service};

use crate::author::Author;
use crate::keys;
use crate::net::{Message, Place};
use crate::queue::Ms;
use crate::world::{Event, World};

const FEEDS: Service = Service::Feeds;
/// A place that has not answered by then is silent.
const ANSWER_MAX: Duration = Duration::from_secs(8);
/// A place that cannot hold a request answers this late that there is nothing new.
const NOTHING_NEW_MS: Ms = 5000;
/// Between two publications to storage.
const PUBLISH_EVERY_MS: Ms = 20_000;

/// What is on storage.
#[derive(Default)]
pub(crate) struct Storage {
    head: Option<Bytes>,
    files: BTreeMap<Hash32, Bytes>,
}

/// A question under way.
struct Asked {
    name: Option<Hash32>,
    to: SourceId,
    until: Instant,
    /// Places that could not help with this one.
    tried: Vec<SourceId>,
}

/// A box's way to its sources.
pub(crate) struct Tiers {
    pub(crate) ladder: Ladder,
    asked: Vec<Asked>,
    head_from: Option<SourceId>,
    /// Generations that came from elsewhere than head office.
    pub(crate) elsewhere: u64,
}

fn main_id() -> SourceId {
    "main".parse().unwrap()
}

fn storage_id() -> SourceId {
    "storage".parse().unwrap()
}

fn peer_id(number: usize) -> SourceId {
    format!("peer-{number}").parse().unwrap()
}

impl Tiers {
    pub(crate) fn new(number: usize, stores: usize) -> Self {
        let peers = (0..stores).filter(|other| *other != number);
        let peers = peers.map(|other| Rung::new(peer_id(other), Kind::Peer));
        let ends = [Rung::new(main_id(), Kind::Primary), Rung::new(storage_id(), Kind::Storage)];
        let ladder = Ladder::new(peers.chain(ends), number as u64);
        Self { ladder, asked: Vec::new(), head_from: None, elsewhere: 0 }
    }

    pub(crate) fn wakes_at(&self) -> Option<Instant> {
        let asked = self.asked.iter().map(|asked| asked.until);
        asked.chain(self.ladder.poll_timeout()).min()
    }

    /// Where the generation that came into service was read.
    pub(crate) fn switched(&mut self) {
        self.elsewhere += u64::from(self.head_from.as_ref().is_some_and(|from| *from != main_id()));
    }

    fn take(&mut self, from: &SourceId, name: Option<Hash32>) -> Option<Asked> {
        let fits = |asked: &Asked| asked.to == *from && asked.name == name;
        let at = self.asked.iter().position(fits)?;
        Some(self.asked.swap_remove(at))
    }
}

impl World {
    /// Sends what a replica asks for to where the ladder says.
    pub(crate) fn ask_tiers(&mut self, number: usize, request: Request) {
        let now = self.now();
        match request {
            Request::Head { after, wait } => {
                let order = self.stores[number].tiers.ladder.order(FEEDS, now);
                let Some(to) = order.first().cloned() else {
                    return self.stores[number].replica.head_failed(now);
                };
                let whole = after.is_none() && to.as_str().starts_with("peer");
                self.question(number, to, None, Vec::new());
                let question = Message::AskHead { after, wait, whole };
                self.send_question(number, question);
            }
            Request::Object { name, .. } => self.ask_object(number, name, Vec::new(), None),
        }
    }

    /// Asks the next place for an object; when there is none, says so.
    fn ask_object(
        &mut self,
        number: usize,
        name: Hash32,
        tried: Vec<SourceId>,
        missing: Option<()>,
    ) {
        let now = self.now();
        let order = self.stores[number].tiers.ladder.order_near(FEEDS, now);
        if let Some(to) = order.into_iter().find(|id| !tried.contains(id)) {
            self.question(number, to, Some(name), tried);
            return self.send_question(number, Message::AskObject { name });
        }
        let store = &mut self.stores[number];
        match missing {
            Some(()) => store.replica.object(&name, None, &mut store.disk, now),
            None => store.replica.object_failed(&name, now),
        }
    }

    fn question(
        &mut self,
        number: usize,
        to: SourceId,
        name: Option<Hash32>,
        tried: Vec<SourceId>,
    ) {
        let until = self.now() + ANSWER_MAX;
        // A question for a head takes the place of the one before.
        self.stores[number].tiers.asked.retain(|asked| asked.name.is_some() || name.is_some());
        self.stores[number].tiers.asked.push(Asked { name, to, until, tried });
    }

    fn send_question(&mut self, number: usize, question: Message) {
        let asked = self.stores[number].tiers.asked.last().expect("pushed by the caller");
        let to = self.place_of(&asked.to);
        let from = Place::Store { number, life: self.stores[number].life };
        self.send(from, to, question);
    }

    fn place_of(&self, id: &SourceId) -> Place {
        match id.as_str().strip_prefix("peer-").and_then(|number| number.parse().ok()) {
            Some(number) => Place::Store { number, life: self.stores[number].life },
            None if *id == storage_id() => Place::Storage,
            None => self.net.main(),
        }
    }

    fn source_of(place: &Place) -> SourceId {
        match place {
            Place::Main { .. } => main_id(),
            Place::Store { number, .. } => peer_id(*number),
            Place::Storage => storage_id(),
        }
    }

    /// An answer about the feed came; true if there is something to load.
    pub(crate) fn hear_tiers(&mut self, number: usize, from: &Place, message: &Message) {
        let (now, id) = (self.now(), Self::source_of(from));
        match message {
            Message::Head { bytes } if self.stores[number].tiers.take(&id, None).is_some() => {
                self.hear_head(number, id, bytes.as_ref(), now);
            }
            Message::Object { name, bytes } => {
                if let Some(asked) = self.stores[number].tiers.take(&id, Some(*name)) {
                    self.hear_object(number, asked, *name, bytes.as_ref(), now);
                }
            }
            Message::Alive => {
                let store = &mut self.stores[number];
                store.tiers.ladder.handle_success(&id, FEEDS, None, now);
            }
            Message::Head { .. }
            | Message::AskHead { .. }
            | Message::Probe
            | Message::AskObject { .. }
            | Message::Settle { .. }
            | Message::Settled { .. }
            | Message::AskKeys { .. }
            | Message::Known { .. }
            | Message::Hold { .. }
            | Message::Holds { .. }
            | Message::AskCopies
            | Message::Copies { .. }
            | Message::LetGo { .. } => {}
        }
    }

    fn hear_head(&mut self, number: usize, id: SourceId, bytes: Option<&Bytes>, now: Instant) {
        let store = &mut self.stores[number];
        let here = store.disk.generation.as_ref().map(|generation| generation.position);
        let fault = bytes.and_then(|bytes| {
            let trusted = [keys::author().verifying_key()];
            match SignedHead::parse(bytes).and_then(|signed| signed.open(&trusted)) {
                Ok(head) if here.is_some_and(|here| head.position() < here) => Some(Fault::Stale),
                Ok(_) => None,
                Err(_) => Some(Fault::Lied),
            }
        });
        if let Some(fault) = fault {
            store.tiers.ladder.handle_fault(&id, FEEDS, fault, now);
            return store.replica.head_failed(now);
        }
        store.tiers.ladder.handle_success(&id, FEEDS, None, now);
        store.tiers.head_from = Some(id);
        store.replica.head(bytes, &store.disk, now);
    }

    fn hear_object(
        &mut self,
        number: usize,
        mut asked: Asked,
        name: Hash32,
        bytes: Option<&Bytes>,
        now: Instant,
    ) {
        let id = asked.to.clone();
        let store = &mut self.stores[number];
        match bytes {
            Some(bytes) if Hash32::of(bytes) == name => {
                store.tiers.ladder.handle_success(&id, FEEDS, None, now);
                store.replica.object(&name, Some(bytes), &mut store.disk, now);
            }
            Some(_) => {
                store.tiers.ladder.handle_fault(&id, FEEDS, Fault::Lied, now);
                asked.tried.push(id);
                self.ask_object(number, name, asked.tried, None);
            }
            None => {
                if store.tiers.head_from.as_ref() == Some(&id) && id != main_id() {
                    store.tiers.ladder.handle_fault(&id, FEEDS, Fault::Incomplete, now);
                }
                asked.tried.push(id);
                self.ask_object(number, name, asked.tried, Some(()));
            }
        }
    }

    /// Questions that nobody answered, and places that are to be looked at.
    pub(crate) fn wake_tiers(&mut self, number: usize) {
        let now = self.now();
        let asked = std::mem::take(&mut self.stores[number].tiers.asked);
        let (late, waiting): (Vec<_>, Vec<_>) = asked.into_iter().partition(|a| a.until <= now);
        self.stores[number].tiers.asked = waiting;
        for mut asked in late {
            let ladder = &mut self.stores[number].tiers.ladder;
            ladder.handle_fault(&asked.to, FEEDS, Fault::Silent, now);
            asked.tried.push(asked.to);
            match asked.name {
                Some(name) => self.ask_object(number, name, asked.tried, None),
                None => self.stores[number].replica.head_failed(now),
            }
        }
        self.stores[number].tiers.ladder.handle_timeout(now);
        while let Some((id, service)) = self.stores[number].tiers.ladder.poll_probe(now) {
            if service == FEEDS {
                let (to, life) = (self.place_of(&id), self.stores[number].life);
                self.send(Place::Store { number, life }, to, Message::Probe);
            }
        }
    }

    /// A neighbour or storage answers; tells whether that was its business.
    pub(crate) fn serve_feed(&mut self, me: Place, from: Place, message: &Message) -> bool {
        let (head, file) = match (&me, message) {
            (_, Message::Probe) => {
                self.send(me, from, Message::Alive);
                return true;
            }
            (Place::Store { number, .. }, Message::AskHead { whole, .. }) => {
                let disk = &self.stores[*number].disk;
                let whole = disk.whole.clone().filter(|_| *whole);
                (whole.or(disk.head.clone()), None)
            }
            (Place::Store { number, .. }, Message::AskObject { name }) => {
                (None, self.stores[*number].disk.file(name))
            }
            (Place::Storage, Message::AskHead { .. }) => (self.storage.head.clone(), None),
            (Place::Storage, Message::AskObject { name }) => {
                (None, self.storage.files.get(name).cloned())
            }
            _ => return false,
        };
        match message {
            Message::AskHead { after, wait, .. } => {
                let news = head.filter(|bytes| after.is_none() || position(bytes) != *after);
                let late = if news.is_none() && *wait { NOTHING_NEW_MS } else { 0 };
                self.send_later(me, from, Message::Head { bytes: news }, late);
            }
            Message::AskObject { name } => {
                self.send(me, from, Message::Object { name: *name, bytes: file });
            }
            Message::Probe
            | Message::Alive
            | Message::Head { .. }
            | Message::Object { .. }
            | Message::Settle { .. }
            | Message::Settled { .. }
            | Message::AskKeys { .. }
            | Message::Known { .. }
            | Message::Hold { .. }
            | Message::Holds { .. }
            | Message::AskCopies
            | Message::Copies { .. }
            | Message::LetGo { .. } => {}
        }
        true
    }

    /// Somebody publishes to storage: all of it, or without some objects, or only the head.
    pub(crate) fn fill_storage(&mut self) {
        let Author { .. } = &self.author;
        let files: Vec<(Hash32, Bytes)> =
            self.author.files().map(|(name, bytes)| (*name, bytes.clone())).collect();
        let how = if self.is_quiet() { 0 } else { self.rng.random_range(0..4u32) };
        for (name, bytes) in files {
            if how == 0 || how == 1 && self.rng.random_ratio(3, 4) {
                self.storage.files.insert(name, bytes);
            }
        }
        if how < 3 {
            self.storage.head = Some(self.author.head().clone());
        }
        self.note(format_args!("storage is filled in way {how}"));
        self.queue.after(PUBLISH_EVERY_MS, Event::FillStorage);
    }
}

/// Where a head claims to be.
fn position(bytes: &Bytes) -> Option<Position> {
    let trusted = [keys::author().verifying_key()];
    let head = SignedHead::parse(bytes).and_then(|signed| signed.open(&trusted));
    head.ok().map(|head| head.position())
}
