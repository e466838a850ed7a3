//! The partitions of a box's disk: one file, `layout.toml`, read here and nowhere else.
//!
//! A box has two slots, each a kernel partition (what the boot loader reads) and a root partition
//! (what the kernel mounts), one small FAT volume a technician can open on any computer, and the
//! data of the shop on the rest of the disk. The data partition is never in the image: first boot
//! makes it, so that one image fits every disk and no update can touch it.
//!
//! Invariants of a [`Layout`]: partitions come in the order of [`Role::ORDER`]; the two slots have
//! the same sizes; only the last partition grows; every boundary is aligned.

use serde::Deserialize;

use crate::gpt::{self, Entry, Table};
use crate::guid::Guid;
use crate::slot::Slot;

pub const MIB: u64 = 1024 * 1024;
/// What `layout.toml` calls itself; another number is another program's file.
const FORMAT: u32 = 1;
/// Larger than any disk a box has; keeps every sum of sizes far from overflow.
const PARTITION_MIB_MAX: u64 = 1 << 24;
/// FAT32 needs 65,525 clusters; firmware is strict about it on the ESP.
const ESP_MIB_MIN: u64 = 33;
/// FAT16 needs 4,085 clusters; leave room to spare.
const CONFIG_MIB_MIN: u64 = 16;
/// Keeps systemd from mounting a root it was not told to ("no auto" of the Discoverable
/// Partitions Specification).
const NO_AUTO: u64 = 1 << 63;

const SHIPPED: &str = include_str!("../layout.toml");

/// What a partition is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    Esp,
    Kernel(Slot),
    Rootfs(Slot),
    Config,
    Data,
}

impl Role {
    /// The order on the disk.
    pub const ORDER: [Self; 7] = [
        Self::Esp,
        Self::Kernel(Slot::A),
        Self::Rootfs(Slot::A),
        Self::Kernel(Slot::B),
        Self::Rootfs(Slot::B),
        Self::Config,
        Self::Data,
    ];

    /// The partition's label; boot loader, kernel and units find it by this name.
    pub fn label(self) -> &'static str {
        match self {
            Self::Esp => "esp",
            Self::Kernel(Slot::A) => "kernel-a",
            Self::Kernel(Slot::B) => "kernel-b",
            Self::Rootfs(Slot::A) => "rootfs-a",
            Self::Rootfs(Slot::B) => "rootfs-b",
            Self::Config => "SBXCONFIG",
            Self::Data => "data",
        }
    }
}

/// The partition types we use, by the names systemd-repart gives them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Kind {
    #[serde(rename = "esp")]
    Esp,
    #[serde(rename = "linux")]
    Linux,
    #[serde(rename = "root-x86-64")]
    RootX8664,
    #[serde(rename = "root-arm64")]
    RootArm64,
    #[serde(rename = "basic-data")]
    BasicData,
    #[serde(rename = "var")]
    Var,
}

impl Kind {
    /// The type's GUID in the table.
    pub fn guid(self) -> Guid {
        let text = match self {
            Self::Esp => "C12A7328-F81F-11D2-BA4B-00A0C93EC93B",
            Self::Linux => "0FC63DAF-8483-4772-8E79-3D69D8477DE4",
            Self::RootX8664 => "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709",
            Self::RootArm64 => "B921B045-1DF0-41C3-AF44-4C6F280D3FAE",
            Self::BasicData => "EBD0A0A2-B9E5-4433-87C0-68B6B72699C7",
            Self::Var => "4D21B016-B534-45C2-A9FB-5C16E091FD2D",
        };
        text.parse().expect("the constants above are GUIDs; a test parses each")
    }

    fn attributes(self) -> u64 {
        match self {
            Self::RootX8664 | Self::RootArm64 => NO_AUTO,
            Self::Esp | Self::Linux | Self::BasicData | Self::Var => 0,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    format: u32,
    seed: String,
    align_mib: u64,
    partition: Vec<FilePartition>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FilePartition {
    label: String,
    kind: Kind,
    mib: u64,
    #[serde(default)]
    grows: bool,
}

/// One partition and its place on the disk, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    pub role: Role,
    pub kind: Kind,
    pub start: u64,
    /// The size, or the least size of the partition that grows.
    pub bytes: u64,
}

impl Place {
    pub fn end(&self) -> u64 {
        self.start + self.bytes
    }
}

/// A checked layout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    seed: String,
    align: u64,
    places: Vec<Place>,
}

#[derive(Debug, thiserror::Error)]
pub enum LayoutError {
    #[error("layout does not parse")]
    Syntax(#[from] toml::de::Error),
    #[error("layout has format {found}, this program reads {FORMAT}")]
    Format { found: u32 },
    #[error("alignment of {mib} MiB is not a power of two between 1 and 64")]
    Alignment { mib: u64 },
    #[error("partition {number} is {found:?}, must be {expected:?}")]
    Order { number: usize, found: String, expected: String },
    #[error("partition {label} is missing or comes twice: {found} partitions, must be 7")]
    Count { label: &'static str, found: usize },
    #[error("partition {label} has {mib} MiB, must be {min} to {max} and a multiple of {align}")]
    Size { label: &'static str, mib: u64, min: u64, max: u64, align: u64 },
    #[error("slot B's {label} has {b} bytes, slot A's {a}; an update must fit either")]
    Unequal { label: &'static str, a: u64, b: u64 },
    #[error("partition {label}: only the last partition grows, and it must")]
    Grows { label: &'static str },
}

impl Layout {
    /// The layout this program was built with.
    pub fn shipped() -> Self {
        SHIPPED.parse().expect("the shipped layout is checked by a test")
    }

    pub fn places(&self) -> &[Place] {
        &self.places
    }

    pub fn seed(&self) -> &str {
        &self.seed
    }

    pub fn place(&self, role: Role) -> &Place {
        self.places.iter().find(|place| place.role == role).expect("every layout has every role")
    }

    /// The partitions that the image holds: all but the one that grows.
    pub fn in_image(&self) -> impl Iterator<Item = &Place> {
        self.places.iter().filter(|place| place.role != Role::Data)
    }

    /// The image's size: up to the data partition, and one unit more for the backup table.
    pub fn image_bytes(&self) -> u64 {
        self.place(Role::Data).start + self.align
    }

    /// The smallest disk on which a box can live.
    pub fn disk_bytes_min(&self) -> u64 {
        self.place(Role::Data).end() + self.align
    }

    /// How first boot makes the data partition, in the words of systemd-repart.
    pub fn repart(&self) -> String {
        let data = self.place(Role::Data);
        let (label, bytes) = (data.role.label(), data.bytes);
        format!(
            "[Partition]\nType=var\nLabel={label}\nFormat=ext4\nSizeMinBytes={bytes}\n\
             FactoryReset=yes\n"
        )
    }

    /// The table of a disk of this size, without the data partition.
    pub fn table(&self, disk_bytes: u64) -> Result<Table, gpt::InvalidTable> {
        let entries = self.in_image().map(|place| Entry {
            kind: place.kind.guid(),
            id: Guid::derived(&self.seed, place.role.label()),
            first: place.start / gpt::SECTOR_BYTES,
            last: place.end() / gpt::SECTOR_BYTES - 1,
            attributes: place.kind.attributes(),
            name: place.role.label().to_owned(),
        });
        let sectors = disk_bytes / gpt::SECTOR_BYTES;
        Table::new(Guid::derived(&self.seed, "disk"), sectors, entries.collect())
    }
}

impl std::str::FromStr for Layout {
    type Err = LayoutError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let file: File = toml::from_str(text)?;
        if file.format != FORMAT {
            return Err(LayoutError::Format { found: file.format });
        }
        if !file.align_mib.is_power_of_two() || file.align_mib > 64 {
            return Err(LayoutError::Alignment { mib: file.align_mib });
        }
        let align = file.align_mib * MIB;
        let mut places = Vec::with_capacity(Role::ORDER.len());
        let mut start = align;
        for (at, (role, partition)) in Role::ORDER.into_iter().zip(&file.partition).enumerate() {
            check_partition(at, role, partition, file.align_mib)?;
            let bytes = partition.mib * MIB;
            places.push(Place { role, kind: partition.kind, start, bytes });
            start += bytes;
        }
        if file.partition.len() != Role::ORDER.len() {
            let label = Role::ORDER.get(file.partition.len()).map_or("data", |role| role.label());
            return Err(LayoutError::Count { label, found: file.partition.len() });
        }
        let layout = Self { seed: file.seed, align, places };
        layout.check_slots()?;
        Ok(layout)
    }
}

impl Layout {
    fn check_slots(&self) -> Result<(), LayoutError> {
        for role in [Role::Kernel, Role::Rootfs] {
            let (a, b) = (self.place(role(Slot::A)).bytes, self.place(role(Slot::B)).bytes);
            if a != b {
                return Err(LayoutError::Unequal { label: role(Slot::B).label(), a, b });
            }
        }
        Ok(())
    }
}

fn check_partition(
    at: usize,
    role: Role,
    partition: &FilePartition,
    align: u64,
) -> Result<(), LayoutError> {
    let label = role.label();
    if partition.label != label {
        let (found, expected) = (partition.label.clone(), label.to_owned());
        return Err(LayoutError::Order { number: at + 1, found, expected });
    }
    let min = match role {
        Role::Esp => ESP_MIB_MIN,
        Role::Config => CONFIG_MIB_MIN,
        Role::Kernel(_) | Role::Rootfs(_) | Role::Data => 1,
    };
    let (mib, max) = (partition.mib, PARTITION_MIB_MAX);
    if !(min..=max).contains(&mib) || !mib.is_multiple_of(align) {
        return Err(LayoutError::Size { label, mib, min, max, align });
    }
    if partition.grows != (role == Role::Data) {
        return Err(LayoutError::Grows { label });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(from: &str, to: &str) -> LayoutError {
        assert!(SHIPPED.contains(from), "{from:?} is in the layout");
        SHIPPED.replacen(from, to, 1).parse::<Layout>().expect_err("the change breaks a rule")
    }

    #[test]
    fn the_shipped_layout_holds_and_its_figures_are_known() {
        let layout = Layout::shipped();
        assert_eq!(layout.place(Role::Esp).start, MIB);
        assert_eq!(layout.image_bytes(), (1 + 64 + 2 * (32 + 512) + 40 + 1) * MIB);
        assert_eq!(layout.disk_bytes_min(), layout.image_bytes() + 256 * MIB);
    }

    #[test]
    fn partitions_touch_and_are_aligned() {
        let layout = Layout::shipped();
        for pair in layout.places().windows(2) {
            assert_eq!(pair[0].end(), pair[1].start);
            assert_eq!(pair[1].start % MIB, 0);
        }
    }

    #[test]
    fn every_kind_has_its_own_type() {
        use Kind::{BasicData, Esp, Linux, RootArm64, RootX8664, Var};
        let mut guids: Vec<Guid> =
            [Esp, Linux, RootX8664, RootArm64, BasicData, Var].map(Kind::guid).into();
        guids.sort();
        guids.dedup();
        assert_eq!(guids.len(), 6);
    }

    #[test]
    fn a_layout_that_breaks_a_rule_is_refused_by_that_rule() {
        assert!(matches!(refused("format = 1", "format = 2"), LayoutError::Format { found: 2 }));
        assert!(matches!(refused("align_mib = 1", "align_mib = 3"), LayoutError::Alignment { .. }));
        assert!(matches!(refused("align_mib = 1", "align_mib = 0"), LayoutError::Alignment { .. }));
        assert!(matches!(refused("\"kernel-a\"", "\"kernel-b\""), LayoutError::Order { .. }));
        assert!(matches!(refused("mib = 64", "mib = 32"), LayoutError::Size { .. }));
        assert!(matches!(refused("mib = 64", "mib = 18446744073709551"), LayoutError::Size { .. }));
        assert!(matches!(refused("mib = 512", "mib = 511"), LayoutError::Unequal { .. }));
        assert!(matches!(refused("grows = true", "grows = false"), LayoutError::Grows { .. }));
        assert!(matches!(refused("mib = 40", "mib = 40\ngrows = true"), LayoutError::Grows { .. }));
        assert!(matches!(refused("mib = 64", "mib = 64\nsize = 1"), LayoutError::Syntax(_)));
        let extra = format!("{SHIPPED}\n[[partition]]\nlabel='x'\nkind='var'\nmib=1\n");
        assert!(matches!(extra.parse::<Layout>(), Err(LayoutError::Count { found: 8, .. })));
        let short = &SHIPPED[..SHIPPED.find("[[partition]]\nlabel = \"data\"").unwrap()];
        let error = short.parse::<Layout>().unwrap_err();
        assert!(matches!(error, LayoutError::Count { label: "data", found: 6 }));
    }
}
