//! The machine below the stage's box: what its steward and its kernel tell, and the day that it remembers.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use storebox::chronicle::{FILE, RingFile};
use storebox_image::slot::grubenv::{Env, EnvFile};
use storebox_image::slot::{Slot, State};
use storebox_image::steward::history::{self, Event};
use storebox_image::steward::{Places, slots};
use storebox_proto::chronicle::{Gatherer, Sample, Waits};
use storebox_proto::time::Timestamp;

/// Minutes of the day that is remembered.
const DAY: u64 = 24 * 60;
/// From here to there the line was cut, counted in minutes from the beginning of the day.
const CUT: std::ops::Range<u64> = 760..850;
/// And here the box did not run.
const OFF: std::ops::Range<u64> = 300..360;

/// A disk with two slots as the steward tells of it: an update was installed, and the one before it fell back.
pub(crate) fn tell_slots(folder: &Path) -> anyhow::Result<PathBuf> {
    let root = folder.join("machine");
    for (path, text) in [
        ("proc/cmdline", "quiet rauc.slot=A ro"),
        ("usr/lib/os-release", "ID=debian\nIMAGE_VERSION=\"1.4.0\"\n"),
    ] {
        let path = root.join(path);
        fs::create_dir_all(path.parent().expect("it is below a folder"))?;
        fs::write(path, text)?;
    }
    let grub = root.join("efi/grub");
    fs::create_dir_all(&grub)?;
    let mut state = State::flashed();
    state.confirm(Slot::A);
    state.begin_install(Slot::B, Slot::A)?;
    state.finish_install(Slot::B)?;
    let mut env = Env::default();
    env.set_state(&state);
    EnvFile::new(grub.join("grubenv")).store(&env)?;
    let places = Places::new(&root);
    history::note(&places, Event::Installed, "1.3.9", "bb", "")?;
    history::note(&places, Event::FellBack, "1.3.9", "bb", "it did not start")?;
    history::note(&places, Event::Confirmed, "1.4.0", "aa", "")?;
    history::note(&places, Event::Installed, "1.5.0", "cc", "")?;
    slots::publish(&places);
    Ok(root.join("run/storebox-box/slots.json"))
}

/// What a kernel tells of a small box: a processor, an NVMe disk, and flash that has used up a third of its life.
pub(crate) fn tell_sensors(folder: &Path) -> anyhow::Result<PathBuf> {
    let sys = folder.join("sys");
    for (path, text) in [
        ("class/thermal/thermal_zone0/temp", "58250\n"),
        ("class/hwmon/hwmon0/name", "nvme\n"),
        ("class/hwmon/hwmon0/temp1_input", "61850\n"),
        ("block/mmcblk0/device/life_time", "0x01 0x03\n"),
    ] {
        let path = sys.join(path);
        fs::create_dir_all(path.parent().expect("it is below a folder"))?;
        fs::write(path, text)?;
    }
    Ok(sys)
}

/// A day with an outage and an hour without power, kept as a box keeps it: sampled, gathered, put into its file.
pub(crate) fn remember_day(data: &Path, now: Timestamp) -> anyhow::Result<()> {
    let path = data.join(FILE);
    let _ = fs::remove_file(&path);
    let (file, mut ring) = RingFile::open(&path)?;
    let mut gatherer = Gatherer::default();
    let (mut taken, mut sent, mut waits) = (0_u64, 0_u64, Waits::default());
    let begin = now.unix_ms() - i64::try_from(DAY * 60_000)?;
    for minute in 0..DAY {
        if OFF.contains(&minute) {
            gatherer = Gatherer::default();
            continue;
        }
        for look in 0..2 {
            let sales = if (420..1320).contains(&minute) { 2 + minute % 7 } else { 0 };
            taken += sales;
            (0..sales).for_each(|number| waits.count(180 + (minute * 37 + number * 13) % 900));
            if !CUT.contains(&minute) {
                sent = taken.min(sent + 30);
            }
            let waiting = taken - sent;
            let sample = Sample {
                waiting: Some(waiting),
                oldest_s: (waiting > 0).then_some(minute.saturating_sub(CUT.start) * 60),
                sales: Some(taken),
                sent: Some(sent),
                is_level: Some(!CUT.contains(&minute)),
                waits: waits.clone(),
            };
            let ms = Duration::from_secs(minute * 60 + look * 30).as_millis();
            let at = Timestamp::from_unix_ms(begin + i64::try_from(ms)?);
            if let Some(point) = gatherer.note(at, sample) {
                file.put(ring.put(point), &point)?;
            }
        }
    }
    Ok(())
}
