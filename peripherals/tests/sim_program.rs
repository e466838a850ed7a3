//! The simulator as a program of its own, as a demonstration or another project runs it.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use storebox_peripherals::line::Line;
use storebox_peripherals::port::{Port, SerialPort, SerialSettings};
use storebox_peripherals::printer::escpos::{EscPos, encode};
use storebox_peripherals::printer::{Doubt, Event, Job, Level, Printer, Profile, Verdict};
use storebox_peripherals::receipt::{layout::layout, receiptline};
use storebox_peripherals::runner::Runner;

const DEADLINE: Duration = Duration::from_secs(20);

#[expect(clippy::disallowed_methods, reason = "these tests meet another process, in real time")]
fn now() -> Instant {
    Instant::now()
}

struct Program {
    child: Child,
    lines: Receiver<String>,
}

impl Program {
    fn start(arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_storebox-sim"))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the simulator was built");
        let out = child.stdout.take().expect("its output is piped");
        let (told, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                if told.send(line).is_err() {
                    return;
                }
            }
        });
        Self { child, lines }
    }

    fn type_line(&mut self, text: &str) {
        let keyboard = self.child.stdin.as_mut().expect("its input is piped");
        writeln!(keyboard, "{text}").expect("it listens");
    }

    fn wait_for(&self, part: &str) -> String {
        let end = now() + DEADLINE;
        loop {
            let left = end.saturating_duration_since(now());
            let line = self.lines.recv_timeout(left).expect("it says what is waited for");
            if line.contains(part) {
                return line;
            }
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn job(number: u64) -> Job {
    let profile = Profile::epson_m30();
    let rows = "Tea, green|2.50\n".repeat(60);
    let document = receiptline::parse(&format!("{rows}{{code: 123456}}\n===")).expect("short");
    Job { number, body: encode(&layout(&document, profile.columns).sheet, &profile) }
}

/// Opens the printer and waits until it is ready.
fn connect(path: &Path, line: Printer<EscPos>) -> Runner<Printer<EscPos>, SerialPort> {
    let port = SerialPort::open(path, &SerialSettings::eight_none(115_200)).expect("it is there");
    let mut runner = Runner::new(line, port, now());
    let end = now() + DEADLINE;
    while runner.line().ready(now()).is_err() {
        runner.turn(&now, Duration::from_millis(20)).expect("the port stays open");
        assert!(now() < end, "the printer never got ready");
    }
    runner
}

fn verdict(runner: &mut Runner<Printer<EscPos>, impl Port>) -> Verdict {
    let end = now() + DEADLINE;
    while now() < end {
        let events = match runner.turn(&now, Duration::from_millis(20)) {
            Ok(events) => events,
            Err(_) => std::iter::from_fn(|| runner.line().poll_event()).collect(),
        };
        for event in events {
            match event {
                Event::Job { verdict: Verdict::Sent, .. } | Event::Status { .. } => {}
                Event::Job { verdict, .. } => return verdict,
            }
        }
    }
    panic!("the job never ended");
}

#[test]
fn a_printer_loses_its_power_comes_back_under_its_link_and_prints_on() {
    let folder = tempfile::tempdir().unwrap();
    let (link, paper) = (folder.path().join("printer"), folder.path().join("paper"));
    let text = |path: &PathBuf| path.to_str().expect("a plain path").to_owned();
    let mut program = Program::start(&[
        "printer",
        "--link",
        &text(&link),
        "--png",
        &text(&paper),
        "--fault",
        "700b power-cut",
    ]);
    program.wait_for("on /dev/");
    let mut runner = connect(&link, Printer::new(EscPos::new(Profile::epson_m30())));
    runner.line().print(job(1), now()).unwrap();
    assert_eq!(verdict(&mut runner), Verdict::Unknown(Doubt::LinkLost));
    let line = runner.into_line();
    program.wait_for("the power is gone");
    program.type_line("power-on");
    program.wait_for("on /dev/");
    let mut runner = connect(&link, line);
    runner.line().print(job(2), now()).unwrap();
    assert_eq!(verdict(&mut runner), Verdict::Printed(Level::ProcessId));
    program.wait_for("[Code128 123456]");
    program.wait_for("receipt-0002.png");
    let drawn = std::fs::read(paper.join("receipt-0002.png"));
    assert!(drawn.is_ok_and(|bytes| bytes.starts_with(b"\x89PNG")));
}

#[test]
fn a_name_nobody_knows_ends_the_program_with_an_error() {
    let output = Command::new(env!("CARGO_BIN_EXE_storebox-sim"))
        .args(["scale", "bathroom"])
        .output()
        .expect("the simulator was built");
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("there is no scale protocol \"bathroom\""), "{said}");
}
