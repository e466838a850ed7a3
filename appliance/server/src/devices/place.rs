//! Where a device is, in words that stay true when it is plugged in again or the box restarts.
//!
//! The names of the kernel (`ttyUSB0`) follow the order of plugging and are believed only when a person wrote them
//! down; otherwise the device is found by what it is (vendor, product, serial number) or by the socket it is in.
//! Two adapters that cannot be told apart are never guessed between.
//!
//! Nothing is opened here: all of this is read from the kernel's own directories.

use std::fmt;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Directories of the kernel in which ports are listed.
const CLASSES: [&str; 2] = ["tty", "usbmisc"];
/// Ports that are looked at.
const PORTS_MAX: usize = 1024;

/// Where a device is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// A path that a person vouches for.
    Path(PathBuf),
    /// A USB device by what it says about itself.
    Usb {
        /// Its vendor.
        vendor: u16,
        /// Its product.
        product: u16,
        /// Its serial number, if it has one.
        serial: Option<String>,
    },
    /// Whatever is plugged into this USB socket.
    UsbPort(String),
    /// On the network.
    Tcp(SocketAddr),
}

/// A text that is not a place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("at = {0:?} is neither a path nor tcp:address:port, usb:vendor:product or usb-port:1-1.2")]
pub struct PlaceError(String);

impl FromStr for Place {
    type Err = PlaceError;
    fn from_str(text: &str) -> Result<Self, PlaceError> {
        let refuse = || PlaceError(text.chars().take(128).collect());
        if text.starts_with('/') {
            return Ok(Self::Path(PathBuf::from(text)));
        }
        let (scheme, rest) = text.split_once(':').ok_or_else(refuse)?;
        let found = match scheme {
            "tcp" => rest.parse().ok().map(Self::Tcp),
            "usb-port" => is_port(rest).then(|| Self::UsbPort(rest.to_owned())),
            "usb" => {
                let mut parts = rest.splitn(3, ':');
                let mut number = || u16::from_str_radix(parts.next()?, 16).ok();
                let ids = number().zip(number());
                let serial = parts.next().filter(|serial| !serial.is_empty()).map(str::to_owned);
                ids.map(|(vendor, product)| Self::Usb { vendor, product, serial })
            }
            _ => None,
        };
        found.ok_or_else(refuse)
    }
}

fn is_port(text: &str) -> bool {
    let digits_and = |c: char| c.is_ascii_digit() || c == '-' || c == '.';
    text.contains('-') && text.len() <= 32 && text.chars().all(digits_and)
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => write!(f, "{}", path.display()),
            Self::Usb { vendor, product, serial: None } => {
                write!(f, "usb:{vendor:04x}:{product:04x}")
            }
            Self::Usb { vendor, product, serial: Some(serial) } => {
                write!(f, "usb:{vendor:04x}:{product:04x}:{serial}")
            }
            Self::UsbPort(port) => write!(f, "usb-port:{port}"),
            Self::Tcp(address) => write!(f, "tcp:{address}"),
        }
    }
}

/// What can be opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// A serial terminal.
    Serial(PathBuf),
    /// The kernel's printer class.
    Printer(PathBuf),
    /// A network port.
    Tcp(SocketAddr),
}

/// Why nothing is at a place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FindError {
    /// It is not plugged in.
    #[error("nothing is at {place}")]
    Absent {
        /// Where it should be.
        place: Place,
    },
    /// Several devices fit.
    #[error("{} and {} both fit {place}; name the socket: usb-port:{}", first.name, second.name, first.port)]
    Ambiguous {
        /// Where it should be.
        place: Place,
        /// One that fits.
        first: Box<Plugged>,
        /// Another one.
        second: Box<Plugged>,
    },
}

/// A USB port of this machine with what is plugged in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plugged {
    /// The kernel's name, such as `ttyUSB0`.
    pub name: String,
    /// The socket, such as `1-1.2`.
    pub port: String,
    /// Its vendor.
    pub vendor: u16,
    /// Its product.
    pub product: u16,
    /// Its serial number.
    pub serial: Option<String>,
}

impl Plugged {
    /// The best words for it: its serial number, else its socket.
    pub fn place(&self) -> Place {
        match &self.serial {
            Some(serial) => Place::Usb {
                vendor: self.vendor,
                product: self.product,
                serial: Some(serial.clone()),
            },
            None => Place::UsbPort(self.port.clone()),
        }
    }

    fn address(&self, dev: &Path) -> Address {
        match self.name.starts_with("lp") {
            true => Address::Printer(dev.join("usb").join(&self.name)),
            false => Address::Serial(dev.join(&self.name)),
        }
    }
}

/// The kernel's view of this machine.
#[derive(Debug, Clone)]
pub struct Machine {
    sys: PathBuf,
    dev: PathBuf,
}

impl Default for Machine {
    fn default() -> Self {
        Self { sys: PathBuf::from("/sys"), dev: PathBuf::from("/dev") }
    }
}

impl Machine {
    /// Finds what is at a place now.
    pub fn find(&self, place: &Place) -> Result<Address, FindError> {
        let absent = || FindError::Absent { place: place.clone() };
        let fits: Box<dyn Fn(&Plugged) -> bool> = match place {
            Place::Tcp(address) => return Ok(Address::Tcp(*address)),
            Place::Path(path) => {
                let real = path.canonicalize().map_err(|_| absent())?;
                let name = real.file_name().map(|name| name.to_string_lossy().into_owned());
                let is_printer = name.is_some_and(|name| name.starts_with("lp"));
                let address = if is_printer { Address::Printer } else { Address::Serial };
                return Ok(address(real));
            }
            Place::Usb { vendor, product, serial } => {
                let serial = serial.clone();
                let ids = (*vendor, *product);
                Box::new(move |plugged| {
                    (plugged.vendor, plugged.product) == ids
                        && (serial.is_none() || plugged.serial == serial)
                })
            }
            Place::UsbPort(port) => {
                let port = port.clone();
                Box::new(move |plugged| plugged.port == port)
            }
        };
        let plugged = self.plugged();
        let mut fitting = plugged.into_iter().filter(|plugged| fits(plugged));
        let first = fitting.next().ok_or_else(absent)?;
        match fitting.next() {
            None => Ok(first.address(&self.dev)),
            Some(second) => {
                let (first, second) = (Box::new(first), Box::new(second));
                Err(FindError::Ambiguous { place: place.clone(), first, second })
            }
        }
    }

    /// Everything on USB that has a port to talk through, by the kernel's name.
    pub fn plugged(&self) -> Vec<Plugged> {
        let mut found = Vec::new();
        for class in CLASSES {
            let Ok(entries) = fs::read_dir(self.sys.join("class").join(class)) else { continue };
            let entries = entries.flatten().take(PORTS_MAX);
            found.extend(entries.filter_map(|entry| look(&entry.path())));
        }
        found.sort_by(|a, b| a.name.cmp(&b.name));
        found
    }
}

/// Climbs from a port to the USB device that it is part of.
fn look(port: &Path) -> Option<Plugged> {
    let name = port.file_name()?.to_str()?.to_owned();
    let mut at = port.join("device").canonicalize().ok()?;
    loop {
        let read = |file: &str| Some(fs::read_to_string(at.join(file)).ok()?.trim().to_owned());
        if let Some(vendor) = read("idVendor") {
            let hex = |text: &str| u16::from_str_radix(text, 16).ok();
            return Some(Plugged {
                name,
                port: at.file_name()?.to_str()?.to_owned(),
                vendor: hex(&vendor)?,
                product: hex(&read("idProduct")?)?,
                serial: read("serial").filter(|serial| !serial.is_empty()),
            });
        }
        if !at.pop() || at.file_name()? == "devices" {
            return None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A kernel's directory with adapters at these sockets.
    fn machine(dir: &Path, adapters: &[(&str, &str, Option<&str>)]) -> Machine {
        let machine = Machine { sys: dir.join("sys"), dev: dir.join("dev") };
        let _ = fs::remove_dir_all(&machine.sys);
        for (name, port, serial) in adapters {
            let device = machine.sys.join("devices/usb1").join(port);
            let interface = device.join(format!("{port}:1.0")).join(name);
            fs::create_dir_all(&interface).unwrap();
            fs::write(device.join("idVendor"), "1a86\n").unwrap();
            fs::write(device.join("idProduct"), "7523\n").unwrap();
            if let Some(serial) = serial {
                fs::write(device.join("serial"), format!("{serial}\n")).unwrap();
            }
            let class = machine.sys.join("class/tty").join(name);
            fs::create_dir_all(&class).unwrap();
            std::os::unix::fs::symlink(&interface, class.join("device")).unwrap();
        }
        machine
    }

    fn serial(dir: &Path, name: &str) -> Address {
        Address::Serial(dir.join("dev").join(name))
    }

    #[test]
    fn a_place_reads_as_it_is_written() {
        for text in [
            "/dev/ttyS0",
            "tcp:192.0.2.7:9100",
            "usb:04b8:0202",
            "usb:04b8:0202:A:1",
            "usb-port:1-1.2",
        ] {
            assert_eq!(text.parse::<Place>().unwrap().to_string(), text);
        }
        for text in ["", "ttyS0", "tcp:printer", "usb:04b8", "usb:xx:yy", "usb-port:..", "lpt:1"] {
            assert!(text.parse::<Place>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_device_is_found_by_its_serial_number_under_whatever_name_it_returns() {
        let dir = tempfile::tempdir().unwrap();
        let place: Place = "usb:1a86:7523:B2".parse().unwrap();
        let before = [("ttyUSB0", "1-1", Some("A1")), ("ttyUSB1", "1-2", Some("B2"))];
        assert_eq!(machine(dir.path(), &before).find(&place), Ok(serial(dir.path(), "ttyUSB1")));
        let after = [("ttyUSB0", "1-3", Some("B2")), ("ttyUSB1", "1-1", Some("A1"))];
        assert_eq!(machine(dir.path(), &after).find(&place), Ok(serial(dir.path(), "ttyUSB0")));
        let gone = machine(dir.path(), &after[1..]).find(&place);
        assert_eq!(gone, Err(FindError::Absent { place }));
    }

    #[test]
    fn two_adapters_without_serial_numbers_are_told_apart_by_their_sockets_and_never_guessed() {
        let dir = tempfile::tempdir().unwrap();
        let machine =
            machine(dir.path(), &[("ttyUSB0", "1-1.2", None), ("ttyUSB1", "1-1.3", None)]);
        let second: Place = "usb-port:1-1.3".parse().unwrap();
        assert_eq!(machine.find(&second), Ok(serial(dir.path(), "ttyUSB1")));
        let either: Place = "usb:1a86:7523".parse().unwrap();
        let error = machine.find(&either).unwrap_err();
        assert!(error.to_string().contains("usb-port:1-1.2"), "{error}");
        assert_eq!(machine.plugged()[1].place(), second);
    }
}
