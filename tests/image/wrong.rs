//! The first hours of a new box with a printer: a shop's file with errors, a good one, papers of head office.
//!
//! With errors the box says so on console, volume and paper, changes nothing and waits; the next start takes a good file
//! and prints the address; the one that finds papers prints the code that lets the first till in.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};

use crate::figures::say;
use crate::machine::{Machine, Parts};
use crate::printer::Printer;
use crate::start::{Bench, PATIENCE};
use crate::{disk, lan, shell};

const WORDS: &str = "line 3: store: must be 1 to 32 of a-z";
const STORE: &str = "0421";

/// The box, apart from the bench's own.
struct Stand<'a> {
    bench: &'a Bench,
    folder: PathBuf,
}

impl Stand<'_> {
    fn raw(&self) -> PathBuf {
        self.folder.join("disk.raw")
    }

    /// Switches it on, with a printer in its USB port.
    fn start(&self) -> anyhow::Result<(Machine, Printer)> {
        let socket = self.folder.join("printer.sock");
        let printer = Printer::at(&socket)?;
        let parts = Parts { plugged: true, printer: Some(&socket), ..Parts::default() };
        Ok((Machine::of(parts, &self.bench.tools, &self.folder)?, printer))
    }

    /// The program as head office runs it.
    fn office(&self, words: &[&str]) -> anyhow::Result<String> {
        let output = Command::new(&self.bench.storebox).args(words).output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "storebox {words:?}: {said}");
        Ok(String::from_utf8(output.stdout)?)
    }
}

/// Starts a box of its own with such a file, and goes on until a till is let in.
pub(crate) async fn file_is_refused(bench: &Bench) -> anyhow::Result<()> {
    let folder = bench.folder.join("wrong");
    fs::create_dir_all(&folder)?;
    let stand = Stand { bench, folder };
    disk::flash(&bench.old.join("disk.img"), &stand.raw())?;
    told_and_waits(&stand).await?;
    say(
        "a shop's file with errors: told on console, volume and paper, nothing changed, the box waits",
    );
    address_is_printed(&stand).await?;
    say("corrected, it is taken in; the address comes out of the printer");
    code_is_printed(&stand).await?;
    say("with papers of head office a code comes out of the printer, and lets a till in");
    Ok(fs::remove_dir_all(&stand.folder)?)
}

async fn told_and_waits(stand: &Stand<'_>) -> anyhow::Result<()> {
    disk::provision_wrongly(&stand.raw())?;
    let (mut machine, printer) = stand.start()?;
    machine.await_console(WORDS, 1, PATIENCE).await?;
    let printed = printer.await_words(WORDS, PATIENCE).await;
    shell::ready(&machine, PATIENCE).await?;
    if printed.is_err() {
        let log = "ls -l /dev/usb; dmesg | grep -i -E 'usb|lp' | tail -20; journalctl -b -o cat -u storebox-announce";
        say(&shell::attempt(&machine, log, PATIENCE)?.1);
    }
    printed?;
    shell::run(&machine, "systemctl is-system-running --wait; sync", PATIENCE).ok();
    let served = shell::run(&machine, "systemctl is-active storebox.service || true", PATIENCE)?;
    ensure!(served == "inactive", "the service is {served}");
    shell::run(&machine, "test -e /run/storebox-box/waiting", PATIENCE)?;
    // What a disk is made as it stays, so none is made before somebody could say as what.
    shell::run(&machine, "test ! -e /dev/disk/by-partlabel/data", PATIENCE)?;
    let kept = shell::run(&machine, "ls /var/lib/storebox-box 2>/dev/null || true", PATIENCE)?;
    ensure!(!kept.contains("etc"), "half applied: {kept}");
    // What would restart an unconfirmed start must leave a waiting box alone.
    for unit in ["storebox-failed", "storebox-deadline"] {
        shell::run(&machine, &format!("systemctl start {unit}.service"), PATIENCE)?;
    }
    shell::run(&machine, "sync", PATIENCE)?;
    ensure!(!printer.paper().contains("address"), "a box that waits has no address to tell");
    drop(machine);
    let answer = disk::answer(&stand.raw())?;
    ensure!(answer.starts_with("NOT taken in") && answer.contains(WORDS), "{answer}");
    Ok(())
}

async fn address_is_printed(stand: &Stand<'_>) -> anyhow::Result<()> {
    disk::provision_for_https(&stand.raw())?;
    let (machine, printer) = stand.start()?;
    shell::ready(&machine, PATIENCE).await?;
    confirmed(&machine)?;
    printer.await_words(&format!("address    http://{}/", lan::BOX), PATIENCE).await?;
    let paper = printer.paper();
    ensure!(paper.contains("store      0421") && paper.contains("REQUEST.JSON"), "{paper}");
    ensure!(!paper.contains("a till"), "no papers, no code: {paper}");
    shell::run(&machine, "sync", PATIENCE).map(|_| ())
}

async fn code_is_printed(stand: &Stand<'_>) -> anyhow::Result<()> {
    let at = |name: &str| stand.folder.join(name).display().to_string();
    let (office, request) = (at("office"), at("request.json"));
    fs::write(&request, disk::request(&stand.raw())?)?;
    for site in ["head-office", STORE] {
        stand.office(&["site", "new", "--office", &office, site])?;
    }
    let papers = stand.office(&["site", "issue", "--office", &office, STORE, &request])?;
    disk::put_papers(&stand.raw(), papers.as_bytes())?;
    let (machine, printer) = stand.start()?;
    shell::ready(&machine, PATIENCE).await?;
    printer.await_words("a till     ", PATIENCE).await?;
    // The line is complete once the paper is fed.
    printer.await_words("\n\n\n\n\n\n", PATIENCE).await?;
    let paper = printer.paper();
    let code = paper.lines().find_map(|line| line.strip_prefix("a till     "));
    let code = code.with_context(|| format!("no code: {paper}"))?;
    // Until when it counts stands behind it.
    let code = code.split("until").next().unwrap_or_default().replace(' ', "");
    confirmed(&machine)?;
    let (dir, door) = (at("till-1"), format!("{}:8443", lan::BOX.ip()));
    let join = ["enrol", "join", "--dir", &dir, "--name", "till-1", "--code", &code];
    stand.office(&[&join[..], &["--address", &door]].concat())?;
    ensure!(Path::new(&dir).exists(), "the till has its papers");
    Ok(())
}

fn confirmed(machine: &Machine) -> anyhow::Result<()> {
    let until = "until [ -e /run/storebox-box/confirmed ]; do sleep 1; done";
    shell::run(machine, until, PATIENCE).map(|_| ())
}
