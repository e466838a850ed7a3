//! The root of a box: Debian, our programs and units, and nothing that a shop never needs.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::tools::{self, Tools, Work};
use super::{BOARD, BuildError, COMPATIBLE, EPOCH, Inputs, copy, io_error, list, recipe, write};
use crate::layout::Layout;

const PROGRAMS: [&str; 2] = ["storebox", "storebox-image"];
/// The folder below `usr` that has them. Folders lie in the image in the order of their names, and
/// what lies behind a file that grew has other addresses, which its inode names: our programs change
/// with every release, so nothing lies behind them.
pub(super) const LAST_FOLDER: &str = "storebox";
const PACKAGES: &str = "usr/share/storebox/packages.txt";
const WHAT_IS_INSTALLED: &str = "-f=${Package} ${Version} ${Architecture}\n";

/// Unpacks Debian and puts our files over it.
pub(super) fn lay_out(
    tools: &Tools,
    work: &Work,
    inputs: &Inputs,
    base: &Path,
) -> Result<PathBuf, BuildError> {
    let root = work.path("root");
    fs::create_dir_all(&root).map_err(io_error("create", &root))?;
    // A plain mode: the temporary folder's own would be the box's `/`.
    fs::set_permissions(&root, fs::Permissions::from_mode(0o755))
        .map_err(io_error("open", &root))?;
    let mut tar = Command::new("tar");
    tar.arg("-C").arg(&root).args(["--numeric-owner", "-xpf"]).arg(base).stdin(Stdio::null());
    tools::finish("tar", &mut tar)?;
    let admin = format!("--admindir={}", tools.inside(&root.join("var/lib/dpkg")).display());
    let installed = tools.run("dpkg-query", &[&admin, &"-W", &WHAT_IS_INSTALLED])?;
    copy_tree(&recipe(inputs, "tree"), &root)?;
    units(inputs, &root)?;
    fs::create_dir_all(root.join("efi")).map_err(io_error("create", &root))?;
    for program in PROGRAMS {
        let last = Path::new(LAST_FOLDER).join(program);
        install(&inputs.programs.join(program), &root.join("usr").join(&last), 0o755)?;
        let link = root.join("usr/bin").join(program);
        symlink(Path::new("..").join(last), &link).map_err(io_error("link", &link))?;
    }
    copy(&inputs.keys.join("ca.cert.pem"), &root.join("etc/rauc/ca.cert.pem"))?;
    let approvers = inputs.keys.join("approvers.toml");
    if approvers.exists() {
        copy(&approvers, &root.join("usr/lib/storebox/approvers.toml"))?;
    }
    write(&root.join(PACKAGES), installed)?;
    Ok(root)
}

/// The units and settings of the folder `systemd`, at the places where Debian's packages have theirs.
fn units(inputs: &Inputs, root: &Path) -> Result<(), BuildError> {
    let folder = inputs.source.join("systemd");
    let entries = fs::read_dir(&folder).map_err(io_error("list", &folder))?;
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let to = match name.rsplit('.').next() {
            Some("service" | "timer" | "target" | "socket" | "path") => {
                format!("usr/lib/systemd/system/{name}")
            }
            Some("sysusers") => "usr/lib/sysusers.d/storebox.conf".to_owned(),
            Some("tmpfiles") => "usr/lib/tmpfiles.d/storebox.conf".to_owned(),
            Some("rules") => format!("usr/lib/udev/rules.d/{name}"),
            Some(_) | None => continue,
        };
        install(&entry.path(), &root.join(to), 0o644)?;
    }
    Ok(())
}

/// What `os-release` says beside what Debian wrote there.
fn version_lines(inputs: &Inputs) -> String {
    let (version, min) = (inputs.version, inputs.min_version);
    format!(
        "IMAGE_ID=storebox\nIMAGE_VERSION={version}\nSTOREBOX_MIN_VERSION={min}\nSTOREBOX_BOARD={BOARD}\n"
    )
}

/// Makes users and links, writes the version down, takes away what no box needs.
pub(super) fn finish(tools: &Tools, inputs: &Inputs, root: &Path) -> Result<(), BuildError> {
    let option = format!("--root={}", tools.inside(root).display());
    tools.run("systemd-sysusers", &[&option])?;
    tools.run("systemctl", &[&option, &"preset-all"])?;
    for unit in list(&recipe(inputs, "masked-units"))? {
        tools.run("systemctl", &[&option, &"mask", &unit])?;
    }
    let release = root.join("usr/lib/os-release");
    let mut text = fs::read_to_string(&release).map_err(io_error("read", &release))?;
    text += &version_lines(inputs);
    write(&release, text)?;
    let rauc = root.join("etc/rauc/system.conf");
    let conf = fs::read_to_string(&rauc).map_err(io_error("read", &rauc))?;
    let min = format!("min-bundle-version={}", inputs.min_version);
    write(&rauc, conf.replace("@compatible@", COMPATIBLE).replace("@min-version@", &min))?;
    write(&root.join("usr/lib/repart.d/50-data.conf"), Layout::shipped().repart())?;
    for path in list(&recipe(inputs, "left-out"))? {
        remove(root, &path)?;
    }
    // Units that start before the data is there look for it.
    for folder in ["var/lib", "var/tmp"] {
        let folder = root.join(folder);
        fs::create_dir_all(&folder).map_err(io_error("create", &folder))?;
    }
    write(&root.join("etc/machine-id"), "uninitialized\n")?;
    let root_inside = tools.inside(root);
    let script = r#"find "$1" -exec touch -hd "@$2" {} +"#;
    tools.run("sh", &[&"-c", &script, &"age", &root_inside, &EPOCH])?;
    Ok(())
}

/// Removes a path; a `*` as its last part stands for all that is in a folder.
fn remove(root: &Path, path: &str) -> Result<(), BuildError> {
    let path = root.join(path);
    if path.file_name().is_some_and(|name| name == "*") {
        let folder = path.parent().unwrap_or(root);
        let Ok(entries) = fs::read_dir(folder) else { return Ok(()) };
        return entries.flatten().try_for_each(|entry| remove_one(&entry.path()));
    }
    remove_one(&path)
}

fn remove_one(path: &Path) -> Result<(), BuildError> {
    let Ok(metadata) = fs::symlink_metadata(path) else { return Ok(()) };
    let removed = if metadata.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    removed.map_err(io_error("remove", path))
}

fn install(from: &Path, to: &Path, mode: u32) -> Result<(), BuildError> {
    copy(from, to)?;
    fs::set_permissions(to, fs::Permissions::from_mode(mode)).map_err(io_error("open", to))
}

/// Copies files and links, keeping what is there.
fn copy_tree(from: &Path, to: &Path) -> Result<(), BuildError> {
    for entry in fs::read_dir(from).map_err(io_error("list", from))?.flatten() {
        let (path, to) = (entry.path(), to.join(entry.file_name()));
        if path.is_symlink() {
            let target = fs::read_link(&path).map_err(io_error("read", &path))?;
            remove_one(&to)?;
            symlink(target, &to).map_err(io_error("link", &to))?;
        } else if path.is_dir() {
            fs::create_dir_all(&to).map_err(io_error("create", &to))?;
            copy_tree(&path, &to)?;
        } else {
            remove_one(&to)?;
            let mode =
                fs::metadata(&path).map_err(io_error("look at", &path))?.permissions().mode();
            // Of the modes in a checkout only "may be run" means something.
            install(&path, &to, if mode & 0o100 == 0 { 0o644 } else { 0o755 })?;
        }
    }
    Ok(())
}
