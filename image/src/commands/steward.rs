//! What systemd starts on a box.

use std::io::Write;
use std::path::Path;

use super::Failure;
use crate::args::BoxCommand;
use crate::steward::start::Shop;
use crate::steward::{Places, announce, confirm, disk, history, papers, start, update};

pub(super) fn run(command: &BoxCommand, out: &mut dyn Write) -> Result<(), Failure> {
    let places = Places::new(Path::new("/"));
    match command {
        BoxCommand::Disk => writeln!(out, "{}", disk::open(&places)?.as_str())?,
        BoxCommand::Start => tell(&start::start(&places)?, out)?,
        BoxCommand::Papers => papers::adopt(&places)?,
        BoxCommand::Announce => announce::announce(&places)?,
        BoxCommand::Confirm => confirm::confirm(&places)?,
        BoxCommand::Deadline => confirm::deadline(&places)?,
        BoxCommand::Failed => confirm::failed(&places)?,
        BoxCommand::Update { file, older, again, no_restart } => {
            let wish = update::Wish { older: *older, again: *again, no_restart: *no_restart };
            let installed = update::update(&places, file.as_deref(), wish)?;
            if !installed {
                update::tidy(&places)?;
                writeln!(out, "nothing to install")?;
            }
        }
        BoxCommand::History => {
            for line in history::load(&places)? {
                let json = serde_json::to_string(&line).expect("it was JSON before");
                writeln!(out, "{json}")?;
            }
        }
    }
    Ok(())
}

fn tell(shop: &Shop, out: &mut dyn Write) -> std::io::Result<()> {
    match shop {
        Shop::TakenIn { node, store } => writeln!(out, "taken in: {node} in store {store}"),
        Shop::Known => writeln!(out, "the shop is known"),
        Shop::Unprovisioned => writeln!(out, "no file of a shop yet"),
        Shop::Wrong { why, waits: true } => writeln!(out, "the box waits: {why}"),
        Shop::Wrong { why, waits: false } => writeln!(out, "left as it was: {why}"),
    }
}
