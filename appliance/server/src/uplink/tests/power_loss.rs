//! Power cuts: whatever legal state the disk is in, no acknowledged transaction is lost and none is invented.
//!
//! A workload with several producers runs on a disk that records; then the states that a power cut may leave are
//! built from the record and opened with the recovery that ships.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use storebox_proto::ids::NodeId;
use storebox_proto::problem::{Code, Problem};
use storebox_proto::sync::outbox::{self, Limits, SinkDef, Verdict, Work};
use storebox_proto::ticket::{Grade, Receipt};
use storebox_proto::time::Timestamp;

use super::samples::{key, main_options, main_sink, number, sale, signer, store_options};
use crate::journal::sim::{CUTS, Event, SimDisk};
use crate::journal::{Group, Options};
use crate::uplink::bookkeeper::{Candidate, Outcome};
use crate::uplink::command::{Given, News};
use crate::uplink::keeper::read_envelope;
use crate::uplink::replay::{Recovered, recover};
use crate::uplink::{Ledger, LedgerOptions, Outbox, Rules};

const SMALL: Options =
    Options { segment_bytes: 32 * 1024, reserve_bytes: 4096, spares_max: 1, deletes: true };
const STATES: usize = 240;
/// States of a disk whose syncs do nothing: enough to see that losses are noticed.
const LYING_STATES: usize = 40;
const PRODUCERS: u64 = 6;
const EACH: u64 = 50;

fn runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(2).enable_all().build().unwrap()
}

/// The seed of this run; `SEED=…` replays the states of a printed one.
fn seed() -> u64 {
    let given = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok());
    given.unwrap_or(0x5EED_0001)
}

fn bytes_of(number: u64) -> usize {
    usize::try_from(200 + number * 37 % 1500).unwrap()
}

/// What was said before the power went.
#[derive(Default)]
struct Said {
    submitted: BTreeSet<u64>,
    acknowledged: BTreeSet<u64>,
    /// May be gone from the outbox: the main server has it.
    settling: BTreeSet<u64>,
}

impl Said {
    fn before(events: &[Event]) -> Self {
        let mut said = Self::default();
        for event in events {
            let Event::Mark { what, id } = event else { continue };
            let id = u64::try_from(*id).unwrap();
            match *what {
                "submit" => said.submitted.insert(id),
                "ack" => said.acknowledged.insert(id),
                _ => said.settling.insert(id),
            };
        }
        said
    }
}

/// Moments at which the power goes: half of them right after an answer.
fn moments(events: &[Event], states: usize, rng: &mut ChaCha8Rng) -> Vec<usize> {
    let is_ack = |event: &Event| matches!(event, Event::Mark { what: "ack", .. });
    let after_ack: Vec<usize> =
        events.iter().enumerate().filter(|(_, e)| is_ack(e)).map(|(at, _)| at + 1).collect();
    let moment = |index: usize| {
        if index.is_multiple_of(2) {
            after_ack[rng.random_range(0..after_ack.len())]
        } else {
            rng.random_range(after_ack[0]..=events.len())
        }
    };
    let mut moments: Vec<usize> = (0..states).map(moment).collect();
    moments.sort_unstable();
    moments
}

/// Producers accept, a shipper takes away; everything is marked on the disk's record.
async fn sell(disk: SimDisk, home: &Path) -> Vec<Event> {
    let mut options = store_options(home);
    options.disk = Arc::new(disk.clone());
    options.journal = SMALL;
    let opened = Outbox::open(options).unwrap();
    let producers = (0..PRODUCERS).map(|till| {
        let (outbox, disk) = (opened.outbox.clone(), disk.clone());
        async move {
            for sequence in 1..=EACH {
                let id = till * 1000 + sequence;
                disk.mark("submit", u128::from(id));
                let receipt = outbox.accept(sale(id, till, sequence, bytes_of(id))).await.unwrap();
                assert_eq!(receipt.grade, Grade::Held);
                disk.mark("ack", u128::from(id));
            }
        }
    });
    let shipping = ship(opened.outbox.clone(), disk.clone());
    tokio::join!(futures_util::future::join_all(producers), shipping);
    opened.outbox.stop().await;
    tokio::task::spawn_blocking(|| opened.thread.join().unwrap()).await.unwrap();
    disk.events()
}

async fn ship(outbox: Outbox, disk: SimDisk) {
    let mut settled = 0;
    while settled < PRODUCERS * EACH / 2 {
        let Given { work, .. } = outbox.poll(&main_sink()).await.unwrap();
        let Work::Send(batch) = work else {
            tokio::task::yield_now().await;
            continue;
        };
        let mut answers = Vec::new();
        let mut receipts = Vec::new();
        for item in batch.items.iter().take(5) {
            if number(item.key).is_multiple_of(11) {
                let problem = Problem::new(Code::TransactionRefused, "a rule");
                answers.push((item.position, Verdict::Refused(problem)));
                continue;
            }
            disk.mark("settling", u128::from(number(item.key)));
            answers.push((item.position, Verdict::Taken));
            let (at, node) = (Timestamp::from_unix_ms(1_795_341_720_000), "main".parse().unwrap());
            let (key, digest) = (item.key, item.digest);
            let receipt =
                Receipt::state(key, digest, Grade::Settled, &node, 1, at).sign(&signer(2));
            receipts.push((item.position, receipt));
            settled += 1;
        }
        outbox.report(&main_sink(), News::Answers { answers, receipts }).await.unwrap();
    }
}

fn machine() -> outbox::Outbox {
    let sinks = vec![SinkDef { id: main_sink(), authoritative: true }];
    outbox::Outbox::new(Limits::default(), sinks).unwrap()
}

fn recovered(disk: &SimDisk, home: &Path) -> Recovered {
    let dir = home.join("outbox").join("journal");
    recover(Arc::new(disk.clone()), &dir, SMALL, machine()).unwrap()
}

/// Opens a state, checks it, goes on writing, and opens it again; returns how many were lost.
fn check_outbox(
    disk: &SimDisk,
    home: &Path,
    said: &Said,
    what: &str,
    disk_is_honest: bool,
) -> usize {
    let mut state = recovered(disk, home);
    let mut held = BTreeMap::new();
    for (position, location) in &state.locations {
        let (meta, _, _) = state.machine.entry(*position).unwrap();
        let id = number(meta.key);
        let envelope = read_envelope(&state.journal.reader(), location).unwrap();
        let expected = sale(id, id / 1000, id % 1000, bytes_of(id)).canonical();
        assert!(envelope == expected, "{what}: transaction {id} has another content");
        assert!(said.submitted.contains(&id), "{what}: transaction {id} was invented");
        held.insert(id, *position);
    }
    let lost = said.acknowledged.difference(&said.settling);
    let lost = lost.filter(|id| !held.contains_key(id)).count();
    if disk_is_honest {
        assert_eq!(state.incidents, Vec::<String>::new(), "{what}: a power cut is not damage");
    }
    state.journal.begin(&mut || state.machine.checkpoint());
    let mut group = Group::new();
    group.push(9, &[b"written after the cut"]);
    state.journal.commit(group).unwrap();
    drop(state.journal);
    let again = recovered(disk, home);
    let positions: BTreeSet<_> = again.locations.keys().copied().collect();
    assert_eq!(
        positions,
        held.values().copied().collect(),
        "{what}: not the same after writing on"
    );
    lost
}

/// Cuts the power in so many states; says in how many something was lost by what `check` finds.
fn states_with_losses(
    name: &str,
    events: &[Event],
    states: usize,
    check: impl Fn(&SimDisk, &Said, &str) -> usize,
) -> usize {
    let seed = seed();
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut bad = 0;
    for (index, moment) in moments(events, states, &mut rng).into_iter().enumerate() {
        let cut = CUTS[index % CUTS.len()];
        let what = format!("seed={seed} state={index} moment={moment} cut={cut:?}");
        let disk = SimDisk::after_cut(events, moment, cut, &mut rng);
        let lost = check(&disk, &Said::before(&events[..moment]), &what);
        bad += usize::from(lost > 0);
    }
    eprintln!("{name}: seed={seed} states={states} with losses={bad}");
    bad
}

fn outbox_states(disk: SimDisk, states: usize) -> usize {
    let home = tempfile::tempdir().unwrap();
    let events = runtime().block_on(sell(disk, home.path()));
    states_with_losses("outbox", &events, states, |disk, said, what| {
        check_outbox(disk, home.path(), said, what, states == STATES)
    })
}

#[test]
fn no_power_cut_loses_or_invents_an_accepted_transaction() {
    assert_eq!(
        outbox_states(SimDisk::new(), STATES),
        0,
        "states that lost acknowledged transactions"
    );
}

#[test]
fn without_its_syncs_the_outbox_would_lose_transactions() {
    let bad = outbox_states(SimDisk::lying(), LYING_STATES);
    assert!(bad > LYING_STATES / 4, "the proof must be able to fail, and did in {bad} states");
}

fn store() -> NodeId {
    "store-1".parse().unwrap()
}

fn ledger_options(disk: &SimDisk, home: &Path) -> LedgerOptions {
    let mut options = main_options(home);
    options.disk = Arc::new(disk.clone());
    options.journal = Options { deletes: false, ..SMALL };
    options
}

/// Several boxes send batches, some of them twice, some of them with what is refused.
async fn settle(disk: SimDisk, home: &Path) -> Vec<Event> {
    let opened = Ledger::open(ledger_options(&disk, home)).unwrap();
    let boxes = (0..PRODUCERS).map(|till| {
        let (ledger, disk) = (opened.ledger.clone(), disk.clone());
        async move {
            for batch in 0..EACH / 5 {
                let ids: Vec<u64> = (1..=5).map(|at| till * 1000 + batch * 5 + at).collect();
                for _ in 0..=batch % 2 {
                    ids.iter().for_each(|id| disk.mark("submit", u128::from(*id)));
                    let rules = Rules::new(|sale| {
                        let refused = number(sale.key).is_multiple_of(11);
                        if refused { Err("a rule".to_owned()) } else { Ok(()) }
                    });
                    let sales = ids.iter().map(|id| sale(*id, till, id % 1000, bytes_of(*id)));
                    let batch = sales.map(|sale| Candidate::new(sale, &rules)).collect();
                    let outcomes = ledger.settle(&store(), batch).await.unwrap();
                    for (id, outcome) in ids.iter().zip(outcomes) {
                        match outcome {
                            Outcome::Taken(_) => disk.mark("ack", u128::from(*id)),
                            Outcome::Refused(_) => assert!(id.is_multiple_of(11)),
                            Outcome::Later(problem) => panic!("{problem}"),
                        }
                    }
                }
            }
        }
    });
    futures_util::future::join_all(boxes).await;
    opened.ledger.stop().await;
    tokio::task::spawn_blocking(|| opened.thread.join().unwrap()).await.unwrap();
    disk.events()
}

async fn check_ledger(
    disk: &SimDisk,
    home: &Path,
    said: &Said,
    what: &str,
    disk_is_honest: bool,
) -> usize {
    let index = home.join("ledger").join("index");
    if index.exists() {
        std::fs::remove_dir_all(index).unwrap();
    }
    let opened = Ledger::open(ledger_options(disk, home)).unwrap();
    let entries = opened.ledger.list(None, 10_000).await.unwrap().entries;
    let mut found = BTreeSet::new();
    let mut positions = BTreeSet::new();
    for entry in &entries {
        let id = number(entry.key);
        assert_eq!(entry.envelope, sale(id, id / 1000, id % 1000, bytes_of(id)), "{what}");
        assert!(said.submitted.contains(&id), "{what}: transaction {id} was invented");
        assert!(
            found.insert(id) && positions.insert(entry.position),
            "{what}: {id} is there twice"
        );
    }
    let lost = said.acknowledged.difference(&found).count();
    if disk_is_honest {
        assert_eq!(opened.incidents, Vec::<String>::new(), "{what}: a power cut is not damage");
    }
    let extra = Candidate::new(sale(900_001, 900, 1, 100), &Rules::default());
    let outcomes = opened.ledger.settle(&store(), vec![extra]).await.unwrap();
    assert!(
        matches!(&outcomes[0], Outcome::Taken(s) if !positions.contains(&s.position)),
        "{what}"
    );
    assert!(opened.ledger.receipt(key(900_001)).await.unwrap().is_some());
    opened.ledger.stop().await;
    tokio::task::spawn_blocking(|| opened.thread.join().unwrap()).await.unwrap();
    lost
}

fn ledger_states(disk: SimDisk, states: usize) -> usize {
    let home = tempfile::tempdir().unwrap();
    let runtime = runtime();
    let events = runtime.block_on(settle(disk, home.path()));
    states_with_losses("ledger", &events, states, |disk, said, what| {
        runtime.block_on(check_ledger(disk, home.path(), said, what, states == STATES))
    })
}

#[test]
fn no_power_cut_loses_or_invents_a_settled_transaction() {
    assert_eq!(ledger_states(SimDisk::new(), STATES), 0, "states that lost settled transactions");
}

#[test]
fn without_its_syncs_the_ledger_would_lose_transactions() {
    let bad = ledger_states(SimDisk::lying(), LYING_STATES);
    assert!(bad > LYING_STATES / 4, "the proof must be able to fail, and did in {bad} states");
}
