//! Saying that this start is good, and what happens when nobody can say it.
//!
//! Only a start on which the service answers and the self-test of the sale path passes is confirmed.
//! Until then every failure ends in a restart, which the boot loader counts; from the last try on
//! the other slot starts. After it, a service that fails is a matter of this release and this data,
//! and the other slot would not mend it: the machine is restarted only when it ran for a while.
//!
//! A configuration that is refused is no failure of the machine. Only a release that never proved
//! itself gives way to one that did, which may read it; else the box tells why, and waits for a
//! corrected file instead of restarting for ever.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use super::history::{self, Event};
use super::{Error, Places, announce, load_env, run, slots, touch, update};
use crate::slot::rauc::running;
use crate::slot::{Slot, State};

const HEALTH: &str = "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
const PORT: u16 = 8080;
const ANSWER_MAX: Duration = Duration::from_secs(5);
const AGAIN_AFTER: Duration = Duration::from_secs(2);
const SELF_TEST: &str = "storebox-selftest.service";
const SERVICE: &str = "storebox.service";
/// The exit code of a configuration that is refused: no restart mends it.
const EXIT_CONFIG: &str = "78";
/// A service that starts for so long was given up, whatever systemd calls it.
const TRIES_S_MAX: u32 = 300;
/// A confirmed machine that fails sooner is not restarted, or it would do nothing else.
const UPTIME_MIN_S: u32 = 1200;
const LOG_LINES: &str = "8";
/// What the service itself says, without what systemd says of it.
const LOG_NAME: &str = "storebox";

/// Waits until the start has proved itself, and writes that down. The deadline ends the waiting.
pub fn confirm(places: &Places) -> Result<(), Error> {
    if places.waiting().exists() {
        return Ok(());
    }
    while !answers() || run("systemctl", &["start", SELF_TEST]).is_err() {
        thread::sleep(AGAIN_AFTER);
    }
    let slot = running(&places.cmdline()?)?;
    // Before the state is changed: it tells whether an update that was cut off had been written. A line that cannot be
    // written is no reason to restart a box that sells.
    let closed = update::close(places);
    let file = places.env();
    let mut env = load_env(&file)?;
    let mut state = env.state();
    state.confirm(slot);
    env.set_state(&state);
    file.store(&env)?;
    if let Err(error) = closed.and_then(|()| settle_history(places)) {
        announce::on_console(places, &format!("what became of an update is not noted: {error}"));
    }
    slots::publish(places);
    touch(&places.confirmed())
}

/// Whether an update that was written is what runs now.
fn settle_history(places: &Places) -> Result<(), Error> {
    let lines = history::load(places)?;
    let Some(pending) = history::pending(&lines) else { return Ok(()) };
    if pending.version == places.version()? {
        return history::note(places, Event::Confirmed, &pending.version, &pending.manifest, "");
    }
    let args = ["-b", "-1", "-u", SERVICE, "-p", "warning", "-n", LOG_LINES, "-o", "cat"];
    let why = run("journalctl", &args).unwrap_or_default();
    let why = if why.trim().is_empty() { "it did not start" } else { why.trim() };
    announce::on_console(places, &format!("release {} came back: {why}", pending.version));
    history::note(places, Event::FellBack, &pending.version, &pending.manifest, why)
}

/// Whether the shop's service answers through its real door.
fn answers() -> bool {
    let ask = || -> std::io::Result<String> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, PORT));
        let mut stream = TcpStream::connect_timeout(&address, ANSWER_MAX)?;
        stream.set_read_timeout(Some(ANSWER_MAX))?;
        stream.write_all(HEALTH.as_bytes())?;
        let mut answer = String::new();
        stream.take(4096).read_to_string(&mut answer)?;
        Ok(answer)
    };
    ask().is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
}

/// Ten minutes are over: a start that has not proved itself ends.
pub fn deadline(places: &Places) -> Result<(), Error> {
    if places.confirmed().exists() || places.waiting().exists() {
        return Ok(());
    }
    announce::on_console(places, "this start was not confirmed in time: restarting");
    restart()
}

/// systemd gave the service up.
pub fn failed(places: &Places) -> Result<(), Error> {
    if places.waiting().exists() || !is_given_up() {
        return Ok(());
    }
    let is_refused = property("ExecMainStatus") == EXIT_CONFIG;
    // A block that cannot be read is no reason to stay: the boot loader has values of its own.
    if is_refused && !next_release(places).unwrap_or(true) {
        return wait_for_a_person(places);
    }
    if !places.confirmed().exists() {
        announce::on_console(
            places,
            "the service failed on a start that is not confirmed: restarting",
        );
        return restart();
    }
    let uptime = fs::read_to_string(places.at("proc/uptime")).unwrap_or_default();
    let seconds = uptime.split('.').next().and_then(|text| text.parse::<u32>().ok());
    if seconds.is_some_and(|seconds| seconds < UPTIME_MIN_S) {
        announce::on_console(
            places,
            "the service failed; the box waits for help, or its next start",
        );
        return Ok(());
    }
    announce::on_console(places, "the service failed: restarting");
    restart()
}

/// Whether systemd has given the service up. It also asks between two tries of its own, and asks nobody who is busy
/// already: so this waits until there are no tries left, or one of them works.
fn is_given_up() -> bool {
    for _ in 0..TRIES_S_MAX {
        match property("ActiveState").as_str() {
            "activating" | "deactivating" | "reloading" => thread::sleep(Duration::from_secs(1)),
            state => return state != "active",
        }
    }
    true
}

fn property(name: &str) -> String {
    let show = ["show", &format!("--property={name}"), "--value", SERVICE];
    run("systemctl", &show).unwrap_or_default().trim().to_owned()
}

fn next_release(places: &Places) -> Result<bool, Error> {
    let slot = running(&places.cmdline()?)?;
    Ok(gives_way(&load_env(&places.env())?.state(), slot))
}

/// Whether restarts lead to another release: the running one is new, and the other proved itself.
fn gives_way(state: &State, running: Slot) -> bool {
    let other = state.record(running.other());
    !state.record(running).confirmed && other.whole && other.confirmed
}

/// No restart mends a configuration: says what is wrong with it, and keeps the deadline away.
fn wait_for_a_person(places: &Places) -> Result<(), Error> {
    let args = ["-b", "-t", LOG_NAME, "-n", LOG_LINES, "-o", "cat", "--no-pager"];
    let why = run("journalctl", &args).unwrap_or_default();
    let text = format!(
        "The configuration is refused:\n{}\nThe box waits. \
         Put a corrected storebox.toml on the volume SBXCONFIG and start again.",
        why.trim()
    );
    // First what keeps the deadline away: paper may take its time.
    touch(&places.waiting())?;
    announce::on_console(places, &text);
    announce::on_paper(places, &text);
    Ok(())
}

fn restart() -> Result<(), Error> {
    run("systemctl", &["--force", "reboot"]).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_configuration_gives_way_only_from_a_new_release_to_one_that_proved_itself() {
        let mut state = State::flashed();
        state.choose();
        assert!(!gives_way(&state, Slot::A), "there is nothing to go back to");
        state.confirm(Slot::A);
        state.begin_install(Slot::B, Slot::A).unwrap();
        state.finish_install(Slot::B).unwrap();
        assert!(gives_way(&state, Slot::B), "the release before may read it");
        for _ in 0..3 {
            state.choose();
        }
        assert!(!gives_way(&state, Slot::A), "it came back and cannot read it either");
        state.confirm(Slot::B);
        assert!(!gives_way(&state, Slot::B), "it read what came before");
    }

    #[test]
    fn a_box_that_waits_for_a_person_is_safe_from_its_deadline_before_it_waits_for_a_printer() {
        let dir = tempfile::tempdir().unwrap();
        let places = Places::new(dir.path());
        thread::scope(|scope| {
            let told = scope.spawn(|| wait_for_a_person(&places));
            while !places.waiting().exists() {
                assert!(!told.is_finished(), "it waited for a printer, and nothing is noted");
                thread::yield_now();
            }
            let usb = dir.path().join("dev/usb");
            fs::create_dir_all(&usb).unwrap();
            fs::write(usb.join("lp0"), "").unwrap();
            told.join().unwrap().unwrap();
            let printed = fs::read_to_string(usb.join("lp0")).unwrap();
            assert!(printed.contains("The configuration is refused"), "{printed}");
        });
    }
}
