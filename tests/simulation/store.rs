//! A box in a shop with its tills: what survives a crash and what does not.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use storebox_proto::feed::position::Position;
use storebox_proto::ids::{FeedId, TxKey};
use storebox_proto::sync::deferral::IdleReason;
use storebox_proto::sync::fetch::Wish;
use storebox_proto::ticket::Envelope;
use storebox_proto::time::Timestamp;

use crate::defects::Defect;
use crate::desk::Desk;
use crate::mirror::Mirror;
use crate::net::Message;
use crate::queue::Ms;
use crate::relay::Passed;
use crate::replica::{Disk, Replica};
use crate::sales::Sales;
use crate::tiers::Tiers;
use crate::tills::Till;

/// The wall clock at the start of the world.
const EPOCH_MS: i64 = 1_795_000_000_000;

/// One box.
pub(crate) struct Store {
    number: usize,
    pub(crate) life: u32,
    pub(crate) up: bool,
    pub(crate) tills: Vec<Till>,
    pub(crate) disk: Disk,
    pub(crate) replica: Replica,
    pub(crate) tiers: Tiers,
    stores: usize,
    pub(crate) sales: Sales,
    pub(crate) mirror: Mirror,
    /// Copies of what others hold; durable.
    pub(crate) copies: BTreeMap<(usize, TxKey), Envelope>,
    /// Batches of neighbours that wait for the flush.
    pub(crate) passed: Vec<Passed>,
    pub(crate) desk: Desk,
    /// What tills were told to be held.
    pub(crate) confirmed: BTreeSet<TxKey>,
    /// What tills were told to be on two boxes, and is not settled.
    pub(crate) mirrored: BTreeSet<TxKey>,
    /// Begun with nothing in the place of one that burned: tills are let in when its copies are back.
    pub(crate) is_new: bool,
    /// What nobody can expect at the best-effort sink: the box burned that had it.
    pub(crate) burnt: BTreeSet<TxKey>,
    /// The highest position that was ever in service.
    pub(crate) highest: Option<Position>,
    pub(crate) woken_at: Option<Instant>,
    clock_off_ms: i64,
    pub(crate) defect: Defect,
}

impl Store {
    pub(crate) fn new(
        number: usize,
        stores: usize,
        feed: &FeedId,
        defect: Defect,
        rng: &mut ChaCha8Rng,
    ) -> Self {
        let disk = Disk::default();
        let count = rng.random_range(1..=3);
        let desk = Desk::new(rng);
        let peer = (stores > 1 && rng.random_ratio(2, 3)).then_some((number + 1) % stores);
        let till = |till| {
            let id = format!("store-{number}-till-{till}").parse().unwrap();
            Till::new(id, rng.random_range(2..14))
        };
        Self {
            number,
            life: 1,
            up: true,
            tills: (0..count).map(till).collect(),
            replica: Replica::start(feed, number as u64, desk.follows, &disk),
            disk,
            tiers: Tiers::new(number, stores),
            stores,
            sales: Sales::start(number, defect),
            mirror: Mirror::new(peer),
            copies: BTreeMap::new(),
            passed: Vec::new(),
            desk,
            confirmed: BTreeSet::new(),
            mirrored: BTreeSet::new(),
            is_new: false,
            burnt: BTreeSet::new(),
            highest: None,
            woken_at: None,
            clock_off_ms: 0,
            defect,
        }
    }

    pub(crate) fn is_up(&self, life: u32) -> bool {
        self.up && self.life == life
    }

    pub(crate) fn clock(&self, now: Ms) -> Timestamp {
        Timestamp::from_unix_ms(EPOCH_MS + i64::try_from(now).unwrap() + self.clock_off_ms)
    }

    pub(crate) fn step_clock(&mut self, by_ms: i64) {
        self.clock_off_ms = by_ms;
    }

    /// A till hands over or repeats; tells whether a flush begins and whether the till comes again.
    pub(crate) fn sell(
        &mut self,
        till: usize,
        rng: &mut ChaCha8Rng,
        clock: Timestamp,
    ) -> (bool, bool) {
        let waiting = self.tills[till].pending.clone();
        let Some(envelope) = waiting.or_else(|| self.tills[till].sell(rng, clock)) else {
            return (false, false);
        };
        let takes = self.up && !self.is_new;
        if takes {
            let key = envelope.key;
            self.sales.append(envelope, clock);
            if self.defect == Defect::ConfirmsEarly {
                self.confirm(key);
            }
        }
        (takes, true)
    }

    /// A till has heard that its transaction is taken.
    pub(crate) fn confirm(&mut self, key: TxKey) {
        self.confirmed.insert(key);
        for till in &mut self.tills {
            till.pending.take_if(|pending| pending.key == key);
        }
    }

    /// A message arrived; tells whether a new generation came into service.
    pub(crate) fn receive(
        &mut self,
        message: Message,
        now: Instant,
        clock: Timestamp,
        rng: &mut ChaCha8Rng,
    ) -> bool {
        match message {
            Message::Settled { batch, answers } => self.sales.answered(batch, &answers, now, rng),
            Message::Known { batch, receipts } => self.sales.told(batch, &receipts),
            // Heard by the tiers before.
            Message::Head { .. }
            | Message::Object { .. }
            | Message::Alive
            | Message::Probe
            | Message::AskHead { .. }
            | Message::AskObject { .. }
            | Message::Settle { .. }
            | Message::AskKeys { .. }
            | Message::Hold { .. }
            | Message::Holds { .. }
            | Message::AskCopies
            | Message::Copies { .. }
            | Message::LetGo { .. } => {}
        }
        let flipped = self.replica.load(&mut self.disk, self.defect, now);
        self.desk.observe(&self.replica.events(), clock);
        flipped
    }

    pub(crate) fn wake(&mut self, now: Instant, clock: Timestamp, rng: &mut ChaCha8Rng) {
        self.replica.timeout(now);
        self.desk.observe(&self.replica.events(), clock);
        self.sales.timeout(now, rng);
    }

    /// When the next machine wants to be woken, if that is not arranged yet.
    pub(crate) fn wakes_at(&mut self) -> Option<Instant> {
        let wakes = [self.replica.wakes_at(), self.sales.wakes_at(), self.tiers.wakes_at()];
        let next = wakes.into_iter().flatten().min();
        next.filter(|at| self.woken_at != Some(*at))
    }

    /// The tills log in after a start.
    pub(crate) fn login(&mut self, clock: Timestamp) {
        let wish = self.desk.login(self.disk.generation.is_none(), clock);
        self.follow_up(wish);
    }

    /// The timers of the tills; who has nothing left to sell has time, sooner or later.
    pub(crate) fn tick(
        &mut self,
        now: Instant,
        clock: Timestamp,
        has_time: bool,
    ) -> Result<(), String> {
        if self.desk.follows {
            return Ok(());
        }
        let wish = self.desk.tick(self.disk.generation.is_none(), now, clock)?;
        self.follow_up(wish);
        if has_time && self.tills.iter().all(|till| till.left == 0) {
            self.idle(now)?;
        }
        Ok(())
    }

    /// A ticket was closed.
    pub(crate) fn idle(&mut self, now: Instant) -> Result<(), String> {
        let wish = self.desk.idle(IdleReason::TicketClosed, now)?;
        self.follow_up(wish);
        Ok(())
    }

    fn follow_up(&mut self, wish: Option<Wish>) {
        if let Some(wish) = wish {
            self.replica.wish(wish);
        }
    }

    /// The plug is pulled.
    pub(crate) fn crash(&mut self, rng: &mut ChaCha8Rng) {
        self.up = false;
        self.sales.crash(rng);
        self.mirror.crash();
        self.passed.clear();
    }

    /// All that was on the box is gone; the next one begins with nothing.
    pub(crate) fn burn(&mut self, feed: &FeedId, rng: &mut ChaCha8Rng) {
        self.crash(rng);
        self.disk = Disk::default();
        self.replica = Replica::start(feed, self.number as u64, self.desk.follows, &self.disk);
        self.sales.burn();
        self.copies.clear();
        self.highest = None;
        self.is_new = true;
        self.burnt = self.confirmed.clone();
    }

    pub(crate) fn restart(&mut self, feed: &FeedId) {
        self.up = true;
        self.life += 1;
        self.woken_at = None;
        self.replica = Replica::start(feed, self.number as u64, self.desk.follows, &self.disk);
        self.tiers = Tiers::new(self.number, self.stores);
        self.sales.restart();
    }

    /// A till is replaced by one that remembers nothing, between two transactions.
    pub(crate) fn replace_till(&mut self, rng: &mut ChaCha8Rng) {
        let till = rng.random_range(0..self.tills.len());
        if self.tills[till].pending.is_none() {
            self.tills[till].forget();
        }
    }

    pub(crate) fn is_done(&self) -> bool {
        let sold = self.tills.iter().all(|till| till.left == 0 && till.pending.is_none());
        sold && self.sales.is_empty()
    }
}
