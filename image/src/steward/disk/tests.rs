//! What is decided about the data partition; that it holds is tried on a machine (`image/trial sealed`).

use super::*;
use crate::provision::volume;

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
    drop(file);
    assert!(!path.exists());
}

#[test]
fn the_shops_file_is_looked_at_and_stays_and_a_refusal_is_left_beside_it() {
    const BYTES: u64 = 16 << 20;
    const EXAMPLE: &str = include_str!("../../../storebox.example.toml");
    let (dir, places) = machine(UUID);
    assert_eq!(wish_of(&places), Disk::default(), "no volume");
    assert_eq!(await_tpm(&places), Tpm::Absent);
    fs::create_dir_all(dir.path().join("dev")).unwrap();
    fs::write(dir.path().join("dev/tpmrm0"), "").unwrap();
    assert_eq!(await_tpm(&places), Tpm::Ready);
    fs::create_dir_all(dir.path().join("dev/disk/by-partlabel")).unwrap();
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    let open = || options.open(places.config_volume()).unwrap();
    open().set_len(BYTES).unwrap();
    volume::format(&mut Window::new(open(), 0, BYTES), 1).unwrap();
    assert_eq!(wish_of(&places), Disk::default(), "no file");
    let volume = Volume::open(Window::new(open(), 0, BYTES)).unwrap();
    let text = EXAMPLE.replace("# encrypt = \"tpm\"", "encrypt = \"tpm\"");
    volume.write(volume::FILE, text.as_bytes()).unwrap();
    volume.close().unwrap();
    let before = fs::read(places.config_volume()).unwrap();
    assert_eq!(wish_of(&places).encrypt, Some(Encrypt::Tpm));
    assert_eq!(fs::read(places.config_volume()).unwrap(), before, "only looked at");
    on_volume(&places, &Refusal::OtherMachine.to_string()).unwrap();
    let volume = Volume::open(Window::new(open(), 0, BYTES)).unwrap();
    assert!(volume.read(RESULT).unwrap().starts_with(b"the disk was sealed on another machine"));
    assert!(volume.provisioning().unwrap().is_some(), "the file is still to be taken in");
}

#[test]
fn a_file_that_wants_another_seal_than_the_disk_has_is_told_so() {
    let (_dir, places) = machine(UUID);
    let wish = |encrypt| Disk { encrypt, key: None };
    assert_eq!(is_other(&places, &wish(Some(Encrypt::Tpm))), None, "this start has not looked");
    replace(&note(&places), Guard::Nothing.as_str().as_bytes()).unwrap();
    assert!(is_other(&places, &wish(Some(Encrypt::Tpm))).unwrap().contains("flash the disk again"));
    assert_eq!(is_other(&places, &wish(None)), None);
    assert_eq!(is_other(&places, &wish(Some(Encrypt::Off))), None);
}
