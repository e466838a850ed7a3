//! The two partitions of a slot: the root with its tree of hashes, and the kernel that knows its hash.

use std::fs;
use std::path::{Path, PathBuf};

use super::kernel::Kernel;
use super::tools::{Tools, Work};
use super::{BuildError, EPOCH, copy, size, write};

/// The same for every release: an update then finds blocks and hashes that did not change.
const ROOT_UUID: &str = "3b9f1a52-6c2e-4d1f-9f37-5a0d1f5c0002";
const SALT: &str = "53746f7265626f78000000000000000000000000000000000000000000000000";
const BLOCK_BYTES: u64 = 4096;
/// Small pieces that lie each at its own block, so that a small release changes few blocks.
/// Level 19 takes a minute more than level 9 to write and 4 of 60 MB less to carry; reading is the same.
/// The end of a file lies beside its inode where there is room, and not in a block of its own.
const COMPRESSION: [&str; 3] = ["-zzstd,level=19", "-C65536", "-Eztailpacking"];

/// A root file system with its tree of hashes behind it.
#[derive(Debug)]
pub(super) struct Rootfs {
    pub(super) image: PathBuf,
    blocks: u64,
    hash: String,
}

pub(super) fn rootfs(tools: &Tools, work: &Work, root: &Path) -> Result<Rootfs, BuildError> {
    let image = work.path("rootfs.img");
    let time = format!("-T{EPOCH}");
    let uuid = format!("-U{ROOT_UUID}");
    let [algorithm, cluster, ends] = COMPRESSION;
    tools.run(
        "mkfs.erofs",
        &[&"--quiet", &time, &uuid, &"-x-1", &algorithm, &cluster, &ends, &image, &root],
    )?;
    let blocks = size(&image)?.div_ceil(BLOCK_BYTES);
    let (data, offset) =
        (format!("--data-blocks={blocks}"), format!("--hash-offset={}", blocks * BLOCK_BYTES));
    let salt = format!("--salt={SALT}");
    let said = tools.run(
        "veritysetup",
        &[&"format", &"--no-superblock", &data, &offset, &salt, &image, &image],
    )?;
    let hash = said.lines().find_map(|line| line.strip_prefix("Root hash:"));
    let unexpected = || BuildError::Unexpected { what: "veritysetup", line: said.clone() };
    let hash = hash.ok_or_else(unexpected)?.trim().to_owned();
    Ok(Rootfs { image, blocks, hash })
}

/// The kernel partition: not compressed, because GRUB reads it faster that way.
pub(super) fn kernel(
    tools: &Tools,
    work: &Work,
    kernel: &Kernel,
    initrd: &Path,
    rootfs: &Rootfs,
    words: &[String],
) -> Result<PathBuf, BuildError> {
    let tree = work.path("slot");
    copy(&kernel.image, &tree.join("vmlinuz"))?;
    copy(initrd, &tree.join("initrd.img"))?;
    let Rootfs { blocks, hash, .. } = rootfs;
    let cmdline = format!("{} storebox.verity={blocks}:{hash}:{SALT}", words.join(" "));
    write(&tree.join("slot.cfg"), format!("set STOREBOX_CMDLINE=\"{cmdline}\"\n"))?;
    let image = work.path("kernel.img");
    let _ = fs::remove_file(&image);
    let fixed: [&dyn AsRef<Path>; 14] = [
        &tree,
        &image,
        &"-noI",
        &"-noD",
        &"-noF",
        &"-noX",
        &"-noappend",
        &"-quiet",
        &"-no-progress",
        &"-all-root",
        &"-all-time",
        &EPOCH,
        &"-mkfs-time",
        &EPOCH,
    ];
    // It refuses times that are given twice.
    let mut command = tools.command("mksquashfs");
    command.env_remove("SOURCE_DATE_EPOCH");
    for arg in fixed {
        let arg = arg.as_ref();
        command.arg(if arg.starts_with(tools.root()) { tools.inside(arg) } else { arg.into() });
    }
    super::tools::finish("mksquashfs", &mut command)?;
    Ok(image)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::build::root::LAST_FOLDER;

    /// Bytes that no compression makes fewer, and the same every time.
    fn noise(bytes: usize, mut seed: u64) -> Vec<u8> {
        let next = || {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            seed.to_le_bytes()[3]
        };
        std::iter::repeat_with(next).take(bytes).collect()
    }

    #[test]
    fn a_program_that_grows_moves_nothing_else_in_the_root() {
        let home = || std::env::home_dir().unwrap_or_default().join(".cache/storebox");
        let cache = std::env::var_os("STOREBOX_CACHE").map_or_else(home, PathBuf::from);
        let made = Tools::find(&cache).and_then(|tools| Ok((tools.work()?, tools)));
        let Ok((work, tools)) = made else {
            let why = "only root works in the tools of image/setup";
            assert!(std::env::var("CI").as_deref() != Ok("true"), "{why}");
            eprintln!("skipped: {why}");
            return;
        };
        let root = work.path("root");
        for (number, folder) in (1..).zip(["bin", "lib/deep", "lib64", "sbin", "share/zoneinfo"]) {
            for file in 0..30 {
                let path = root.join("usr").join(folder).join(file.to_string());
                write(&path, noise(700 + 450 * file, number * 100 + file as u64)).unwrap();
            }
        }
        write(&root.join("var/lib/empty"), "").unwrap();
        let program = root.join("usr").join(LAST_FOLDER).join("storebox");
        let mut content = noise(200_000, 7);
        let mut blocks = || {
            write(&program, &content).unwrap();
            content.extend(noise(200_000, 8));
            let image = fs::read(rootfs(&tools, &work, &root).unwrap().image).unwrap();
            let blocks = image.chunks(4096).map(<[u8]>::to_vec);
            blocks.collect::<BTreeSet<Vec<u8>>>()
        };
        let (old, new) = (blocks(), blocks());
        let count = new.difference(&old).count();
        // What the program has more of, and what is behind it, its inode, hashes, and the head of the file system.
        assert!((49..70).contains(&count), "{count} blocks of {} are new", new.len());
    }
}
