//! Drivers behind the real serial port code, simulators behind a pseudo-terminal.
//!
//! Every test runs the simulator in a thread of its own, as a device is, and waits for conditions
//! with a deadline, never for time.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use storebox_peripherals::line::Line;
use storebox_peripherals::port::fault::{FaultPort, Faults};
use storebox_peripherals::port::{OpenError, Port, PortError, SerialPort, SerialSettings};
use storebox_peripherals::printer::escpos::{EscPos, encode};
use storebox_peripherals::printer::{self, Doubt, Job, Level, Printer, Profile, Trouble, Verdict};
use storebox_peripherals::receipt::layout::layout;
use storebox_peripherals::receipt::receiptline;
use storebox_peripherals::runner::Runner;
use storebox_peripherals::scale::{self, Ask, Model, Outcome, Pace, Setup};
use storebox_peripherals::scanner::{self, Framing, Scanner};
use storebox_peripherals::sim::printer::{Act, Event as PaperEvent, PrinterSim};
use storebox_peripherals::sim::scale::{Act as PlateAct, ScaleSim};
use storebox_peripherals::sim::scanner::ScannerSim;
use storebox_peripherals::sim::{Pty, script::Script};

const DEADLINE: Duration = Duration::from_secs(20);
const TURN: Duration = Duration::from_millis(20);

#[expect(clippy::disallowed_methods, reason = "these tests meet real ports, in real time")]
fn now() -> Instant {
    Instant::now()
}

/// A simulator in its thread, on a pseudo-terminal.
struct Device<A, E> {
    path: PathBuf,
    acts: std::sync::mpsc::Sender<A>,
    events: Receiver<E>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl<A: Send + 'static, E: Send + 'static> Device<A, E> {
    fn start<L>(sim: L, act: impl Fn(&mut L, A) + Send + 'static) -> Self
    where
        L: Line<Event = E> + Send + 'static,
    {
        let pty = Pty::open().expect("the system has pseudo-terminals");
        let path = pty.path().to_owned();
        let (acts, to_do) = channel();
        let (seen, events) = channel();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut runner = Runner::new(sim, pty, now());
            while !stopped.load(Ordering::Relaxed) {
                to_do.try_iter().for_each(|what| act(runner.line(), what));
                let Ok(happened) = runner.turn(&now, Duration::from_millis(5)) else { return };
                for event in happened {
                    if seen.send(event).is_err() {
                        return;
                    }
                }
            }
        });
        Self { path, acts, events, stop, thread: Some(thread) }
    }

    /// Pulls its cable.
    fn unplug(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the simulator does not panic");
        }
    }
}

impl<A, E> Drop for Device<A, E> {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// Turns a runner until an event is the wanted one.
fn until<L: Line, P: Port, T>(
    runner: &mut Runner<L, P>,
    mut wanted: impl FnMut(L::Event) -> Option<T>,
) -> T {
    let end = now() + DEADLINE;
    while now() < end {
        for event in runner.turn(&now, TURN).expect("the port stays open") {
            if let Some(found) = wanted(event) {
                return found;
            }
        }
    }
    panic!("what was waited for never came");
}

fn serial(path: &std::path::Path, settings: &SerialSettings) -> SerialPort {
    SerialPort::open(path, settings).expect("a pseudo-terminal is a serial port")
}

fn scale(model: Model) -> (Device<PlateAct, storebox_peripherals::sim::scale::Event>, SerialPort) {
    let device = Device::start(ScaleSim::new(model, Script::default()), ScaleSim::act);
    let port = serial(&device.path, &model.usual_settings());
    (device, port)
}

#[test]
fn a_weight_put_on_every_scale_is_read_through_its_serial_port() {
    for model in Model::ALL {
        let (device, port) = scale(model);
        device.acts.send(PlateAct::Put(1250)).unwrap();
        let line = model.driver(&Setup::default(), Pace::default());
        let mut runner = Runner::new(line, port, now());
        if model == Model::Dialog06 {
            let ask = scale::PricedAsk { unit_price: 200, tare: None, text: None };
            scale::Weigher::ask(runner.line(), Ask::Price(ask), now());
        }
        let weight = until(&mut runner, |event| match event {
            scale::Event::Reading(reading) => {
                let measured = reading.sellable().copied();
                measured.map(|measured| measured.weight)
            }
            scale::Event::Done(_) | scale::Event::Refused { .. } => None,
        });
        assert_eq!(weight.micrograms(), Some(1_250_000_000), "{model:?}");
    }
}

#[test]
fn a_noisy_line_costs_tries_and_never_a_wrong_weight() {
    let (device, port) = scale(Model::CasPos);
    device.acts.send(PlateAct::Put(1250)).unwrap();
    let faults = Faults { corrupt_every: Some(53), drop_every: Some(211), ..Faults::default() };
    let (port, _) = FaultPort::new(port, faults);
    let pace = Pace { every: Some(Duration::from_millis(5)), tries: 3 };
    let mut runner = Runner::new(Model::CasPos.driver(&Setup::default(), pace), port, now());
    let (mut right, mut failed) = (0, 0);
    until(&mut runner, |event| {
        if let scale::Event::Reading(reading) = event {
            if let Outcome::Stable(measured) = reading.outcome {
                assert_eq!(measured.weight.to_string(), "1.250 kg");
                right += 1;
            } else {
                failed += 1;
            }
        }
        (right >= 20).then_some(())
    });
    assert!(right >= 20, "{right} right, {failed} failed");
}

#[test]
fn an_unplugged_scale_is_a_state_and_its_port_hangs_up() {
    let (mut device, port) = scale(Model::Toledo8217);
    let line = Model::Toledo8217.driver(&Setup::default(), Pace::default());
    let mut runner = Runner::new(line, port, now());
    until(&mut runner, |event| matches!(event, scale::Event::Reading(_)).then_some(()));
    device.unplug();
    let end = now() + DEADLINE;
    let error = loop {
        match runner.turn(&now, TURN) {
            Ok(_) => assert!(now() < end, "the hang-up was never seen"),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, PortError::HungUp), "{error}");
    let mut line = runner.into_line();
    let last = std::iter::from_fn(|| line.poll_event()).last();
    assert!(matches!(
        last,
        Some(scale::Event::Reading(reading)) if reading.outcome == Outcome::Disconnected
    ));
}

#[test]
fn a_port_in_use_is_busy_for_everybody_else() {
    let (device, _port) = scale(Model::Sma);
    let second = SerialPort::open(&device.path, &Model::Sma.usual_settings());
    assert!(matches!(second, Err(OpenError::Busy { .. })), "{:?}", second.err());
}

#[test]
fn seven_bits_are_told_to_be_refused_by_a_pseudo_terminal() {
    let device = Device::start(ScaleSim::new(Model::Sma, Script::default()), ScaleSim::act);
    assert!(serial(&device.path, &SerialSettings::eight_none(9600)).settings_applied());
    let seven = SerialSettings::seven(9600, storebox_peripherals::port::Parity::Even);
    assert!(!serial(&device.path, &seven).settings_applied());
}

#[test]
fn a_device_that_never_reads_holds_no_thread() {
    let pty = Pty::open().unwrap();
    let mut port = serial(pty.path(), &SerialSettings::eight_none(115_200));
    let block = vec![b'x'; 65_536];
    let mut taken = 0;
    let began = now();
    while let count @ 1.. = port.write(&block).unwrap() {
        taken += count;
        assert!(taken < 1 << 22 && began.elapsed() < DEADLINE, "{taken} bytes went nowhere");
    }
    assert!(port.undelivered().is_some());
}

fn printer(
    profile: &Profile,
    script: &[&str],
) -> (Device<Act, PaperEvent>, Runner<Printer<EscPos>, SerialPort>) {
    let script = Script::parse(script.iter().copied()).expect("the script is well formed");
    let device = Device::start(PrinterSim::new(profile.clone(), script), PrinterSim::act);
    let port = serial(&device.path, &SerialSettings::eight_none(115_200));
    let mut runner = Runner::new(Printer::new(EscPos::new(profile.clone())), port, now());
    until(&mut runner, |event| match event {
        printer::Event::Status { trouble: None, .. } => Some(()),
        printer::Event::Status { .. } | printer::Event::Job { .. } => None,
    });
    (device, runner)
}

fn job(profile: &Profile, number: u64) -> Job {
    let document =
        receiptline::parse("\"Shop\"\n---\nTea €|2.50\n日本語|1\n===").expect("a short document");
    Job { number, body: encode(&layout(&document, profile.columns).sheet, profile) }
}

fn verdict(event: printer::Event) -> Option<Verdict> {
    match event {
        printer::Event::Job { verdict: Verdict::Sent, .. } | printer::Event::Status { .. } => None,
        printer::Event::Job { verdict, .. } => Some(verdict),
    }
}

#[test]
fn receipts_go_through_a_serial_port_and_come_off_once_each() {
    let profile = Profile::epson_t88();
    let (device, mut runner) = printer(&profile, &[]);
    for number in 1..=20 {
        runner.line().print(job(&profile, number), now()).unwrap();
        assert_eq!(until(&mut runner, verdict), Verdict::Printed(Level::ProcessId));
    }
    // The paper may come a moment after its proof: the simulator's thread tells both.
    for number in 1..=20 {
        let event = device.events.recv_timeout(DEADLINE).expect("a receipt for every job");
        assert!(matches!(event, PaperEvent::Receipt(_)), "{number}: {event:?}");
    }
    assert!(device.events.try_recv().is_err(), "more receipts than jobs");
}

#[test]
fn a_roll_that_ends_is_told_and_the_receipt_comes_after_the_new_one() {
    let profile = Profile::epson_t20();
    let (device, mut runner) = printer(&profile, &[]);
    device.acts.send(Act::PaperOut).unwrap();
    until(&mut runner, |event| match event {
        printer::Event::Status { trouble: Some(Trouble::PaperOut), .. } => Some(()),
        printer::Event::Status { .. } | printer::Event::Job { .. } => None,
    });
    assert!(runner.line().print(job(&profile, 1), now()).is_err());
    device.acts.send(Act::PaperIn).unwrap();
    until(&mut runner, |event| match event {
        printer::Event::Status { trouble: None, .. } => Some(()),
        printer::Event::Status { .. } | printer::Event::Job { .. } => None,
    });
    runner.line().print(job(&profile, 1), now()).unwrap();
    assert_eq!(until(&mut runner, verdict), Verdict::Printed(Level::Processed));
}

#[test]
fn a_cable_pulled_in_the_middle_leaves_the_job_unknown() {
    let profile = Profile::epson_t88();
    let (_device, runner) = printer(&profile, &[]);
    let line = runner.into_line();
    // The same printer on a new connection, whose cable breaks after 700 bytes.
    let script = Script::default();
    let device = Device::start(PrinterSim::new(profile.clone(), script), PrinterSim::act);
    let port = serial(&device.path, &SerialSettings::eight_none(115_200));
    let (port, handle) = FaultPort::new(port, Faults::default());
    let mut runner = Runner::new(line, port, now());
    until(&mut runner, |event| match event {
        printer::Event::Status { trouble: None, .. } => Some(()),
        printer::Event::Status { .. } | printer::Event::Job { .. } => None,
    });
    handle.set(Faults { cut_after_written: Some(700), ..Faults::default() });
    runner.line().print(job(&profile, 1), now()).unwrap();
    let end = now() + DEADLINE;
    while runner.turn(&now, TURN).is_ok() {
        assert!(now() < end, "the cut was never seen");
    }
    let mut line = runner.into_line();
    let verdict = std::iter::from_fn(|| line.poll_event()).filter_map(verdict).last();
    assert_eq!(verdict, Some(Verdict::Unknown(Doubt::LinkLost)));
}

#[test]
fn scanned_codes_arrive_whole() {
    let sim = ScannerSim::new(Framing::default());
    let device = Device::start(sim, |sim: &mut ScannerSim, code: String| sim.scan(&code));
    let port = serial(&device.path, &SerialSettings::eight_none(9600));
    let mut runner = Runner::new(Scanner::new(Framing::default()), port, now());
    device.acts.send("4006381333931".to_owned()).unwrap();
    let code = until(&mut runner, |event| match event {
        scanner::Event::Scan(scan) => Some(scan.data),
        scanner::Event::Broken { .. }
        | scanner::Event::Missed { .. }
        | scanner::Event::Disconnected => None,
    });
    assert_eq!(code, b"4006381333931");
}

#[test]
fn a_device_that_sends_xoff_is_not_written_to_until_xon() {
    let mut device = Pty::open().unwrap();
    let settings = SerialSettings {
        flow: storebox_peripherals::port::FlowControl::XonXoff,
        ..SerialSettings::eight_none(9600)
    };
    let mut port = serial(device.path(), &settings);
    let mut buffer = [0; 64];
    let end = now() + DEADLINE;
    // The kernel takes a moment to hand the characters over; the device reads all the while, so
    // that a write is only ever refused because of them.
    assert_eq!(device.write(&[0x13]).unwrap(), 1);
    while port.write(b"x").unwrap() > 0 {
        device.read(&mut buffer).unwrap();
        assert!(now() < end, "a busy printer is written to");
    }
    assert_eq!(device.write(&[0x11]).unwrap(), 1);
    while port.write(b"x").unwrap() == 0 {
        assert!(now() < end, "a printer that is ready again is not written to");
    }
    assert_eq!(port.read(&mut buffer).unwrap(), 0, "flow control is no answer");
}
