//! Where a simulated device stands: its port, its keyboard, its comings and goings.

use std::io::BufRead;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

use storebox_peripherals::line::Line;
use storebox_peripherals::port::{FilePort, Port, SerialPort, SerialSettings, TcpPort};
use storebox_peripherals::runner::Runner;
use storebox_peripherals::sim::Pty;

use super::{Place, SimError, show};

/// How soon something typed happens.
const TURN: Duration = Duration::from_millis(20);
/// Lines typed ahead.
const TYPED_MAX: usize = 64;

/// What a device wants after something happened to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Power {
    Same,
    Lost,
    Back,
}

#[expect(clippy::disallowed_methods, reason = "a simulator lives in real time")]
fn now() -> Instant {
    Instant::now()
}

enum Door {
    Pty,
    /// A file of the kernel's; it comes and goes with the gadget's cable.
    Device(PathBuf),
    Tcp(TcpListener),
}

/// Runs a device until its keyboard is closed and its port is gone.
pub(super) fn run<L: Line>(
    line: L,
    place: &Place,
    mut act: impl FnMut(&mut L, &str) -> bool,
    mut shown: impl FnMut(L::Event) -> Result<Power, SimError>,
) -> Result<(), SimError> {
    let door = open_door(place)?;
    let typed = keyboard();
    let mut powered = true;
    let mut idle = Some(line);
    let mut runner: Option<Runner<L, Box<dyn Port>>> = None;
    loop {
        if powered
            && idle.is_some()
            && let Some(port) = plug_in(&door, place)?
            && let Some(line) = idle.take()
        {
            runner = Some(Runner::new(line, port, now()));
        }
        let mut events = Vec::new();
        if let Some(mut running) = runner.take() {
            typed.try_iter().for_each(|text| report(act(running.line(), &text), &text));
            match running.turn(&now, TURN) {
                Ok(happened) => {
                    events.extend(happened);
                    runner = Some(running);
                }
                Err(error) => {
                    show::line(&format!("the other side is gone ({error})"));
                    idle = Some(running.into_line());
                }
            }
        } else if let Some(line) = &mut idle {
            typed.try_iter().for_each(|text| report(act(line, &text), &text));
            if line.poll_timeout().is_some_and(|at| at <= now()) {
                line.handle_timeout(now());
            }
            std::thread::sleep(TURN);
        }
        if let Some(line) = &mut idle {
            events.extend(std::iter::from_fn(|| line.poll_event()));
        }
        for event in events {
            match shown(event)? {
                Power::Same => {}
                Power::Back => powered = true,
                Power::Lost => {
                    powered = false;
                    // Dropping the port is pulling the plug.
                    idle = runner.take().map(Runner::into_line).or(idle);
                }
            }
        }
    }
}

fn report(understood: bool, text: &str) {
    if !understood {
        show::line(&format!("nothing of that name can happen here: {text}"));
    }
}

fn open_door(place: &Place) -> Result<Door, SimError> {
    if let Some(device) = &place.device {
        return Ok(Door::Device(device.clone()));
    }
    let Some(address) = place.tcp else { return Ok(Door::Pty) };
    let io = |source| SimError::Io { doing: format!("listen on {address}"), source };
    let listener = TcpListener::bind(address).map_err(io)?;
    listener.set_nonblocking(true).map_err(io)?;
    show::line(&format!("listening on {}", listener.local_addr().map_err(io)?));
    Ok(Door::Tcp(listener))
}

/// A port, if the other side is there; further connections wait, as at a real printer.
fn plug_in(door: &Door, place: &Place) -> Result<Option<Box<dyn Port>>, SimError> {
    match door {
        Door::Pty => {
            let pty = Pty::open()
                .map_err(|source| SimError::Io { doing: "open a terminal".into(), source })?;
            if let Some(link) = &place.link {
                relink(pty.path(), link)?;
            }
            show::line(&format!("on {}", pty.path().display()));
            Ok(Some(Box::new(pty)))
        }
        Door::Device(path) => Ok(device(path)),
        Door::Tcp(listener) => {
            let Ok((stream, peer)) = listener.accept() else { return Ok(None) };
            show::line(&format!("connected from {peer}"));
            Ok(TcpPort::from_stream(stream).ok().map(|port| Box::new(port) as Box<dyn Port>))
        }
    }
}

/// A terminal is set to pass every byte as it is; any other device file does so by itself.
fn device(path: &Path) -> Option<Box<dyn Port>> {
    let name = path.file_name()?.to_string_lossy();
    let port: Box<dyn Port> = if name.starts_with("tty") {
        Box::new(SerialPort::open(path, &SerialSettings::eight_none(115_200)).ok()?)
    } else {
        Box::new(FilePort::open(path).ok()?)
    };
    show::line(&format!("on {}", path.display()));
    Some(port)
}

fn relink(path: &Path, link: &Path) -> Result<(), SimError> {
    let io = |source| SimError::Io { doing: format!("link {}", link.display()), source };
    if link.is_symlink() {
        std::fs::remove_file(link).map_err(io)?;
    }
    std::os::unix::fs::symlink(path, link).map_err(io)
}

fn keyboard() -> Receiver<String> {
    let (typed, lines) = sync_channel(TYPED_MAX);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            let Ok(line) = line else { return };
            if !line.trim().is_empty() && typed.send(line.trim().to_owned()).is_err() {
                return;
            }
        }
    });
    lines
}
