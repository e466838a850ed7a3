use std::fs::File;
use std::path::Path;

use super::*;
use crate::gpt::Health;
use crate::testing::{
    DISK_BYTES, Fault, Faulty, IMAGE_BYTES, PowerCut, open, release, table, used_disk,
};

fn flash_onto(release: &[u8], medium: &mut dyn Medium) -> Result<Flashed, FlashError> {
    flash(&mut open(release), medium, &mut |_| {})
}

/// Everything a box would see of the disk: tables, partitions, the start of its data.
fn seen(path: &Path) -> Vec<Digest> {
    let mut medium = crate::medium::DiskMedium::open_file(path, DISK_BYTES).unwrap();
    let places = [(0, MIB), (MIB, MIB), (3 * MIB, 10 * MIB), (15 * MIB, 4 * MIB)];
    let tail = (DISK_BYTES - MIB, MIB);
    let mut digest = |(at, bytes): (u64, u64)| {
        Digest::of(&medium.read_back(at, usize::try_from(bytes).unwrap()).unwrap())
    };
    places.into_iter().chain([tail]).map(&mut digest).collect()
}

fn starts(path: &Path) -> bool {
    gpt::find(&mut File::open(path).unwrap(), DISK_BYTES).is_ok()
}

#[test]
fn a_used_disk_becomes_exactly_the_release_with_a_table_of_its_own_size() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("disk");
    let mut medium = used_disk(&path);
    let flashed = flash_onto(&release(1), &mut medium).unwrap();
    assert_eq!(flashed, Flashed { written: 11 * MIB, kept: 0, read_back: 11 * MIB });
    let found = gpt::find(&mut File::open(&path).unwrap(), DISK_BYTES).unwrap();
    assert!(matches!(found.health, Health::Whole));
    assert_eq!(found.table, table(DISK_BYTES));
    let data = medium.read_back(IMAGE_BYTES - MIB, usize::try_from(4 * MIB).unwrap()).unwrap();
    assert!(data.iter().all(|&b| b == 0), "the start of the old data is gone");
    assert!(!unfinished(&mut medium).unwrap());
}

#[test]
fn a_disk_pulled_out_at_any_write_does_not_start_and_goes_on_later() {
    let dir = tempfile::tempdir().unwrap();
    let (release, whole) = (release(1), dir.path().join("whole"));
    flash_onto(&release, &mut used_disk(&whole)).unwrap();
    let (mut writes, mut resumed) = (1, 0);
    loop {
        let path = dir.path().join("disk");
        let mut faulty = Faulty::new(used_disk(&path), Fault::PulledOut(writes));
        let Err(error) = flash_onto(&release, &mut faulty) else { break };
        assert!(matches!(error, FlashError::Gone { .. }), "{writes}: {error:?}");
        let only_mark_left = seen(&path)[4] == seen(&whole)[4] && starts(&path);
        assert!(!starts(&path) || only_mark_left, "write {writes} left a disk that starts");
        let flashed = flash_onto(&release, &mut faulty.inner).unwrap();
        resumed += flashed.kept;
        assert_eq!(flashed.kept + flashed.written, 11 * MIB);
        assert_eq!(seen(&path), seen(&whole), "write {writes}");
        std::fs::remove_file(&path).unwrap();
        writes += 1;
    }
    assert!(writes > 9, "wipe, mark, chunks, tables and mark were each interrupted: {writes}");
    assert!(resumed > 0, "an interrupted flash goes on and does not start anew");
}

#[test]
fn a_disk_that_starts_after_a_power_cut_is_whole_and_any_other_one_goes_on() {
    let (release, dir) = (release(1), tempfile::tempdir().unwrap());
    let whole = dir.path().join("whole");
    flash_onto(&release, &mut used_disk(&whole)).unwrap();
    let (mut started, mut cuts) = (0, 0);
    for (write, seed) in (1..=11).flat_map(|write| (1..=6).map(move |seed| (write, seed * 7919))) {
        let mut medium = PowerCut::new(dir.path(), write, seed);
        let finished = flash_onto(&release, &mut medium).is_ok();
        cuts += u32::from(!finished);
        let path = dir.path().join("durable");
        if starts(&path) {
            started += 1;
            assert_eq!(seen(&path)[1..4], seen(&whole)[1..4], "write {write}, seed {seed}");
        }
        flash_onto(&release, &mut medium.durable).unwrap();
        assert_eq!(seen(&path), seen(&whole), "write {write}, seed {seed}");
        std::fs::remove_file(&path).unwrap();
        std::fs::remove_file(dir.path().join("cache")).unwrap();
    }
    assert!(cuts > 55 && started > 0, "{cuts} cuts, {started} disks started after one");
}

#[test]
fn what_rotted_since_the_interruption_is_written_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("disk");
    let mut faulty = Faulty::new(used_disk(&path), Fault::PulledOut(8));
    flash_onto(&release(1), &mut faulty).unwrap_err();
    faulty.inner.write_at(MIB + 5, b"rot").unwrap();
    let flashed = flash_onto(&release(1), &mut faulty.inner).unwrap();
    assert!(flashed.kept > 0 && flashed.written > MIB, "{flashed:?}");
    let whole = dir.path().join("whole");
    flash_onto(&release(1), &mut used_disk(&whole)).unwrap();
    assert_eq!(seen(&path), seen(&whole));
}

#[test]
fn another_release_does_not_go_on_where_this_one_stopped() {
    let dir = tempfile::tempdir().unwrap();
    let mut faulty = Faulty::new(used_disk(&dir.path().join("disk")), Fault::PulledOut(8));
    flash_onto(&release(1), &mut faulty).unwrap_err();
    let flashed = flash_onto(&release(2), &mut faulty.inner).unwrap();
    assert_eq!(flashed, Flashed { written: 11 * MIB, kept: 0, read_back: 11 * MIB });
}

#[test]
fn a_medium_that_forgets_a_write_is_found_out() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("disk");
    // Writes 1 to 4 wipe and mark, then come four chunks and the two tables.
    for write in 5..=10 {
        let mut faulty = Faulty::new(used_disk(&path), Fault::Forgets(write));
        let error = flash_onto(&release(1), &mut faulty).unwrap_err();
        assert!(matches!(error, FlashError::Forgetful { .. }), "{write}: {error:?}");
        std::fs::remove_file(&path).unwrap();
    }
}

#[test]
fn a_write_error_of_a_device_that_stays_is_told_with_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let mut faulty = Faulty::new(used_disk(&dir.path().join("disk")), Fault::Error(6));
    let error = flash_onto(&release(1), &mut faulty).unwrap_err();
    assert!(matches!(error, FlashError::Device { what: "write", at: 0x30_0000, .. }), "{error:?}");
}

#[test]
fn a_damaged_release_leaves_no_disk_that_starts() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("disk");
    let mut damaged = release(1);
    let at = damaged.len() - (1 << 20);
    damaged[at] ^= 1;
    let error = flash_onto(&damaged, &mut used_disk(&path)).unwrap_err();
    assert!(matches!(error, FlashError::Release(ContentError::Damaged { .. })));
    assert!(!starts(&path));
}

#[test]
fn a_disk_without_room_for_data_is_not_touched() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("disk");
    let mut medium = crate::medium::DiskMedium::open_file(&path, IMAGE_BYTES + MIB).unwrap();
    medium.write_at(0, b"precious").unwrap();
    let error = flash_onto(&release(1), &mut medium).unwrap_err();
    assert!(matches!(error, FlashError::TooSmall { .. }));
    assert_eq!(&medium.read_back(0, 4096).unwrap()[..8], b"precious");
}

#[test]
fn progress_never_goes_back_within_a_phase_and_ends_at_the_total() {
    let dir = tempfile::tempdir().unwrap();
    let mut heard = Vec::new();
    let mut medium = used_disk(&dir.path().join("disk"));
    flash(&mut open(&release(1)), &mut medium, &mut |progress| heard.push(progress)).unwrap();
    for phase in [Phase::Write, Phase::ReadBack] {
        let of_phase: Vec<_> = heard.iter().filter(|p| p.phase == phase).collect();
        assert!(of_phase.is_sorted_by_key(|p| p.done));
        assert_eq!(of_phase.last().map(|p| (p.done, p.total)), Some((11 * MIB, 11 * MIB)));
    }
}
