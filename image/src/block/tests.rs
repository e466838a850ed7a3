use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use super::*;

/// A computer as a tree of files: one built-in disk that runs it, more added by each test.
struct Computer {
    dir: tempfile::TempDir,
    mountinfo: String,
    swaps: String,
}

impl Computer {
    fn new() -> Self {
        let computer = Self {
            dir: tempfile::tempdir().unwrap(),
            mountinfo: String::new(),
            swaps: "Filename Type Size Used Priority\n".into(),
        };
        fs::create_dir_all(computer.dir.path().join("sys/block")).unwrap();
        fs::create_dir_all(computer.dir.path().join("proc/self")).unwrap();
        let ata = "devices/pci0/0000:00:17.0/ata1/host0/target0:0:0/0:0:0:0/block/sda";
        computer.disk("sda", ata, "8:0", 500_000_000_000);
        computer.put(ata, "device/model", "Samsung SSD 870");
        computer.put_bytes(ata, "device/vpd_pg80", b"\x00\x80\x00\x0cS5Y1NX0R1234");
        computer.partition(ata, "sda1", "8:1");
        computer.partition(ata, "sda2", "8:2");
        computer.mounted("8:1", "/", "/dev/sda1")
    }

    fn put(&self, folder: &str, file: &str, text: &str) {
        self.put_bytes(folder, file, format!("{text}\n").as_bytes());
    }

    fn put_bytes(&self, folder: &str, file: &str, bytes: &[u8]) {
        let path = self.dir.path().join("sys").join(folder).join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    fn disk(&self, name: &str, folder: &str, number: &str, bytes: u64) {
        self.put(folder, "dev", number);
        self.put(folder, "size", &(bytes / 512).to_string());
        self.put(folder, "ro", "0");
        self.put(folder, "removable", "0");
        self.put(folder, "queue/logical_block_size", "512");
        let link = self.dir.path().join("sys/block").join(name);
        symlink(Path::new("..").join(folder), link).unwrap();
    }

    fn partition(&self, folder: &str, name: &str, number: &str) {
        self.put(&format!("{folder}/{name}"), "partition", "1");
        self.put(&format!("{folder}/{name}"), "dev", number);
    }

    fn mounted(mut self, number: &str, at: &str, source: &str) -> Self {
        self.mountinfo += &format!("36 1 {number} / {at} rw,noatime shared:1 - ext4 {source} rw\n");
        self
    }

    /// A USB stick as `sdb`; says where its folder is.
    fn stick(&self) -> &'static str {
        let usb = "devices/pci0/0000:00:14.0/usb1/1-2";
        let folder =
            "devices/pci0/0000:00:14.0/usb1/1-2/1-2:1.0/host6/target6:0:0/6:0:0:0/block/sdb";
        self.put(usb, "idVendor", "0781");
        self.put(usb, "manufacturer", "SanDisk Corp.");
        self.put(usb, "serial", "4C530001230815117");
        self.disk("sdb", folder, "8:16", 32_000_000_000);
        self.put(folder, "device/vendor", "SanDisk ");
        self.put(folder, "device/model", "Ultra Fit       ");
        self.put(folder, "removable", "1");
        self.partition(folder, "sdb1", "8:17");
        folder
    }

    fn roots(&self) -> Roots {
        let root = self.dir.path();
        fs::write(root.join("proc/self/mountinfo"), &self.mountinfo).unwrap();
        fs::write(root.join("proc/swaps"), &self.swaps).unwrap();
        Roots { sys: root.join("sys"), proc: root.join("proc"), here: None }
    }

    fn find(&self, name: &str) -> Disk {
        find(&self.roots(), name).unwrap()
    }

    fn refusal(&self, name: &str) -> Refusal {
        self.find(name).admit(1 << 30, None).unwrap_err()
    }
}

#[test]
fn a_stick_is_described_in_words_and_admitted() {
    let computer = Computer::new();
    computer.stick();
    let stick = computer.find("sdb");
    assert_eq!(
        stick.to_string(),
        "/dev/sdb  32 GB  SanDisk  Ultra Fit  serial 4C530001230815117  (USB)"
    );
    assert_eq!(stick.admit(1 << 30, None), Ok(()));
    let names: Vec<String> =
        list(&computer.roots()).unwrap().into_iter().map(|disk| disk.name).collect();
    assert_eq!(names, ["sda", "sdb"]);
}

#[test]
fn the_system_disk_is_never_admitted_whatever_is_typed() {
    let computer = Computer::new();
    let disk = computer.find("sda");
    assert_eq!(disk.confirmation(), "1234");
    let refused = disk.admit(1 << 30, Some("1234"));
    assert_eq!(refused, Err(Refusal::SystemDisk { name: "sda".into(), at: "/".into() }));
}

#[test]
fn a_system_on_encrypted_lvm_is_traced_to_its_disk() {
    let mut computer = Computer::new();
    computer.mountinfo.clear();
    let computer = computer.mounted("253:1", "/", "/dev/mapper/vg-root");
    let sda = "devices/pci0/0000:00:17.0/ata1/host0/target0:0:0/0:0:0:0/block/sda";
    computer.put(&format!("{sda}/sda2/holders/dm-0"), "dev", "253:0");
    computer.disk("dm-0", "devices/virtual/block/dm-0", "253:0", 1 << 30);
    computer.put("devices/virtual/block/dm-0/holders/dm-1", "dev", "253:1");
    computer.disk("dm-1", "devices/virtual/block/dm-1", "253:1", 1 << 30);
    assert!(matches!(computer.refusal("sda"), Refusal::SystemDisk { .. }));
    assert_eq!(list(&computer.roots()).unwrap().len(), 1, "layers are no disks");
}

#[test]
fn a_mounted_partition_refuses_the_whole_disk() {
    let computer = Computer::new().mounted("8:17", "/media/tech/my\\040stick", "/dev/sdb1");
    computer.stick();
    let at = "/media/tech/my stick".to_owned();
    assert_eq!(computer.refusal("sdb"), Refusal::Mounted { device: "sdb1".into(), at });
    let btrfs = Computer::new().mounted("0:44", "/mnt", "/dev/sdb1");
    btrfs.stick();
    assert!(matches!(btrfs.refusal("sdb"), Refusal::Mounted { .. }));
}

#[test]
fn swap_and_holders_refuse_the_disk() {
    let mut computer = Computer::new();
    let folder = computer.stick();
    computer.put(&format!("{folder}/sdb1/holders/md0"), "dev", "9:0");
    assert_eq!(computer.refusal("sdb"), Refusal::Held { device: "sdb1".into(), by: "md0".into() });
    computer.swaps += "/dev/sdb1 partition 100 0 -2\n";
    assert_eq!(computer.refusal("sdb"), Refusal::Swap { device: "sdb1".into() });
}

#[test]
fn a_disk_that_cannot_carry_a_box_says_why() {
    let computer = Computer::new();
    let folder = computer.stick();
    let too_small = computer.find("sdb").admit(64_000_000_000, None);
    assert_eq!(too_small.unwrap_err().to_string(), "sdb has 32 GB, a box needs 64 GB");
    computer.put(folder, "queue/logical_block_size", "4096");
    assert!(matches!(computer.refusal("sdb"), Refusal::SectorSize { bytes: 4096, .. }));
    computer.put(folder, "ro", "1");
    assert!(matches!(computer.refusal("sdb"), Refusal::ReadOnly { .. }));
    computer.put(folder, "size", "0");
    assert!(matches!(computer.refusal("sdb"), Refusal::NoMedium { .. }));
}

#[test]
fn a_built_in_or_large_disk_needs_the_end_of_its_serial_number() {
    let computer = Computer::new();
    let nvme = "devices/pci0/nvme/nvme0/nvme0n1";
    computer.disk("nvme0n1", nvme, "259:0", 64_000_000_000);
    computer.put(nvme, "device/serial", "NV-998877");
    let built_in = Care::BuiltIn;
    assert_eq!(
        computer.refusal("nvme0n1"),
        Refusal::Unconfirmed { name: "nvme0n1".into(), why: built_in }
    );
    let disk = computer.find("nvme0n1");
    assert_eq!(disk.admit(1 << 30, Some("8877")), Ok(()));
    assert!(matches!(disk.admit(1 << 30, Some("8")), Err(Refusal::WrongConfirmation { .. })));

    let folder = computer.stick();
    computer.put(folder, "size", "4000000000");
    assert!(matches!(computer.refusal("sdb"), Refusal::Unconfirmed { why: Care::Large, .. }));
}

#[test]
fn cards_and_unnamed_disks_are_told_apart() {
    let computer = Computer::new();
    let card = "devices/platform/mmc_host/mmc0/mmc0:0001/block/mmcblk0";
    computer.disk("mmcblk0", card, "179:0", 16_000_000_000);
    computer.put(card, "device/type", "SD");
    computer.put(card, "device/name", "SC16G");
    let disk = computer.find("mmcblk0");
    assert_eq!((disk.bus, disk.care(), disk.model.as_str()), (Bus::SdCard, None, "SC16G"));
    computer.put(card, "device/type", "MMC");
    let disk = computer.find("mmcblk0");
    assert_eq!((disk.bus, disk.care()), (Bus::Emmc, Some(Care::BuiltIn)));
    assert_eq!(disk.confirmation(), "blk0");
}

#[test]
fn a_partition_or_a_strange_name_is_no_disk() {
    let computer = Computer::new();
    computer.stick();
    let partition = find(&computer.roots(), "sdb1").unwrap_err();
    assert_eq!(partition.to_string(), "sdb1 is a partition of sdb; name the whole disk");
    for name in ["sdz", "../sdb", ".", ""] {
        let error = find(&computer.roots(), name).unwrap_err();
        assert!(matches!(error, ListError::NoSuchDisk { .. }), "{name}: {error:?}");
    }
}

#[test]
fn without_a_list_of_mounts_no_disk_is_offered() {
    let computer = Computer::new();
    let roots = computer.roots();
    fs::remove_file(roots.proc.join("self/mountinfo")).unwrap();
    assert!(matches!(list(&roots), Err(ListError::Io { .. })));
}

#[test]
fn from_within_a_chroot_the_disks_of_the_computer_are_still_in_use() {
    let mut computer = Computer::new();
    computer.stick();
    let outside = std::mem::take(&mut computer.mountinfo);
    let admitted = |roots: &Roots, name| find(roots, name).unwrap().admit(1 << 30, Some("1234"));
    let roots = computer.roots();
    assert_eq!(admitted(&roots, "sda"), Ok(()), "nothing speaks of it");
    let here = Roots { here: Some((8, 1)), ..roots.clone() };
    let refused = || Err(Refusal::SystemDisk { name: "sda".into(), at: "/".into() });
    assert_eq!(admitted(&here, "sda"), refused());
    fs::create_dir(roots.proc.join("1")).unwrap();
    fs::write(roots.proc.join("1/mountinfo"), outside + "40 1 8:17 / /srv rw - vfat - rw\n")
        .unwrap();
    assert_eq!(admitted(&roots, "sda"), refused());
    let mounted = Refusal::Mounted { device: "sdb1".into(), at: "/srv".into() };
    assert_eq!(find(&roots, "sdb").unwrap().admit(1 << 30, None), Err(mounted));
}

#[test]
fn a_device_name_cannot_command_the_terminal() {
    let computer = Computer::new();
    let folder = computer.stick();
    computer.put(folder, "device/model", "\x1b[2JEvil\x07");
    assert_eq!(computer.find("sdb").model, "[2JEvil");
}
