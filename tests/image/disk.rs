//! The disk of the machine as a file, judged as a boot loader and a technician would.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};
use storebox_image::layout::{Layout, Role};
use storebox_image::provision::stick;
use storebox_image::provision::volume::{FILE, RESULT, Volume, Window};
use storebox_image::slot::grubenv::Env;
use storebox_image::slot::{Slot, State};
use storebox_image::steward::papers;

/// Larger than the image: first boot has something to grow into.
const BYTES: u64 = 4 << 30;

/// Of no head office.
const PUBLIC_KEY: &str = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
const TOKEN: &str = "0123456789abcdef0123";
const SHOP: &str = "format = 1\nsite = \"trial\"\nstore = \"0421\"\nnode = \"trial-1\"\n\
    token = \"0123456789abcdef0123\"\n[main]\nurl = \"http://10.77.0.1:8443\"\n\
    public_key = \"d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a\"\n\
    [network]\naddress = \"10.77.0.2/24\"\ngateway = \"10.77.0.1\"\n";

/// Flashes a disk from an image.
pub(crate) fn flash(image: &Path, disk: &Path) -> anyhow::Result<()> {
    copy(image, disk)?;
    Ok(OpenOptions::new().write(true).open(disk)?.set_len(BYTES)?)
}

/// Puts the shop's file on a disk.
pub(crate) fn provision(disk: &Path) -> anyhow::Result<()> {
    provision_with(disk, "")
}

/// The same with more lines.
pub(crate) fn provision_with(disk: &Path, more: &str) -> anyhow::Result<()> {
    let volume = config_volume(disk)?;
    stick::put(&volume, "trial.toml", format!("{SHOP}{more}").as_bytes())?;
    Ok(volume.close()?)
}

/// Puts the file of a shop there that this head office has let in.
pub(crate) fn provision_for(disk: &Path, key: &str, token: &str) -> anyhow::Result<()> {
    let volume = config_volume(disk)?;
    let text = SHOP.replace(PUBLIC_KEY, key).replace(TOKEN, token);
    stick::put(&volume, "trial.toml", text.as_bytes())?;
    Ok(volume.close()?)
}

/// Whether this text is anywhere on the disk.
pub(crate) fn shows(disk: &Path, text: &str) -> anyhow::Result<bool> {
    let searched = Command::new("grep").args(["-qaF", "-e", text]).arg(disk).status()?;
    match searched.code() {
        Some(0) => Ok(true),
        Some(1) => Ok(false),
        Some(_) | None => anyhow::bail!("grep: {searched}"),
    }
}

/// Whether the data partition is LUKS.
pub(crate) fn is_sealed(disk: &Path) -> anyhow::Result<bool> {
    let mut magic = [0; 6];
    let mut file = File::open(disk)?;
    file.seek(SeekFrom::Start(Layout::shipped().place(Role::Data).start))?;
    file.read_exact(&mut magic)?;
    Ok(magic == *b"LUKS\xba\xbe")
}

/// Puts a file there that no box may take in, as a person does who asks nobody.
pub(crate) fn provision_wrongly(disk: &Path) -> anyhow::Result<()> {
    let volume = config_volume(disk)?;
    let wrong = SHOP.replace("\"0421\"", "\"Shop 0421\"");
    volume.write(FILE, wrong.as_bytes())?;
    Ok(volume.close()?)
}

/// A file whose head office is reached over https, for which a box needs papers.
pub(crate) fn provision_for_https(disk: &Path) -> anyhow::Result<()> {
    let volume = config_volume(disk)?;
    stick::put(&volume, "trial.toml", SHOP.replace("http://", "https://").as_bytes())?;
    Ok(volume.close()?)
}

/// What the box asks head office for.
pub(crate) fn request(disk: &Path) -> anyhow::Result<Vec<u8>> {
    Ok(config_volume(disk)?.read(papers::REQUEST)?)
}

/// What head office answers.
pub(crate) fn put_papers(disk: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let volume = config_volume(disk)?;
    volume.write(papers::PAPERS, bytes)?;
    Ok(volume.close()?)
}

/// What the box answered on the volume.
pub(crate) fn answer(disk: &Path) -> anyhow::Result<String> {
    Ok(String::from_utf8(config_volume(disk)?.read(RESULT)?)?)
}

fn config_volume(disk: &Path) -> anyhow::Result<Volume<File>> {
    let file = OpenOptions::new().read(true).write(true).open(disk)?;
    let place = *Layout::shipped().place(Role::Config);
    Ok(Volume::open(Window::new(file, place.start, place.bytes))?)
}

/// Copies a file with its holes.
pub(crate) fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    let status = Command::new("cp").args(["--sparse=always", "--"]).arg(from).arg(to).status()?;
    ensure!(status.success(), "cp: {status}");
    Ok(())
}

/// What the box thinks of the shop's file, and that no secret is left.
pub(crate) fn answer_to_the_shop(disk: &Path) -> anyhow::Result<String> {
    let volume = config_volume(disk)?;
    ensure!(volume.provisioning()?.is_none(), "the shop's file is still there");
    drop(volume);
    let place = *Layout::shipped().place(Role::Config);
    let mut bytes = vec![0; usize::try_from(place.bytes)?];
    let mut file = File::open(disk)?;
    file.seek(SeekFrom::Start(place.start))?;
    file.read_exact(&mut bytes)?;
    let secret = TOKEN.as_bytes();
    ensure!(
        !bytes.windows(secret.len()).any(|window| window == secret),
        "the token is still there"
    );
    answer(disk)
}

/// What the boot loader would read.
pub(crate) fn state(disk: &Path, work: &Path) -> anyhow::Result<State> {
    let place = *Layout::shipped().place(Role::Esp);
    let esp = work.join("esp.img");
    cut_out(disk, place.start, place.bytes, &esp)?;
    let env = work.join("grubenv");
    let _ = fs::remove_file(&env);
    let status = Command::new("mcopy")
        .args(["-n", "-i"])
        .args([esp.as_os_str(), "::grub/grubenv".as_ref(), env.as_os_str()])
        .status()
        .context("start mcopy")?;
    ensure!(status.success(), "mcopy: {status}");
    // A torn block starts a slot as if it were not there.
    Ok(Env::parse(&fs::read(env)?).map_or_else(|_| State::unknown(), |env| env.state()))
}

/// Whether a slot holds exactly this release.
pub(crate) fn holds(disk: &Path, slot: Slot, release: &Path) -> anyhow::Result<bool> {
    let layout = Layout::shipped();
    for (role, name) in [(Role::Kernel(slot), "kernel.img"), (Role::Rootfs(slot), "rootfs.img")] {
        let expected = fs::read(release.join(name))?;
        let mut found = vec![0; expected.len()];
        let mut file = File::open(disk)?;
        file.seek(SeekFrom::Start(layout.place(role).start))?;
        file.read_exact(&mut found)?;
        if found != expected {
            return Ok(false);
        }
    }
    Ok(true)
}

fn cut_out(disk: &Path, at: u64, bytes: u64, to: &Path) -> anyhow::Result<()> {
    let mut piece = vec![0; usize::try_from(bytes)?];
    let mut file = File::open(disk)?;
    file.seek(SeekFrom::Start(at))?;
    file.read_exact(&mut piece)?;
    Ok(File::create(to)?.write_all(&piece)?)
}

/// A stick with an update on it, and its approval where there is one.
pub(crate) fn stick(update: &Path, to: PathBuf) -> anyhow::Result<PathBuf> {
    let file = File::create(&to)?;
    file.set_len(fs::metadata(update)?.len() + (40 << 20))?;
    let run = |program: &str, args: &[&std::ffi::OsStr]| -> anyhow::Result<()> {
        let path = "/usr/sbin:/sbin:/usr/bin:/bin";
        let output = Command::new(program).env("PATH", path).args(args).output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{program}: {said}");
        Ok(())
    };
    run("mkfs.vfat", &["-F".as_ref(), "32".as_ref(), to.as_os_str()])?;
    let name = "::update.raucb";
    run("mcopy", &["-i".as_ref(), to.as_os_str(), update.as_os_str(), name.as_ref()])?;
    let approval = update.with_extension("approval");
    if approval.exists() {
        run("mcopy", &["-i".as_ref(), to.as_os_str(), approval.as_os_str(), "::".as_ref()])?;
    }
    Ok(to)
}
