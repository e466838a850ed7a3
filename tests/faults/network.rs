//! The networks: this process and the first box are on the shop's, head office and the second box each on one of their
//! own, and between them are lines with weather.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, anyhow, ensure};
use nix::sched::{CloneFlags, unshare};
use serde_json::{Value, json};
use storebox_tests::netns;

use crate::{disk, leavings};

pub(crate) const HEAD_OFFICE: &str = "10.66.0.1";
pub(crate) const FIRST: &str = "10.67.0.1";
pub(crate) const SECOND: &str = "10.67.0.2";
const SHOP: &str = "10.66.0.2";

/// Where `ip` keeps the names of networks.
const NAMES: &str = "/run/netns";

/// Leaves the computer's network and sees mounts of its own from now on: networks, their names and small disks end with
/// the last process in them, however that ends.
pub(crate) fn enter() -> anyhow::Result<()> {
    let own = CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS;
    unshare(own).context("make a network; this needs root")?;
    disk::mount(&["--make-rprivate", "/"])?;
    fs::create_dir_all(NAMES)?;
    disk::mount(&["-t", "tmpfs", "tmpfs", NAMES])?;
    ip(&["link", "set", "lo", "up"])?;
    fs::write("/proc/sys/net/ipv4/ip_forward", "1").context("let the second box through")
}

fn ip(words: &[&str]) -> anyhow::Result<()> {
    netns::ip(words).map(drop).map_err(|why| anyhow!("ip {words:?}: {why}"))
}

/// What happens to packets in one direction of a line.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Weather {
    pub(crate) cut: bool,
    /// Of a hundred.
    pub(crate) loss: u32,
    pub(crate) double: u32,
    pub(crate) delay_ms: u32,
    pub(crate) jitter_ms: u32,
    /// 0: as many as there are.
    pub(crate) bytes_s: u32,
}

pub(crate) const FAIR: Weather =
    Weather { cut: false, loss: 0, double: 0, delay_ms: 0, jitter_ms: 0, bytes_s: 0 };
pub(crate) const CUT: Weather = Weather { cut: true, ..FAIR };

impl Weather {
    fn order(self) -> Value {
        let of_1 = |percent: u32| f64::from(percent) / 100.0;
        json!({"cut": self.cut, "loss": of_1(self.loss), "double": of_1(self.double),
               "delay_ms": self.delay_ms, "jitter_ms": self.jitter_ms, "bytes_s": self.bytes_s})
    }
}

/// One of the two lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Line {
    /// The shop and head office.
    Wan,
    /// The first box and the second.
    Lan,
}

/// The other two networks and the lines to them; all of it goes with this handle.
pub(crate) struct Network {
    names: [String; 2],
    carrier: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Network {
    pub(crate) fn build(seed: u64) -> anyhow::Result<Self> {
        let names = ["office", "second"].map(leavings::name);
        for name in &names {
            ip(&["netns", "add", name])?;
            ip(&["-n", name, "link", "set", "lo", "up"])?;
        }
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("faults/weather.py");
        let mut carrier = Command::new("python3")
            .arg(script)
            .arg(seed.to_string())
            .arg(format!("wan,{SHOP},{},{HEAD_OFFICE}", names[0]))
            .arg(format!("lan,{FIRST},{},{SECOND}", names[1]))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("start python3, which carries the packets")?;
        let orders = carrier.stdin.take().context("piped")?;
        let mut answers = BufReader::new(carrier.stdout.take().context("piped")?);
        let mut ready = String::new();
        answers.read_line(&mut ready)?;
        let network = Self { names, carrier, orders, answers };
        ensure!(ready == "ready\n", "the lines could not be made");
        ip(&["-n", &network.names[0], "route", "add", "default", "via", SHOP])?;
        ip(&["-n", &network.names[1], "route", "add", "default", "via", FIRST])?;
        Ok(network)
    }

    /// The network of head office.
    pub(crate) fn office(&self) -> &str {
        &self.names[0]
    }

    /// The network of the second box.
    pub(crate) fn second(&self) -> &str {
        &self.names[1]
    }

    /// Sets the weather of a line away from this network and towards it; says how many packets were lost there so far.
    pub(crate) fn set(&mut self, line: Line, out: Weather, back: Weather) -> anyhow::Result<u64> {
        let name = match line {
            Line::Wan => "wan",
            Line::Lan => "lan",
        };
        let order = json!({"line": name, "out": out.order(), "in": back.order()});
        writeln!(self.orders, "{order}")?;
        let mut told = String::new();
        self.answers.read_line(&mut told)?;
        let told: Value = serde_json::from_str(&told).context("the lines are gone")?;
        Ok(["out", "in"].iter().filter_map(|way| told[way][1].as_u64()).sum())
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let _ = self.carrier.kill();
        let _ = self.carrier.wait();
        for name in &self.names {
            let _ = ip(&["netns", "del", name]);
        }
    }
}
