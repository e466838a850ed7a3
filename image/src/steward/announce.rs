//! Telling people where the box is and how to come in: on every console, and on paper where there is a printer.
//!
//! Paper is used only when there is something new to say, so that a shop with power cuts does not
//! find a roll of slips. The printer is asked in plain text, which every receipt printer prints
//! without knowing its model; one that the shop's service has opened is busy and left alone.
//! USB printers are found a moment after the start; so what the start itself has to say on paper is
//! left for the announcement, which waits for them when all else is told.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;

use super::{Error, Places, disk, papers, replace, run};

const PORT: u16 = 8080;
/// The shop's router may start later than the box.
const LOOKS_MAX: u32 = 600;
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Initialize, the text, and enough empty lines to tear it off.
const PAPER_BEGIN: &[u8] = b"\x1b@";
const PAPER_END: &[u8] = b"\n\n\n\n\n\n";
const PRINTERS_MAX: u8 = 4;
/// A USB printer that was switched on with the box is found within this.
const PAPER_LOOKS_MAX: u32 = 60;
/// What the start left to be printed.
const LEFT: &str = "to-print";
/// What the service is told for a code with which the first till comes in; it lives as long as one may.
pub const PAIRING: [&str; 6] = ["enrol", "code", "--minutes", "15", "--by", "announcement"];

/// Leaves words of the start to be printed once there are printers.
pub(super) fn leave(places: &Places, text: &str) -> Result<(), Error> {
    replace(&places.run().join(LEFT), text.as_bytes())
}

/// Waits for an address and tells it; a box that waits for a person has none to tell.
pub fn announce(places: &Places) -> Result<(), Error> {
    let told = if places.waiting().exists() { Ok(()) } else { announce_address(places) };
    if let Ok(left) = fs::read_to_string(places.run().join(LEFT)) {
        on_paper(places, &left);
    }
    told
}

fn announce_address(places: &Places) -> Result<(), Error> {
    for _ in 0..LOOKS_MAX {
        let addresses = addresses();
        if !addresses.is_empty() {
            return tell(places, &addresses);
        }
        thread::sleep(LOOK_EVERY);
    }
    on_console(places, "no address yet: no cable, or no DHCP server; the box goes on looking");
    Ok(())
}

fn tell(places: &Places, addresses: &[Ipv4Addr]) -> Result<(), Error> {
    let config = fs::read_to_string(places.state().join("etc/storebox.toml")).unwrap_or_default();
    let mut text = words(&config, &places.version()?, addresses);
    if let Some(guard) = disk::guard(places) {
        text += &format!("disk       {guard}\n");
    }
    // A volume that cannot be written must not keep the address from being told.
    if papers::request_onto(places).unwrap_or(false) {
        text += "papers     none yet: bring REQUEST.JSON of the volume SBXCONFIG to\n           \
                 head office, and PAPERS.JSON from there\n";
    }
    let told = places.state().join("announced");
    if fs::read_to_string(&told).is_ok_and(|told| told == text) {
        on_console(places, &text);
        return Ok(());
    }
    let with_code = text.clone() + &pairing();
    on_console(places, &with_code);
    on_paper(places, &with_code);
    replace(&told, text.as_bytes())
}

/// A code for the first till, from a box that has its papers; it ends by itself.
fn pairing() -> String {
    run("storebox", &PAIRING).map(|code| pairing_line(&code)).unwrap_or_default()
}

/// The code as it is announced.
pub fn pairing_line(code: &str) -> String {
    format!("a till     {}\n", code.trim())
}

fn words(config: &str, version: &str, addresses: &[Ipv4Addr]) -> String {
    let value = |key: &str| {
        let line = config.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(" = "));
        line.map(|value| value.trim_matches('"').to_owned())
    };
    let node = value("node").unwrap_or_default();
    let mut text = format!("Storebox {version}\nthis box   {node}\n");
    match value("site") {
        Some(store) => text += &format!("store      {store}\n"),
        None => text += "store      none yet: put storebox.toml on the volume SBXCONFIG\n",
    }
    for address in addresses {
        text += &format!("address    http://{address}:{PORT}/\n");
    }
    text
}

/// The box's own addresses; a link-local one only if there is no other.
fn addresses() -> Vec<Ipv4Addr> {
    let Ok(all) = getifaddrs() else { return Vec::new() };
    let up = InterfaceFlags::IFF_UP | InterfaceFlags::IFF_RUNNING;
    let found: Vec<Ipv4Addr> = all
        .filter(|address| address.flags.contains(up))
        .filter_map(|address| Some(address.address?.as_sockaddr_in()?.ip()))
        .filter(|address| !address.is_loopback())
        .collect();
    let routed: Vec<Ipv4Addr> =
        found.iter().copied().filter(|address| !address.is_link_local()).collect();
    if routed.is_empty() { found } else { routed }
}

/// On every console that the kernel has. Nobody may be listening, and that is no failure.
pub(super) fn on_console(places: &Places, text: &str) {
    let active = places.at("sys/class/tty/console/active");
    for name in fs::read_to_string(active).unwrap_or_default().split_whitespace() {
        if let Ok(mut console) = OpenOptions::new().append(true).open(places.at("dev").join(name)) {
            let _ = write!(console, "\r\n{}\r\n", text.trim_end().replace('\n', "\r\n"));
        }
    }
}

/// On the printers that are free, once there is one.
pub(super) fn on_paper(places: &Places, text: &str) {
    let is_there = || printers(places).any(|path| path.exists());
    for _ in 0..PAPER_LOOKS_MAX {
        if is_there() {
            break;
        }
        thread::sleep(LOOK_EVERY);
    }
    let plain: String = text.chars().map(|c| if c.is_ascii() { c } else { '?' }).collect();
    let slip = [PAPER_BEGIN, plain.as_bytes(), PAPER_END].concat();
    for path in printers(places) {
        if let Ok(mut printer) = OpenOptions::new().write(true).open(path) {
            let _ = printer.write_all(&slip);
        }
    }
}

fn printers(places: &Places) -> impl Iterator<Item = PathBuf> {
    let folder = places.at("dev/usb");
    (0..PRINTERS_MAX).map(move |number| folder.join(format!("lp{number}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_start_left_is_printed_by_a_box_that_waits_and_nothing_else_is() {
        let dir = tempfile::tempdir().unwrap();
        let places = Places::new(dir.path());
        fs::create_dir_all(dir.path().join("dev/usb")).unwrap();
        fs::write(dir.path().join("dev/usb/lp1"), "").unwrap();
        leave(&places, "line 8: store: wrong\nNothing was changed.").unwrap();
        super::super::touch(&places.waiting()).unwrap();
        announce(&places).unwrap();
        let printed = fs::read_to_string(dir.path().join("dev/usb/lp1")).unwrap();
        assert!(printed.contains("line 8: store: wrong\nNothing was changed."), "{printed}");
        assert!(!printed.contains("address"), "{printed}");
    }

    #[test]
    fn people_are_told_name_store_and_address_once_on_paper() {
        let dir = tempfile::tempdir().unwrap();
        let places = Places::new(dir.path());
        for folder in [
            "dev/usb",
            "run/storebox-box",
            "sys/class/tty/console",
            "usr/lib",
            "var/lib/storebox-box/etc",
        ] {
            fs::create_dir_all(dir.path().join(folder)).unwrap();
        }
        let write = |path: &str, text: &str| fs::write(dir.path().join(path), text).unwrap();
        write("usr/lib/os-release", "ID=debian\nIMAGE_VERSION=1.4.0\n");
        write("sys/class/tty/console/active", "ttyS0");
        write("dev/ttyS0", "");
        write("dev/usb/lp0", "");
        write("run/storebox-box/disk", "not sealed");
        write(
            "var/lib/storebox-box/etc/storebox.toml",
            "node = \"a-1\"\n[discovery]\nsite = \"7\"\n",
        );
        let address = Ipv4Addr::new(10, 0, 0, 9);
        tell(&places, &[address]).unwrap();
        let printed = fs::read(dir.path().join("dev/usb/lp0")).unwrap();
        let printed = String::from_utf8(printed).unwrap();
        assert!(printed.contains("this box   a-1\nstore      7\naddress    http://10.0.0.9:8080/"));
        assert!(printed.contains("disk       not sealed\n"), "{printed}");
        write("dev/usb/lp0", "");
        tell(&places, &[address]).unwrap();
        assert_eq!(fs::read(dir.path().join("dev/usb/lp0")).unwrap(), b"", "nothing new to say");
        let console = fs::read_to_string(dir.path().join("dev/ttyS0")).unwrap();
        assert!(console.contains("http://10.0.0.9:8080/\r\n"), "{console}");
    }
}
