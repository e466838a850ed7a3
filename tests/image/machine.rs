//! A box as QEMU emulates it: two processors, 512 MB, a disk, a wire, a watchdog.
//!
//! Never by KVM: what the computer calls KVM may be another machine's emulation and kill its guests.
//! A root shell on the second serial port comes from the firmware's tables, which only the owner of
//! the emulator writes; nothing in the image opens one.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use storebox_image::build::tools::Tools;
use storebox_tests::wait;

use crate::lan;

const MEMORY_MB: u32 = 512;
/// The kernel counts a process's time in hundredths of a second.
const TICKS: f64 = 100.0;
/// Orders to the emulator, and keeping or taking up the state of a machine, take no longer.
const ORDER_MAX: Duration = Duration::from_secs(120);

const SHELL_UNIT: &str = "[Unit]\nDefaultDependencies=no\nConflicts=shutdown.target\n\
    [Service]\nExecStart=/bin/sh\nStandardInput=tty-force\nStandardOutput=tty\nTTYPath=/dev/ttyS1\n\
    Environment=HOME=/ TERM=dumb\nRestart=always\nKillMode=process\nIgnoreSIGPIPE=no\n";
const SHELL_WANTED: &str = "[Unit]\nWants=trial-shell.service\n";

/// A running machine; it loses its power when this is dropped.
pub(crate) struct Machine {
    child: Child,
    /// Its TPM, a program that ends with it.
    _tpm: Option<Tpm>,
    folder: PathBuf,
    started: Instant,
}

/// What a machine is put together from, beside what all have.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Parts<'a> {
    /// Whether its cable leads to us.
    pub(crate) plugged: bool,
    /// The socket of the drive that its disk is; without one, the disk is the file `disk.raw`.
    pub(crate) drive: Option<&'a Path>,
    /// The socket of a printer in its USB port.
    pub(crate) printer: Option<&'a Path>,
    /// The state that it goes on from; without one, it starts.
    pub(crate) state: Option<&'a Path>,
    /// What its clock shows when it is switched on, such as `2026-11-23T20:00:00`; without, the time.
    pub(crate) clock: Option<&'a str>,
}

impl Machine {
    /// Switches a machine on. Its files are in `folder`, inside the tools' tree: `disk.raw`, and if
    /// there are, `stick.img`, the folder `tpm` of its TPM, and `uuid`, the number of its board.
    pub(crate) fn start(tools: &Tools, folder: &Path) -> anyhow::Result<Self> {
        Self::of(Parts { plugged: true, ..Parts::default() }, tools, folder)
    }

    /// One whose cable leads nowhere.
    pub(crate) fn start_unplugged(tools: &Tools, folder: &Path) -> anyhow::Result<Self> {
        Self::of(Parts::default(), tools, folder)
    }

    /// One that is put together from these.
    pub(crate) fn of(parts: Parts<'_>, tools: &Tools, folder: &Path) -> anyhow::Result<Self> {
        for name in ["shell.sock", "qmp.sock", "tpm.sock"] {
            let _ = fs::remove_file(folder.join(name));
        }
        let vars = folder.join("vars.fd");
        if parts.state.is_none() {
            fs::copy(tools.root().join("usr/share/OVMF/OVMF_VARS_4M.fd"), &vars)?;
        }
        let seen = |path: &Path| tools.inside(path).display().to_string();
        let at = |name: &str| seen(&folder.join(name));
        let mut command = tools.command("qemu-system-x86_64");
        command.args(["-machine", "q35", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2"]);
        command.args(["-m", &MEMORY_MB.to_string(), "-nodefaults", "-display", "none"]);
        command.args(["-serial", &format!("file:{}", at("console.log"))]);
        command.args(["-serial", &format!("unix:{},server=on,wait=off", at("shell.sock"))]);
        command.args(["-qmp", &format!("unix:{},server=on,wait=off", at("qmp.sock"))]);
        let firmware = "if=pflash,format=raw,readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.fd";
        command.args(["-drive", firmware]);
        command.args(["-drive", &format!("if=pflash,format=raw,file={}", at("vars.fd"))]);
        let disk = match parts.drive {
            Some(socket) => format!("if=none,id=disk,format=raw,file=nbd:unix:{}", seen(socket)),
            None => format!("if=none,id=disk,format=raw,discard=unmap,file={}", at("disk.raw")),
        };
        command.args(["-drive", &disk, "-device", "virtio-blk-pci,drive=disk,bootindex=0"]);
        let stick = folder.join("stick.img");
        if stick.exists() || parts.printer.is_some() {
            command.args(["-device", "qemu-xhci"]);
        }
        if stick.exists() {
            let stick = format!("if=none,id=stick,format=raw,file={}", seen(&stick));
            command.args(["-drive", &stick]);
            command.args(["-device", "usb-storage,drive=stick,serial=trial,removable=on"]);
        }
        let tpm = Tpm::start(folder)?;
        if tpm.is_some() {
            command.args(["-chardev", &format!("socket,id=tpm,path={}", at("tpm.sock"))]);
            command.args(["-tpmdev", "emulator,id=tpm0,chardev=tpm", "-device"]);
            command.arg("tpm-crb,tpmdev=tpm0");
        }
        if let Ok(uuid) = fs::read_to_string(folder.join("uuid")) {
            command.args(["-uuid", uuid.trim()]);
        }
        if let Some(socket) = parts.printer {
            command.args(["-chardev", &format!("socket,id=printer,path={}", seen(socket))]);
            command.args(["-device", "usb-redir,chardev=printer"]);
        }
        let wire = match parts.plugged {
            true => format!("tap,id=wire,ifname={},script=no,downscript=no", lan::WIRE),
            false => "user,id=wire,restrict=on".to_owned(),
        };
        command.args(["-netdev", &wire, "-device", "virtio-net-pci,netdev=wire,romfile="]);
        command.args(["-device", "i6300esb", "-action", "watchdog=reset"]);
        command.args(["-device", "virtio-rng-pci"]);
        if let Some(clock) = parts.clock {
            command.args(["-rtc", &format!("base={clock}")]);
        }
        if let Some(state) = parts.state {
            command.args(["-incoming", &format!("file:{}", seen(state))]);
        }
        open_a_shell(&mut command);
        let log = fs::File::create(folder.join("qemu.log"))?;
        command.stdout(Stdio::null()).stderr(log);
        let child = command.spawn().context("start the emulator")?;
        Ok(Self { child, _tpm: tpm, folder: folder.to_owned(), started: now() })
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Seconds since the power came.
    pub(crate) fn wall_s(&self) -> f64 {
        now().duration_since(self.started).as_secs_f64()
    }

    /// Seconds of a processor that the emulation took so far.
    pub(crate) fn cpu_s(&self) -> anyhow::Result<f64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        let fields: Vec<&str> =
            stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = |at: usize| fields.get(at).and_then(|text| text.parse::<f64>().ok());
        let user = ticks(11).context("read the times of a process")?;
        Ok((user + ticks(12).unwrap_or_default()) / TICKS)
    }

    /// What came out of the first serial port.
    pub(crate) fn console(&self) -> String {
        let bytes = fs::read(self.folder.join("console.log")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Waits until the console shows these words so many times.
    pub(crate) async fn await_console(
        &mut self,
        words: &str,
        times: usize,
        patience: Duration,
    ) -> anyhow::Result<()> {
        let waited = wait::until(words, patience, || {
            let seen = self.console().matches(words).count() >= times;
            std::future::ready(Ok(seen))
        });
        waited.await.with_context(|| self.last_words())
    }

    /// The end of the console, to be shown with a failure.
    pub(crate) fn last_words(&self) -> String {
        let console = self.console();
        let lines: Vec<&str> = console.lines().filter(|line| !line.trim().is_empty()).collect();
        format!("the console ends with\n{}", lines[lines.len().saturating_sub(25)..].join("\n"))
    }

    /// Holds the machine still; what it wrote so far is what a loss of power would leave.
    pub(crate) fn freeze(&mut self) -> anyhow::Result<()> {
        self.order("stop")
    }

    /// Lets it go on as if nothing had been.
    pub(crate) fn thaw(&mut self) -> anyhow::Result<()> {
        self.order("cont")
    }

    /// Keeps all of it but the disk in this file; it is still then.
    pub(crate) fn keep(&mut self, state: &Path) -> anyhow::Result<()> {
        let uri = format!("file:{}", state.display());
        self.ask(&format!(r#"{{"execute":"migrate","arguments":{{"uri":"{uri}"}}}}"#))?;
        self.await_answer("query-migrate", "\"status\": \"completed\"")
    }

    /// Waits until it has everything that it goes on from, and lets it.
    pub(crate) fn go_on(&mut self) -> anyhow::Result<()> {
        let answers = || UnixStream::connect(self.folder.join("qmp.sock")).is_ok();
        ensure!(wait::held_within(ORDER_MAX, answers), "the emulator does not come up");
        self.await_answer("query-migrate", "\"status\": \"completed\"")?;
        self.order("cont")
    }

    fn await_answer(&mut self, word: &str, words: &str) -> anyhow::Result<()> {
        let mut said = Ok(String::new());
        let question = format!("{{\"execute\":\"{word}\"}}");
        let is_said = wait::held_within(ORDER_MAX, || {
            said = self.ask(&question);
            said.as_ref().map_or(true, |said| said.contains(words))
        });
        let said = said?;
        ensure!(is_said, "the emulator answers {word} with {said}");
        Ok(())
    }

    fn order(&mut self, word: &str) -> anyhow::Result<()> {
        self.ask(&format!("{{\"execute\":\"{word}\"}}")).map(|_| ())
    }

    /// Asks the emulator itself, not what runs in it.
    fn ask(&mut self, question: &str) -> anyhow::Result<String> {
        ensure!(self.child.try_wait()?.is_none(), "the emulator ended: {}", self.last_words());
        let mut stream = UnixStream::connect(self.folder.join("qmp.sock"))?;
        stream.set_read_timeout(Some(ORDER_MAX))?;
        let mut answers = BufReader::new(stream.try_clone()?).lines();
        answers.next().context("the emulator greets")??;
        let mut said = String::new();
        for question in [r#"{"execute":"qmp_capabilities"}"#, question] {
            writeln!(stream, "{question}")?;
            loop {
                said = answers.next().context("the emulator answers")??;
                if said.contains("\"return\"") {
                    break;
                }
                if said.contains("\"error\"") {
                    bail!("the emulator refuses {question}: {said}");
                }
            }
        }
        Ok(said)
    }
}

/// A root shell on the second serial port.
fn open_a_shell(command: &mut Command) {
    for (name, unit) in [
        ("systemd.extra-unit.trial-shell.service", SHELL_UNIT),
        ("systemd.unit-dropin.sysinit.target", SHELL_WANTED),
    ] {
        let unit = BASE64_STANDARD.encode(unit);
        let value = format!("type=11,value=io.systemd.credential.binary:{name}={unit}");
        command.args(["-smbios", &value]);
    }
}

/// A TPM made of software; what it keeps is in the folder `tpm`.
struct Tpm(Child);

impl Tpm {
    /// None, where there is no such folder.
    fn start(folder: &Path) -> anyhow::Result<Option<Self>> {
        if !folder.join("tpm").exists() {
            return Ok(None);
        }
        let mut command = Command::new("swtpm");
        // It ends with its machine, also when nobody is left to end it.
        command.args(["socket", "--tpm2", "--terminate", "--tpmstate"]);
        command.arg(format!("dir={}", folder.join("tpm").display()));
        command.arg("--ctrl");
        command.arg(format!("type=unixio,path={}", folder.join("tpm.sock").display()));
        let log = fs::File::create(folder.join("swtpm.log"))?;
        let child = command.stdout(Stdio::null()).stderr(log).spawn().context("start swtpm")?;
        let started = Self(child);
        let up = wait::held_within(Duration::from_secs(30), || folder.join("tpm.sock").exists());
        ensure!(up, "the software TPM does not come up");
        Ok(Some(started))
    }
}

impl Drop for Tpm {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[expect(clippy::disallowed_methods, reason = "it is measured how long a machine takes")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
