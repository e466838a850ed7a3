//! A disk that is sealed to its machine: it opens by itself at home and nowhere else, and moves by the key of its file.

use std::fs;
use std::time::Duration;

use anyhow::{Context, ensure};

use crate::figures::{figure, say};
use crate::start::{Bench, PATIENCE};
use crate::{disk, shell};

/// What head office would have made for this box.
const KEY: &str = "9c1185a5c5e9fc54612808977ee8f548b2258d31a3c9d1c5b3f0c07d2f3c6ab7";
const HOME: &str = "8f3c1d52-77aa-4c0e-9b1d-2a6e4f905b17";
const ELSEWHERE: &str = "41d0c1aa-6a39-4c55-8d3e-c3f0b7d9e211";
/// Lies in the data partition, and would be seen on a disk that is not sealed.
const MARK: &str = "a-mark-that-only-an-open-disk-shows-27182818";
const ONE_LOOK: Duration = Duration::from_millis(10);
const REFUSED: &str = "the disk was sealed on another machine";

/// A machine with a TPM; the file says nothing about the disk but the key.
pub(crate) async fn by_a_tpm(bench: &mut Bench) -> anyhow::Result<()> {
    let raw = bench.folder.join("disk.raw");
    let tpm = |name: &str| bench.folder.join(name);
    let (mine, theirs, here) = (tpm("tpm-mine"), tpm("tpm-theirs"), tpm("tpm"));
    disk::flash(&bench.old.join("disk.img"), &raw)?;
    fs::create_dir(&theirs)?;
    fs::create_dir(&here)?;
    disk::provision_with(&raw, &format!("[disk]\nkey = \"{KEY}\"\n"))?;
    first_start(bench, "sealed by the machine's TPM").await?;
    at_home(bench, "its own TPM").await?;

    fs::rename(&here, &mine)?;
    fs::rename(&theirs, &here)?;
    refused(bench, "another TPM").await?;
    disk::provision_with(&raw, &format!("[disk]\nkey = \"{KEY}\"\n"))?;
    at_home(bench, "another TPM, with the key of the file").await?;
    at_home(bench, "the TPM that the disk was moved to").await?;
    fs::rename(&here, &theirs)?;
    fs::rename(&mine, &here)?;
    refused(bench, "the TPM that the disk was moved away from").await?;
    fs::remove_dir_all(&here)?;
    Ok(())
}

/// A machine with a TPM, and a file that says nothing at all about the disk; one with a key comes later.
pub(crate) async fn without_a_word(bench: &mut Bench) -> anyhow::Result<()> {
    let raw = bench.folder.join("disk.raw");
    disk::flash(&bench.old.join("disk.img"), &raw)?;
    disk::provision(&raw)?;
    fs::create_dir(bench.folder.join("tpm"))?;
    first_start(bench, "sealed by the machine's TPM").await?;
    at_home(bench, "its own TPM and no key").await?;
    let (here, away) = (bench.folder.join("tpm"), bench.folder.join("tpm-away"));
    fs::rename(&here, &away)?;
    refused(bench, "a machine without a TPM").await?;
    fs::rename(&away, &here)?;
    let key = format!("[disk]\nkey = \"{KEY}\"\n");
    disk::provision_with(&raw, &key)?;
    at_home(bench, "its own TPM, and a key that comes later").await?;
    let answer = disk::answer_to_the_shop(&raw)?;
    ensure!(answer.contains("The file was wiped"), "{answer}");

    fs::rename(&here, &away)?;
    fs::write(bench.folder.join("uuid"), HOME)?;
    disk::provision_with(&raw, &key)?;
    at_home(bench, "a machine without a TPM, with the key that came later").await?;
    at_home(bench, "the same machine by its own numbers").await?;
    fs::remove_file(bench.folder.join("uuid"))?;
    fs::rename(&away, &here)?;
    refused(bench, "the TPM that the disk was moved away from").await?;
    fs::remove_dir_all(&here)?;
    Ok(())
}

/// A machine without a TPM, and the key of the file.
pub(crate) async fn by_the_machine(bench: &mut Bench) -> anyhow::Result<()> {
    let raw = bench.folder.join("disk.raw");
    disk::flash(&bench.old.join("disk.img"), &raw)?;
    let more = format!("[disk]\nencrypt = \"provisioned\"\nkey = \"{KEY}\"\n");
    disk::provision_with(&raw, &more)?;
    fs::write(bench.folder.join("uuid"), HOME)?;
    first_start(bench, "sealed by the machine's own numbers").await?;
    at_home(bench, "the same board").await?;
    fs::write(bench.folder.join("uuid"), ELSEWHERE)?;
    refused(bench, "another board").await
}

/// The partition is made and sealed, the shop sells, and nothing of it is to be read on the disk.
async fn first_start(bench: &mut Bench, guard: &str) -> anyhow::Result<()> {
    bench.power_on()?;
    bench.served().await?;
    let cpu = bench.machine().cpu_s()?;
    figure(&format!("processor seconds to HTTP 200, first start, {guard}"), format!("{cpu:.1}"));
    shell::ready(bench.machine(), PATIENCE).await?;
    let till = bench.first_sale().await?;
    bench.till = Some(till);
    let said = bench.shell("cat /run/storebox-box/disk")?;
    ensure!(said == guard, "{said}");
    let source = bench.shell("findmnt -no SOURCE /var; ls -l /dev/storebox-data")?;
    ensure!(source.contains("/dev/mapper/data") && source.contains("dm-"), "{source}");
    let failed = bench.shell("systemctl list-units --failed --plain --no-legend")?;
    ensure!(failed.is_empty(), "failed units: {failed}");
    let left = bench.shell("ls /run/storebox-box; ls /efi/storebox 2>/dev/null || true")?;
    say(&format!("left behind: {}", left.replace('\n', " ")));
    bench.shell(&format!("echo {MARK} >/var/lib/mark; sync"))?;
    bench.machine = None;
    let raw = bench.folder.join("disk.raw");
    let answer = disk::answer_to_the_shop(&raw)?;
    ensure!(answer.starts_with("Taken in."), "{answer}");
    ensure!(disk::is_sealed(&raw)?, "no LUKS on the disk");
    for hidden in [MARK, KEY, &bench.first_sale] {
        ensure!(!disk::shows(&raw, hidden)?, "the disk shows {hidden}");
    }
    say(&format!("{guard}: nothing of a sale, a mark or the key is to be read on the disk"));
    Ok(())
}

/// The box starts without a hand and has all it had.
async fn at_home(bench: &mut Bench, what: &str) -> anyhow::Result<()> {
    bench.power_on()?;
    bench.served().await?;
    let cpu = bench.machine().cpu_s()?;
    figure(&format!("processor seconds to HTTP 200, {what}"), format!("{cpu:.1}"));
    let sale = bench.first_sale.clone();
    bench.till.as_mut().context("a till")?.find(&sale).await?;
    shell::ready(bench.machine(), PATIENCE).await?;
    ensure!(bench.shell("cat /var/lib/mark")? == MARK);
    bench.shell("sync")?;
    bench.machine = None;
    say(&format!("{what}: started without a hand and holds the first sale"));
    Ok(())
}

/// The box says why it does not start, and nothing of it is served.
async fn refused(bench: &mut Bench, what: &str) -> anyhow::Result<()> {
    bench.power_on()?;
    bench.machine().await_console(REFUSED, 1, PATIENCE).await?;
    // One look, which waits some seconds for an answer.
    ensure!(crate::shop::served(ONE_LOOK).await.is_err(), "{what}: it serves");
    bench.machine = None;
    say(&format!("{what}: the disk does not open, and the console says what to do"));
    Ok(())
}
