//! emupos 0.4.0 simulates an Epson printer and Toledo 8217 and SMA scales after their documents.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use storebox_peripherals::line::Line;
use storebox_peripherals::port::{Port, SerialPort, SerialSettings, TcpPort};
use storebox_peripherals::printer::escpos::{EscPos, encode};
use storebox_peripherals::printer::{self, Job, Level, Printer, Profile, Trouble, Verdict};
use storebox_peripherals::receipt::layout::layout;
use storebox_peripherals::receipt::receiptline;
use storebox_peripherals::runner::Runner;
use storebox_peripherals::scale::{Event, Model, Outcome, Pace, Setup};

use crate::process::{DEADLINE, Program, now, python};
use crate::receipts::{DOCUMENT, EAN, TARGET};
use crate::{codes, process};

/// Another program may take a free port between its finding and its use.
const STARTS: usize = 5;

/// A running emupos with a printer and two scales, all in a folder of its own.
struct Emupos {
    _program: Program,
    binary: PathBuf,
    control: String,
    printer: SocketAddr,
    said: Vec<String>,
    folder: tempfile::TempDir,
}

fn free_ports() -> (u16, u16) {
    let bind = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has free ports");
    let port = |listener: &TcpListener| listener.local_addr().expect("it is bound").port();
    let (first, second) = (bind(), bind());
    (port(&first), port(&second))
}

impl Emupos {
    fn start() -> Option<Self> {
        let binary = python("emupos")?;
        (0..STARTS)
            .find_map(|_| Self::try_start(&binary))
            .or_else(|| panic!("emupos never started"))
    }

    fn try_start(binary: &Path) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (api, printer) = free_ports();
        let config = format!(
            "schema: 1\napi: {{ host: 127.0.0.1, port: {api} }}\ndevices:\n\
             - {{ id: front, type: printer, profile: epson-tm-t20iii, \
             connections: [{{ tcp: {{ port: {printer} }} }}, {{ serial: {{ pty: true }} }}] }}\n\
             - {{ id: toledo, type: scale, profile: toledo8217-15kg, \
             connections: [{{ serial: {{ pty: true }} }}] }}\n\
             - {{ id: sma, type: scale, profile: sma-15kg, \
             connections: [{{ serial: {{ pty: true }} }}] }}\n"
        );
        fs::write(folder.path().join("emupos.yaml"), config).expect("the folder is ours");
        let program = Program::start(
            Command::new(binary)
                .args(["run", "--config", "emupos.yaml"])
                .current_dir(folder.path())
                .env("TMPDIR", folder.path())
                .env("COLUMNS", "400"),
        );
        let mut said = program.hear("control API")?;
        // Its devices open one after another; the last one has the others behind it.
        said.extend(program.hear("/sma opened")?);
        Some(Self {
            _program: program,
            binary: binary.to_owned(),
            control: format!("http://127.0.0.1:{api}"),
            printer: SocketAddr::from((Ipv4Addr::LOCALHOST, printer)),
            said,
            folder,
        })
    }

    /// The pseudo-terminal of a device: `serial <link> -> /dev/pts/3`.
    fn terminal(&self, device: &str) -> PathBuf {
        let link = format!("/{device} -> ");
        let line = self.said.iter().find_map(|line| line.split_once(&link));
        let (_, path) = line.unwrap_or_else(|| panic!("{device} is not told: {:#?}", self.said));
        PathBuf::from(path.trim())
    }

    fn order(&self, arguments: &[&str]) {
        process::run(&mut self.ordering(arguments), b"");
    }

    fn ordering(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command.args(["--api", &self.control]).args(arguments);
        command
    }

    /// The receipt that came off, as text and picture.
    fn receipt(&self) -> (String, Vec<u8>) {
        let folder = self.folder.path().join("receipts");
        let end = now() + DEADLINE;
        loop {
            let found = |ending: &str| {
                let entries = fs::read_dir(&folder).ok()?;
                let mut paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
                paths.find(|path| path.extension().is_some_and(|is| is == ending))
            };
            // The description is written last.
            if let (Some(_), Some(text), Some(picture)) =
                (found("json"), found("txt"), found("png"))
            {
                let text = fs::read_to_string(text).expect("emupos wrote it");
                return (text, fs::read(picture).expect("emupos wrote it"));
            }
            assert!(now() < end, "no receipt came off");
            std::thread::yield_now();
        }
    }
}

fn until<L: Line, P: Port, T>(
    runner: &mut Runner<L, P>,
    mut wanted: impl FnMut(L::Event) -> Option<T>,
) -> T {
    let end = now() + DEADLINE;
    while now() < end {
        for event in runner.turn(&now, Duration::from_millis(20)).expect("the port stays open") {
            if let Some(found) = wanted(event) {
                return found;
            }
        }
    }
    panic!("what was waited for never came");
}

fn trouble(runner: &mut Runner<Printer<EscPos>, impl Port>, wanted: Option<Trouble>) {
    until(runner, |event| match event {
        printer::Event::Status { trouble, .. } if trouble == wanted => Some(()),
        printer::Event::Status { .. } | printer::Event::Job { .. } => None,
    });
}

fn verdict(runner: &mut Runner<Printer<EscPos>, impl Port>) -> Verdict {
    until(runner, |event| match event {
        printer::Event::Job { verdict: Verdict::Sent, .. } | printer::Event::Status { .. } => None,
        printer::Event::Job { verdict, .. } => Some(verdict),
    })
}

fn job(number: u64) -> Job {
    let profile = Profile::epson_t20();
    let document = receiptline::parse(DOCUMENT).expect("a short document");
    Job { number, body: encode(&layout(&document, profile.columns).sheet, &profile) }
}

fn prints(emupos: &Emupos, port: impl Port) {
    let printer = Printer::new(EscPos::new(Profile::epson_t20()));
    let mut runner = Runner::new(printer, port, now());
    trouble(&mut runner, None);
    runner.line().print(job(1), now()).expect("the printer is ready");
    assert_eq!(verdict(&mut runner), Verdict::Printed(Level::Processed));
    let (text, picture) = emupos.receipt();
    for part in ["Storebox", "Tea, green", "€ 5.00", "Кофе"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    let Some(read) = codes::read(&picture) else { return };
    assert_eq!(read, [format!("EAN-13:{EAN}"), format!("QR-Code:{TARGET}")]);
}

#[test]
fn a_receipt_is_printed_and_proven_over_the_network() {
    let Some(emupos) = Emupos::start() else { return };
    let port = TcpPort::connect(emupos.printer, DEADLINE).expect("emupos listens");
    prints(&emupos, port);
}

#[test]
fn a_receipt_is_printed_and_proven_over_a_serial_line() {
    let Some(emupos) = Emupos::start() else { return };
    let settings = SerialSettings::eight_none(38_400);
    let port = SerialPort::open(&emupos.terminal("front"), &settings).expect("emupos opened it");
    prints(&emupos, port);
}

#[test]
fn every_trouble_it_can_have_is_told_and_ends() {
    let Some(emupos) = Emupos::start() else { return };
    let port = TcpPort::connect(emupos.printer, DEADLINE).expect("emupos listens");
    let mut runner = Runner::new(Printer::new(EscPos::new(Profile::epson_t20())), port, now());
    trouble(&mut runner, None);
    for (fault, expected) in [
        ("paper-out", Trouble::PaperOut),
        ("cover-open", Trouble::CoverOpen),
        ("offline", Trouble::Offline),
    ] {
        emupos.order(&["fault", "set", "front", fault]);
        trouble(&mut runner, Some(expected));
        emupos.order(&["fault", "clear", "front", fault]);
        trouble(&mut runner, None);
    }
}

#[test]
fn its_scales_are_read_and_a_moving_weight_is_not_sold() {
    let Some(emupos) = Emupos::start() else { return };
    for (model, device) in [(Model::Toledo8217, "toledo"), (Model::Sma, "sma")] {
        let path = emupos.terminal(device);
        let port = SerialPort::open(&path, &model.usual_settings()).expect("emupos opened it");
        let mut runner = Runner::new(model.driver(&Setup::default(), Pace::default()), port, now());
        emupos.order(&["scale", "set", "1.25kg", "--device", device]);
        let weight = until(&mut runner, |event| match event {
            Event::Reading(reading) => reading.sellable().map(|measured| measured.weight),
            Event::Done(_) | Event::Refused { .. } => None,
        });
        assert_eq!(weight.to_string(), "1.250 kg", "{device}");
        // It settles by itself, so it is watched while it is set.
        std::thread::scope(|scope| {
            let set = ["scale", "set", "0.75kg", "--unstable", "--device", device];
            let mut set = emupos.ordering(&set);
            scope.spawn(move || process::run(&mut set, b""));
            until(&mut runner, |event| match event {
                Event::Reading(reading) => {
                    matches!(reading.outcome, Outcome::InMotion { .. }).then_some(())
                }
                Event::Done(_) | Event::Refused { .. } => None,
            });
        });
        until(&mut runner, |event| match event {
            Event::Reading(reading) => reading
                .sellable()
                .is_some_and(|measured| measured.weight.to_string() == "0.750 kg")
                .then_some(()),
            Event::Done(_) | Event::Refused { .. } => None,
        });
    }
}
