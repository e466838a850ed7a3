//! Random lives of an outbox: nothing lost, nothing twice, order kept, and a restart changes nothing.

use super::*;

/// What is known from outside about each accepted entry.
struct World {
    outbox: Outbox,
    journal: Vec<Record>,
    accepted: BTreeMap<u64, Meta>,
    taken: Vec<u64>,
    refused: BTreeSet<u64>,
    given_up: BTreeSet<u64>,
    numbers: BTreeMap<&'static str, u64>,
    now: Instant,
    rng: ChaCha8Rng,
}

const TERMINALS: [&str; 3] = ["till-1", "till-2", "till-3"];

impl World {
    fn new(seed: u64) -> Self {
        let limits =
            Limits { held_max: 60, pinned_max: 20, batch_envelopes_max: 7, batch_bytes_max: 5500 };
        Self {
            outbox: outbox(limits, &["files"]),
            journal: Vec::new(),
            accepted: BTreeMap::new(),
            taken: Vec::new(),
            refused: BTreeSet::new(),
            given_up: BTreeSet::new(),
            numbers: BTreeMap::new(),
            now: start(),
            rng: ChaCha8Rng::seed_from_u64(seed),
        }
    }

    fn write(&mut self, record: Record) {
        self.outbox.apply(&record);
        self.journal.push(record);
    }

    fn accept(&mut self) {
        let terminal = TERMINALS[self.rng.random_range(0..3)];
        let step = if self.rng.random_range(0..20) == 0 { 2 } else { 1 };
        let number = self.numbers.entry(terminal).or_insert(0);
        *number += step;
        let id = self.journal.len() as u64 * 1000 + self.accepted.len() as u64;
        let lane = format!("lane:{}", self.rng.random_range(0..6));
        let mut meta = meta(id, terminal, *number, &lane);
        meta.bytes = self.rng.random_range(500..2000);
        if self.rng.random_range(0..3) == 0 {
            let known: Vec<_> = self.accepted.values().map(|meta| meta.key).collect();
            let from = known.len().saturating_sub(8);
            let near = &known[from..];
            if !near.is_empty() {
                meta.depends_on = vec![near[self.rng.random_range(0..near.len())]];
            }
        }
        meta.session = Some(format!("session:{}", self.accepted.len() / 15));
        let is_last = self.accepted.len() % 15 == 14;
        if is_last || self.rng.random_range(0..60) == 0 {
            meta.kind = CASH_UP.parse().unwrap();
        }
        match self.outbox.admit(&meta, at(0)) {
            Admission::New { position, record } => {
                self.outbox.apply(&record);
                if self.rng.random_range(0..8) == 0 {
                    self.outbox.withdraw(&record);
                    *self.numbers.get_mut(terminal).unwrap() -= step;
                } else {
                    self.journal.push(record);
                    self.accepted.insert(position, meta);
                }
            }
            Admission::Full { .. } => *self.numbers.get_mut(terminal).unwrap() -= step,
            Admission::Again { .. } | Admission::Claimed { .. } | Admission::Conflict { .. } => {
                panic!("{meta:?} is new")
            }
        }
    }

    fn ship(&mut self, name: &str) {
        let id = sink(name);
        match self.outbox.poll(&id, self.now) {
            Work::Nothing | Work::Wait { .. } => {}
            Work::Stuck(record) => self.write(*record),
            Work::Ask(items) => {
                let known: Vec<u64> = items.iter().map(|item| item.position).collect();
                let known: Vec<u64> = match name {
                    "main" => known.into_iter().take_while(|p| self.taken.contains(p)).collect(),
                    _ => Vec::new(),
                };
                for record in self.outbox.handle_known(&id, &known) {
                    self.write(record);
                }
            }
            Work::Send(batch) if name == "main" => self.receive(&id, &batch),
            Work::Send(batch) => {
                let all: Vec<_> =
                    batch.items.iter().map(|item| (item.position, Verdict::Taken)).collect();
                let part = self.rng.random_range(0..=all.len());
                let now = self.now;
                for record in
                    self.outbox.handle_answers(&id, &all[..part], now, &mut self.rng.clone())
                {
                    self.write(record);
                }
            }
        }
    }

    fn receive(&mut self, id: &SinkId, batch: &Batch) {
        let mut before = BTreeSet::new();
        let mut answers = Vec::new();
        for item in &batch.items {
            self.check_order(item.position, &before);
            let verdict = self.verdict(item.position, &before);
            before.insert(item.position);
            if verdict == Verdict::Taken && !self.taken.contains(&item.position) {
                self.taken.push(item.position);
            }
            answers.push((item.position, verdict));
        }
        let (now, mut rng) = (self.now, self.rng.clone());
        let records = match self.rng.random_range(0..10) {
            0 => self.outbox.handle_failure(id, Failure::Lost, now, &mut rng),
            1 => self.outbox.handle_failure(id, Failure::Unavailable, now, &mut rng),
            _ => self.outbox.handle_answers(id, &answers, now, &mut rng),
        };
        for record in records {
            if let Event::Quarantined { position, .. } = &record.event {
                self.refused.insert(*position);
            }
            self.write(record);
        }
    }

    /// A receiver that keeps the rules: what follows something untaken in its batch is not taken either.
    fn verdict(&mut self, position: u64, before: &BTreeSet<u64>) -> Verdict {
        if self.taken.contains(&position) {
            return Verdict::Taken;
        }
        let meta = &self.accepted[&position];
        let untaken = before.iter().filter(|p| !self.is_done(**p));
        let blocked = untaken.into_iter().any(|other| {
            let other = &self.accepted[other];
            other.lane == meta.lane
                || meta.depends_on.contains(&other.key)
                || (meta.kind.as_str() == CASH_UP && other.session == meta.session)
        });
        match self.rng.random_range(0..12) {
            _ if blocked => Verdict::Later(Problem::new(Code::DependencyMissing, "not yet")),
            0 => refused(),
            1 => Verdict::Later(Problem::new(Code::DependencyMissing, "not yet")),
            _ => Verdict::Taken,
        }
    }

    fn check_order(&self, position: u64, batch: &BTreeSet<u64>) {
        let meta = &self.accepted[&position];
        let waits = |other: u64| !self.is_done(other) && !batch.contains(&other);
        for (other, earlier) in &self.accepted {
            let same_lane = earlier.lane == meta.lane && *other < position;
            let needed = meta.depends_on.contains(&earlier.key);
            let of_session = meta.kind.as_str() == CASH_UP
                && earlier.session == meta.session
                && earlier.kind.as_str() != CASH_UP
                && !(earlier.lane == meta.lane && *other > position);
            if *other != position && (same_lane || needed || of_session) {
                assert!(!waits(*other), "{position} was sent before {other}");
            }
        }
    }

    fn operate(&mut self) {
        let waiting = self.outbox.list(0, true, 100);
        if waiting.is_empty() {
            return;
        }
        let chosen = &waiting[self.rng.random_range(0..waiting.len())];
        let by = By::new("anna", at(1));
        let record = if self.rng.random_range(0..4) == 0 {
            self.given_up.insert(chosen.position);
            self.outbox.give_up(&chosen.key, by).unwrap()
        } else {
            self.outbox.retry(&chosen.key, by).unwrap()
        };
        self.write(record);
    }

    fn is_done(&self, position: u64) -> bool {
        self.taken.contains(&position) || self.given_up.contains(&position)
    }

    fn restart(&mut self) {
        let before = lasting(&self.outbox);
        let mut again = outbox(self.outbox.limits, &["files"]);
        for record in &self.journal {
            let mut bytes = record.event.encode_head();
            let envelope = record.meta.as_ref().map(envelope_of).unwrap_or_default();
            bytes.extend_from_slice(&envelope);
            let mut read = Record::decode(&bytes).unwrap();
            if let (Some(read), Some(written)) = (&mut read.meta, &record.meta) {
                (read.digest, read.bytes) = (written.digest, written.bytes);
            }
            assert_eq!(read, *record);
            again.apply(&read);
        }
        assert_same(&lasting(&again), &before);
        self.outbox = again;
    }

    /// What a journal does when old segments go: the small state, then what is alive, once more.
    fn compact(&mut self) {
        let checkpoint = self.outbox.checkpoint();
        let mut again = outbox(self.outbox.limits, &["files"]);
        again.restore(&checkpoint).unwrap();
        self.journal.clear();
        for position in self.outbox.positions().collect::<Vec<_>>() {
            let event = self.outbox.carry(position).unwrap();
            let meta = self.outbox.entry(position).map(|(meta, _, _)| meta.clone());
            again.apply(&Record { event, meta });
        }
        again.restore(&checkpoint).unwrap();
        assert_same(&lasting(&again), &lasting(&self.outbox));
    }
}

fn envelope_of(meta: &Meta) -> Vec<u8> {
    let json = serde_json::json!({
        "key": meta.key, "kind": meta.kind, "terminal": meta.terminal, "epoch": meta.epoch,
        "sequence": meta.sequence, "lane": meta.lane, "dependsOn": meta.depends_on,
        "session": meta.session, "payload": {"any": [1, 2]},
    });
    json.to_string().into_bytes()
}

fn assert_same(one: &str, two: &str) {
    let differs = one.bytes().zip(two.bytes()).position(|(one, two)| one != two);
    let from = differs.unwrap_or(one.len().min(two.len())).saturating_sub(200);
    let near = |text: &str| text.chars().skip(from).take(400).collect::<String>();
    assert!(one == two, "{}\n----\n{}", near(one), near(two));
}

/// All that has to survive a restart.
fn lasting(outbox: &Outbox) -> String {
    let entries: Vec<_> = outbox
        .entries
        .iter()
        .map(|(p, e)| (p, &e.meta, e.at, e.rank, &e.phase, e.forced, &e.first))
        .collect();
    let seen: Vec<_> = outbox
        .terminals
        .iter()
        .flat_map(|(t, epochs)| epochs.iter().map(move |(e, known)| (t, e, known)))
        .collect();
    let sinks: Vec<_> = outbox.sinks.iter().map(Sink::progress).collect();
    let waiting: BTreeSet<_> = outbox.open.union(&outbox.parked).collect();
    format!(
        "{} {} {} {:?} {entries:?} {seen:?} {sinks:?} {waiting:?} {:?} {:?} {:?} {:?}",
        outbox.next,
        outbox.settled,
        outbox.given_up_total,
        outbox.given_up,
        outbox.order,
        outbox.keys,
        outbox.conflicts,
        outbox.audit
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn in_any_life_nothing_is_lost_or_reordered_and_a_restart_changes_nothing(seed: u64) {
        let mut world = World::new(seed);
        for _ in 0..250 {
            match world.rng.random_range(0..20) {
                0..8 => world.accept(),
                8..14 => world.ship("main"),
                14..17 => world.ship("files"),
                17 => world.operate(),
                18 => world.now += Duration::from_millis(world.rng.random_range(0..5000)),
                _ => match world.rng.random_range(0..4) {
                    0 if world.journal.len() > 100 => {
                        world.outbox.poll_released();
                        world.restart();
                    }
                    0 => world.restart(),
                    _ => world.outbox.handle_link_up(&sink("main")),
                },
            }
            while let Some(record) = world.outbox.overdue() {
                world.write(record);
            }
            for position in world.outbox.poll_released() {
                prop_assert!(world.is_done(position), "{} left untaken", position);
            }
        }
        world.compact();
        for position in world.accepted.keys() {
            let held = world.outbox.entry(*position).is_some();
            prop_assert!(held || world.taken.contains(position), "{} is lost", position);
        }
        for _ in 0..400 {
            world.now += Duration::from_secs(61);
            world.operate();
            world.ship("main");
        }
        let in_circle =
            |s: &Summary| s.problem.as_ref().is_some_and(|p| p.code == Code::DependencyMissing);
        let is_held = |s: &&Summary| !matches!(s.state, State::Settled | State::GivenUp);
        for left in world.outbox.list(0, false, 100).iter().filter(is_held) {
            let waits = left.waits_for_number || left.waits_for.is_some();
            prop_assert!(waits || in_circle(left), "{:?}", left);
        }
    }
}
