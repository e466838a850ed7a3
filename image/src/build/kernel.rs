//! Debian's kernel, of it the modules that boxes need.
//!
//! The package is unpacked, not installed: installing would make an initrd of 17 MB that nobody
//! starts. `recipe/modules` says which modules stay; what those need stays with them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::tools::{Tools, Work};
use super::{BuildError, Inputs, io_error, list, recipe};

/// A kernel with its modules in the root.
#[derive(Debug)]
pub(super) struct Kernel {
    pub(super) image: PathBuf,
    /// Such as `6.12.107+deb13-amd64`.
    pub(super) release: String,
}

/// The kernel's package, fetched now if it is not in the cache.
pub(super) fn fetch(tools: &Tools, inputs: &Inputs) -> Result<PathBuf, BuildError> {
    let folder = tools.root().join("var/kernel").join(inputs.flavour.package());
    if let Some(package) = package_in(&folder) {
        return Ok(package);
    }
    fs::create_dir_all(&folder).map_err(io_error("create", &folder))?;
    let resolver = Path::new("/etc/resolv.conf");
    let to = tools.root().join("etc/resolv.conf");
    fs::copy(resolver, &to).map_err(io_error("copy", resolver))?;
    tools.run("apt-get", &[&"-q", &"update"])?;
    let depends = tools.run("apt-cache", &[&"depends", &inputs.flavour.package()])?;
    let name = depends.lines().find_map(|line| line.trim().strip_prefix("Depends: "));
    let unexpected =
        || BuildError::Unexpected { what: "the kernel's package", line: depends.clone() };
    let name = name.ok_or_else(unexpected)?;
    let script = r#"cd "$1" && apt-get -q download "$2""#;
    let folder_inside = tools.inside(&folder);
    tools.run("sh", &[&"-c", &script, &"fetch", &folder_inside, &name])?;
    package_in(&folder).ok_or_else(unexpected)
}

fn package_in(folder: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(folder).ok()?;
    let paths = entries.flatten().map(|entry| entry.path());
    paths.filter(|path| path.extension().is_some_and(|end| end == "deb")).max()
}

/// Unpacks the kernel beside the root, and the chosen modules into it.
pub(super) fn install(
    tools: &Tools,
    work: &Work,
    inputs: &Inputs,
    package: &Path,
    root: &Path,
) -> Result<Kernel, BuildError> {
    let unpacked = work.path("linux");
    tools.run("dpkg-deb", &[&"-x", &package, &unpacked])?;
    let boot = unpacked.join("boot");
    let entries = fs::read_dir(&boot).map_err(io_error("list", &boot))?;
    let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    let release = names.filter_map(|name| Some(name.strip_prefix("vmlinuz-")?.to_owned())).max();
    let release = release.ok_or_else(|| BuildError::Unexpected {
        what: "the kernel's package",
        line: package.display().to_string(),
    })?;
    let image = boot.join(format!("vmlinuz-{release}"));
    let modules = root.join("usr/lib/modules").join(&release);
    let from = unpacked.join("usr/lib/modules").join(&release);
    fs::create_dir_all(root.join("usr/lib/modules")).map_err(io_error("create", &modules))?;
    fs::rename(&from, &modules).map_err(io_error("move", &from))?;
    tools.run("depmod", &[&"-b", &root, &release])?;
    select(&modules, &list(&recipe(inputs, "modules"))?)?;
    tools.run("depmod", &[&"-b", &root, &release])?;
    Ok(Kernel { image, release })
}

/// Removes every module that neither the list names nor a named one needs.
fn select(modules: &Path, wanted: &[String]) -> Result<(), BuildError> {
    let all = dependencies(modules)?;
    let is_wanted = |path: &str| {
        let path = path.strip_prefix("kernel/").unwrap_or(path);
        wanted.iter().any(|word| match word.strip_suffix('/') {
            Some(_) => path.starts_with(word.as_str()),
            None => path.split('.').next() == Some(word.as_str()),
        })
    };
    let mut kept = BTreeSet::new();
    for (path, needs) in all.iter().filter(|(path, _)| is_wanted(path)) {
        kept.insert(path);
        kept.extend(needs);
    }
    for (path, _) in all.iter().filter(|(path, _)| !kept.contains(path)) {
        let path = modules.join(path);
        fs::remove_file(&path).map_err(io_error("remove", &path))?;
    }
    Ok(())
}

/// Every module with all it needs, nearest first, as `modules.dep` has them.
pub(super) fn dependencies(modules: &Path) -> Result<Vec<(String, Vec<String>)>, BuildError> {
    let path = modules.join("modules.dep");
    let text = fs::read_to_string(&path).map_err(io_error("read", &path))?;
    let lines = text.lines().filter_map(|line| line.split_once(':'));
    Ok(lines
        .map(|(path, needs)| {
            let needs = needs.split_whitespace().map(str::to_owned).collect();
            (path.to_owned(), needs)
        })
        .collect())
}
