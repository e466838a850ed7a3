//! A network of our own with one wire, to the machine: this process is the shop's second host.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::Command;

use anyhow::{Context, ensure};
use nix::sched::{CloneFlags, unshare};

/// The wire's end that the machine is plugged into.
pub(crate) const WIRE: &str = "wire";
pub(crate) const HOST: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 77, 0, 1));
pub(crate) const BOX: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 77, 0, 2)), 8080);

/// Leaves the computer's network; everything that is started from now on is in the new one, which
/// ends with the last of it.
pub(crate) fn enter() -> anyhow::Result<()> {
    unshare(CloneFlags::CLONE_NEWNET).context("make a network; this needs root")?;
    for words in [
        "link set lo up",
        "tuntap add dev wire mode tap",
        "addr add 10.77.0.1/24 dev wire",
        "link set wire up",
        "route add default dev wire",
    ] {
        let status = Command::new("ip").args(words.split(' ')).status().context("start ip")?;
        ensure!(status.success(), "ip {words}: {status}");
    }
    Ok(())
}
