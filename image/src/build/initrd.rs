//! The initrd: our first program and the modules that reach the root.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::kernel::{Kernel, dependencies};
use super::tools::{Tools, Work};
use super::{BuildError, EPOCH, Inputs, copy, list, recipe, write};

const PACK: &str = r#"cd "$1" &&
find . -exec touch -hd "@$2" {} + &&
find . -print0 | LC_ALL=C sort -z | cpio --null -o -H newc --reproducible -R 0:0 --quiet | zstd -19 -q"#;

/// Packs the initrd of a kernel whose modules are in the root.
pub(super) fn make(
    tools: &Tools,
    work: &Work,
    inputs: &Inputs,
    root: &Path,
    kernel: &Kernel,
) -> Result<PathBuf, BuildError> {
    let tree = work.path("initrd");
    let init = tree.join("init");
    copy(&inputs.programs.join("storebox-init"), &init)?;
    let modules = root.join("usr/lib/modules").join(&kernel.release);
    let mut names = String::new();
    for path in in_order(&dependencies(&modules)?, &list(&recipe(inputs, "initrd-modules"))?) {
        let file = path.rsplit('/').next().unwrap_or_default();
        let name = file.strip_suffix(".xz").unwrap_or(file);
        let plain = tree.join("modules").join(name);
        copy(&modules.join(&path), &tree.join("modules").join(file))?;
        if name != file {
            tools.run("xz", &[&"-d", &tree.join("modules").join(file)])?;
        }
        debug_assert!(plain.exists());
        names += &format!("{name}\n");
    }
    write(&tree.join("modules/list"), names)?;
    let archive = work.path("initrd.img");
    let tree_inside = tools.inside(&tree);
    let script = format!("{PACK} > {}", tools.inside(&archive).display());
    tools.run("sh", &[&"-c", &script, &"pack", &tree_inside, &EPOCH])?;
    let _ = fs::remove_dir_all(tree);
    Ok(archive)
}

/// The paths of the wanted modules, each behind all that it needs. What is not there is built in.
fn in_order(all: &[(String, Vec<String>)], wanted: &[String]) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let mut ordered = Vec::new();
    for name in wanted {
        let is_named = |path: &str| {
            let file = path.rsplit('/').next().unwrap_or_default();
            file.split('.').next() == Some(name.as_str())
        };
        let Some((path, needs)) = all.iter().find(|(path, _)| is_named(path)) else { continue };
        for path in needs.iter().rev().chain([path]) {
            if seen.insert(path.clone()) {
                ordered.push(path.clone());
            }
        }
    }
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_comes_behind_all_that_it_needs_and_once() {
        let all = [
            (
                "kernel/fs/ext4.ko.xz".to_owned(),
                vec!["kernel/jbd2.ko.xz".into(), "kernel/crc.ko.xz".into()],
            ),
            ("kernel/jbd2.ko.xz".to_owned(), vec![]),
            ("kernel/crc.ko.xz".to_owned(), vec![]),
        ];
        let order = in_order(&all, &["ext4".into(), "jbd2".into(), "built-in".into()]);
        assert_eq!(order, ["kernel/crc.ko.xz", "kernel/jbd2.ko.xz", "kernel/fs/ext4.ko.xz"]);
    }
}
