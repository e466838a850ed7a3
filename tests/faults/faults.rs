//! Each fault alone, in a shop that goes on selling.

use std::time::Duration;

use anyhow::{Context, ensure};
use storebox_tests::wait;

use crate::Measure;
use crate::clock::wall;
use crate::liar::{LIES, Lie};
use crate::network::{CUT, FAIR, Line, Weather};
use crate::programs::Programs;
use crate::sales::now;
use crate::shop::{NODES, Node, Shop};
use crate::table::{Row, Table};
use crate::{counter, day};

const DAY: Duration = Duration::from_secs(86_400);
/// Between two looks at a fault that goes on.
const STEP: Duration = Duration::from_millis(250);
/// A lie is told and refused within this, or head office publishes once more, so often.
const TOLD_WITHIN: Duration = Duration::from_secs(8);
const TOLD_AGAIN_MAX: usize = 12;

/// What is done to the shop.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fault {
    /// A process is killed, again and again.
    Kill(Node),
    /// A line has weather, away from the first end of it and back.
    Line(Line, Weather, Weather),
    /// The line comes and goes.
    Flap,
    /// The first box's disk is full.
    FullDisk,
    /// All wall clocks are set to times far away, a box being started in some of them.
    Clocks,
    /// A source lies.
    Lies,
}

const BAD: Weather = Weather { loss: 30, delay_ms: 40, jitter_ms: 60, ..FAIR };
const SLOW: Weather = Weather { delay_ms: 300, bytes_s: 20_000, ..FAIR };
const ODD: Weather = Weather { double: 40, delay_ms: 20, jitter_ms: 400, ..FAIR };

pub(crate) const FAULTS: [(&str, Fault); 16] = [
    ("kill -9 of the first box", Fault::Kill(Node::First)),
    ("kill -9 of the second box", Fault::Kill(Node::Second)),
    ("kill -9 of head office", Fault::Kill(Node::Main)),
    ("line to head office cut", Fault::Line(Line::Wan, CUT, CUT)),
    ("line lets nothing out, everything in", Fault::Line(Line::Wan, CUT, FAIR)),
    ("line lets nothing in, everything out", Fault::Line(Line::Wan, FAIR, CUT)),
    ("line loses 30 of 100 packets", Fault::Line(Line::Wan, BAD, BAD)),
    ("line of 20 kB/s, 600 ms there and back", Fault::Line(Line::Wan, SLOW, SLOW)),
    ("line doubles 40 of 100 packets, late and in any order", Fault::Line(Line::Wan, ODD, ODD)),
    ("line comes and goes", Fault::Flap),
    ("boxes cut from each other", Fault::Line(Line::Lan, CUT, CUT)),
    ("LAN between the boxes loses 30 of 100 packets", Fault::Line(Line::Lan, BAD, BAD)),
    ("LAN between the boxes doubles packets, late", Fault::Line(Line::Lan, ODD, ODD)),
    ("disk of the first box full", Fault::FullDisk),
    ("clocks set: 1970, a day on, an hour back, ten years on", Fault::Clocks),
    ("a source lies", Fault::Lies),
];

/// All of them, then the devices, then the day.
pub(crate) async fn rounds(
    programs: &Programs,
    measure: Measure,
    table: &mut Table,
) -> anyhow::Result<()> {
    let others = ["printer and scale misbehave", day::WHAT];
    if !FAULTS.iter().map(|(what, _)| what).chain(&others).any(|what| table.wants(what)) {
        return Ok(());
    }
    let mut shop = Shop::open(programs, measure).await?;
    for (what, fault) in FAULTS {
        if table.wants(what) {
            let row = one(&mut shop, what, fault, measure.round);
            table.push_or_wrong(what, wait::within(what, measure.round_max(), row).await);
        }
    }
    if table.wants(others[0]) {
        let row = counter::round(&mut shop, measure);
        table.push_or_wrong(others[0], wait::within(others[0], measure.round_max(), row).await);
    }
    if table.wants(day::WHAT) {
        let row = day::round(&mut shop, measure);
        table.push_or_wrong(day::WHAT, wait::within(day::WHAT, measure.day_max(), row).await);
    }
    Ok(())
}

async fn one(shop: &mut Shop, what: &str, fault: Fault, length: Duration) -> anyhow::Result<Row> {
    let before = shop.tills.sales.accepted();
    shop.tills.sales.stalls();
    let (times, said) = match fault {
        Fault::Lies => every_lie(shop).await?,
        Fault::Kill(_) | Fault::Line(..) | Fault::Flap | Fault::FullDisk | Fault::Clocks => {
            inflict(shop, fault, length).await?
        }
    };
    let ended = shop.look_after().await?;
    finish(shop, what, times, before, format!("{said}{}", told_ended(ended))).await
}

/// What a process that ended by itself is worth saying.
pub(crate) fn told_ended(ended: usize) -> String {
    if ended == 0 {
        String::new()
    } else {
        format!("; {ended} processes ended and were started again")
    }
}

/// Waits until everything is as before, and compares.
pub(crate) async fn finish(
    shop: &mut Shop,
    what: &str,
    times: usize,
    before: usize,
    said: String,
) -> anyhow::Result<Row> {
    let during = shop.tills.sales.accepted() - before;
    let (longest, tries) = shop.tills.sales.stalls();
    let mut row = Row { what: what.to_owned(), times, accepted: during, ..Row::default() };
    match shop.await_back().await {
        Ok(back) => row.back = Some(back),
        Err(error) => row.wrong.push(error.to_string()),
    }
    let verdict = shop.tills.sales.compare(shop.node(Node::Main)).await?;
    (row.lost, row.doubled) = (verdict.lost, verdict.doubled);
    row.wrong.extend(verdict.wrong);
    let differing = shop.differences(&[Node::First, Node::Second]).await?;
    if differing > 0 {
        row.wrong.push(format!("{differing} records differ"));
    }
    let waited = format!("longest wait at a till {:.1} s", longest.as_secs_f64());
    let both = if tries > 0 { format!(", {tries} tries found no box") } else { String::new() };
    row.note = format!("{said}{waited}{both}");
    Ok(row)
}

/// Does it for so long; says how often, and what there is to say.
pub(crate) async fn inflict(
    shop: &mut Shop,
    fault: Fault,
    length: Duration,
) -> anyhow::Result<(usize, String)> {
    let begun = now();
    let mut times = 1;
    match fault {
        Fault::Kill(node) => {
            times = 0;
            while begun.elapsed() < length || times < 2 {
                let life = shop.roll(250);
                wait::moment(Duration::from_millis(life)).await;
                shop.kill(node).await?;
                times += 1;
            }
        }
        Fault::Line(line, out, back) => {
            let before = shop.network.set(line, out, back)?;
            wait::moment(length).await;
            let lost = shop.network.set(line, FAIR, FAIR)? - before;
            return Ok((1, format!("{lost} packets lost; ")));
        }
        Fault::Flap => {
            times = 0;
            while begun.elapsed() < length {
                let (down, up) = (shop.roll(1200), shop.roll(800));
                shop.network.set(Line::Wan, CUT, CUT)?;
                wait::moment(Duration::from_millis(down)).await;
                shop.network.set(Line::Wan, FAIR, FAIR)?;
                wait::moment(Duration::from_millis(up)).await;
                times += 1;
            }
        }
        Fault::FullDisk => {
            while begun.elapsed() < length {
                shop.disk.fill()?;
                wait::moment(STEP).await;
            }
            shop.disk.clear();
        }
        Fault::Clocks => times = set_clocks(shop, length).await?,
        Fault::Lies => {
            let lie = LIES[usize::try_from(shop.roll(LIES.len() as u64))?];
            shop.liar.tell(lie);
            shop.import()?;
            // Among other faults the box may be unable to ask anybody.
            shop.node(Node::First).ask(&["refresh", "--full"]).ok();
            wait::moment(length).await;
            shop.liar.tell(Lie::Away);
        }
    }
    Ok((times, String::new()))
}

async fn set_clocks(shop: &mut Shop, length: Duration) -> anyhow::Result<usize> {
    let times = [DAY, wall() + DAY, wall().saturating_sub(DAY / 24), wall() + DAY * 3650];
    for time in times {
        shop.clock.set(time, 1)?;
        // A box without a battery for its clock wakes up like this.
        if time == DAY {
            for node in NODES {
                shop.kill(node).await?;
            }
        }
        shop.import()?;
        wait::moment(length / 4).await;
    }
    shop.clock.set(wall(), 1)?;
    Ok(times.len())
}

/// Each lie is told to a box that has not been lied to yet: a source that was found out is left alone for long.
async fn every_lie(shop: &mut Shop) -> anyhow::Result<(usize, String)> {
    let mut said = Vec::new();
    for lie in LIES {
        shop.pull_plug(Node::First);
        shop.liar.tell(lie);
        shop.import()?;
        shop.start(Node::First).await?;
        let what = format!("{lie:?} is told, and head office believed instead");
        let mut refused = Ok(());
        for _ in 0..TOLD_AGAIN_MAX {
            refused = wait::until(&what, TOLD_WITHIN, || is_refused(shop, lie)).await;
            if refused.is_ok() {
                break;
            }
            // Head office or the neighbour was faster; there is something to ask for once more.
            shop.import()?;
        }
        refused?;
        let differing = shop.differences(&[Node::First]).await?;
        ensure!(differing == 0, "{lie:?} was believed: {differing} records differ");
        said.push(format!("{lie:?} {}", shop.liar.told()));
        shop.liar.tell(Lie::Away);
    }
    Ok((LIES.len(), format!("lies told and refused: {}; ", said.join(", "))))
}

/// Whether the lie was told, the box noticed who told it, and has what head office has.
async fn is_refused(shop: &Shop, lie: Lie) -> anyhow::Result<bool> {
    if shop.liar.told() == 0 {
        return Ok(false);
    }
    let status = shop.node(Node::First).control("GET", "/v1/status", None).await?;
    let sources = status["sources"].as_array().context("sources")?;
    let liar = sources.iter().find(|source| source["id"] == "liar").context("the liar")?;
    // What was true once is no fault: it is only passed over.
    let is_found_out = lie == Lie::Old || liar["opened"].as_u64() > Some(0);
    Ok(is_found_out && shop.is_level(Node::First).await?)
}
