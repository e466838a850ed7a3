//! The machine below the box: its disk, its flash's wear, its temperature; unknown where the machine does not tell.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::Status;
use crate::config::Machine;
use crate::{env, room};

/// What was read is believed for this long; nothing of it changes fast.
const FRESH: Duration = Duration::from_secs(10);
/// What the steward tells is a few kilobytes.
const SLOTS_BYTES_MAX: u64 = 256 * 1024;
/// What no sensor of a box measures, in degrees Celsius: it is broken or not connected.
const SENSIBLE_C: RangeInclusive<i32> = -40..=150;
/// Sensors of one chip that are looked at.
const INPUTS_MAX: usize = 16;

/// The machine; what it does not tell is absent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct MachineStatus {
    /// Bytes of the data directory's disk that are free.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk_free_bytes: Option<u64>,
    /// Bytes of that disk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk_total_bytes: Option<u64>,
    /// How much of a flash disk's life is used up, at most, in percent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wear_percent: Option<u8>,
    /// The hottest sensor in degrees Celsius.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature_c: Option<i32>,
    /// Memory of this process in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// The two slots of an updatable disk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slots: Option<SlotsStatus>,
    /// The vault does not open with its key.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub vault_locked: bool,
}

/// What runs, what would, and what became of releases, as the machine's own steward told it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SlotsStatus {
    /// The slot that runs.
    pub running: String,
    /// The release in it.
    pub version: String,
    /// Both of them.
    pub slots: Vec<SlotStatus>,
    /// What became of releases, the newest first; for the operator only.
    #[serde(default)]
    pub updates: Vec<UpdateLine>,
    /// How far a release is that is being written, in percent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub installing: Option<u8>,
}

/// One slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SlotStatus {
    /// `A` or `B`.
    pub name: String,
    /// Whether it starts next.
    pub first: bool,
    /// Wholly written and not condemned.
    pub whole: bool,
    /// Its release proved itself once.
    pub confirmed: bool,
    /// Starts since.
    pub tries: u8,
}

/// What became of a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct UpdateLine {
    /// Seconds since 1970.
    pub at: u64,
    /// `installing`, `failed`, `installed`, `confirmed`, `fell-back`, `refused` or `unapproved`.
    pub event: String,
    /// Which release.
    pub version: String,
    /// Why.
    #[serde(default)]
    pub why: String,
}

/// Tells the panel about the machine, looking anew now and then.
pub fn report(data_dir: &Path, machine: &Machine) -> impl Fn(&mut Status) + Send + Sync + 'static {
    let (data_dir, machine) = (data_dir.to_owned(), machine.clone());
    let seen: Mutex<Option<(Instant, MachineStatus)>> = Mutex::default();
    move |status| {
        let now = env::instant();
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = seen.take_if(|(at, _)| now.saturating_duration_since(*at) < FRESH);
        let (at, looked) =
            fresh.unwrap_or_else(|| (now, look(&data_dir, &machine.slots_file, &machine.sys_dir)));
        status.machine = looked.clone();
        *seen = Some((at, looked));
    }
}

fn look(data_dir: &Path, slots_file: &Path, sys: &Path) -> MachineStatus {
    let disk = room::around(data_dir).ok();
    MachineStatus {
        disk_free_bytes: disk.map(|disk| disk.free_bytes),
        disk_total_bytes: disk.map(|disk| disk.total_bytes),
        wear_percent: wear(sys),
        temperature_c: temperature(sys),
        memory_bytes: memory(),
        slots: read_slots(slots_file),
        // Known to whoever opened it.
        vault_locked: false,
    }
}

/// A file that is missing, too long or not understood tells nothing.
pub fn read_slots(file: &Path) -> Option<SlotsStatus> {
    let is_short = std::fs::metadata(file).is_ok_and(|meta| meta.len() <= SLOTS_BYTES_MAX);
    let text = is_short.then(|| std::fs::read(file).ok()).flatten()?;
    serde_json::from_slice(&text).ok()
}

/// Zones of the processor, and chips such as that of an NVMe disk.
fn temperature(sys: &Path) -> Option<i32> {
    let mut sensors = files(&sys.join("class/thermal"), "thermal_zone", "temp");
    for number in 1..=INPUTS_MAX {
        sensors.extend(files(&sys.join("class/hwmon"), "hwmon", &format!("temp{number}_input")));
    }
    let degrees = sensors.iter().filter_map(|file| text(file)?.parse::<i32>().ok());
    degrees.map(|thousandths| thousandths / 1000).filter(|c| SENSIBLE_C.contains(c)).max()
}

/// Flash that tells its life does so in tenths, a number for each kind of its cells.
fn wear(sys: &Path) -> Option<u8> {
    let disks = files(&sys.join("block"), "", "device/life_time");
    let lives = disks.iter().filter_map(|file| {
        let words = text(file)?;
        let tenths = words.split_whitespace().filter_map(|word| {
            u8::from_str_radix(word.trim_start_matches("0x"), 16).ok().filter(|tenth| *tenth > 0)
        });
        tenths.max()
    });
    lives.max().map(|tenths| tenths.min(11).saturating_mul(10))
}

fn memory() -> Option<u64> {
    let status = text(Path::new("/proc/self/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    kilobytes.checked_mul(1024)
}

fn files(folder: &Path, prefix: &str, name: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut found: Vec<_> = entries
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix))
        .map(|entry| entry.path().join(name))
        .collect();
    found.sort();
    found
}

fn text(file: &Path) -> Option<String> {
    std::fs::read_to_string(file).ok().map(|text| text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_that_does_not_tell_is_unknown() {
        let empty = tempfile::tempdir().unwrap();
        let nothing = empty.path().join("slots.json");
        let seen = look(empty.path(), &nothing, empty.path());
        assert!(seen.disk_total_bytes.unwrap() >= seen.disk_free_bytes.unwrap());
        assert_eq!((seen.wear_percent, seen.temperature_c, &seen.slots), (None, None, &None));
        let odd = look(Path::new("/not/there"), &nothing, empty.path());
        assert_eq!(odd.disk_free_bytes, None);
        std::fs::write(&nothing, r#"{"running":"A","version":"1.0","slots":[]}"#).unwrap();
        assert_eq!(read_slots(&nothing).unwrap().running, "A");
        std::fs::write(&nothing, "{").unwrap();
        assert_eq!(read_slots(&nothing), None);
    }

    #[test]
    fn the_hottest_sensor_and_the_most_worn_disk_count() {
        let sys = tempfile::tempdir().unwrap();
        let write = |path: &str, content: &str| {
            let file = sys.path().join(path);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, content).unwrap();
        };
        write("class/thermal/thermal_zone0/temp", "41200\n");
        write("class/thermal/thermal_zone1/temp", "63900\n");
        write("class/thermal/cooling_device0/temp", "99000\n");
        write("class/hwmon/hwmon0/temp1_input", "71850\n");
        write("class/hwmon/hwmon0/temp2_input", "-273150\n");
        write("class/hwmon/hwmon1/temp1_input", "255000\n");
        write("class/hwmon/hwmon1/in0_input", "12000\n");
        write("block/mmcblk0/device/life_time", "0x01 0x03\n");
        write("block/mmcblk1/device/life_time", "garbage\n");
        write("block/sda/device/model", "a disk that tells nothing\n");
        assert_eq!((temperature(sys.path()), wear(sys.path())), (Some(71), Some(30)));
        write("block/sdb/device/life_time", "0x0b 0x00\n");
        assert_eq!(wear(sys.path()), Some(110), "more than its life is used up");
    }
}
