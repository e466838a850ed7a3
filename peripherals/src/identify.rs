//! Which device is plugged in where: names that survive a re-plug, a reboot and an update.
//!
//! The kernel's own names (`ttyUSB0`, `lp0`) go to whoever comes first and are never kept.
//! A device is named by its USB serial number; one without, or one whose number another device
//! claims too, is named by the socket it is plugged into, so that two cheap adapters are told apart.
//! On-board ports have names that do not move.
//!
//! Everything is read from sysfs: no udev library, and nothing is opened, so looking never disturbs
//! a device.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Ports of one host; a hub of hubs has fewer.
const PORTS_MAX: usize = 256;
/// Directories between a port and the root of its bus.
const DEPTH_MAX: usize = 24;

/// A name by which a port is found again.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Identity(String);

impl Identity {
    /// Its text, such as `usb:0403:6001:A50285BI:00` or `path:0000:00:14.0:2.1:00`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What kind of port it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A serial port.
    Serial,
    /// A USB printer.
    UsbPrinter,
}

/// A port that is there now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its lasting name.
    pub identity: Identity,
    /// Where it can be opened, until it is unplugged.
    pub device: PathBuf,
    /// What it is.
    pub kind: Kind,
    /// What the maker calls the USB device, if it says.
    pub product: Option<String>,
}

/// A USB device as sysfs shows it.
#[derive(Debug, Clone)]
struct Usb {
    ids: String,
    serial: Option<String>,
    socket: String,
    interface: String,
    product: Option<String>,
    directory: PathBuf,
}

enum Origin {
    Usb(Usb),
    Board,
}

/// Looks at every serial port and USB printer; `sys` and `dev` are `/sys` and `/dev`.
pub fn scan(sys: &Path, dev: &Path) -> io::Result<Vec<Found>> {
    let mut seen = Vec::new();
    for (class, kind) in [("tty", Kind::Serial), ("usbmisc", Kind::UsbPrinter)] {
        let folder = sys.join("class").join(class);
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        for entry in entries.take(4096) {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if kind == Kind::UsbPrinter && !name.starts_with("lp") {
                continue;
            }
            if let Some(origin) = origin(&folder.join(&name)) {
                seen.push((name, kind, origin));
            }
        }
    }
    seen.truncate(PORTS_MAX);
    Ok(named(seen, dev))
}

/// Where the port of that name can be opened now, if it is plugged in.
pub fn resolve(identity: &Identity, sys: &Path, dev: &Path) -> io::Result<Option<PathBuf>> {
    let found = scan(sys, dev)?.into_iter().find(|found| found.identity == *identity);
    Ok(found.map(|found| found.device))
}

fn named(seen: Vec<(String, Kind, Origin)>, dev: &Path) -> Vec<Found> {
    // Cheap adapters share one serial number; such a number names nobody.
    let mut owners: BTreeMap<(String, String), Vec<PathBuf>> = BTreeMap::new();
    for (_, _, origin) in &seen {
        if let Origin::Usb(Usb { ids, serial: Some(serial), directory, .. }) = origin {
            let owners = owners.entry((ids.clone(), serial.clone())).or_default();
            if !owners.contains(directory) {
                owners.push(directory.clone());
            }
        }
    }
    let alone = |ids: &str, serial: &str| {
        owners.get(&(ids.to_owned(), serial.to_owned())).is_some_and(|owners| owners.len() == 1)
    };
    let mut found: Vec<Found> = seen
        .into_iter()
        .map(|(name, kind, origin)| {
            let folder = if kind == Kind::UsbPrinter { dev.join("usb") } else { dev.to_owned() };
            let (identity, product) = match origin {
                Origin::Board => (format!("port:{name}"), None),
                Origin::Usb(usb) => {
                    let identity = match &usb.serial {
                        Some(serial) if alone(&usb.ids, serial) => {
                            format!("usb:{}:{serial}:{}", usb.ids, usb.interface)
                        }
                        Some(_) | None => format!("path:{}:{}", usb.socket, usb.interface),
                    };
                    (identity, usb.product)
                }
            };
            Found { identity: Identity(identity), device: folder.join(name), kind, product }
        })
        .collect();
    found.sort_by(|a, b| a.identity.cmp(&b.identity));
    found
}

fn origin(class: &Path) -> Option<Origin> {
    let device = fs::canonicalize(class.join("device")).ok()?;
    if let Some(usb) = usb(&device) {
        return Some(Origin::Usb(usb));
    }
    // An on-board port that has no chip behind it says type 0.
    let kind = text(&class.join("type"))?;
    (kind != "0").then_some(Origin::Board)
}

fn usb(device: &Path) -> Option<Usb> {
    let mut interface = "00".to_owned();
    for directory in device.ancestors().take(DEPTH_MAX) {
        if let Some(number) = text(&directory.join("bInterfaceNumber")) {
            interface = number;
        }
        let Some(vendor) = text(&directory.join("idVendor")) else { continue };
        let product = text(&directory.join("idProduct"))?;
        return Some(Usb {
            ids: format!("{vendor}:{product}"),
            serial: text(&directory.join("serial")),
            socket: socket(directory)?,
            interface,
            product: text(&directory.join("product")),
            directory: directory.to_owned(),
        });
    }
    None
}

/// The controller and the chain of hub sockets: `…/0000:00:14.0/usb1/1-2/1-2.1` is
/// `0000:00:14.0:2.1`. The bus's own number is left out; it changes from boot to boot.
fn socket(directory: &Path) -> Option<String> {
    let (_, chain) = directory.file_name()?.to_str()?.split_once('-')?;
    let bus = directory.ancestors().find(|ancestor| {
        let name = ancestor.file_name().and_then(|name| name.to_str());
        name.and_then(|name| name.strip_prefix("usb"))
            .is_some_and(|number| number.parse::<u16>().is_ok())
    })?;
    let controller = bus.parent()?.file_name()?.to_str()?;
    Some(format!("{controller}:{chain}"))
}

/// One line of a sysfs file, with only what may stand in a name.
fn text(path: &Path) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let kept: String =
        text.trim().chars().filter(|c| c.is_ascii_graphic() || *c == ' ').take(64).collect();
    (!kept.is_empty()).then_some(kept)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    struct Tree(tempfile::TempDir);

    impl Tree {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn sys(&self) -> &Path {
            self.0.path()
        }

        /// Plugs an adapter into a socket of a bus.
        fn plug(&self, bus: u8, chain: &str, serial: Option<&str>, class: &str, name: &str) {
            let usb = self.sys().join(format!("devices/pci0/0000:00:14.0/usb{bus}/{bus}-{chain}"));
            let interface = usb.join(format!("{bus}-{chain}:1.0"));
            fs::create_dir_all(&interface).unwrap();
            fs::write(usb.join("idVendor"), "1a86\n").unwrap();
            fs::write(usb.join("idProduct"), "7523\n").unwrap();
            fs::write(usb.join("product"), "USB Serial\n").unwrap();
            fs::write(interface.join("bInterfaceNumber"), "00\n").unwrap();
            if let Some(serial) = serial {
                fs::write(usb.join("serial"), format!("{serial}\n")).unwrap();
            }
            let class = self.sys().join("class").join(class).join(name);
            fs::create_dir_all(&class).unwrap();
            symlink(&interface, class.join("device")).unwrap();
        }

        fn unplug(&self) {
            let _ = fs::remove_dir_all(self.sys().join("class"));
            let _ = fs::remove_dir_all(self.sys().join("devices"));
        }

        fn names(&self) -> Vec<(String, String)> {
            scan(self.sys(), Path::new("/dev"))
                .unwrap()
                .into_iter()
                .map(|found| (found.identity.0, found.device.display().to_string()))
                .collect()
        }
    }

    fn pair(identity: &str, device: &str) -> (String, String) {
        (identity.to_owned(), device.to_owned())
    }

    #[test]
    fn a_device_with_a_serial_number_keeps_its_name_in_every_socket() {
        let tree = Tree::new();
        tree.plug(1, "2", Some("A1"), "tty", "ttyUSB0");
        assert_eq!(tree.names(), [pair("usb:1a86:7523:A1:00", "/dev/ttyUSB0")]);
        tree.unplug();
        tree.plug(2, "4.1", Some("A1"), "tty", "ttyUSB7");
        assert_eq!(tree.names(), [pair("usb:1a86:7523:A1:00", "/dev/ttyUSB7")]);
    }

    #[test]
    fn two_adapters_without_a_serial_number_are_told_apart_by_their_sockets() {
        let tree = Tree::new();
        tree.plug(1, "2", None, "tty", "ttyUSB0");
        tree.plug(1, "3.1", None, "tty", "ttyUSB1");
        let before = tree.names();
        assert_eq!(before[0], pair("path:0000:00:14.0:2:00", "/dev/ttyUSB0"));
        // They come back in another order, and on a bus of another number.
        tree.unplug();
        tree.plug(3, "3.1", None, "tty", "ttyUSB0");
        tree.plug(3, "2", None, "tty", "ttyUSB1");
        let after = tree.names();
        assert_eq!(after[0], pair("path:0000:00:14.0:2:00", "/dev/ttyUSB1"));
        assert_eq!(after[1].0, before[1].0);
    }

    #[test]
    fn a_serial_number_two_devices_claim_names_neither() {
        let tree = Tree::new();
        tree.plug(1, "2", Some("0001"), "tty", "ttyUSB0");
        tree.plug(1, "3", Some("0001"), "tty", "ttyUSB1");
        assert!(tree.names().iter().all(|(identity, _)| identity.starts_with("path:")));
    }

    #[test]
    fn printers_and_board_ports_are_found_and_empty_ones_are_not() {
        let tree = Tree::new();
        tree.plug(1, "2", Some("P1"), "usbmisc", "lp0");
        for (name, kind) in [("ttyS0", "4"), ("ttyS1", "0")] {
            let class = tree.sys().join("class/tty").join(name);
            let device = tree.sys().join("devices/platform").join(name);
            fs::create_dir_all(&class).unwrap();
            fs::create_dir_all(&device).unwrap();
            fs::write(class.join("type"), kind).unwrap();
            symlink(&device, class.join("device")).unwrap();
        }
        fs::create_dir_all(tree.sys().join("class/tty/console")).unwrap();
        assert_eq!(
            tree.names(),
            [pair("port:ttyS0", "/dev/ttyS0"), pair("usb:1a86:7523:P1:00", "/dev/usb/lp0")]
        );
    }

    #[test]
    fn an_unplugged_device_resolves_to_nothing() {
        let tree = Tree::new();
        tree.plug(1, "2", Some("A1"), "tty", "ttyUSB0");
        let found = scan(tree.sys(), Path::new("/dev")).unwrap().remove(0);
        let resolve = || resolve(&found.identity, tree.sys(), Path::new("/dev")).unwrap();
        assert_eq!(resolve(), Some("/dev/ttyUSB0".into()));
        tree.unplug();
        assert_eq!(resolve(), None);
    }

    #[test]
    fn a_host_without_any_port_is_no_error() {
        assert_eq!(scan(Path::new("/nonexistent"), Path::new("/dev")).unwrap(), []);
    }
}
