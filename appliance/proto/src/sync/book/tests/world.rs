//! A LAN in virtual time around one book: some endpoints answer after 2 ms, the others never do.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::super::*;

const ANSWER_AFTER: Duration = Duration::from_millis(2);

pub(super) fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[expect(clippy::disallowed_methods, reason = "the zero of virtual time; only differences count")]
pub(super) fn start() -> Instant {
    Instant::now()
}

pub(super) fn addr(at: u16) -> SocketAddr {
    let [high, low] = at.to_be_bytes();
    SocketAddr::from(([10, 0, high, low], 8443))
}

pub(super) fn hint(at: u16, source: Source, node: &str, priority: u16) -> Hint {
    let claim = Some(Claim { node: node.parse().unwrap(), priority });
    Hint { endpoint: addr(at), source, claim }
}

pub(super) struct World {
    pub(super) book: Book,
    pub(super) now: Instant,
    pub(super) probes: usize,
    pub(super) looked: Vec<Duration>,
    pub(super) trace: Vec<String>,
    zero: Instant,
    answer_after: Duration,
    living: BTreeMap<SocketAddr, NodeId>,
    answers: BTreeMap<(Instant, u64), SocketAddr>,
    last_asked: BTreeMap<SocketAddr, Instant>,
}

impl World {
    pub(super) fn new() -> Self {
        Self::at(start())
    }

    pub(super) fn at(zero: Instant) -> Self {
        Self {
            book: Book::new(),
            now: zero,
            probes: 0,
            looked: Vec::new(),
            trace: Vec::new(),
            zero,
            answer_after: ANSWER_AFTER,
            living: BTreeMap::new(),
            answers: BTreeMap::new(),
            last_asked: BTreeMap::new(),
        }
    }

    pub(super) fn alive(&mut self, endpoint: SocketAddr, node: &str) {
        self.living.insert(endpoint, node.parse().unwrap());
    }

    /// From now on every answer takes so long.
    pub(super) fn slow(&mut self, time: Duration) {
        self.answer_after = time;
    }

    pub(super) fn dead(&mut self, endpoint: SocketAddr) {
        self.living.remove(&endpoint);
    }

    /// Gives a hint and the few milliseconds in which an answer may come.
    pub(super) fn hint(&mut self, hint: Hint) {
        self.book.handle_hint(hint, self.now);
        self.run_quietly(ANSWER_AFTER);
    }

    pub(super) fn doubt(&mut self, endpoint: SocketAddr) {
        self.now += RETRY_AFTER / 200;
        self.book.handle_doubt(endpoint, self.now);
        self.carry_out();
    }

    pub(super) fn chosen(&self) -> Option<SocketAddr> {
        self.book.chosen().map(|choice| choice.endpoint)
    }

    pub(super) fn run(&mut self, time: Duration) {
        self.book.handle_timeout(self.now);
        self.run_quietly(time);
    }

    pub(super) fn run_until(&mut self, time: Duration, done: impl Fn(&Self) -> bool) {
        let end = self.now + time;
        while self.now < end && !done(self) {
            self.run_quietly(ms(1));
        }
        assert!(done(self), "within {time:?}");
    }

    fn run_quietly(&mut self, time: Duration) {
        let end = self.now + time;
        let mut same_instant = 0;
        self.carry_out();
        while let Some(next) = self.next().filter(|next| *next <= end) {
            same_instant = if next > self.now { 0 } else { same_instant + 1 };
            assert!(same_instant < 100, "a timeout that never passes");
            self.now = next.max(self.now);
            self.deliver();
            if self.book.poll_timeout().is_some_and(|at| at <= self.now) {
                self.book.handle_timeout(self.now);
            }
            self.carry_out();
        }
        self.now = end;
    }

    fn next(&self) -> Option<Instant> {
        let answer = self.answers.keys().next().map(|(at, _)| *at);
        answer.into_iter().chain(self.book.poll_timeout()).min()
    }

    fn deliver(&mut self) {
        while let Some(entry) = self.answers.first_entry().filter(|e| e.key().0 <= self.now) {
            let ((_, ticket), endpoint) = entry.remove_entry();
            if let Some(node) = self.living.get(&endpoint) {
                let outcome = Outcome::Answered(Some(node.clone()));
                self.book.handle_answer(ticket, outcome, self.now);
            }
        }
    }

    fn carry_out(&mut self) {
        while let Some(action) = self.book.poll_transmit() {
            self.trace.push(format!("{:?} {action:?}", self.now - self.zero));
            match action {
                Action::LookAgain => self.looked.push(self.now - self.zero),
                Action::Probe { ticket, endpoint } => {
                    let before = self.last_asked.insert(endpoint, self.now);
                    assert!(before.is_none_or(|before| self.now - before >= RETRY_AFTER));
                    self.probes += 1;
                    self.answers.insert((self.now + self.answer_after, ticket), endpoint);
                }
            }
        }
    }

    pub(super) fn check(&mut self) {
        self.carry_out();
        let views = self.book.boxes();
        let endpoints: Vec<_> = views.iter().flat_map(|view| &view.endpoints).collect();
        assert!(endpoints.len() <= BOOK_ENDPOINTS_MAX);
        assert!(self.book.under_way.len() <= BOOK_PROBES_MAX);
        assert!(self.book.remembered().len() <= BOOK_REMEMBERED_MAX);
        let well = endpoints.iter().any(|(_, health)| health.is_usable());
        assert_eq!(well, self.book.chosen().is_some());
        if let Some(choice) = self.book.chosen() {
            let view = views.iter().find(|view| view.key == choice.key).expect("a box of the book");
            let at = view.endpoints.iter().find(|(endpoint, _)| *endpoint == choice.endpoint);
            assert!(at.expect("an endpoint of that box").1.is_usable());
        }
    }
}
