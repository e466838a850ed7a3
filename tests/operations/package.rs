//! The package for a Debian of one's own: made twice alike, installed into Debian 13, tried, taken away.
//!
//! What is installed into is the tree of `image/setup`; it stays as it is, because everything goes to a layer above it
//! that is thrown away.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};
use storebox_image::build::tools::Tools;

use crate::site::executable;

/// Makes the layer and runs the steps inside, in a mount namespace that ends with them.
const ENTER: &str = r#"set -e
mkdir "$2/up" "$2/work" "$2/whole"
mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/up,workdir=$2/work" "$2/whole"
mount -t proc proc "$2/whole/proc"
mount --rbind /dev "$2/whole/dev"
mount --bind "$2/share" "$2/whole/mnt"
exec chroot "$2/whole" sh -e /mnt/steps
"#;

/// What the owner of a machine does with the package; each line that is printed is looked at below.
const STEPS: &str = r#"export PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive
# The tree leaves manual pages out, and other tests put programs there.
rm -f /etc/dpkg/dpkg.cfg.d/* /usr/bin/storebox /usr/bin/storebox-image
dpkg -i /mnt/storebox.deb >/dev/null
echo "groups $(id -nG storebox)"
echo "enabled $(systemctl is-enabled storebox.service)"
echo "changed $(dpkg -V storebox | wc -l)"
echo "said $(systemd-analyze verify --man=no /usr/lib/systemd/system/storebox*.service 2>&1 | grep -c storebox)"
udevadm verify /usr/lib/udev/rules.d/60-storebox.rules >/dev/null
systemd-analyze security --offline=yes --threshold=15 /usr/lib/systemd/system/storebox.service >/dev/null
zcat /usr/share/man/man1/storebox.1.gz | grep -q '^.TH'
mkdir -p /var/lib/storebox /var/lib/try
chown storebox /var/lib/storebox /var/lib/try
setpriv --reuid=storebox --regid=storebox --init-groups storebox selftest --dir /var/lib/try
echo '# ours' >>/etc/storebox/storebox.toml
dpkg -i /mnt/storebox.deb >/dev/null
echo "ours $(grep -c '^# ours' /etc/storebox/storebox.toml)"
systemctl disable --quiet storebox.service
dpkg -i /mnt/storebox.deb >/dev/null
echo "still $(systemctl is-enabled storebox.service || true)"
dpkg -P storebox >/dev/null 2>&1
echo "left $(ls -d /usr/bin/storebox /etc/storebox/storebox.toml /usr/lib/systemd/system/storebox.service 2>/dev/null | wc -l)"
echo "data $(ls -d /var/lib/storebox)"
"#;

const SEEN: [&str; 9] = [
    "groups storebox lp dialout",
    "enabled enabled",
    "changed 0",
    "said 0",
    "the sale path is good",
    "ours 1",
    "still disabled",
    "left 0",
    "data /var/lib/storebox",
];

fn pack(programs: &Path, out: &Path) -> anyhow::Result<PathBuf> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../systemd/deb");
    let output = Command::new(script)
        .args(["--compression", "none", "--programs"])
        .arg(programs)
        .arg("--out")
        .arg(out)
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "systemd/deb: {said}");
    Ok(PathBuf::from(String::from_utf8(output.stdout)?.trim()))
}

#[test]
fn a_debian_installs_the_package_sells_with_it_and_keeps_the_data_when_it_goes()
-> anyhow::Result<()> {
    let home = || std::env::home_dir().unwrap_or_default().join(".cache/storebox");
    let cache = std::env::var_os("STOREBOX_CACHE").map_or_else(home, PathBuf::from);
    let is_root = Command::new("id").arg("-u").output()?.stdout == b"0\n";
    let Some(tools) = Tools::find(&cache).ok().filter(|_| is_root) else {
        storebox_tests::skip::<()>("needs root and the tools of image/setup");
        return Ok(());
    };
    let folder = tempfile::tempdir()?;
    let (programs, share) = (folder.path().join("programs"), folder.path().join("share"));
    fs::create_dir(&programs)?;
    fs::create_dir(&share)?;
    let strip = Command::new("strip")
        .arg("-o")
        .arg(programs.join("storebox"))
        .arg(executable())
        .status()
        .context("start strip")?;
    ensure!(strip.success(), "strip: {strip}");
    let package = pack(&programs, &folder.path().join("one"))?;
    let again = pack(&programs, &folder.path().join("two"))?;
    ensure!(fs::read(&package)? == fs::read(&again)?, "packed twice, and not the same bytes");
    fs::rename(package, share.join("storebox.deb"))?;
    fs::write(share.join("steps"), STEPS)?;
    let output = Command::new("unshare")
        .args(["--mount", "--propagation=private", "sh", "-c", ENTER, "enter"])
        .arg(tools.root())
        .arg(folder.path())
        .output()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let wrong = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{said}{wrong}");
    let seen: Vec<&str> = said.lines().collect();
    ensure!(seen == SEEN, "{seen:#?}\n{wrong}");
    Ok(())
}
