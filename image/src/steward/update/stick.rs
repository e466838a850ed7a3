//! A stick that somebody has put into the box, looked through for updates.

use std::fs;
use std::path::{Path, PathBuf};

use super::updates_in;
use crate::steward::{Places, run};

const STICK_OPTIONS: &str = "--options=ro,noexec,nosuid,nodev";

/// A stick, mounted read-only as long as this lives.
pub(super) struct Stick {
    pub(super) at: PathBuf,
}

impl Stick {
    pub(super) fn mount(places: &Places) -> Option<Self> {
        let at = places.run().join("stick");
        let own = fs::canonicalize(places.config_volume()).ok()?;
        let own = disk_of(&own);
        let folder = places.at("dev/disk/by-id");
        let entries = fs::read_dir(folder).ok()?.flatten();
        let usb = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with("usb-"));
        for entry in usb {
            let Ok(device) = fs::canonicalize(entry.path()) else { continue };
            if disk_of(&device) == own || fs::create_dir_all(&at).is_err() {
                continue;
            }
            // By systemd, because what is mounted from here would be seen by this unit alone, and RAUC reads it too.
            let (what, at) = (device.display().to_string(), at.display().to_string());
            let words = ["--collect", "--fsck=no", STICK_OPTIONS, &what, &at];
            if run("systemd-mount", &words).is_ok() {
                let stick = Self { at: at.into() };
                if !updates_in(&stick.at).is_empty() {
                    return Some(stick);
                }
            }
        }
        None
    }
}

impl Drop for Stick {
    fn drop(&mut self) {
        let _ = run("systemd-mount", &[Path::new("--umount"), &self.at]);
    }
}

/// `sda` of `/dev/sda1`, `nvme0n1` of `/dev/nvme0n1p6`.
fn disk_of(device: &Path) -> String {
    let name = device.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
    match stem.strip_suffix('p') {
        Some(disk) if disk.ends_with(|c: char| c.is_ascii_digit()) => disk.to_owned(),
        Some(_) | None => stem.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_knows_its_disk() {
        let disks = ["/dev/sda1", "/dev/nvme0n1p6", "/dev/mmcblk0p2", "/dev/vda"];
        let disks = disks.map(|path| disk_of(Path::new(path)));
        assert_eq!(disks, ["sda", "nvme0n1", "mmcblk0", "vda"]);
    }
}
