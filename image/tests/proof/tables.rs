//! Our partition tables as other programs see them.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use storebox_image::gpt;
use storebox_image::layout::Layout;

fn disk_with_table(dir: &Path) -> PathBuf {
    let layout = Layout::shipped();
    let table = layout.table(layout.image_bytes()).unwrap();
    let path = dir.join("disk.img");
    let disk = File::create(&path).unwrap();
    disk.set_len(table.disk_bytes()).unwrap();
    disk.write_all_at(&table.head(), 0).unwrap();
    disk.write_all_at(&table.tail(), table.tail_at()).unwrap();
    path
}

/// What a program prints about a disk, or nothing if it is not installed.
fn asked(program: &str, args: &[&str], disk: &Path) -> Option<String> {
    match Command::new(program).args(args).arg(disk).output() {
        Ok(output) => {
            assert!(output.status.success(), "{program} {args:?}: {output:?}");
            Some(
                String::from_utf8(output.stdout).unwrap()
                    + &String::from_utf8_lossy(&output.stderr),
            )
        }
        Err(_) => {
            crate::depot::skip(&format!("{program} is not installed"));
            None
        }
    }
}

#[test]
fn sgdisk_finds_no_fault_and_every_partition() {
    let dir = tempfile::tempdir().unwrap();
    let disk = disk_with_table(dir.path());
    let Some(verdict) = asked("sgdisk", &["--verify"], &disk) else { return };
    assert!(verdict.contains("No problems found"), "{verdict}");
    let printed = asked("sgdisk", &["--print"], &disk).unwrap();
    for label in ["esp", "kernel-a", "rootfs-a", "kernel-b", "rootfs-b", "SBXCONFIG"] {
        assert!(printed.contains(label), "{printed}");
    }
    let root = asked("sgdisk", &["--info=3"], &disk).unwrap();
    assert!(root.contains("Linux x86-64 root"), "{root}");
    assert!(root.contains("Attribute flags: 8000000000000000"), "{root}");
}

#[test]
fn sfdisk_reads_the_same_numbers_as_the_layout() {
    let dir = tempfile::tempdir().unwrap();
    let disk = disk_with_table(dir.path());
    let Some(json) = asked("sfdisk", &["--json"], &disk) else { return };
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let partitions = json["partitiontable"]["partitions"].as_array().unwrap();
    let layout = Layout::shipped();
    assert_eq!(partitions.len(), layout.in_image().count());
    for (place, partition) in layout.in_image().zip(partitions) {
        assert_eq!(partition["name"], place.role.label());
        assert_eq!(partition["start"], place.start / gpt::SECTOR_BYTES);
        assert_eq!(partition["size"], place.bytes / gpt::SECTOR_BYTES);
        assert_eq!(partition["type"], place.kind.guid().to_string());
    }
    asked("sfdisk", &["--verify"], &disk).unwrap();
}

#[test]
fn a_table_made_by_sfdisk_is_read_whole() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("other.img");
    File::create(&path).unwrap().set_len(64 << 20).unwrap();
    let script = dir.path().join("script");
    std::fs::write(&script, "label: gpt\nname=one, size=10M, type=linux\nname=two, type=uefi\n")
        .unwrap();
    let made = Command::new("sfdisk").arg(&path).stdin(File::open(&script).unwrap()).output();
    let Ok(made) = made else {
        crate::depot::skip("sfdisk is not installed");
        return;
    };
    assert!(made.status.success(), "{made:?}");
    let found = gpt::find(&mut File::open(&path).unwrap(), 64 << 20).unwrap();
    assert!(matches!(found.health, gpt::Health::Whole), "{:?}", found.health);
    assert_eq!(found.table.entry("one").unwrap().bytes(), 10 << 20);
    assert_eq!(found.table.entries().len(), 2);
}
