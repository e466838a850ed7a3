//! What is decided about the data partition; that it holds is tried on a machine (`image/trial sealed`).

use super::*;
use crate::provision::volume;

/// No word begins so.
const NOTHING: &str = "-- ";
const UUID: &str = "8f3c1d52-77aa-4c0e-9b1d-2a6e4f905b17\n";

fn machine(uuid: &str) -> (tempfile::TempDir, Places) {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("sys/class/dmi/id")).unwrap();
    fs::write(dir.path().join("sys/class/dmi/id/product_uuid"), uuid).unwrap();
    let places = Places::new(dir.path());
    (dir, places)
}

#[test]
fn the_file_decides_and_without_a_word_the_machine_does() {
    use Encrypt::{Off, Provisioned};
    use Tpm::{Absent, Ready, Silent};
    assert_eq!(choose(None, Ready), Ok(Guard::Tpm));
    assert_eq!(choose(None, Absent), Ok(Guard::Nothing));
    assert_eq!(choose(None, Silent), Err(Refusal::TpmSilent), "not in the open for ever");
    assert_eq!(choose(Some(Encrypt::Tpm), Ready), Ok(Guard::Tpm));
    assert_eq!(choose(Some(Encrypt::Tpm), Silent), Err(Refusal::TpmSilent));
    assert_eq!(choose(Some(Encrypt::Tpm), Absent), Err(Refusal::NoTpm), "never against a word");
    for tpm in [Ready, Silent, Absent] {
        assert_eq!(choose(Some(Provisioned), tpm), Ok(Guard::Machine));
        assert_eq!(choose(Some(Off), tpm), Ok(Guard::Nothing));
    }
}

#[test]
fn the_definition_says_what_seals_the_partition() {
    assert!(definition(Guard::Tpm, true).ends_with("Encrypt=key-file+tpm2\n"));
    assert!(definition(Guard::Tpm, false).ends_with("Encrypt=tpm2\n"));
    assert!(definition(Guard::Machine, true).ends_with("Encrypt=key-file\n"));
    assert!(!definition(Guard::Nothing, true).contains("Encrypt"));
}

#[test]
fn a_key_that_one_machine_keeps_is_nothing_to_another() {
    let key = DiskKey::new(&[0x5a; 32]);
    let (dir, places) = machine(UUID);
    assert_eq!(home::fetch(&places).unwrap(), None, "nothing was kept yet");
    home::keep(&places, &key).unwrap();
    assert_eq!(home::fetch(&places).unwrap(), Some(key.clone()));
    let kept = fs::read(dir.path().join("efi/storebox/disk.key")).unwrap();
    assert!(!kept.windows(8).any(|window| window == [0x5a; 8]), "not in the open");
    let (other_dir, other) = machine(&UUID.replace("8f3c", "8f3d"));
    fs::create_dir_all(other_dir.path().join("efi/storebox")).unwrap();
    let path = other_dir.path().join("efi/storebox/disk.key");
    fs::write(&path, &kept).unwrap();
    assert_eq!(home::fetch(&other).unwrap(), None);
    for length in 0..kept.len() {
        fs::write(&path, &kept[..length]).unwrap();
        assert_eq!(home::fetch(&other).unwrap(), None, "cut at {length}");
    }
}

#[test]
fn a_machine_whose_number_is_a_filler_keeps_no_key() {
    for uuid in ["", "00000000-0000-0000-0000-000000000000", "03000200-0400-0500-0006-000700080009"]
    {
        let (_dir, places) = machine(uuid);
        let refused = home::keep(&places, &DiskKey::new(&[1; 32]));
        assert!(matches!(refused, Err(Error::Disk(Refusal::NoNumbers))), "{uuid}");
    }
}

#[test]
fn a_key_is_in_memory_only_while_it_is_used_and_for_root_alone() {
    use std::os::unix::fs::PermissionsExt;
    let (_dir, places) = machine(UUID);
    let key = DiskKey::new(&[7; 32]);
    assert_eq!(format!("{key:?}"), "…");
    let file = KeyFile::write(&places, &key).unwrap();
    let path = PathBuf::from(file.as_str());
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read_to_string(&path).unwrap(), "07".repeat(32));
    let held = File::open(&path).unwrap();
    drop(file);
    assert!(!path.exists());
    let mut left = String::new();
    (&held).read_to_string(&mut left).unwrap();
    assert_eq!(left, "\0".repeat(64), "wiped where it lay");
}

const BYTES: u64 = 16 << 20;
const EXAMPLE: &str = include_str!("../../../storebox.example.toml");

/// A machine with an empty volume for the shop's file.
fn with_volume() -> (tempfile::TempDir, Places) {
    let (dir, places) = machine(UUID);
    fs::create_dir_all(dir.path().join("dev/disk/by-partlabel")).unwrap();
    File::create_new(places.config_volume()).unwrap().set_len(BYTES).unwrap();
    volume::format(&mut Window::new(device(&places), 0, BYTES), 1).unwrap();
    (dir, places)
}

fn device(places: &Places) -> File {
    OpenOptions::new().read(true).write(true).open(places.config_volume()).unwrap()
}

fn opened(places: &Places) -> Volume<File> {
    Volume::open(Window::new(device(places), 0, BYTES)).unwrap()
}

fn insert(places: &Places, name: &str, text: &str) {
    let volume = opened(places);
    volume.write(name, text.as_bytes()).unwrap();
    volume.close().unwrap();
}

#[test]
fn the_shops_file_is_looked_at_and_stays_and_a_refusal_is_left_beside_it() {
    let (_dir, places) = machine(UUID);
    assert_eq!(wish_of(&places), Ok(None), "no volume");
    let (dir, places) = with_volume();
    assert_eq!(await_tpm(&places), Tpm::Absent);
    fs::write(dir.path().join("dev/tpmrm0"), "").unwrap();
    assert_eq!(await_tpm(&places), Tpm::Ready);
    assert_eq!(wish_of(&places), Ok(None), "no file");
    insert(&places, volume::FILE, &EXAMPLE.replace("# encrypt = \"tpm\"", "encrypt = \"tpm\""));
    let before = fs::read(places.config_volume()).unwrap();
    assert_eq!(wish_of(&places).unwrap().unwrap().encrypt, Some(Encrypt::Tpm));
    assert_eq!(fs::read(places.config_volume()).unwrap(), before, "only looked at");
    on_volume(&places, &Refusal::OtherMachine.to_string()).unwrap();
    let volume = opened(&places);
    assert!(volume.read(RESULT).unwrap().starts_with(b"the disk was sealed on another machine"));
    assert!(volume.provisioning().unwrap().is_some(), "the file is still to be taken in");
}

#[test]
fn no_disk_is_made_while_a_file_is_there_that_cannot_be_read() {
    let (_dir, places) = with_volume();
    let nothing = first_wish(&wish_of(&places), Tpm::Ready);
    assert_eq!(nothing, Ok((Disk::default(), Guard::Tpm)), "no file ever came");
    let wrong = EXAMPLE.replace("\"0421\"", "\"Shop 0421\"").replace("# encrypt", "encrypt");
    insert(&places, volume::FILE, &wrong);
    let refused = first_wish(&wish_of(&places), Tpm::Ready).unwrap_err();
    assert!(refused.to_string().contains("line 8: store"), "{refused}");
    insert(&places, "storebox.toml.txt", EXAMPLE);
    let refused = first_wish(&wish_of(&places), Tpm::Absent).unwrap_err();
    assert!(refused.to_string().contains("leave only one"), "{refused}");
    fs::write(places.config_volume(), vec![0xa5; 1 << 20]).unwrap();
    assert!(matches!(first_wish(&wish_of(&places), Tpm::Ready), Err(Refusal::File(_))));
}

#[test]
fn a_box_without_a_good_file_waits_and_says_so_before_it_waits_for_a_printer() {
    let (dir, places) = with_volume();
    let rejected = Rejected { file: volume::FILE.to_owned(), problems: Vec::new() };
    let error = Error::from(Refusal::File(rejected));
    thread::scope(|scope| {
        let told = scope.spawn(|| tell(&places, &error));
        let answered = || {
            let volume = Volume::open(Window::new(ReadOnly(device(&places)), 0, BYTES)).ok();
            let answer = volume.and_then(|volume| volume.read(RESULT).ok());
            answer.is_some_and(|text| text.starts_with(b"NOT taken in"))
        };
        while !answered() {
            assert!(!told.is_finished(), "it waited for a printer, and nothing is in RESULT.TXT");
            thread::yield_now();
        }
        assert!(places.waiting().exists());
        let usb = dir.path().join("dev/usb");
        fs::create_dir_all(&usb).unwrap();
        fs::write(usb.join("lp0"), "").unwrap();
        told.join().unwrap().unwrap();
        let printed = fs::read_to_string(usb.join("lp0")).unwrap();
        assert!(printed.contains("storebox.toml is not taken"), "{printed}");
    });
    fs::remove_file(places.waiting()).unwrap();
    tell(&places, &Refusal::TpmSilent.into()).unwrap();
    assert!(!places.waiting().exists(), "a restart may help");
}

/// What systemd is told, the first word each; it refuses what begins so.
fn hear(told: &mut Vec<String>, words: &[String], refuses: &str) -> Result<(), Error> {
    told.push(words[0].clone());
    if words[0].starts_with(refuses) { Err(Refusal::TpmSilent.into()) } else { Ok(()) }
}

/// A disk that has moved to this machine, whose partition is open by the key of the shop's file.
fn moved(places: &Places, guard: Guard, refuses: &str) -> (Guard, Vec<String>) {
    let (key, mut told) = (DiskKey::new(&[0x5a; 32]), Vec::new());
    let file = KeyFile::write(places, &key).unwrap();
    let tell =
        &mut |_: &str, words: &[String], _: Option<&DiskKey>| hear(&mut told, words, refuses);
    let device = &partition(places);
    let newcomer = Newcomer { places, device, key: &key, file: &file, guard };
    let has = settle_in(&newcomer, tell).unwrap();
    (has, told)
}

#[test]
fn a_disk_that_leaves_a_machine_without_a_tpm_leaves_nothing_that_opens_it_there() {
    let key = DiskKey::new(&[0x5a; 32]);
    let (_dir, places) = machine(UUID);
    home::keep(&places, &key).unwrap();
    let (guard, told) = moved(&places, Guard::Tpm, NOTHING);
    assert_eq!((guard, told.len()), (Guard::Tpm, 3), "{told:?}");
    assert_eq!(home::fetch(&places).unwrap(), None, "the boot volume travels with the disk");
    // A power cut after the TPM had it and before that was forgotten: the file is there yet.
    home::keep(&places, &key).unwrap();
    let device = partition(&places);
    key::take(&places, &device, &key, Guard::Tpm, &mut |_, _, _| Ok(())).unwrap();
    assert_eq!(home::fetch(&places).unwrap(), None);
}

#[test]
fn a_machine_that_keeps_no_key_wipes_neither_the_one_before_nor_the_file() {
    let wish = Disk { encrypt: None, key: Some(DiskKey::new(&[0x5a; 32])) };
    let (_dir, nobody) = machine("00000000-0000-0000-0000-000000000000");
    let (guard, told) = moved(&nobody, Guard::Machine, NOTHING);
    assert_eq!((guard, told), (Guard::File, Vec::new()), "nothing was wiped");
    let (_dir, refusing) = machine(UUID);
    home::keep(&refusing, &DiskKey::new(&[0x5a; 32])).unwrap();
    let (guard, told) = moved(&refusing, Guard::Tpm, "encrypt");
    assert_eq!((guard, told), (Guard::File, vec!["encrypt".to_owned()]), "nothing was wiped");
    assert!(home::fetch(&refusing).unwrap().is_some());
    for places in [nobody, refusing] {
        assert!(!has_key(&places, &wish), "the file is all that opens it on this machine");
        assert!(key_words(&places).starts_with(key::NOT_BOUND));
        assert_eq!(super::guard(&places).unwrap(), Guard::File.as_str());
        assert_eq!(is_other(&places, &Disk { encrypt: Some(Encrypt::Tpm), ..wish.clone() }), None);
    }
    let (_dir, fit) = machine(UUID);
    let (guard, told) = moved(&fit, Guard::Machine, NOTHING);
    assert_eq!((guard, told), (Guard::Machine, vec!["--wipe-slot=tpm2".to_owned()]));
    assert!(has_key(&fit, &wish), "and now it may go");
}

#[test]
fn a_key_whose_taking_was_cut_short_leaves_no_key_before_it_on_the_disk() {
    let (_dir, places) = machine(UUID);
    let [old, new] = [0x5a, 0x5b].map(|byte| DiskKey::new(&[byte; 32]));
    home::keep(&places, &old).unwrap();
    let take = |refuses: &str| {
        let mut told = Vec::new();
        let tell = &mut |_: &str, words: &[String], key: Option<&DiskKey>| {
            assert_eq!(key, Some(&new));
            hear(&mut told, words, refuses)
        };
        let taken = key::take(&places, &partition(&places), &new, Guard::Machine, tell);
        (taken.is_ok(), told)
    };
    let (is_taken, told) = take("--wipe-slot");
    assert!(!is_taken);
    assert_eq!(told, ["--password", "--wipe-slot=password"]);
    assert_eq!(home::fetch(&places).unwrap(), Some(new.clone()), "the cut came after that");
    let (is_taken, again) = take(NOTHING);
    assert!(is_taken, "the next start");
    assert_eq!(again, told[1..], "what leads to the new key stays; the key before goes");
}

#[test]
fn a_start_that_left_no_note_wipes_no_key_of_a_sealed_partition() {
    let (dir, places) = machine(UUID);
    let wish = Disk { encrypt: Some(Encrypt::Tpm), key: Some(DiskKey::new(&[1; 32])) };
    let device = partition(&places);
    fs::create_dir_all(dir.path().join("dev/disk/by-partlabel")).unwrap();
    fs::write(&device, [&MAGIC[..], &[0; 100]].concat()).unwrap();
    assert!(!has_key(&places, &wish), "nobody has said that it opens");
    assert_eq!(is_other(&places, &wish), None, "nor that it is open");
    fs::write(&device, [0; 100]).unwrap();
    assert!(has_key(&places, &wish), "no image has sealed it");
    fs::remove_file(&device).unwrap();
    fs::create_dir(&device).unwrap();
    assert!(!has_key(&places, &wish), "nobody knows");
}

#[test]
fn a_key_is_known_to_open_the_disk_only_when_it_was_put_there() {
    let (_dir, places) = machine(UUID);
    let wish = |byte| Disk { encrypt: None, key: Some(DiskKey::new(&[byte; 32])) };
    assert!(has_key(&places, &wish(1)), "this image seals nothing");
    replace(&note(&places), Guard::Nothing.as_str().as_bytes()).unwrap();
    assert!(has_key(&places, &wish(1)), "an open disk needs none");
    replace(&note(&places), Guard::Tpm.as_str().as_bytes()).unwrap();
    assert!(!has_key(&places, &wish(1)));
    settle_key(&places, &DiskKey::new(&[1; 32]), Err(Refusal::TpmSilent.into())).unwrap();
    assert!(!has_key(&places, &wish(1)), "it could not be put there");
    settle_key(&places, &DiskKey::new(&[1; 32]), Ok(())).unwrap();
    assert!(has_key(&places, &wish(1)));
    assert!(!has_key(&places, &wish(2)), "another one");
    assert!(has_key(&places, &Disk::default()));
}

#[test]
fn a_file_that_wants_another_seal_than_the_disk_has_is_told_so() {
    let (_dir, places) = machine(UUID);
    let wish = |encrypt| Disk { encrypt, key: None };
    let told = is_other(&places, &wish(Some(Encrypt::Tpm))).unwrap();
    assert!(told.contains("this image cannot seal it"), "{told}");
    assert_eq!(is_other(&places, &wish(Some(Encrypt::Off))), None);
    replace(&note(&places), Guard::Nothing.as_str().as_bytes()).unwrap();
    assert!(is_other(&places, &wish(Some(Encrypt::Tpm))).unwrap().contains("flash the disk again"));
    assert_eq!(is_other(&places, &wish(None)), None);
    assert_eq!(is_other(&places, &wish(Some(Encrypt::Off))), None);
}
