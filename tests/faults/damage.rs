//! A damaged byte in every kind of file.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use storebox::demo::process::Process;
use storebox::demo::state::State;
use storebox_tests::wait;

use crate::cuts::{STATE_MAX, ensure_imports, keys};
use crate::programs::Programs;
use crate::sales::now;
use crate::shop::PATIENCE;
use crate::specimen::{NODES, Node, Specimen};
use crate::table::{Row, Table};
use crate::{Measure, kinds};

pub(crate) const WHAT: [&str; 3] =
    ["a byte damaged at head office", "a byte damaged in a box", "a byte damaged in its neighbour"];
/// A person has to act: a key that is damaged is not replaced by another, which nobody would believe, and a box that
/// does not know who was struck off believes nobody.
const FOR_PERSONS: [&str; 5] =
    ["key of the box", "vault and its key", "papers and their keys", "clients", "strike list"];

pub(crate) async fn rounds(
    programs: &Programs,
    specimen: &Specimen,
    measure: Measure,
    table: &mut Table,
) -> anyhow::Result<()> {
    let mut dice = ChaCha8Rng::seed_from_u64(measure.seed);
    for node in NODES {
        let what = WHAT[node as usize];
        // The short form has time for one of them.
        if table.wants(what) && (node == Node::Store || !measure.is_short) {
            let damage = Damage { programs, specimen, node };
            table.push(damage.round(what, measure.bytes, &mut dice).await.context(what)?);
        }
    }
    Ok(())
}

struct Damage<'a> {
    programs: &'a Programs,
    specimen: &'a Specimen,
    node: Node,
}

/// What became of a box with a damaged byte; whatever is not as if nothing had been, the box says of which file.
enum Outcome {
    /// As if nothing had been.
    Whole,
    /// So many transactions are gone.
    Gone(usize),
    /// It starts, and is not by itself what it was.
    Ailing,
    /// It does not start.
    Refuses,
}

impl Outcome {
    fn told(&self) -> String {
        match self {
            Self::Whole => "nothing lost".to_owned(),
            Self::Gone(gone) => format!("{gone} unreadable, and the file is named"),
            Self::Ailing => "starts, names the file, and needs a person to be whole".to_owned(),
            Self::Refuses => "refuses to start and names the file".to_owned(),
        }
    }
}

impl Damage<'_> {
    async fn round(&self, what: &str, bytes: usize, dice: &mut ChaCha8Rng) -> anyhow::Result<Row> {
        let mut row = Row { what: what.to_owned(), ..Row::default() };
        let mut longest = Duration::ZERO;
        let mut told: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
        let files = self.files()?;
        for (kind, paths) in &files {
            for _ in 0..bytes {
                let path = &paths[dice.random_range(0..paths.len())];
                let begun = now();
                row.times += 1;
                let judged = self.one(kind, path, dice);
                match wait::within("the box is judged", STATE_MAX, judged).await {
                    Ok(outcome) => {
                        told.entry(outcome.told()).or_default().insert(kind);
                        longest = longest.max(begun.elapsed());
                    }
                    Err(error) => row.wrong.push(format!("{kind}: {}: {error:#}", path.display())),
                }
            }
        }
        row.back = Some(longest);
        let told: Vec<String> = told
            .iter()
            .map(|(what, kinds)| {
                format!("{what}: {}", kinds.iter().copied().collect::<Vec<_>>().join(", "))
            })
            .collect();
        row.note = told.join("; ");
        Ok(row)
    }

    /// The files of each kind as they were at the end, laid out anew.
    fn files(&self) -> anyhow::Result<BTreeMap<&'static str, Vec<PathBuf>>> {
        let mut found: BTreeMap<_, Vec<PathBuf>> = BTreeMap::new();
        let kept = self.specimen.kept(self.node);
        collect(&kept, &mut |path| {
            let inside = path.strip_prefix(&kept).unwrap_or(path);
            let has_content = fs::read(path).is_ok_and(|bytes| bytes.iter().any(|byte| *byte != 0));
            if let Some(kind) =
                kinds::kind_of(&format!("/{}", inside.display())).filter(|_| has_content)
            {
                found.entry(kind).or_default().push(inside.to_owned());
            }
        })?;
        found.values_mut().for_each(|paths| paths.sort());
        Ok(found)
    }

    /// Damages a byte of the file, starts the box and sees what came of it.
    async fn one(&self, kind: &str, path: &Path, dice: &mut ChaCha8Rng) -> anyhow::Result<Outcome> {
        let mut process = self.specimen.again(self.programs, self.node)?;
        self.specimen.lay_out(self.node)?;
        let file = process.data().join(path);
        let mut bytes = fs::read(&file)?;
        // Not in what was only taken beforehand.
        let content = bytes.iter().rposition(|byte| *byte != 0).context("content")? + 1;
        bytes[dice.random_range(0..content)] ^= 1 << dice.random_range(0..8_u32);
        fs::write(&file, bytes)?;
        let log = process.data().with_file_name("log");
        let _ = fs::remove_file(&log);
        let started = process.start().await;
        let judged = match &started {
            Ok(_) => self.judge(&process).await,
            Err(_) => Ok(Outcome::Refuses),
        };
        let for_persons = FOR_PERSONS.contains(&kind);
        let outcome = match judged {
            Err(_) if for_persons => Outcome::Ailing,
            judged => judged?,
        };
        if let (Outcome::Refuses, false, Err(error)) = (&outcome, for_persons, started) {
            return Err(error).context("does not start");
        }
        let said = fs::read_to_string(&log).unwrap_or_default();
        let is_named = matches!(outcome, Outcome::Whole) || said.contains(&*path.to_string_lossy());
        ensure!(is_named, "{}, but nobody names the file: {}", outcome.told(), last_line(&said));
        Ok(outcome)
    }

    async fn judge(&self, process: &Process) -> anyhow::Result<Outcome> {
        let wanted = match self.node {
            Node::Main => &self.specimen.settled,
            Node::Store => &self.specimen.held,
            Node::Neighbour => &self.specimen.mirrored,
        };
        let (held, doubled) = keys(self.node, process, self.specimen).await?;
        ensure!(doubled == 0, "{doubled} are there twice");
        match self.node {
            Node::Main => ensure_imports(process, self.specimen)?,
            Node::Store => self.follow(process).await?,
            Node::Neighbour => {}
        }
        let gone = wanted.iter().filter(|told| !held.contains(&told.key)).count();
        Ok(if gone == 0 { Outcome::Whole } else { Outcome::Gone(gone) })
    }

    /// With head office back, masterdata is whole again and what is left of the sales is settled.
    async fn follow(&self, store: &Process) -> anyhow::Result<()> {
        let mut main = self.specimen.again(self.programs, Node::Main)?;
        self.specimen.lay_out(Node::Main)?;
        main.start().await?;
        wait::until("the box is as it was", PATIENCE, || async {
            let (author, here) = (State::of(&main).await?, State::of(store).await?);
            Ok(here.outbox.waiting == 0 && here.is_level_with(&author))
        })
        .await
    }
}

fn last_line(text: &str) -> &str {
    text.lines().last().unwrap_or_default()
}

fn collect(folder: &Path, found: &mut impl FnMut(&Path)) -> anyhow::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        match fs::symlink_metadata(&path)? {
            about if about.is_dir() => collect(&path, found)?,
            about if about.is_file() => found(&path),
            _ => {}
        }
    }
    Ok(())
}
