//! Twenty-four hours of a shop in minutes, with everything going wrong at once.

use std::fs;
use std::time::Duration;

use storebox_tests::wait;

use crate::Measure;
use crate::clock::wall;
use crate::disk::size_of;
use crate::faults::{FAULTS, Fault, finish, inflict, told_ended};
use crate::network::{CUT, FAIR, Line};
use crate::programs::MEMORY_MAX;
use crate::sales::now;
use crate::shop::{NODES, Node, PATIENCE, Shop};
use crate::table::Row;

pub(crate) const WHAT: &str = "a day of 24 hours, everything at once";
const HOURS: u128 = 24;
const DAY: Duration = Duration::from_secs(86_400);
/// The longest that one fault lasts among the others.
const FAULT_MAX_MS: u64 = 1500;
/// What a box may have resident, and files that it may have open, after the day.
const RESIDENT_MAX: u64 = 256 << 20;
const OPEN_MAX: usize = 1024;
/// What the first box may keep on its disk when everything is settled.
const KEPT_MAX: u64 = 120 << 20;

pub(crate) async fn round(shop: &mut Shop, measure: Measure) -> anyhow::Result<Row> {
    let before = shop.tills.sales.accepted();
    shop.tills.sales.stalls();
    let begun = now();
    // The clock of all boxes begins today and ends tomorrow.
    let pace = u32::try_from(DAY.as_secs() / measure.day.as_secs().max(1))?;
    shop.clock.set(wall(), pace)?;
    let (mut times, mut ended) = (0, 0);
    let mut hour = 0;
    while begun.elapsed() < measure.day {
        let (at, length) = (shop.roll(FAULTS.len() as u64), shop.roll(FAULT_MAX_MS));
        let (_, fault) = FAULTS[usize::try_from(at)?];
        together(shop, fault, Duration::from_millis(length)).await?;
        times += 1;
        ended += shop.look_after().await?;
        if begun.elapsed().as_millis() * HOURS / measure.day.as_millis() > hour {
            hour += 1;
            shop.import()?;
        }
        if matches!(fault, Fault::Clocks) {
            shop.clock.set(wall() + begun.elapsed() * pace, pace)?;
        }
    }
    shop.disk.clear();
    shop.network.set(Line::Wan, FAIR, FAIR)?;
    shop.network.set(Line::Lan, FAIR, FAIR)?;
    shop.clock.set(wall() + DAY, 1)?;
    let standing = shop.tills.close(PATIENCE).await;
    let mut row = finish(shop, WHAT, times, before, told_ended(ended)).await?;
    if standing > 0 {
        row.wrong.push(format!("{standing} tills could not get rid of their sale"));
    }
    weigh_up(shop, &mut row).await?;
    Ok(row)
}

/// The fault, and on top of it a line that is cut or a process that dies.
async fn together(shop: &mut Shop, fault: Fault, length: Duration) -> anyhow::Result<()> {
    match shop.roll(5) {
        0 => {
            let line = if shop.roll(2) == 0 { Line::Wan } else { Line::Lan };
            shop.network.set(line, CUT, CUT)?;
        }
        1 => shop.disk.fill()?,
        2 => {
            let node = NODES[usize::try_from(shop.roll(3))?];
            shop.kill(node).await?;
        }
        _ => {}
    }
    inflict(shop, fault, length).await?;
    if shop.roll(2) == 0 {
        shop.disk.clear();
        shop.network.set(Line::Wan, FAIR, FAIR)?;
        shop.network.set(Line::Lan, FAIR, FAIR)?;
    }
    wait::moment(Duration::from_millis(50)).await;
    Ok(())
}

/// Nothing has grown without a bound.
async fn weigh_up(shop: &mut Shop, row: &mut Row) -> anyhow::Result<()> {
    let mut told = Vec::new();
    for node in NODES {
        let process = shop.node(node);
        let Some(id) = process.id() else { continue };
        let status = fs::read_to_string(format!("/proc/{id}/status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
        let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse().unwrap_or(u64::MAX >> 10);
        let open = fs::read_dir(format!("/proc/{id}/fd"))?.count();
        let (kept, files) = size_of(&process.data());
        told.push(format!(
            "{} MB resident, {open} open, {files} files of {} MB",
            kilobytes >> 10,
            kept >> 20
        ));
        if kilobytes << 10 > RESIDENT_MAX
            || open > OPEN_MAX
            || (node == Node::First && kept > KEPT_MAX)
        {
            row.wrong.push(format!("{node:?} has grown: {}", told.join("; ")));
        }
    }
    let most = shop.bound.as_ref().map_or(0, |bound| bound.most());
    if most >= MEMORY_MAX {
        row.note.push_str("; the first box was at its bound of 512 MB");
    }
    let bound = match shop.bound {
        Some(_) => format!("bounded to 512 MB with its files' cache, {} MB at most", most >> 20),
        None => "without a bound on memory: the kernel has none for us".to_owned(),
    };
    let restarts = shop.restarts;
    row.note = format!(
        "{}; head office, first, second box: {}; first box {bound}; {restarts} starts that failed at first",
        row.note,
        told.join("; ")
    );
    Ok(())
}
