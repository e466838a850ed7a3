//! Somebody else's interpreters read what the drivers write.
//!
//! `emupos` (0.4.0) simulates an Epson printer and Toledo 8217 and SMA scales after their
//! documents.
//! Run it with a printer on a TCP port and scales on pseudo-terminals, name them in
//! `EMUPOS_PRINTER` (address), `EMUPOS_TOLEDO8217` and `EMUPOS_SMA` (paths), put 1.25 kg on the
//! scales, and run these tests with `--ignored`.

use std::path::Path;
use std::time::{Duration, Instant};

use storebox_peripherals::line::Line;
use storebox_peripherals::port::{Port, SerialPort, TcpPort};
use storebox_peripherals::printer::escpos::{EscPos, encode};
use storebox_peripherals::printer::{self, Job, Level, Printer, Profile, Verdict};
use storebox_peripherals::receipt::layout::layout;
use storebox_peripherals::receipt::receiptline;
use storebox_peripherals::runner::Runner;
use storebox_peripherals::scale::{Event, Model, Pace, Setup};

const DOCUMENT: &str = "^^^\"Storebox\"\n---\n{border:line; width:*,4,8}\n|Item|Qty|Price|\n-\n\
    Tea, green|2|€ 5.00\nКофе|1|3.20\n{border:space}\n_under_ `inverse` ^wide\n日本語|1\n\
    {option: ean hri 3 80}\n{code: 400638133393}\n{option: qrcode 5 m}\n\
    {code: https://example.org/r/42}\n===";

#[expect(clippy::disallowed_methods, reason = "these tests meet real ports, in real time")]
fn now() -> Instant {
    Instant::now()
}

fn until<L: Line, P: Port, T>(
    runner: &mut Runner<L, P>,
    mut wanted: impl FnMut(L::Event) -> Option<T>,
) -> T {
    let end = now() + Duration::from_secs(20);
    while now() < end {
        for event in runner.turn(&now, Duration::from_millis(20)).expect("the port stays open") {
            if let Some(found) = wanted(event) {
                return found;
            }
        }
    }
    panic!("what was waited for never came");
}

#[test]
#[ignore = "needs emupos with a printer, named in EMUPOS_PRINTER"]
fn a_receipt_is_printed_and_proven() {
    let address = std::env::var("EMUPOS_PRINTER").expect("the printer is named");
    let address = address.parse().expect("it is named by its address");
    let profile = Profile::epson_t20();
    let port = TcpPort::connect(address, Duration::from_secs(5)).expect("emupos listens");
    let mut runner = Runner::new(Printer::new(EscPos::new(profile.clone())), port, now());
    until(&mut runner, |event| match event {
        printer::Event::Status { trouble: None, .. } => Some(()),
        printer::Event::Status { .. } | printer::Event::Job { .. } => None,
    });
    let document = receiptline::parse(DOCUMENT).expect("a short document");
    let body = encode(&layout(&document, profile.columns).sheet, &profile);
    runner.line().print(Job { number: 1, body }, now()).expect("the printer is ready");
    let verdict = until(&mut runner, |event| match event {
        printer::Event::Job { verdict: Verdict::Sent, .. } | printer::Event::Status { .. } => None,
        printer::Event::Job { verdict, .. } => Some(verdict),
    });
    assert_eq!(verdict, Verdict::Printed(Level::Processed));
}

#[test]
#[ignore = "needs emupos with scales, named in EMUPOS_TOLEDO8217 and EMUPOS_SMA"]
fn its_scales_are_read() {
    for (model, name) in [(Model::Toledo8217, "EMUPOS_TOLEDO8217"), (Model::Sma, "EMUPOS_SMA")] {
        let path = std::env::var(name).expect("the scale is named");
        let port = SerialPort::open(Path::new(&path), &model.usual_settings()).expect("a port");
        let mut runner = Runner::new(model.driver(&Setup::default(), Pace::default()), port, now());
        let weight = until(&mut runner, |event| match event {
            Event::Reading(reading) => reading.sellable().map(|measured| measured.weight),
            Event::Done(_) | Event::Refused { .. } => None,
        });
        assert_eq!(weight.to_string(), "1.250 kg", "{name}");
    }
}
