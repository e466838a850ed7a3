//! Real ports of the kernel: `/dev/usb/lp0` and `/dev/ttyACM0` in a virtual machine, with the box on them.
//!
//! The machine is QEMU by emulation, so that it runs where there is no virtualisation; its kernel is Debian's, whose
//! own gadgets are plugged in through a virtual USB controller.
//! The box and the simulators are the programs under test, with the libraries they need.
//! Pseudo-terminals have neither seven bits nor an unplugging that looks like a cable's; here both are real.

mod disk;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, ensure};
use storebox_tests::wait;

/// The machine is switched off after this; it needs about a minute.
const PATIENCE: Duration = Duration::from_secs(400);
/// Everything that has to be seen, in this order.
const SIGHTS: [&str; 9] = [
    "devices /dev/ttyACM0 /dev/usb/lp0",
    "line parenb -parodd cs7",
    "slips 1",
    "weight 1.250",
    "weight 0.300 on ttyACM1",
    "job \"doubt\": \"link_lost\" \"state\": \"unknown\"",
    "pages 1",
    "paper out",
    "done",
];

#[test]
fn a_box_finds_real_usb_devices_again_under_other_names_and_doubts_what_was_cut_off()
-> anyhow::Result<()> {
    if let Some(why) = disk::missing() {
        return skip(&why);
    }
    let folder = tempfile::tempdir()?;
    let disk = disk::pack(folder.path())?;
    let (sights, console) = run(&disk)?;
    let expected: Vec<&str> = SIGHTS.to_vec();
    ensure!(sights == expected, "seen {sights:#?}; the console:\n{console}");
    Ok(())
}

/// Runs the machine until it switches itself off.
fn run(disk: &Path) -> anyhow::Result<(Vec<String>, String)> {
    let mut machine = Command::new("qemu-system-x86_64")
        .args(["-accel", "tcg", "-cpu", "max", "-m", "1024", "-smp", "2"])
        .args(["-display", "none", "-serial", "stdio", "-monitor", "none", "-nic", "none"])
        .args(["-no-reboot", "-append", "console=ttyS0 panic=-1 quiet"])
        .arg("-kernel")
        .arg(disk::kernel())
        .arg("-initrd")
        .arg(disk)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("start qemu-system-x86_64")?;
    let console = machine.stdout.take().context("its console is piped")?;
    let watched = std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let lines = BufReader::new(console).lines().map_while(Result::ok);
            let lines: Vec<String> = lines.map(|line| line.trim_end().to_owned()).collect();
            lines
        });
        wait::held_within(PATIENCE, || reader.is_finished());
        let _ = machine.kill();
        let _ = machine.wait();
        reader.join()
    });
    let lines = watched.map_err(|_| anyhow::anyhow!("the console could not be read"))?;
    let sights = lines.iter().filter_map(|line| line.split_once("SEEN "));
    let sights = sights.map(|(_, sight)| sight.trim().to_owned()).collect();
    Ok((sights, lines.join("\n")))
}

fn skip(why: &str) -> anyhow::Result<()> {
    ensure!(std::env::var("CI").as_deref() != Ok("true"), "{why}");
    eprintln!("skipped: {why}");
    Ok(())
}
