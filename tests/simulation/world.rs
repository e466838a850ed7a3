//! One main server and some boxes in virtual time: every message, failure and step comes from one seed.

use std::time::{Duration, Instant};

use bytes::Bytes;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use storebox_proto::feed::position::Position;
use storebox_proto::ids::Hash32;

use crate::author::Author;
use crate::defects::Defect;
use crate::faults::{self, Fault};
use crate::ledger::Ledger;
use crate::net::{Message, Net, Place};
use crate::queue::{Ms, Queue};
use crate::store::Store;
use crate::tiers::Storage;
use crate::trace::Trace;

/// How long things go wrong.
const TROUBLE_MS: Ms = 90_000;
/// How long all may take afterwards; a complete rebuild is allowed once an hour only.
const QUIET_MS: Ms = 3 * 3_600_000;
/// The longest that a request for news is held open.
const LONG_POLL_MS: Ms = 30_000;

/// Between two looks of a person at what was refused.
const REPAIR_EVERY_MS: Ms = 40_000;

/// No world comes near it that does not ask and answer without an end.
const EVENTS_MAX: u64 = 1_000_000;
/// Between two looks of the tills at their timers.
const TICK_MS: Ms = 5000;

/// What happens.
pub(crate) enum Event {
    Arrive {
        to: Place,
        from: Place,
        message: Message,
    },
    /// A till sells, or repeats what was not confirmed.
    Till {
        store: usize,
        till: usize,
    },
    /// The timers of all tills.
    Tick,
    /// Tills have waited for their mirror long enough.
    MirrorWaits {
        store: usize,
        life: u32,
    },
    /// A box and its mirror compare what they have.
    Compare {
        store: usize,
        life: u32,
    },
    Burn {
        store: usize,
    },
    /// The journal's flush is done.
    Flushed {
        store: usize,
        life: u32,
    },
    /// A machine wanted to be woken.
    Wake {
        store: usize,
        life: u32,
    },
    /// A held request for news has waited long enough.
    PollEnds {
        poll: u64,
    },
    Publish,
    Fault,
    Restart {
        store: usize,
    },
    /// A person looks after what was refused.
    Repair,
    /// Somebody publishes to storage.
    FillStorage,
    /// Things stop going wrong.
    Quiet,
}

/// A request for news that the main server holds open.
struct Poll {
    number: u64,
    from: Place,
    after: Option<Position>,
}

/// The whole world.
pub(crate) struct World {
    zero: Instant,
    pub(crate) rng: ChaCha8Rng,
    pub(crate) queue: Queue<Event>,
    pub(crate) trace: Trace,
    pub(crate) net: Net,
    pub(crate) author: Author,
    pub(crate) ledger: Ledger,
    pub(crate) stores: Vec<Store>,
    pub(crate) storage: Storage,
    /// The box that burned.
    pub(crate) burned: Option<usize>,
    polls: Vec<Poll>,
    polls_made: u64,
    quiet: bool,
}

impl World {
    pub(crate) fn new(seed: u64, defect: Defect, printing: bool) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let author = Author::new(&mut rng);
        let count = rng.random_range(1..=3);
        let zero = start();
        let stores: Vec<Store> = (0..count)
            .map(|number| Store::new(number, count, &author.feed, defect, &mut rng))
            .collect();
        let mut world = Self {
            zero,
            net: Net::new(count, &mut rng),
            rng,
            queue: Queue::new(),
            trace: Trace::new(printing),
            author,
            ledger: Ledger::new(defect),
            stores,
            storage: Storage::default(),
            burned: None,
            polls: vec![],
            polls_made: 0,
            quiet: false,
        };
        world.schedule_start();
        world
    }

    /// Runs until all has settled; an error is a broken invariant.
    pub(crate) fn run(&mut self) -> Result<(), String> {
        let mut events = 0_u64;
        while let Some(event) = self.queue.next() {
            events += 1;
            if events > EVENTS_MAX {
                return Err(format!("{EVENTS_MAX} events in {} ms: a storm", self.queue.now()));
            }
            self.handle(event)?;
            self.check()?;
            if self.quiet && self.is_settled() {
                return self.check_end();
            }
            if self.queue.now() > TROUBLE_MS + QUIET_MS {
                return Err(format!("not settled in time: {}", self.unsettled()));
            }
        }
        Err(format!("nothing is going to happen any more: {}", self.unsettled()))
    }

    /// The monotonic clock of everybody.
    pub(crate) fn now(&self) -> Instant {
        self.zero + Duration::from_millis(self.queue.now())
    }

    fn schedule_start(&mut self) {
        for store in 0..self.stores.len() {
            for till in 0..self.stores[store].tills.len() {
                let delay = self.rng.random_range(0..2000);
                self.queue.after(delay, Event::Till { store, till });
            }
            let clock = self.stores[store].clock(0);
            self.stores[store].login(clock);
            self.compare(store);
            self.serve(store);
        }
        self.queue.after(TICK_MS, Event::Tick);
        self.queue.after(self.rng.random_range(0..20_000), Event::Publish);
        self.queue.after(self.rng.random_range(500..5000), Event::Fault);
        self.queue.after(self.rng.random_range(0..REPAIR_EVERY_MS), Event::Repair);
        self.queue.after(self.rng.random_range(0..20_000), Event::FillStorage);
        self.queue.after(TROUBLE_MS, Event::Quiet);
    }

    fn handle(&mut self, event: Event) -> Result<(), String> {
        match event {
            Event::Arrive { to, from, message } => self.arrive(to, from, message)?,
            Event::Till { store, till } => self.till(store, till),
            Event::Flushed { store, life } => self.flushed(store, life)?,
            Event::MirrorWaits { store, life } => {
                if self.stores[store].is_up(life) {
                    self.mirror_is_late(store, self.stores[store].defect);
                }
            }
            Event::Burn { store } => self.burn(store),
            Event::Compare { store, life } => {
                if self.stores[store].is_up(life) {
                    self.compare(store);
                }
            }
            Event::Tick => self.tick()?,
            Event::Wake { store, life } => self.wake(store, life),
            Event::PollEnds { poll } => self.end_poll(poll),
            Event::Publish => self.publish(),
            Event::Fault => {
                if !self.quiet {
                    faults::happen(self);
                    self.queue.after(self.rng.random_range(200..8000), Event::Fault);
                }
            }
            Event::Restart { store } => self.restart(store),
            Event::Repair => {
                (0..self.stores.len()).for_each(|store| self.repair(store));
                self.queue.after(REPAIR_EVERY_MS, Event::Repair);
            }
            Event::FillStorage => self.fill_storage(),
            Event::Quiet => self.become_quiet(),
        }
        Ok(())
    }

    fn arrive(&mut self, to: Place, from: Place, message: Message) -> Result<(), String> {
        if !self.net.delivers(&to, &from) {
            return Ok(());
        }
        self.note(format_args!("{from:?} -> {to:?}: {message:?}"));
        match to {
            Place::Main { .. } => self.serve_main(from, message),
            Place::Store { number, life } => {
                if self.stores[number].is_up(life)
                    && !self.serve_feed(to, from, &message)
                    && !self.serve_neighbour(number, from, &message)
                {
                    self.hear_tiers(number, &from, &message);
                    let now = self.now();
                    let clock = self.stores[number].clock(self.queue.now());
                    let store = &mut self.stores[number];
                    let flipped = store.receive(message, now, clock, &mut self.rng);
                    if flipped {
                        self.stores[number].tiers.switched();
                    }
                    self.check_flip(number, flipped)?;
                    self.serve(number);
                }
                Ok(())
            }
            Place::Storage => {
                self.serve_feed(to, from, &message);
                Ok(())
            }
        }
    }

    /// The main server answers one request.
    fn serve_main(&mut self, from: Place, message: Message) -> Result<(), String> {
        let answer = match message {
            Message::Probe => Message::Alive,
            Message::AskHead { after, wait, .. } => {
                if after == Some(self.author.position()) && wait {
                    self.hold(from, after);
                    return Ok(());
                }
                self.head_after(after)
            }
            Message::AskObject { name } => Message::Object { name, bytes: self.file(&name) },
            Message::Settle { batch, envelopes, origins } => {
                let answers = self.ledger.settle(&envelopes, &origins)?;
                Message::Settled { batch, answers }
            }
            Message::AskKeys { batch, keys } => {
                Message::Known { batch, receipts: self.ledger.known(&keys) }
            }
            Message::Head { .. }
            | Message::Object { .. }
            | Message::Settled { .. }
            | Message::Alive
            | Message::Known { .. }
            | Message::Hold { .. }
            | Message::Holds { .. }
            | Message::AskCopies
            | Message::Copies { .. }
            | Message::LetGo { .. } => return Ok(()),
        };
        self.send(self.net.main(), from, answer);
        Ok(())
    }

    fn head_after(&self, after: Option<Position>) -> Message {
        let fresh = after != Some(self.author.position());
        Message::Head { bytes: fresh.then(|| self.author.head().clone()) }
    }

    /// A file; while things go wrong, sometimes with a wrong byte.
    fn file(&mut self, name: &Hash32) -> Option<Bytes> {
        let bytes = self.author.file(name)?.clone();
        if self.quiet || !self.rng.random_ratio(1, 40) {
            return Some(bytes);
        }
        let mut lie = bytes.to_vec();
        let at = self.rng.random_range(0..lie.len());
        lie[at] ^= 1;
        Some(Bytes::from(lie))
    }

    fn hold(&mut self, from: Place, after: Option<Position>) {
        self.polls_made += 1;
        let number = self.polls_made;
        self.polls.push(Poll { number, from, after });
        self.queue.after(LONG_POLL_MS, Event::PollEnds { poll: number });
    }

    fn end_poll(&mut self, number: u64) {
        if let Some(at) = self.polls.iter().position(|poll| poll.number == number) {
            let poll = self.polls.remove(at);
            let answer = self.head_after(poll.after);
            self.send(self.net.main(), poll.from, answer);
        }
    }

    fn publish(&mut self) {
        self.author.publish(&mut self.rng);
        self.note(format_args!("author publishes {}", self.author.position()));
        self.tell_all();
        if !self.quiet {
            self.queue.after(self.rng.random_range(500..25_000), Event::Publish);
        }
    }

    /// Answers everybody who waits for news.
    pub(crate) fn tell_all(&mut self) {
        for poll in std::mem::take(&mut self.polls) {
            let answer = self.head_after(poll.after);
            self.send(self.net.main(), poll.from, answer);
        }
    }

    /// The main server lost its connections.
    pub(crate) fn forget_polls(&mut self) {
        self.polls.clear();
    }

    fn till(&mut self, store: usize, till: usize) {
        let clock = self.stores[store].clock(self.queue.now());
        let (flush, again) = self.stores[store].sell(till, &mut self.rng, clock);
        if flush {
            self.flush_soon(store);
        }
        if again {
            let delay = self.rng.random_range(100..3000);
            self.queue.after(delay, Event::Till { store, till });
        }
    }

    /// What was written is on the disk soon.
    pub(crate) fn flush_soon(&mut self, store: usize) {
        let life = self.stores[store].life;
        self.queue.after(self.rng.random_range(1..15), Event::Flushed { store, life });
    }

    fn flushed(&mut self, store: usize, life: u32) -> Result<(), String> {
        if !self.stores[store].is_up(life) {
            return Ok(());
        }
        let keys = self.stores[store].sales.flushed();
        self.tell_tills(store, keys);
        self.answer_passed(store);
        self.take_back(store);
        self.note(format_args!("store {store} flushed"));
        // Most flushes are in the middle of a ticket.
        if self.rng.random_ratio(1, 12) {
            let now = self.now();
            self.stores[store].idle(now)?;
        }
        self.serve(store);
        Ok(())
    }

    fn tick(&mut self) -> Result<(), String> {
        let now = self.now();
        for store in 0..self.stores.len() {
            if self.stores[store].up {
                let clock = self.stores[store].clock(self.queue.now());
                let has_time = self.rng.random_ratio(1, 6);
                self.stores[store].tick(now, clock, has_time)?;
                self.serve(store);
            }
        }
        self.queue.after(TICK_MS, Event::Tick);
        Ok(())
    }

    fn wake(&mut self, store: usize, life: u32) {
        if self.stores[store].is_up(life) {
            let now = self.now();
            let clock = self.stores[store].clock(self.queue.now());
            self.wake_tiers(store);
            self.stores[store].wake(now, clock, &mut self.rng);
            self.serve(store);
        }
    }

    /// Sends what the machines of a store want to send and sees to their next waking.
    pub(crate) fn serve(&mut self, number: usize) {
        let now = self.now();
        let store = &mut self.stores[number];
        if !store.up {
            return;
        }
        for request in store.replica.requests(now) {
            self.ask_tiers(number, request);
        }
        let store = &mut self.stores[number];
        let requests: Vec<Message> = store.sales.requests(now, &mut self.rng).into_iter().collect();
        let from = Place::Store { number, life: store.life };
        for request in requests {
            let main = self.net.main();
            let to =
                if self.net.is_up(&from, &main) { Some(main) } else { self.way_around(number) };
            match to {
                Some(to) => self.send(from, to, request),
                None => self.stores[number].sales.unreachable(now, &mut self.rng),
            }
        }
        let (life, wakes_at) = (self.stores[number].life, self.stores[number].wakes_at());
        if let Some(at) = wakes_at {
            let delay = u64::try_from((at - now).as_millis()).unwrap() + 1;
            self.stores[number].woken_at = Some(at);
            self.queue.after(delay, Event::Wake { store: number, life });
        }
    }

    pub(crate) fn is_quiet(&self) -> bool {
        self.quiet
    }

    pub(crate) fn send(&mut self, from: Place, to: Place, message: Message) {
        self.send_later(from, to, message, 0);
    }

    pub(crate) fn send_later(&mut self, from: Place, to: Place, message: Message, late: Ms) {
        for delay in self.net.delays(&from, &to, &mut self.rng) {
            let message = message.clone();
            self.queue.after(late + delay, Event::Arrive { to, from, message });
        }
    }

    fn restart(&mut self, store: usize) {
        if !self.stores[store].up {
            self.stores[store].restart(&self.author.feed);
            let clock = self.stores[store].clock(self.queue.now());
            self.stores[store].login(clock);
            self.note(format_args!("store {store} restarts"));
            self.compare(store);
            self.serve(store);
        }
    }

    fn become_quiet(&mut self) {
        self.note(format_args!("nothing goes wrong any more"));
        self.quiet = true;
        self.net.heal();
        for store in 0..self.stores.len() {
            self.restart(store);
            self.line_is_up(store);
        }
        // One more revision finds what rotted unnoticed.
        self.publish();
    }

    /// A box notices that its line is back.
    pub(crate) fn line_is_up(&mut self, store: usize) {
        self.stores[store].sales.link_up();
        self.serve(store);
    }

    /// A person looks after what was refused in a store.
    pub(crate) fn repair(&mut self, store: usize) {
        if self.stores[store].up {
            let clock = self.stores[store].clock(self.queue.now());
            self.stores[store].sales.repair(clock);
            self.serve(store);
        }
    }

    /// Something goes wrong.
    pub(crate) fn suffer(&mut self, fault: &Fault) {
        self.note(format_args!("{fault:?}"));
    }

    pub(crate) fn note(&mut self, what: std::fmt::Arguments<'_>) {
        self.trace.note(self.queue.now(), what);
    }
}

#[expect(clippy::disallowed_methods, reason = "virtual time needs a zero; only differences matter")]
fn start() -> Instant {
    Instant::now()
}
