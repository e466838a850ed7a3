//! Which partition is the root, and mounting it.
//!
//! A flashed stick in a running box has partitions of the same names. So every partition of the
//! name is tried, and the hash decides: only the root that belongs to the started kernel mounts.

use std::fs;
use std::thread;
use std::time::Duration;

use nix::mount::MsFlags;

use crate::verity::{self, Verity};

pub(crate) const AT: &str = "/sysroot";
const FILE_SYSTEM: &str = "erofs";
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Slow USB disks take seconds to appear.
const LOOKS_MAX: u32 = 1500;

/// A partition as the kernel lists it.
struct Partition {
    name: String,
    /// `major:minor`
    number: String,
}

/// Waits for the root, mounts it read-only at [`AT`] and says where it was found.
pub(crate) fn open(cmdline: &str) -> Result<String, String> {
    let word = |key: &str| cmdline.split_whitespace().find_map(|word| word.strip_prefix(key));
    let label = word("root=PARTLABEL=").ok_or("no root=PARTLABEL= on the command line")?;
    let verity = word("storebox.verity=").map(Verity::parse).transpose()?;
    let mut reason = format!("no partition is called {label}");
    for _ in 0..LOOKS_MAX {
        for partition in find(label) {
            match try_mount(&partition, verity.as_ref()) {
                Ok(()) => return Ok(partition.name),
                Err(why) if why == reason => {}
                Err(why) => {
                    crate::log(&format!("{}: {why}", partition.name));
                    reason = why;
                }
            }
        }
        thread::sleep(LOOK_EVERY);
    }
    Err(reason)
}

fn try_mount(partition: &Partition, verity: Option<&Verity>) -> Result<(), String> {
    let device = match verity {
        Some(verity) => verity::open(verity, &partition.number)?,
        None => format!("/dev/{}", partition.name),
    };
    let mounted = crate::mount_at(&device, AT, FILE_SYSTEM, MsFlags::MS_RDONLY);
    if mounted.is_err() && verity.is_some() {
        verity::close()?;
    }
    mounted
}

fn find(label: &str) -> Vec<Partition> {
    let Ok(entries) = fs::read_dir("/sys/class/block") else { return Vec::new() };
    let wanted = format!("PARTNAME={label}");
    let mut found: Vec<Partition> = entries
        .flatten()
        .filter_map(|entry| {
            let uevent = fs::read_to_string(entry.path().join("uevent")).ok()?;
            uevent.lines().find(|line| **line == *wanted)?;
            let number = fs::read_to_string(entry.path().join("dev")).ok()?.trim().to_owned();
            Some(Partition { name: entry.file_name().to_string_lossy().into_owned(), number })
        })
        .collect();
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}
