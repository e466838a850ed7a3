//! The disk that Yocto makes is the disk that we make.

use std::fs;
use std::path::Path;

use storebox_image::layout::{Layout, MIB};

/// A line of the description: name and MiB.
fn part(line: &str) -> Option<(String, u64)> {
    let value = |key: &str| {
        let mut words = line.split_whitespace().skip_while(|word| *word != key);
        words.nth(1).map(str::to_owned)
    };
    let mib = value("--fixed-size")?.strip_suffix('M')?.parse().ok()?;
    Some((value("--part-name")?, mib))
}

#[test]
fn the_disk_of_yocto_has_the_partitions_of_the_layout() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let path = "yocto/meta-storebox/files/wic/storebox-x86-64.wks.in";
    let text = fs::read_to_string(root.join(path)).unwrap();
    let described: Vec<(String, u64)> =
        text.lines().filter(|line| line.starts_with("part ")).filter_map(part).collect();
    let layout = Layout::shipped();
    let wanted: Vec<(String, u64)> =
        layout.in_image().map(|place| (place.role.label().to_owned(), place.bytes / MIB)).collect();
    assert_eq!(described, wanted);
}
