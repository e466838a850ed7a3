use super::*;
use crate::gpt::Health;
use crate::medium::reader::MediumReader;
use crate::testing::media::{Fault, Faulty, Memory, PowerCut, used_disk};
use crate::testing::{DISK_BYTES, IMAGE_BYTES, open, release, table};

fn flash_onto(release: &[u8], medium: &mut dyn Medium) -> Result<Flashed, FlashError> {
    flash(&mut open(release), medium, &mut |_| {})
}

/// The used disk after a flash that nothing disturbed.
fn flashed(release: &[u8]) -> Memory {
    let mut medium = used_disk();
    flash_onto(release, &mut medium).unwrap();
    medium
}

/// Everything a box would see of the disk: tables, partitions, the start of its data.
fn seen(medium: &mut Memory) -> Vec<Digest> {
    let places = [(0, MIB), (MIB, MIB), (3 * MIB, 10 * MIB), (15 * MIB, 4 * MIB)];
    let tail = (DISK_BYTES - MIB, MIB);
    let mut digest = |(at, bytes): (u64, u64)| {
        Digest::of(&medium.read_back(at, usize::try_from(bytes).unwrap()).unwrap())
    };
    places.into_iter().chain([tail]).map(&mut digest).collect()
}

fn starts(medium: &mut Memory) -> bool {
    gpt::find(&mut MediumReader::new(medium), DISK_BYTES).is_ok()
}

#[test]
fn a_used_disk_becomes_exactly_the_release_with_a_table_of_its_own_size() {
    let mut medium = used_disk();
    let flashed = flash_onto(&release(1), &mut medium).unwrap();
    assert_eq!(flashed, Flashed { written: 11 * MIB, kept: 0, read_back: 11 * MIB });
    let found = gpt::find(&mut MediumReader::new(&mut medium), DISK_BYTES).unwrap();
    assert!(matches!(found.health, Health::Whole));
    assert_eq!(found.table, table(DISK_BYTES));
    let data = medium.read_back(IMAGE_BYTES - MIB, usize::try_from(4 * MIB).unwrap()).unwrap();
    assert!(data.iter().all(|&b| b == 0), "the start of the old data is gone");
    assert!(!unfinished(&mut medium).unwrap());
}

#[test]
fn a_disk_pulled_out_at_any_write_does_not_start_and_goes_on_later() {
    let release = release(1);
    let whole = seen(&mut flashed(&release));
    let (mut writes, mut resumed) = (1, 0);
    loop {
        let mut faulty = Faulty::new(used_disk(), Fault::PulledOut(writes));
        let Err(error) = flash_onto(&release, &mut faulty) else { break };
        assert!(matches!(error, FlashError::Gone { .. }), "{writes}: {error:?}");
        let mut left = faulty.inner;
        let only_mark_left = seen(&mut left)[1..] == whole[1..];
        assert!(!starts(&mut left) || only_mark_left, "write {writes} left a disk that starts");
        let flashed = flash_onto(&release, &mut left).unwrap();
        resumed += flashed.kept;
        assert_eq!(flashed.kept + flashed.written, 11 * MIB);
        assert_eq!(seen(&mut left), whole, "write {writes}");
        writes += 1;
    }
    assert!(writes > 9, "wipe, mark, chunks, tables and mark were each interrupted: {writes}");
    assert!(resumed > 0, "an interrupted flash goes on and does not start anew");
}

#[test]
fn a_disk_that_starts_after_a_power_cut_is_whole_and_any_other_one_goes_on() {
    let release_2 = release(2);
    let (mut new, mut cuts) = (0, 0);
    let lives = [used_disk(), flashed(&release(1))];
    let old = seen(&mut lives[1].clone())[1..3].to_vec();
    let whole = seen(&mut flashed(&release_2));
    for (life, write, seed) in (0..2)
        .flat_map(|life| (1..=11).flat_map(move |w| (1..=4).map(move |s| (life, w, s * 7919))))
    {
        let mut medium = PowerCut::new(lives[life].clone(), write, seed);
        cuts += u32::from(flash_onto(&release_2, &mut medium).is_err());
        let mut left = medium.durable;
        if starts(&mut left) {
            let content = seen(&mut left)[1..3].to_vec();
            new += u32::from(content == whole[1..3]);
            let earlier = life == 1 && write == 1 && content == old;
            assert!(content == whole[1..3] || earlier, "life {life}, write {write}, seed {seed}");
        }
        flash_onto(&release_2, &mut left).unwrap();
        assert_eq!(seen(&mut left), whole, "life {life}, write {write}, seed {seed}");
    }
    assert!(cuts > 70 && new > 0, "{cuts} cuts, {new} disks started after one");
}

#[test]
fn what_rotted_since_the_interruption_is_written_again() {
    let mut faulty = Faulty::new(used_disk(), Fault::PulledOut(8));
    flash_onto(&release(1), &mut faulty).unwrap_err();
    faulty.inner.write_at(MIB + 5, b"rot").unwrap();
    let resumed = flash_onto(&release(1), &mut faulty.inner).unwrap();
    assert!(resumed.kept > 0 && resumed.written > MIB, "{resumed:?}");
    assert_eq!(seen(&mut faulty.inner), seen(&mut flashed(&release(1))));
}

#[test]
fn another_release_does_not_go_on_where_this_one_stopped() {
    let mut faulty = Faulty::new(used_disk(), Fault::PulledOut(8));
    flash_onto(&release(1), &mut faulty).unwrap_err();
    let flashed = flash_onto(&release(2), &mut faulty.inner).unwrap();
    assert_eq!(flashed, Flashed { written: 11 * MIB, kept: 0, read_back: 11 * MIB });
}

#[test]
fn a_medium_that_forgets_a_write_is_found_out() {
    // Writes 1 to 4 wipe and mark, then come four chunks and the two tables.
    for write in 5..=10 {
        let mut faulty = Faulty::new(used_disk(), Fault::Forgets(write));
        let error = flash_onto(&release(1), &mut faulty).unwrap_err();
        assert!(matches!(error, FlashError::Forgetful { .. }), "{write}: {error:?}");
    }
}

#[test]
fn a_write_error_of_a_device_that_stays_is_told_with_its_place() {
    let mut faulty = Faulty::new(used_disk(), Fault::Error(6));
    let error = flash_onto(&release(1), &mut faulty).unwrap_err();
    assert!(matches!(error, FlashError::Device { what: "write", at: 0x30_0000, .. }), "{error:?}");
}

#[test]
fn a_damaged_release_leaves_no_disk_that_starts() {
    let mut damaged = release(1);
    let at = damaged.len() - (1 << 20);
    damaged[at] ^= 1;
    let mut medium = used_disk();
    let error = flash_onto(&damaged, &mut medium).unwrap_err();
    assert!(matches!(error, FlashError::Release(ContentError::Damaged { .. })));
    assert!(!starts(&mut medium));
}

#[test]
fn a_disk_without_room_for_data_is_not_touched() {
    let mut medium = Memory::new(IMAGE_BYTES + MIB);
    medium.write_at(0, b"precious").unwrap();
    let error = flash_onto(&release(1), &mut medium).unwrap_err();
    assert!(matches!(error, FlashError::TooSmall { .. }));
    assert_eq!(&medium.read_back(0, 4096).unwrap()[..8], b"precious");
}

#[test]
fn progress_never_goes_back_within_a_phase_and_ends_at_the_total() {
    let mut heard = Vec::new();
    let mut medium = used_disk();
    flash(&mut open(&release(1)), &mut medium, &mut |progress| heard.push(progress)).unwrap();
    for phase in [Phase::Write, Phase::ReadBack] {
        let of_phase: Vec<_> = heard.iter().filter(|p| p.phase == phase).collect();
        assert!(of_phase.is_sorted_by_key(|p| p.done));
        assert_eq!(of_phase.last().map(|p| (p.done, p.total)), Some((11 * MIB, 11 * MIB)));
    }
}
