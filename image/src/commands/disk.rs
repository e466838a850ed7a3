//! What a technician does with disks: list, flash, verify.

use std::fs;
use std::io::{self, BufRead, IsTerminal, Write};
use std::path::Path;

use indicatif::{ProgressBar, ProgressStyle};

use super::target::Target;
use super::{Failure, io_error, provision, release};
use crate::args::{FlashArgs, VerifyArgs};
use crate::block::{self, Bus, Disk, Refusal, Roots};
use crate::flash::{self, FlashError, Phase, Progress};
use crate::layout::Layout;
use crate::manifest::{Policy, Version};
use crate::medium::{DiskMedium, Medium, ReadMode};
use crate::verify;
use crate::words;

pub(super) fn list(out: &mut dyn Write) -> Result<(), Failure> {
    let needs = Layout::shipped().disk_bytes_min();
    let disks = block::list(&Roots::default())?;
    let verdict = |disk: &Disk| disk.admit(needs, None);
    let (free, refused): (Vec<_>, Vec<_>) =
        disks.into_iter().map(|disk| (verdict(&disk), disk)).partition(|(v, _)| v.is_ok());
    if free.is_empty() {
        writeln!(out, "No disk to flash. Plug in a stick, a card or a disk, and look again.")?;
    } else {
        writeln!(out, "Disks to flash:")?;
    }
    for (_, disk) in free {
        writeln!(out, "  {disk}")?;
    }
    if !refused.is_empty() {
        writeln!(out, "Left alone:")?;
    }
    for (verdict, disk) in refused {
        writeln!(out, "  {disk}")?;
        match verdict {
            Err(Refusal::Unconfirmed { why, .. }) => {
                writeln!(out, "    {why}; to flash it, add --confirm {}", disk.confirmation())?;
            }
            Err(refusal) => writeln!(out, "    {refusal}")?,
            Ok(()) => {}
        }
    }
    Ok(())
}

pub(super) fn flash(args: &FlashArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let mut release = release::open(&args.release)?;
    let map = release.manifest().disk.as_ref().ok_or(FlashError::NoDisk)?;
    let needs = flash::disk_bytes_min(map);
    // Before the first byte is written: a file with errors must not cost a second flash.
    let shop = args.provision.as_deref().map(provision::read).transpose()?;
    let target = Target::find(&args.to)?;
    let mut medium = target.open(needs, args.confirm.as_deref())?;
    if !args.yes && !matches!(target, Target::File { is_new: true, .. }) {
        ask(&target)?;
    }
    let bar = Bar::new(args.json);
    let mut printed = Ok(());
    let flashed = flash::flash(&mut release, &mut medium, &mut |progress| {
        bar.show(progress);
        if args.json && printed.is_ok() {
            printed = print_json(out, progress);
        }
    })?;
    bar.0.finish_and_clear();
    printed?;
    let version = release.manifest().version;
    writeln!(
        out,
        "{target}: release {version} written ({}), read back {} ({}), kept {} of an earlier try",
        words::size(flashed.written),
        words::size(flashed.read_back),
        mode(&medium),
        words::size(flashed.kept),
    )?;
    if let Some((name, bytes)) = shop {
        let shop = provision::put(&mut medium, &name, &bytes)?;
        writeln!(out, "provisioned as {} for store {}", shop.node, shop.store)?;
    }
    drop(medium);
    if args.eject {
        return eject(&args.to, out);
    }
    writeln!(out, "done; {} can be taken out", args.to.display())?;
    Ok(())
}

/// Has the kernel forget the disk: what was written is on it, and no program can open it again.
pub(super) fn eject(path: &Path, out: &mut dyn Write) -> Result<(), Failure> {
    let target = Target::find(path)?;
    let Target::Disk { disk, .. } = &target else {
        return Err(Failure::NotADisk { path: path.to_owned() });
    };
    disk.admit(0, Some(&disk.confirmation()))?;
    let forget = Roots::default().sys.join("block").join(&disk.name).join("device/delete");
    if disk.bus != Bus::Usb || !forget.exists() {
        return Err(Failure::BuiltIn { name: disk.name.clone() });
    }
    // Opened alone and flushed first: nobody else may be writing.
    let mut medium = target.open_existing()?;
    medium.flush().map_err(io_error("flush", path))?;
    drop(medium);
    fs::write(&forget, "1").map_err(io_error("let go of", path))?;
    writeln!(out, "{} can be taken out", path.display())?;
    Ok(())
}

fn print_json(out: &mut dyn Write, progress: Progress) -> io::Result<()> {
    let Progress { phase, done, total } = progress;
    let phase = match phase {
        Phase::Resume => "resume",
        Phase::Write => "write",
        Phase::ReadBack => "read-back",
    };
    writeln!(out, "{{\"phase\":\"{phase}\",\"done\":{done},\"total\":{total}}}")
}

fn phase_word(phase: Phase) -> &'static str {
    match phase {
        Phase::Resume => "looking at what is there",
        Phase::Write => "writing",
        Phase::ReadBack => "reading back",
    }
}

fn mode(medium: &DiskMedium) -> &'static str {
    match medium.read_mode() {
        ReadMode::Direct => "from the medium",
        ReadMode::CacheDropped => "with the cache dropped",
    }
}

/// The last question before a disk is lost.
fn ask(target: &Target) -> Result<(), Failure> {
    let stdin = io::stdin();
    if !stdin.is_terminal() {
        return Err(Failure::NotConfirmed);
    }
    let mut terminal = io::stderr();
    write!(terminal, "{target}\nEverything on it will be lost. Type yes to go on: ")?;
    terminal.flush()?;
    let mut line = String::new();
    stdin.lock().read_line(&mut line)?;
    if line.trim() == "yes" { Ok(()) } else { Err(Failure::NotConfirmed) }
}

/// A line on the terminal; silent where there is none.
struct Bar(ProgressBar);

impl Bar {
    fn new(hidden: bool) -> Self {
        if hidden {
            return Self(ProgressBar::hidden());
        }
        let template = "{msg:>24} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}";
        let style = ProgressStyle::with_template(template).expect("the template is well-formed");
        Self(ProgressBar::new(0).with_style(style))
    }

    fn show(&self, progress: Progress) {
        let word = phase_word(progress.phase);
        if self.0.message() != word {
            self.0.reset();
            self.0.set_message(word);
        }
        self.0.set_length(progress.total);
        self.0.set_position(progress.done);
    }
}

pub(super) fn verify(args: &VerifyArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let mut release = release::open(&args.release)?;
    if let Some(board) = &args.board {
        let floor = args.floor.unwrap_or(Version { major: 0, minor: 0, patch: 0 });
        let (board, installed, older_allowed) = (board.clone(), args.installed, args.older);
        release.manifest().admit(&Policy { board, installed, floor, older_allowed })?;
    }
    let bar = Bar::new(false);
    let Some(disk) = &args.on else {
        let total = release.content_bytes();
        release.check_content(&mut |done| {
            bar.show(Progress { phase: Phase::ReadBack, done, total });
        })?;
        bar.0.finish_and_clear();
        let version = release.manifest().version;
        writeln!(out, "release {version} is whole and signed with key {}", release.key())?;
        return Ok(());
    };
    fs::metadata(disk).map_err(io_error("find", disk))?;
    let mut medium = Target::find(disk)?.open_existing()?;
    let verified = verify::verify(&mut release, &mut medium, &mut |done, total| {
        bar.show(Progress { phase: Phase::ReadBack, done, total });
    })?;
    bar.0.finish_and_clear();
    for part in &verified.partitions {
        let verdict = match (part.differs_at.as_slice(), part.changes_in_use, part.bytes) {
            (_, _, 0) => "not part of the release".to_owned(),
            ([], _, _) => "as released".to_owned(),
            (_, true, _) => "changed, as is normal once the box has run".to_owned(),
            ([at, ..], false, _) => format!("DIFFERS, first near byte {at}"),
        };
        writeln!(out, "{:<10} {verdict}", part.name)?;
    }
    if verified.is_whole() { Ok(()) } else { Err(Failure::Differs) }
}
