//! Power cuts: whatever legal state the disk is left in, the box starts by itself and has what it said is safe.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::Duration;

use anyhow::Context;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use storebox::demo::ledger;
use storebox::demo::process::Process;
use storebox::demo::state::State;
use storebox_tests::wait;

use crate::programs::Programs;
use crate::record::Record;
use crate::sales::now;
use crate::shop::PATIENCE;
use crate::specimen::{NODES, Node, Specimen, Told};
use crate::states::{CUTS, Cut, Disk};
use crate::table::{Row, Table};
use crate::{Measure, damage, kinds};

const WHAT: [&str; 3] =
    ["power cut of head office", "power cut of a box", "power cut of its neighbour"];
const WITHOUT_SYNCS: &str = "power cut of a box whose journal is not synced (has to lose)";
/// What is not synced in that round.
const JOURNAL: &str = "/outbox/journal/";
/// States of a disk on which it is not: enough to see that losses are noticed.
const WITHOUT_SYNCS_STATES: usize = 5;
/// No state takes longer to be judged.
pub(crate) const STATE_MAX: Duration = Duration::from_secs(300);
/// Of so many states one is followed until the box is as it was, with head office back.
const FOLLOWED: usize = 4;
/// Failures that are told one by one.
const TOLD_MAX: usize = 5;

/// Cuts at every kind of file, then damaged bytes in every kind of file.
pub(crate) async fn rounds(
    programs: &Programs,
    measure: Measure,
    table: &mut Table,
) -> anyhow::Result<()> {
    if !WHAT.iter().chain(&damage::WHAT).any(|what| table.wants(what)) {
        return Ok(());
    }
    let specimen = Specimen::live(programs).await.context("the life on record")?;
    let mut covered = BTreeMap::new();
    for node in NODES {
        let what = WHAT[node as usize];
        if table.wants(what) {
            let record = Record::read(specimen.record(node)?)?;
            let mut round = Round::begin(programs, &specimen, node, &record, measure)?;
            let row = round.run(what, measure.cuts).await.context(what)?;
            for (kind, times) in round.covered {
                *covered.entry(kind).or_insert(0) += times;
            }
            table.push(row);
            if node == Node::Store {
                let mut control = Round::begin(programs, &specimen, node, &record, measure)?;
                table.push(control.prove_failing().await?);
            }
        }
    }
    if WHAT.iter().all(|what| table.wants(what)) && !measure.is_short {
        table.push(coverage(&covered));
    }
    damage::rounds(programs, &specimen, measure, table).await
}

/// Every kind of file was being written when the power went.
fn coverage(covered: &BTreeMap<&'static str, usize>) -> Row {
    let missing = kinds::all().filter(|kind| !covered.contains_key(kind));
    let told: Vec<String> = covered.iter().map(|(kind, times)| format!("{kind} {times}")).collect();
    Row {
        what: "power cuts while each kind of file was written".to_owned(),
        times: covered.values().sum(),
        back: Some(Duration::ZERO),
        note: told.join(", "),
        wrong: missing.map(|kind| format!("{kind}: never")).collect(),
        ..Row::default()
    }
}

struct Round<'a> {
    programs: &'a Programs,
    specimen: &'a Specimen,
    node: Node,
    record: &'a Record,
    /// The changes of each kind of file.
    by_kind: BTreeMap<&'static str, Vec<usize>>,
    dice: ChaCha8Rng,
    covered: BTreeMap<&'static str, usize>,
}

impl<'a> Round<'a> {
    fn begin(
        programs: &'a Programs,
        specimen: &'a Specimen,
        node: Node,
        record: &'a Record,
        measure: Measure,
    ) -> anyhow::Result<Self> {
        let mut by_kind: BTreeMap<_, Vec<usize>> = BTreeMap::new();
        for (at, path) in record.paths().into_iter().enumerate() {
            let Some(path) = path else { continue };
            let kind =
                kinds::kind_of(path).with_context(|| format!("{path} is of no known kind"))?;
            by_kind.entry(kind).or_default().push(at);
        }
        let dice = ChaCha8Rng::seed_from_u64(measure.seed);
        let covered = BTreeMap::new();
        Ok(Self { programs, specimen, node, record, by_kind, dice, covered })
    }

    async fn run(&mut self, what: &str, states: usize) -> anyhow::Result<Row> {
        let mut row = Row { what: what.to_owned(), times: states, ..Row::default() };
        let kinds: Vec<&'static str> = self.by_kind.keys().copied().collect();
        let (mut longest, mut failed) = (Duration::ZERO, 0);
        for number in 0..states {
            let count = self.moment(number, &kinds);
            let cut = CUTS[number % CUTS.len()];
            let judged = self.state(number, count, cut, &mut row);
            match wait::within("the box is judged", STATE_MAX, judged).await {
                Ok(back) => longest = longest.max(back),
                Err(error) => {
                    failed += 1;
                    if failed <= TOLD_MAX {
                        row.wrong
                            .push(format!("state {number} ({count} changes, {cut:?}): {error:#}"));
                    }
                }
            }
        }
        row.back = (failed == 0).then_some(longest);
        row.note = format!(
            "{} changes on record, {} kinds of files, {failed} states failed; the longest way back is shown",
            self.record.changes.len(),
            kinds.len()
        );
        Ok(row)
    }

    /// Without syncs of its journal a box that starts has to be seen without sales that it said are safe, or the round
    /// before proves nothing.
    async fn prove_failing(&mut self) -> anyhow::Result<Row> {
        let mut row =
            Row { what: WITHOUT_SYNCS.to_owned(), times: WITHOUT_SYNCS_STATES, ..Row::default() };
        let mut seen = Row::default();
        for number in 0..WITHOUT_SYNCS_STATES {
            let count = self.moment(number * 3, &[]);
            let disk = Disk::without_syncs(self.record, count, JOURNAL);
            // None of them is followed: what is gone cannot reach head office.
            let judged = self.judge(1, count, &disk, CUTS[0], &mut seen);
            wait::within("the box is judged", STATE_MAX, judged).await?;
        }
        row.back = Some(Duration::ZERO);
        row.note = format!("{} of {} sales were seen to be gone", seen.lost, seen.accepted);
        if seen.lost == 0 {
            row.wrong.push("cannot fail: no sale was seen to be gone".to_owned());
        }
        Ok(row)
    }

    /// How many changes have happened: right after somebody was told something, or in the middle of a kind of file.
    fn moment(&mut self, number: usize, kinds: &[&'static str]) -> usize {
        let told = self.promises();
        if number.is_multiple_of(3) && !told.is_empty() {
            let told = &told[self.dice.random_range(0..told.len())];
            return self.record.count_at(told.at[self.node as usize]);
        }
        // Kinds that are written rarely get their turn as well.
        let kind = kinds[(number - number / 3) % kinds.len()];
        *self.covered.entry(kind).or_insert(0) += 1;
        let changes = &self.by_kind[kind];
        changes[self.dice.random_range(0..changes.len())] + 1
    }

    /// What this node has said is safe with it.
    fn promises(&self) -> &'a [Told] {
        match self.node {
            Node::Main => &self.specimen.settled,
            Node::Store => &self.specimen.held,
            Node::Neighbour => &self.specimen.mirrored,
        }
    }

    /// Lays a state out, starts the box on it and judges it.
    async fn state(
        &mut self,
        number: usize,
        count: usize,
        cut: Cut,
        row: &mut Row,
    ) -> anyhow::Result<Duration> {
        let disk = Disk::after(self.record, count);
        self.judge(number, count, &disk, cut, row).await
    }

    async fn judge(
        &mut self,
        number: usize,
        count: usize,
        disk: &Disk<'_>,
        cut: Cut,
        row: &mut Row,
    ) -> anyhow::Result<Duration> {
        let mut process = self.specimen.again(self.programs, self.node)?;
        disk.lay_out(self.record, cut, &mut self.dice, &process.data())?;
        let length = self.record.ends[count.saturating_sub(1)];
        let known = self.promises().iter().filter(|told| told.at[self.node as usize] <= length);
        let known: BTreeSet<&str> = known.map(|told| told.key.as_str()).collect();
        row.accepted += known.len();
        let begun = now();
        process.start().await?;
        // A box that was never told of a neighbour gives it no copies.
        let (held, doubled) = match known.is_empty() && self.node == Node::Neighbour {
            true => Default::default(),
            false => keys(self.node, &process, self.specimen).await?,
        };
        row.doubled += doubled;
        row.lost += known.iter().filter(|key| !held.contains(**key)).count();
        let is_grown = length >= self.specimen.grown[self.node as usize];
        if self.node == Node::Store && is_grown && number.is_multiple_of(FOLLOWED) {
            self.follow(&process, &known).await?;
        }
        if self.node == Node::Main && is_grown {
            ensure_imports(&process, self.specimen)?;
        }
        Ok(begun.elapsed())
    }

    /// Head office is back: the box is as it was, by itself.
    async fn follow(&self, store: &Process, known: &BTreeSet<&str>) -> anyhow::Result<()> {
        let mut main = self.specimen.again(self.programs, Node::Main)?;
        self.specimen.lay_out(Node::Main)?;
        main.start().await?;
        wait::until("the box is as it was", PATIENCE, || async {
            let author = State::of(&main).await?;
            let here = State::of(store).await?;
            Ok(here.outbox.waiting == 0 && here.is_level_with(&author))
        })
        .await?;
        let settled: BTreeSet<String> =
            ledger::read(&main).await?.iter().map(|one| one.key.to_string()).collect();
        let missing = known.iter().filter(|key| !settled.contains(**key)).count();
        anyhow::ensure!(missing == 0, "{missing} did not reach head office");
        Ok(())
    }
}

/// Transactions that a node holds, and how many of them twice.
pub(crate) async fn keys(
    node: Node,
    process: &Process,
    specimen: &Specimen,
) -> anyhow::Result<(BTreeSet<String>, usize)> {
    let mut keys = Vec::new();
    match node {
        Node::Main => {
            keys.extend(ledger::read(process).await?.iter().map(|one| one.key.to_string()))
        }
        Node::Neighbour => keys = specimen.copies().await?,
        Node::Store => {
            let mut after = 0;
            loop {
                let path = format!("/v1/outbox?limit=500&after={after}");
                let page = process.control("GET", &path, None).await?;
                let entries = page["entries"].as_array().cloned().unwrap_or_default();
                keys.extend(
                    entries.iter().filter_map(|one| one["key"].as_str().map(str::to_owned)),
                );
                match page["next"].as_u64() {
                    Some(next) => after = next,
                    None => break,
                }
            }
        }
    }
    let all = keys.len();
    let held: BTreeSet<String> = keys.into_iter().collect();
    let doubled = all - held.len();
    Ok((held, doubled))
}

/// Head office goes on: it takes masterdata in.
pub(crate) fn ensure_imports(main: &Process, specimen: &Specimen) -> anyhow::Result<()> {
    let dir = specimen.root().join("further");
    fs::create_dir_all(&dir)?;
    fs::write(dir.join("Brand.ndjson"), "{\"id\":\"B1\",\"name\":\"Own\"}\n")?;
    main.ask(&["import", &dir.to_string_lossy()])?;
    Ok(())
}
