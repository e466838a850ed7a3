//! Disks as `/sys/block` describes them.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::mounts::{self, Mount};
use super::{Bus, Disk, Roots, Use};

/// What sysfs counts sizes in, whatever the disk's own sectors are.
const SIZE_UNIT: u64 = 512;
/// Layers above a disk (encryption on LVM on RAID is three).
const LAYERS_MAX: usize = 8;
/// Losing what is mounted here ends this computer's work.
const SYSTEM_MOUNTS: [&str; 8] =
    ["/", "/boot", "/boot/efi", "/efi", "/usr", "/var", "/etc", "/home"];
/// Devices that are no disks, or are made of disks.
const NO_DISKS: [&str; 8] = ["ram", "zram", "dm-", "md", "sr", "fd", "nbd", "mtdblock"];

#[derive(Debug, thiserror::Error)]
pub enum ListError {
    #[error("read {path}")]
    Io {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("there is no disk {name}")]
    NoSuchDisk { name: String },
    #[error("{name} is a partition of {disk}; name the whole disk")]
    Partition { name: String, disk: String },
}

/// Every disk of this computer but loop devices, in the order of their names.
pub fn list(roots: &Roots) -> Result<Vec<Disk>, ListError> {
    let in_use = InUse::load(roots)?;
    let path = roots.sys.join("block");
    let names = entries(&path).map_err(|source| ListError::Io { path, source })?;
    let disks = names.iter().filter(|name| {
        !name.starts_with("loop") && !NO_DISKS.iter().any(|kind| name.starts_with(kind))
    });
    Ok(disks.filter_map(|name| disk(roots, name, &in_use)).collect())
}

/// The disk of this kernel name, loop devices included.
pub fn find(roots: &Roots, name: &str) -> Result<Disk, ListError> {
    let in_use = InUse::load(roots)?;
    if name.contains(['/', '\\']) || name.starts_with('.') {
        return Err(ListError::NoSuchDisk { name: name.to_owned() });
    }
    if let Some(disk) = disk(roots, name, &in_use) {
        return Ok(disk);
    }
    let block = roots.sys.join("block");
    let parent = entries(&block)
        .unwrap_or_default()
        .into_iter()
        .find(|disk| block.join(disk).join(name).join("partition").exists());
    Err(match parent {
        Some(disk) => ListError::Partition { name: name.to_owned(), disk },
        None => ListError::NoSuchDisk { name: name.to_owned() },
    })
}

fn disk(roots: &Roots, name: &str, in_use: &InUse) -> Option<Disk> {
    let link = roots.sys.join("block").join(name);
    let path = fs::canonicalize(&link).ok()?;
    let number = mounts::number(&text(&path, "dev"))?;
    let of_usb = usb_device(&path, &roots.sys);
    let usb = |file: &str| of_usb.as_deref().map(|usb| text(usb, file)).unwrap_or_default();
    let first = |candidates: [String; 3]| {
        candidates.into_iter().find(|text| !text.is_empty()).unwrap_or_default()
    };
    Some(Disk {
        name: name.to_owned(),
        number,
        bytes: text(&path, "size").parse::<u64>().unwrap_or(0).saturating_mul(SIZE_UNIT),
        sector_bytes: text(&path, "queue/logical_block_size").parse().unwrap_or(SIZE_UNIT),
        removable: text(&path, "removable") == "1",
        read_only: text(&path, "ro") == "1",
        bus: bus(&path, name),
        vendor: first([vendor(&path), usb("manufacturer"), String::new()]),
        model: first([text(&path, "device/model"), text(&path, "device/name"), usb("product")]),
        serial: first([
            usb("serial"),
            first([text(&path, "device/serial"), text(&path, "serial"), String::new()]),
            vital_product_serial(&path),
        ]),
        uses: in_use.of(roots, name, &path),
    })
}

/// Virtual disks have a number for a vendor, which says nothing to a person.
fn vendor(path: &Path) -> String {
    let vendor = text(path, "device/vendor");
    if vendor.starts_with("0x") { String::new() } else { vendor }
}

fn bus(path: &Path, name: &str) -> Bus {
    let on = |word: &str| {
        path.components().any(|part| part.as_os_str().to_string_lossy().starts_with(word))
    };
    if name.starts_with("loop") {
        Bus::Loop
    } else if on("usb") {
        Bus::Usb
    } else if name.starts_with("mmcblk") {
        if text(path, "device/type") == "SD" { Bus::SdCard } else { Bus::Emmc }
    } else if name.starts_with("nvme") {
        Bus::Nvme
    } else if on("ata") {
        Bus::Ata
    } else if on("virtio") {
        Bus::Virtio
    } else {
        Bus::Other
    }
}

/// The USB device above a disk: the nearest folder with a vendor number.
fn usb_device(path: &Path, sys: &Path) -> Option<PathBuf> {
    let sys = fs::canonicalize(sys).ok()?;
    path.ancestors()
        .take_while(|folder| **folder != sys)
        .find(|folder| folder.join("idVendor").exists())
        .map(Path::to_owned)
}

/// The serial number as SCSI disks tell it: four bytes of heading, then text.
fn vital_product_serial(path: &Path) -> String {
    let page = fs::read(path.join("device/vpd_pg80")).unwrap_or_default();
    let serial = page.get(4..).unwrap_or_default();
    printable(&String::from_utf8_lossy(serial))
}

/// A file's text without its blanks, or nothing.
fn text(folder: &Path, file: &str) -> String {
    printable(&fs::read_to_string(folder.join(file)).unwrap_or_default())
}

/// A device can call itself anything; a terminal must not obey it.
fn printable(text: &str) -> String {
    let clean: String = text.chars().filter(|c| !c.is_control()).take(64).collect();
    clean.trim().to_owned()
}

fn entries(folder: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        names.extend(entry?.file_name().into_string());
    }
    names.sort();
    Ok(names)
}

/// What is in use on this computer.
struct InUse {
    mounts: Vec<Mount>,
    swaps: Vec<String>,
}

impl InUse {
    /// An unreadable list of mounts is an error: an unknown use would look like no use.
    ///
    /// In a chroot or a namespace that list is not the computer's; the one of its first process is, if it may be read.
    fn load(roots: &Roots) -> Result<Self, ListError> {
        let path = roots.proc.join("self/mountinfo");
        let mountinfo =
            fs::read_to_string(&path).map_err(|source| ListError::Io { path, source })?;
        let mut mounts = mounts::mounts(&mountinfo);
        let outside = fs::read_to_string(roots.proc.join("1/mountinfo")).unwrap_or_default();
        let root = roots.here.map(|number| {
            let (at, source) = ("/".to_owned(), String::new());
            Mount { number, at, source }
        });
        for other in mounts::mounts(&outside).into_iter().chain(root) {
            let same = |known: &Mount| known.number == other.number && known.at == other.at;
            if !mounts.iter().any(same) {
                mounts.push(other);
            }
        }
        // A kernel without swap has no such file.
        let swaps = fs::read_to_string(roots.proc.join("swaps")).unwrap_or_default();
        Ok(Self { mounts, swaps: mounts::swaps(&swaps) })
    }

    /// The uses of a disk, its partitions and what is built on them; the worst first.
    fn of(&self, roots: &Roots, name: &str, path: &Path) -> Vec<Use> {
        let mut family = BTreeMap::new();
        family.insert(name.to_owned(), mounts::number(&text(path, "dev")));
        let mut held = hold(roots, name, path, &mut family, 0);
        for partition in entries(path).unwrap_or_default() {
            let folder = path.join(&partition);
            if folder.join("partition").exists() {
                family.insert(partition.clone(), mounts::number(&text(&folder, "dev")));
                held.extend(hold(roots, &partition, &folder, &mut family, 0));
            }
        }
        let (mut system, mut other) = (Vec::new(), Vec::new());
        for (device, number) in &family {
            for mount in self.mounts.iter().filter(|mount| is_of(mount, device, *number)) {
                let at = mount.at.clone();
                if SYSTEM_MOUNTS.contains(&at.as_str()) {
                    system.push(Use::System { at });
                } else {
                    other.push(Use::Mounted { device: device.clone(), at });
                }
            }
        }
        let swapped = |device: &&String| self.swaps.contains(&format!("/dev/{device}"));
        let swaps =
            family.keys().filter(swapped).map(|device| Use::Swap { device: device.clone() });
        system.into_iter().chain(swaps).chain(other).chain(held).collect()
    }
}

/// File systems with numbers of their own (btrfs) still name their device.
fn is_of(mount: &Mount, device: &str, number: Option<(u64, u64)>) -> bool {
    Some(mount.number) == number || mount.source.strip_prefix("/dev/") == Some(device)
}

/// Adds what is built on a device to its family, layer by layer.
fn hold(
    roots: &Roots,
    name: &str,
    path: &Path,
    family: &mut BTreeMap<String, Option<(u64, u64)>>,
    depth: usize,
) -> Vec<Use> {
    let mut held = Vec::new();
    for by in entries(&path.join("holders")).unwrap_or_default() {
        held.push(Use::Held { device: name.to_owned(), by: by.clone() });
        let folder = roots.sys.join("block").join(&by);
        let new = family.insert(by.clone(), mounts::number(&text(&folder, "dev"))).is_none();
        if new && depth < LAYERS_MAX {
            held.extend(hold(roots, &by, &folder, family, depth + 1));
        }
    }
    held
}
