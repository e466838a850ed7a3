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

impl Machine {
    /// Switches a machine on. Its files are in `folder`, inside the tools' tree: `disk.raw`, and if
    /// there are, `stick.img`, the folder `tpm` of its TPM, and `uuid`, the number of its board.
    pub(crate) fn start(tools: &Tools, folder: &Path) -> anyhow::Result<Self> {
        let wire = format!("tap,id=wire,ifname={},script=no,downscript=no", lan::WIRE);
        Self::start_on(&wire, tools, folder)
    }

    /// One whose cable leads nowhere.
    pub(crate) fn start_unplugged(tools: &Tools, folder: &Path) -> anyhow::Result<Self> {
        Self::start_on("user,id=wire,restrict=on", tools, folder)
    }

    fn start_on(wire: &str, tools: &Tools, folder: &Path) -> anyhow::Result<Self> {
        for name in ["shell.sock", "qmp.sock", "tpm.sock"] {
            let _ = fs::remove_file(folder.join(name));
        }
        let vars = folder.join("vars.fd");
        fs::copy(tools.root().join("usr/share/OVMF/OVMF_VARS_4M.fd"), &vars)?;
        let at = |name: &str| tools.inside(&folder.join(name)).display().to_string();
        let mut command = tools.command("qemu-system-x86_64");
        command.args(["-machine", "q35", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2"]);
        command.args(["-m", &MEMORY_MB.to_string(), "-nodefaults", "-display", "none"]);
        command.args(["-serial", &format!("file:{}", at("console.log"))]);
        command.args(["-serial", &format!("unix:{},server=on,wait=off", at("shell.sock"))]);
        command.args(["-qmp", &format!("unix:{},server=on,wait=off", at("qmp.sock"))]);
        let firmware = "if=pflash,format=raw,readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.fd";
        command.args(["-drive", firmware]);
        command.args(["-drive", &format!("if=pflash,format=raw,file={}", at("vars.fd"))]);
        let disk = format!("if=none,id=disk,format=raw,discard=unmap,file={}", at("disk.raw"));
        command.args(["-drive", &disk, "-device", "virtio-blk-pci,drive=disk,bootindex=0"]);
        if folder.join("stick.img").exists() {
            let stick = format!("if=none,id=stick,format=raw,file={}", at("stick.img"));
            command.args(["-drive", &stick, "-device", "qemu-xhci"]);
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
        command.args(["-netdev", wire, "-device", "virtio-net-pci,netdev=wire,romfile="]);
        command.args(["-device", "i6300esb", "-action", "watchdog=reset"]);
        command.args(["-device", "virtio-rng-pci"]);
        for (name, unit) in [
            ("systemd.extra-unit.trial-shell.service", SHELL_UNIT),
            ("systemd.unit-dropin.sysinit.target", SHELL_WANTED),
        ] {
            let unit = BASE64_STANDARD.encode(unit);
            let value = format!("type=11,value=io.systemd.credential.binary:{name}={unit}");
            command.args(["-smbios", &value]);
        }
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

    fn order(&mut self, word: &str) -> anyhow::Result<()> {
        ensure!(self.child.try_wait()?.is_none(), "the emulator ended: {}", self.last_words());
        let mut stream = UnixStream::connect(self.folder.join("qmp.sock"))?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        let mut answers = BufReader::new(stream.try_clone()?).lines();
        answers.next().context("the emulator greets")??;
        for word in ["qmp_capabilities", word] {
            writeln!(stream, "{{\"execute\":\"{word}\"}}")?;
            loop {
                let answer = answers.next().context("the emulator answers")??;
                if answer.contains("\"return\"") {
                    break;
                }
                if answer.contains("\"error\"") {
                    bail!("the emulator refuses {word}: {answer}");
                }
            }
        }
        Ok(())
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
