use std::fs::File;

use super::*;
use crate::provision::volume::{RESULT, format};
use crate::slot::grubenv::Env;
use crate::slot::{Slot, State};

const EXAMPLE: &str = include_str!("../../../storebox.example.toml");
const ID: &str = "0123456789abcdef0123456789abcdef";
const BYTES: u64 = 16 << 20;

struct Machine {
    dir: tempfile::TempDir,
    places: Places,
}

impl Machine {
    /// A box at its first start, with a volume that holds this file.
    fn new(file: Option<&str>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let places = Places::new(dir.path());
        for folder in ["etc", "efi/grub", "dev/disk/by-partlabel", "sys/class/tty/console"] {
            fs::create_dir_all(dir.path().join(folder)).unwrap();
        }
        fs::write(dir.path().join("etc/machine-id"), format!("{ID}\n")).unwrap();
        fs::write(dir.path().join("sys/class/tty/console/active"), "tty0 ttyS0\n").unwrap();
        for console in ["tty0", "ttyS0"] {
            fs::write(dir.path().join("dev").join(console), "").unwrap();
        }
        let mut env = Env::default();
        env.set_state(&State::flashed());
        places.env().store(&env).unwrap();
        let machine = Self { dir, places };
        let disk = File::create_new(machine.places.config_volume()).unwrap();
        disk.set_len(BYTES).unwrap();
        let disk = machine.disk();
        format(&mut Window::new(&disk, 0, BYTES), 1).unwrap();
        if let Some(file) = file {
            machine.insert(file);
        }
        machine
    }

    fn disk(&self) -> File {
        OpenOptions::new().read(true).write(true).open(self.places.config_volume()).unwrap()
    }

    fn insert(&self, file: &str) {
        let volume = Volume::open(Window::new(self.disk(), 0, BYTES)).unwrap();
        volume.write("storebox.toml", file.as_bytes()).unwrap();
        volume.close().unwrap();
    }

    fn answer(&self) -> String {
        let volume = Volume::open(Window::new(self.disk(), 0, BYTES)).unwrap();
        String::from_utf8(volume.read(RESULT).unwrap()).unwrap()
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.dir.path().join(path)).unwrap_or_default()
    }

    fn config(&self) -> String {
        self.read("var/lib/storebox-box/etc/storebox.toml")
    }
}

#[test]
fn the_first_start_takes_the_file_in_wipes_it_and_keeps_the_identity() {
    let machine = Machine::new(Some(EXAMPLE));
    let shop = start(&machine.places).unwrap();
    assert_eq!(shop, Shop::TakenIn { node: "box-0421-1".into(), store: "0421".into() });
    assert!(machine.config().contains("site = \"0421\""));
    assert!(machine.read("run/systemd/network/10-storebox.network").contains("192.168.10.5/24"));
    assert!(machine.answer().starts_with("Taken in."));
    let bytes = fs::read(machine.places.config_volume()).unwrap();
    assert!(!bytes.windows(20).any(|window| window == b"paste-the-token-here"), "wiped");
    let env = machine.places.env().load().unwrap();
    assert_eq!(env.get(MACHINE_ID), Some(ID));
    assert!(!env.state().record(Slot::B).whole, "the slots are as they were");
}

#[test]
fn a_second_start_finds_what_the_first_one_took_in() {
    let machine = Machine::new(Some(EXAMPLE));
    start(&machine.places).unwrap();
    fs::remove_dir_all(machine.dir.path().join("run")).unwrap();
    assert_eq!(start(&machine.places).unwrap(), Shop::Known);
    assert!(machine.read("run/systemd/network/10-storebox.network").contains("192.168.10.5/24"));
}

#[test]
fn a_power_cut_before_the_wiping_takes_the_same_file_in_again() {
    let machine = Machine::new(Some(EXAMPLE));
    start(&machine.places).unwrap();
    machine.insert(EXAMPLE);
    assert!(matches!(start(&machine.places).unwrap(), Shop::TakenIn { .. }));
    assert!(machine.config().contains("site = \"0421\""));
}

#[test]
fn a_file_with_errors_changes_nothing_and_a_new_box_waits() {
    let wrong = EXAMPLE.replace("\"0421\"", "\"Shop 0421\"");
    let machine = Machine::new(Some(&wrong));
    let Shop::Wrong { why, waits: true } = start(&machine.places).unwrap() else { panic!() };
    assert!(why.contains("line 8: store"), "{why}");
    assert!(machine.places.waiting().exists());
    assert_eq!(machine.config(), "", "nothing half applied");
    assert!(machine.read("dev/ttyS0").contains("line 8: store"), "told on every console");
    assert!(machine.read("run/storebox-box/to-print").contains("line 8: store"), "and printed");
    assert!(machine.answer().starts_with("NOT taken in"));

    let machine = Machine::new(Some(EXAMPLE));
    start(&machine.places).unwrap();
    machine.insert(&wrong);
    assert!(matches!(start(&machine.places).unwrap(), Shop::Wrong { waits: false, .. }));
    assert!(machine.config().contains("site = \"0421\""), "what counted before still does");
    assert!(!machine.places.waiting().exists());
}

#[test]
fn a_box_without_a_file_serves_under_a_name_of_its_own() {
    let machine = Machine::new(None);
    assert_eq!(start(&machine.places).unwrap(), Shop::Unprovisioned);
    assert!(machine.config().contains("node = \"box-01234567\""));
    machine.insert(EXAMPLE);
    assert!(matches!(start(&machine.places).unwrap(), Shop::TakenIn { .. }));
    assert!(machine.config().contains("node = \"box-0421-1\""));
}

#[test]
fn a_key_that_does_not_open_the_disk_is_not_wiped_with_its_file() {
    let file = EXAMPLE.replace("# key = \"…\"", &format!("key = \"{}\"", "5a".repeat(32)));
    let machine = Machine::new(Some(&file));
    // What the disk's own step of this start found: a seal, and nothing about the key.
    replace(&machine.places.run().join("disk"), b"sealed by the machine's TPM").unwrap();
    for _ in 0..2 {
        assert!(matches!(start(&machine.places).unwrap(), Shop::TakenIn { .. }));
        assert!(machine.config().contains("site = \"0421\""), "the shop sells");
        let answer = machine.answer();
        assert!(
            answer.contains("But the key of the shop's file does not open the disk"),
            "{answer}"
        );
        for told in ["dev/ttyS0", "run/storebox-box/to-print"] {
            assert!(machine.read(told).contains("does not open the disk"), "{told}");
        }
    }
    let volume = Volume::open(Window::new(machine.disk(), 0, BYTES)).unwrap();
    assert_eq!(
        volume.read("storebox.toml").unwrap(),
        file.as_bytes(),
        "the next start tries again"
    );
}

#[test]
fn a_broken_volume_does_not_keep_a_known_shop_from_selling() {
    let machine = Machine::new(Some(EXAMPLE));
    start(&machine.places).unwrap();
    fs::write(machine.places.config_volume(), vec![0xa5; 1 << 20]).unwrap();
    assert_eq!(start(&machine.places).unwrap(), Shop::Known);
    assert!(machine.config().contains("site = \"0421\""));
}

#[test]
fn papers_are_asked_for_and_come_over_the_volume() {
    let machine = Machine::new(Some(EXAMPLE));
    start(&machine.places).unwrap();
    assert_eq!(machine.read("var/lib/storebox-box/etc/papers-for"), "box-0421-1\n");
    assert!(!papers::request_onto(&machine.places).unwrap(), "the service has made none yet");
    let data = machine.dir.path().join("var/lib/storebox");
    fs::create_dir_all(&data).unwrap();
    fs::write(data.join("request.json"), "{\"name\":\"box-0421-1\"}").unwrap();
    assert!(papers::request_onto(&machine.places).unwrap());
    let volume = Volume::open(Window::new(machine.disk(), 0, BYTES)).unwrap();
    assert_eq!(volume.read(papers::REQUEST).unwrap(), b"{\"name\":\"box-0421-1\"}");
    volume.write(papers::PAPERS, b"{\"certificate\":\"x\"}").unwrap();
    volume.close().unwrap();
    assert_eq!(start(&machine.places).unwrap(), Shop::Known);
    assert!(machine.read("var/lib/storebox-box/papers.json").contains("certificate"));
    fs::write(data.join("adopted.json"), "").unwrap();
    assert!(!papers::request_onto(&machine.places).unwrap(), "nobody has to carry it any more");
}
