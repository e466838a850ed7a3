//! A chain of 20,000 boxes and one main server, on paper: each request costs what it was measured to cost.
//!
//! Boxes sell, send, poll and fetch by themselves; the main server has a few cores and a queue before them.
//! The figures of ARCHITECTURE.md come from here: `cargo test -p storebox-tests --test simulation scale -- --nocapture`.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fmt::Write;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// Where the figures are told.
const ARCHITECTURE: &str = include_str!("../../ARCHITECTURE.md");
const BOXES: u32 = 20_000;
/// The busiest half-hour of a shop that sells 1500 tickets a day: a ticket every 20 seconds.
const TICKET_EVERY_S: f64 = 20.0;
const TIME_S: f64 = 1800.0;
/// Feeds that a box follows.
const FEEDS: u32 = 3;
/// A poll is answered empty after this.
const POLL_S: f64 = 55.0;
/// Boxes that read from storage look at its heads this often.
const STORAGE_LOOK_S: f64 = 30.0;
/// How long a cache in front of the storage believes a head.
const CACHE_S: f64 = 5.0;
/// Places of a content network.
const EDGES: u32 = 40;
/// Changes of masterdata in that time, and the pages of one.
const CHANGES: u32 = 3;
const PAGES: f64 = 2.0;
const PAGE_BYTES: f64 = 40_000.0;
const HEAD_BYTES: f64 = 850.0;
const TICKET_BYTES: f64 = 1300.0;
/// Boxes spread their answers to a change over this.
const SPREAD_S: f64 = 2.0;
/// The most that one batch carries.
const BATCH: u32 = 256;

/// Microseconds of one core, measured with the release program on a busy machine of two cores.
mod cost {
    /// A request with transactions, and each of them.
    pub(super) const SETTLE: f64 = 50.0;
    pub(super) const TICKET: f64 = 60.0;
    /// A poll that is opened, and one that is woken.
    pub(super) const POLL: f64 = 18.0;
    pub(super) const WAKE: f64 = 12.0;
    /// A head or a small object that is fetched, and each further kilobyte.
    pub(super) const FETCH: f64 = 30.0;
    pub(super) const KILOBYTE: f64 = 1.0;
    /// Kilobytes of memory that a waiting poll takes.
    pub(super) const POLL_KB: f64 = 17.5;
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Masterdata {
    /// Every box polls the main server and fetches from it.
    Main,
    /// Every box reads heads and objects from a content network before object storage.
    Storage,
}

#[derive(Debug, Clone, Copy)]
struct Setting {
    what: &'static str,
    masterdata: Masterdata,
    cores: f64,
    /// When the main server is away, in seconds.
    away: Option<(f64, f64)>,
}

#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Eq, Ord)]
enum Event {
    /// A ticket is sold at a box.
    Ticket(u32),
    /// A box sends what it has.
    Send(u32),
    /// A box opens a poll, or looks at the storage.
    Poll(u32),
    /// Masterdata changes.
    Change,
    /// A box fetches what changed.
    Fetch(u32),
}

/// Microseconds since the start: whole, so that events have one order.
type At = u64;

#[derive(Debug, Default, Clone, Copy)]
struct Figures {
    sold: u64,
    settled: u64,
    requests: u64,
    cpu_us: f64,
    /// The most microseconds of work that arrived within ten seconds.
    busiest_us: f64,
    /// The longest that work waited for a core.
    wait_us: f64,
    bytes_in: f64,
    bytes_out: f64,
    storage_requests: u64,
    drained_s: f64,
}

struct Chain {
    setting: Setting,
    rng: ChaCha8Rng,
    queue: BinaryHeap<Reverse<(At, Event)>>,
    waiting: Vec<u32>,
    sending: Vec<bool>,
    /// When the cores are done with what has arrived.
    free_at: f64,
    window: (u64, f64),
    figures: Figures,
}

impl Chain {
    fn new(setting: Setting) -> Self {
        let mut chain = Self {
            setting,
            rng: ChaCha8Rng::seed_from_u64(20_000),
            queue: BinaryHeap::new(),
            waiting: vec![0; BOXES as usize],
            sending: vec![false; BOXES as usize],
            free_at: 0.0,
            window: (0, 0.0),
            figures: Figures::default(),
        };
        for number in 0..BOXES {
            let at = chain.uniform(TICKET_EVERY_S);
            chain.at(at, Event::Ticket(number));
            for _ in 0..FEEDS {
                let at = chain.uniform(POLL_S.min(STORAGE_LOOK_S));
                chain.at(at, Event::Poll(number));
            }
        }
        for change in 0..CHANGES {
            chain.at(TIME_S / f64::from(CHANGES) * (f64::from(change) + 0.5), Event::Change);
        }
        chain
    }

    fn uniform(&mut self, below: f64) -> f64 {
        f64::from(self.rng.next_u32()) / f64::from(u32::MAX) * below
    }

    /// The time between two things that happen at random.
    fn gap(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.uniform(0.999_999)).ln()
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "seconds of one day"
    )]
    fn at(&mut self, seconds: f64, event: Event) {
        self.queue.push(Reverse(((seconds * 1e6) as At, event)));
    }

    fn run(mut self) -> Figures {
        while let Some(Reverse((at, event))) = self.queue.pop() {
            let now = seconds(at);
            match event {
                Event::Ticket(number) => self.sell(number, now),
                Event::Send(number) => self.send(number, now),
                Event::Poll(number) => self.poll(number, now),
                Event::Change => self.change(now),
                Event::Fetch(_) => self.fetch(now),
            }
        }
        self.figures
    }

    fn is_away(&self, now: f64) -> bool {
        self.setting.away.is_some_and(|(from, until)| (from..until).contains(&now))
    }

    fn sell(&mut self, number: u32, now: f64) {
        self.figures.sold += 1;
        self.waiting[number as usize] += 1;
        if !self.sending[number as usize] {
            self.sending[number as usize] = true;
            self.at(now, Event::Send(number));
        }
        let next = now + self.gap(TICKET_EVERY_S);
        if next < TIME_S {
            self.at(next, Event::Ticket(number));
        }
    }

    fn send(&mut self, number: u32, now: f64) {
        if self.is_away(now) {
            // A look for the line each second, spread; the answer comes when the server is back.
            let again = now + 1.0 + self.uniform(0.5);
            return self.at(again, Event::Send(number));
        }
        let count = self.waiting[number as usize].min(BATCH);
        let done = self.work(now, cost::SETTLE + cost::TICKET * f64::from(count));
        self.figures.bytes_in += TICKET_BYTES * f64::from(count);
        self.figures.settled += u64::from(count);
        self.waiting[number as usize] -= count;
        match self.waiting[number as usize] {
            0 => self.sending[number as usize] = false,
            _ => self.at(done, Event::Send(number)),
        }
    }

    fn poll(&mut self, number: u32, now: f64) {
        let every = match self.setting.masterdata {
            Masterdata::Main => {
                if !self.is_away(now) {
                    self.work(now, cost::POLL);
                }
                POLL_S
            }
            Masterdata::Storage => {
                self.figures.storage_requests += 1;
                STORAGE_LOOK_S
            }
        };
        if now + every < TIME_S {
            self.at(now + every, Event::Poll(number));
        }
    }

    fn change(&mut self, now: f64) {
        for number in 0..BOXES {
            let late = match self.setting.masterdata {
                Masterdata::Main => {
                    self.work(now, cost::WAKE);
                    self.figures.bytes_out += HEAD_BYTES;
                    self.uniform(SPREAD_S)
                }
                Masterdata::Storage => self.uniform(STORAGE_LOOK_S + CACHE_S),
            };
            self.at(now + late, Event::Fetch(number));
        }
    }

    fn fetch(&mut self, now: f64) {
        match self.setting.masterdata {
            Masterdata::Main => {
                let cost = cost::FETCH + cost::KILOBYTE * PAGE_BYTES / 1000.0;
                self.work(now, PAGES * cost);
                self.figures.bytes_out += PAGES * PAGE_BYTES;
            }
            Masterdata::Storage => self.figures.storage_requests += 2,
        }
    }

    /// Work of the main server; says when it is done.
    fn work(&mut self, now: f64, us: f64) -> f64 {
        let begin = self.free_at.max(now);
        // Every box has come back within two seconds; the first moment without a queue is the end of the backlog.
        if let Some((_, until)) = self.setting.away
            && self.figures.drained_s == 0.0
            && now > until + 2.0
            && self.free_at <= now
        {
            self.figures.drained_s = now - until;
        }
        self.free_at = begin + us / 1e6 / self.setting.cores;
        let figures = &mut self.figures;
        figures.requests += 1;
        figures.cpu_us += us;
        figures.wait_us = figures.wait_us.max((begin - now) * 1e6);
        let window = at_of(now) / 10_000_000;
        self.window =
            if window == self.window.0 { (window, self.window.1 + us) } else { (window, us) };
        figures.busiest_us = figures.busiest_us.max(self.window.1);
        self.free_at
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "seconds of one day")]
fn at_of(seconds: f64) -> At {
    (seconds * 1e6) as At
}

#[expect(clippy::cast_precision_loss, reason = "microseconds of one day are far below 2^52")]
fn seconds(at: At) -> f64 {
    at as f64 / 1e6
}

#[expect(clippy::cast_precision_loss, reason = "counts of half an hour are far below 2^52")]
fn row(setting: &Setting, figures: &Figures) -> String {
    let polls = match setting.masterdata {
        Masterdata::Main => f64::from(BOXES * FEEDS) * cost::POLL_KB / 1024.0,
        Masterdata::Storage => 0.0,
    };
    let origin = match setting.masterdata {
        Masterdata::Main => 0.0,
        // Each edge asks for each head once in its time, and once for each new object.
        Masterdata::Storage => f64::from(EDGES * FEEDS) / CACHE_S,
    };
    format!(
        "| {} | {:.0} | {:.2} | {:.2} | {:.0} ms | {:.0} MB | {:.1} MB/s | {:.0} | {:.1} | {:.0} s |",
        setting.what,
        figures.requests as f64 / TIME_S,
        figures.cpu_us / 1e6 / TIME_S,
        figures.busiest_us / 1e7,
        figures.wait_us / 1000.0,
        polls,
        (figures.bytes_in + figures.bytes_out) / TIME_S / 1e6,
        figures.storage_requests as f64 / TIME_S,
        origin,
        figures.drained_s
    )
}

#[test]
fn scale_of_twenty_thousand_boxes_fits_one_main_server() {
    let direct = Setting {
        what: "all from the main server, 4 cores",
        masterdata: Masterdata::Main,
        cores: 4.0,
        away: None,
    };
    let settings = [
        direct,
        Setting {
            what: "masterdata from storage, 2 cores",
            masterdata: Masterdata::Storage,
            cores: 2.0,
            ..direct
        },
        Setting {
            what: "all from the main server, 4 cores, away for 10 min",
            away: Some((600.0, 1200.0)),
            ..direct
        },
        Setting {
            what: "masterdata from storage, 2 cores, away for 10 min",
            masterdata: Masterdata::Storage,
            cores: 2.0,
            away: Some((600.0, 1200.0)),
        },
    ];
    let mut table = String::from(
        "| what | requests/s | cores, mean | cores, busiest 10 s | longest wait | memory of polls | traffic | storage requests/s | of them to the origin/s | backlog gone after |\n|---|---|---|---|---|---|---|---|---|---|\n",
    );
    let mut missing = Vec::new();
    for setting in settings {
        let figures = Chain::new(setting).run();
        assert_eq!(figures.sold, figures.settled, "{}", setting.what);
        let is_calm = setting.away.is_some() || figures.busiest_us / 1e7 < setting.cores;
        assert!(is_calm, "{}: {figures:?}", setting.what);
        assert!(figures.drained_s < 60.0, "{}: {figures:?}", setting.what);
        let row = row(&setting, &figures);
        let is_told = ARCHITECTURE.lines().any(|line| line == row);
        missing.extend((!is_told).then(|| row.clone()));
        let _ = writeln!(table, "{row}");
    }
    let mut out = std::io::stderr();
    std::io::Write::write_all(&mut out, table.as_bytes()).unwrap();
    assert_eq!(missing, Vec::<String>::new(), "ARCHITECTURE.md says something else");
}
