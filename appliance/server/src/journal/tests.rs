//! The journal by itself: what it promises on bad days.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::disk::RealDisk;
use super::sim::SimDisk;
use super::*;

const SMALL: Options =
    Options { segment_bytes: 4096, reserve_bytes: 2048, spares_max: 1, deletes: true };

fn dir() -> PathBuf {
    PathBuf::from("/journal")
}

struct Reopened {
    journal: Journal,
    incidents: Vec<Incident>,
    told: Vec<String>,
    bodies: Vec<(Vec<u8>, Location)>,
}

fn open_at(disk: Arc<dyn Disk>, dir: &Path) -> Reopened {
    let mut bodies = Vec::new();
    let opened = Journal::open(disk, dir, SMALL, 0, &mut |record| {
        if record.kind != record::CHECKPOINT {
            bodies.push((record.body.to_vec(), record.location));
        }
    })
    .unwrap();
    let told = opened.told();
    Reopened { journal: opened.journal, incidents: opened.incidents, told, bodies }
}

fn open(disk: &SimDisk) -> Reopened {
    open_at(Arc::new(disk.clone()), &dir())
}

fn write(journal: &mut Journal, body: &[u8]) -> Result<Location, CommitError> {
    journal.begin(&mut || b"state".to_vec());
    let mut group = Group::new();
    group.push(1, &[body]);
    journal.commit(group).map(|locations| locations[0])
}

fn texts(reopened: &Reopened) -> Vec<String> {
    let texts = reopened.bodies.iter();
    texts
        .map(|(body, _)| String::from_utf8_lossy(&body[..4.min(body.len())]).into_owned())
        .collect()
}

#[test]
fn what_was_written_is_read_back_on_a_real_disk() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("journal");
    let mut first = open_at(Arc::new(RealDisk), &path);
    for number in 0..40_u8 {
        let location = write(&mut first.journal, &[number; 500]).unwrap();
        assert_eq!(&first.journal.reader().read(&location).unwrap()[..], &[number; 500]);
    }
    assert!(first.journal.usage().segments > 2);
    drop(first);
    let again = open_at(Arc::new(RealDisk), &path);
    assert!(again.incidents.is_empty());
    assert_eq!(again.bodies.len(), 40);
    assert!(again.bodies.iter().zip(0_u8..).all(|((body, _), number)| body == &[number; 500]));
}

#[test]
fn segments_without_life_become_spares_and_stragglers_can_be_moved() {
    let disk = SimDisk::new();
    let mut journal = open(&disk).journal;
    let locations: Vec<_> = (0..40).map(|_| write(&mut journal, &[b'x'; 500]).unwrap()).collect();
    locations.iter().for_each(|location| journal.claim(location));
    let before = journal.usage().segments;
    locations[1..].iter().for_each(|location| journal.forget(location));
    journal.reclaim();
    assert_eq!(journal.usage().segments, before, "the first record pins the oldest segment");
    assert_eq!(journal.straggling(), Some(1));
    journal.forget(&locations[0]);
    journal.reclaim();
    assert_eq!(journal.usage().segments, 1);
    assert!(disk.names().contains(&"spare-0".to_owned()));
    assert!(matches!(journal.reader().read(&locations[0]), Err(ReadError::Gone { .. })));
    drop(journal);
    let again = open(&disk);
    assert!(again.incidents.is_empty(), "{:?}", again.incidents);
}

#[test]
fn a_spare_with_old_content_shows_none_of_it() {
    let disk = SimDisk::new();
    let mut journal = open(&disk).journal;
    for round in 0..6 {
        let body = |n| format!("{round}.{n}{}", "y".repeat(450));
        let locations: Vec<_> =
            (0..9).map(|n| write(&mut journal, body(n).as_bytes()).unwrap()).collect();
        locations.iter().for_each(|location| journal.claim(location));
        locations.iter().for_each(|location| journal.forget(location));
        journal.reclaim();
    }
    write(&mut journal, b"last").unwrap();
    drop(journal);
    let again = open(&disk);
    assert!(again.incidents.is_empty(), "{:?}", again.incidents);
    assert_eq!(texts(&again).last().unwrap(), "last");
    assert!(again.bodies.len() < 20);
}

#[test]
fn a_full_disk_uses_the_spare_then_refuses_then_goes_on() {
    let disk = SimDisk::new();
    let mut journal = open(&disk).journal;
    let mut held = vec![write(&mut journal, &[b'a'; 300]).unwrap()];
    journal.refill();
    disk.leave_room(0);
    while let Ok(location) = write(&mut journal, &[b'a'; 300]) {
        held.push(location);
        assert!(held.len() < 1000);
    }
    assert!(journal.current_segment() >= 2, "the spare was used");
    assert!(!journal.usage().failed);
    let mut group = Group::new();
    group.push_release(2, &[b"gone"]);
    journal.commit(group).expect("the reserve is there for this");
    held.iter().for_each(|location| journal.claim(location));
    held.iter().for_each(|location| journal.forget(location));
    journal.reclaim();
    write(&mut journal, b"back").unwrap();
    drop(journal);
    let again = open(&disk);
    assert!(again.incidents.is_empty());
    assert_eq!(texts(&again).last().unwrap(), "back");
}

#[test]
fn a_full_disk_can_be_opened_and_read() {
    let disk = SimDisk::new();
    let mut journal = open(&disk).journal;
    write(&mut journal, b"kept").unwrap();
    drop(journal);
    disk.leave_room(0);
    assert_eq!(texts(&open(&disk)), ["kept"]);
    let empty = SimDisk::new();
    empty.leave_room(0);
    let mut journal = open(&empty).journal;
    assert!(matches!(write(&mut journal, b"none"), Err(CommitError::Full)));
}

#[test]
fn after_a_failed_sync_nothing_is_written_until_the_next_start() {
    let disk = SimDisk::new();
    let mut journal = open(&disk).journal;
    write(&mut journal, b"good").unwrap();
    disk.fail_syncs(true);
    assert!(matches!(write(&mut journal, b"lost"), Err(CommitError::Failed(_))));
    disk.fail_syncs(false);
    assert!(matches!(write(&mut journal, b"more"), Err(CommitError::Poisoned)));
    drop(journal);
    let mut again = open(&disk);
    assert_eq!(texts(&again)[0], "good");
    write(&mut again.journal, b"next").unwrap();
}

#[test]
fn a_damaged_segment_is_named_and_the_rest_is_read_and_set_aside_when_done() {
    let disk = SimDisk::new();
    let mut journal = open(&disk).journal;
    for number in 0..30 {
        write(&mut journal, format!("{number:04}{}", "z".repeat(400)).as_bytes()).unwrap();
    }
    drop(journal);
    let second = dir().join(segment::file_name(2));
    disk.damage(&second, |bytes| bytes[700..900].fill(0));
    let mut again = open(&disk);
    assert_eq!(again.incidents.len(), 1);
    let told = format!("{}: segment 2: ", second.display());
    assert!(again.told[0].starts_with(&told), "{:?}", again.told);
    let Incident::RecordsDamaged { segment: 2, records } = &again.incidents[0] else {
        panic!("{:?}", again.incidents);
    };
    let lost = usize::try_from(records.end - records.start).unwrap();
    assert_eq!(again.bodies.len(), 30 - lost);
    again.bodies.iter().for_each(|(_, location)| again.journal.claim(location));
    again.bodies.iter().for_each(|(_, location)| again.journal.forget(location));
    again.journal.reclaim();
    assert!(disk.names().contains(&"seg-0000000002.damaged".to_owned()));
}

#[test]
fn a_segment_without_header_or_with_bad_sectors_does_not_stop_the_start() {
    let disk = SimDisk::new();
    let mut journal = open(&disk).journal;
    for number in 0..30 {
        write(&mut journal, format!("{number:04}{}", "z".repeat(400)).as_bytes()).unwrap();
    }
    drop(journal);
    disk.damage(&dir().join(segment::file_name(1)), |bytes| bytes[0..40].fill(9));
    let again = open(&disk);
    assert_eq!(again.incidents, [Incident::HeaderDamaged { segment: 1 }]);
    assert_eq!(again.bodies.len(), 30, "the records themselves were whole");
    drop(again);
    disk.spoil(&dir().join(segment::file_name(2)), 0..100);
    let mut again = open(&disk);
    assert!(again.incidents.contains(&Incident::Unreadable { segment: 2, bytes: 4096 }));
    assert!(again.bodies.len() < 30);
    write(&mut again.journal, b"more").unwrap();
    disk.damage(&dir().join(segment::file_name(3)), |bytes| bytes.clear());
    write(&mut open(&disk).journal, b"and more").unwrap();
}

#[test]
fn a_missing_segment_is_named() {
    let disk = SimDisk::new();
    let mut journal = open(&disk).journal;
    for _ in 0..30 {
        write(&mut journal, &[b'q'; 400]).unwrap();
    }
    drop(journal);
    disk.remove(&dir().join(segment::file_name(2))).unwrap();
    let again = open(&disk);
    assert!(matches!(again.incidents[..], [Incident::RecordsMissing { segment: 3, .. }]));
}

#[test]
fn a_bad_first_sector_costs_the_records_in_it_and_no_number_is_given_twice() {
    let disk = SimDisk::new();
    let large = Options { segment_bytes: 1024 * 1024, ..SMALL };
    let opened = Journal::open(Arc::new(disk.clone()), &dir(), large, 0, &mut |_| {}).unwrap();
    let mut journal = opened.journal;
    for number in 0..100 {
        write(&mut journal, format!("{number:04}{}", "z".repeat(400)).as_bytes()).unwrap();
    }
    drop(journal);
    disk.spoil(&dir().join(segment::file_name(1)), 0..4096);
    let mut again = open(&disk);
    let (read, last) = (texts(&again), again.bodies.last().unwrap().1);
    assert!(read.len() >= 90 && read.last().unwrap() == "0099", "{}", read.len());
    let next = write(&mut again.journal, b"next").unwrap();
    assert!(next.sequence > last.sequence && next.segment == 2);
    drop(again);

    disk.spoil(&dir().join(segment::file_name(2)), 0..1024 * 1024);
    let from = Journal::open(Arc::new(disk.clone()), &dir(), SMALL, 2, &mut |_| {}).unwrap();
    let mut journal = from.journal;
    assert!(write(&mut journal, b"more").unwrap().sequence > last.sequence);
}
