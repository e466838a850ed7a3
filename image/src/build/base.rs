//! The Debian packages of a box, unpacked and configured, as one archive.
//!
//! It takes half a minute and a network to make and is kept in the cache; another list of packages
//! makes another archive. Remove it to take security updates in.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::tools::finish;
use super::{BuildError, EPOCH, io_error, list};
use crate::digest::Digest;

const SUITE: &str = "trixie";
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
const MIRROR: &str = "http://deb.debian.org/debian";
/// Never of use in a shop; the licences stay.
const LEFT_OUT: [&str; 8] = [
    "path-exclude=/usr/share/man/*",
    "path-exclude=/usr/share/doc/*",
    "path-include=/usr/share/doc/*/copyright",
    "path-exclude=/usr/share/locale/*",
    "path-exclude=/usr/share/info/*",
    "path-exclude=/usr/share/bash-completion/*",
    "path-exclude=/usr/share/zsh/*",
    "path-exclude=/usr/share/lintian/*",
];

/// The archive, made now if it is not in the cache.
pub(super) fn fetch(cache: &Path, packages: &Path) -> Result<PathBuf, BuildError> {
    let packages = list(packages)?.join(",");
    let mirror = std::env::var("STOREBOX_MIRROR").unwrap_or_else(|_| MIRROR.to_owned());
    let name = Digest::of(packages.as_bytes()).to_string();
    let archive = cache.join(format!("base-{}.tar", &name[..16]));
    if archive.exists() {
        return Ok(archive);
    }
    let new = archive.with_extension("tar.new");
    let mut command = Command::new("mmdebstrap");
    command.env("SOURCE_DATE_EPOCH", EPOCH).env_remove("TMPDIR").stdin(Stdio::null());
    command.args(["--quiet", "--variant=essential", "--mode=root", "--format=tar"]);
    command.arg("--aptopt=APT::Install-Recommends \"false\"");
    command.arg("--aptopt=Acquire::Languages \"none\"");
    command.args(LEFT_OUT.map(|path| format!("--dpkgopt={path}")));
    command.arg(format!("--include={packages}")).arg(SUITE).arg(&new);
    command.arg(format!("deb [signed-by={KEYRING}] {mirror} {SUITE} main"));
    finish("mmdebstrap", &mut command)?;
    fs::rename(&new, &archive).map_err(io_error("keep", &new))?;
    Ok(archive)
}
