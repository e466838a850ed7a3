//! What printers say, what tills send them raw, and what the simulated printer is told.

use storebox_peripherals::line::Line;
use storebox_peripherals::printer::escpos::EscPos;
use storebox_peripherals::printer::star::Star;
use storebox_peripherals::printer::zpl::Zpl;
use storebox_peripherals::printer::{Dialect, Event, Job, Printer, Profile, Verdict, raw};
use storebox_peripherals::sim::printer::PrinterSim;
use storebox_peripherals::sim::script::Script;

use crate::driver::{Target, now, shape};
use crate::lines::split_anywhere;

const ANSWERS: &[&[u8]] = &[
    &[0x12], &[0x16], &[0x1A], &[0x32], &[0x72], &[0x10, 0, 0, 0], &[0x18, 0, 0x0F, 0], &[0], &[0x0C],
    b"\x37\x22\x30\x30\x30\x31\0", b"\x5fEPSON\0", &[0x23, 0x86, 0, 0, 0, 0, 0, 0, 0], &[0x11], &[0x13],
    b"\x02030,0,0,1245,000,0,0,0,000,0,0,0\x03\r\n\x02000,0,0,0,0,2,4,0,00000000,1,000\x03\r\n\x021234,0\x03\r\n",
    b"\x02", b"\x03\r\n", b",", b"1",
];
const COMMANDS: &[&[u8]] = &[
    b"\x1b@",
    b"\x1ba\x01",
    b"\x1d!\x11",
    b"\x1dV\x41\x03",
    b"\x1bp\x00\x19\x19",
    b"\x10\x14\x01\x00\x01",
    b"\x1dv0\x00\x01\x00\x02\x00\xff\xff",
    b"\x1d(k\x03\x00\x31\x51\x30",
    b"\x1d(L",
    b"\x1d8L",
    b"\x1b*\x21\x02\x00abcdef",
    b"\x1dk\x02123456789012\x00",
    b"\x1dk\x49\x03abc",
    b"\x1c&",
    b"\x1d(E",
    b"\x10\x04\x01",
    b"\x1d(H",
    b"\x1bt\x13",
    b"\x1da\xff",
    b"\x1dr\x01",
    b"\x1dI\x42",
    b"\x10\x05\x02",
    b"\xff\xff\xff\xff",
    b"\n",
];

fn judge<D: Dialect>(make: impl Fn() -> D, input: &[u8]) -> u64 {
    let counts = |events: &[Event]| events.to_vec();
    let whole = input.len().max(1);
    let events = split_anywhere(|| Printer::new(make()), |_, _| {}, input, whole, counts);
    let kinds = events.iter().map(|event| match event {
        Event::Status { trouble, .. } => shape(trouble.map(|trouble| trouble.to_string())),
        Event::Job { .. } => panic!("no job was given"),
    });
    let kinds: Vec<u64> = kinds.collect();
    // Under way, only a printer's own words may end a job, and each job ends once.
    let start = now();
    let mut printer = Printer::new(make());
    printer.handle_opened(start);
    printer.handle_input(input, start);
    let given = printer.print(Job { number: 7, body: b"x\n".to_vec() }, start).is_ok();
    while printer.poll_transmit().is_some() {}
    printer.handle_drained(start);
    printer.handle_input(input, start);
    printer.handle_hangup(start);
    let ends = std::iter::from_fn(|| printer.poll_event()).filter(|event| match event {
        Event::Job { verdict, .. } => *verdict != Verdict::Sent,
        Event::Status { .. } => false,
    });
    assert_eq!(ends.count(), usize::from(given), "a job ends once");
    shape((kinds, given))
}

pub(crate) fn printer_escpos() -> Target {
    let judge = |input: &[u8]| judge(|| EscPos::new(Profile::epson_m30()), input);
    Target {
        name: "printer_escpos",
        seeds: &["fuzz/corpus/printers"],
        words: ANSWERS,
        bytes_max: 48,
        judge,
    }
}

pub(crate) fn printer_star() -> Target {
    let judge = |input: &[u8]| judge(|| Star::new(Profile::star_80()), input);
    Target {
        name: "printer_star",
        seeds: &["fuzz/corpus/printers"],
        words: ANSWERS,
        bytes_max: 48,
        judge,
    }
}

pub(crate) fn printer_zpl() -> Target {
    let judge = |input: &[u8]| judge(Zpl::new, input);
    Target {
        name: "printer_zpl",
        seeds: &["fuzz/corpus/printers"],
        words: ANSWERS,
        bytes_max: 256,
        judge,
    }
}

/// What passes inspection is understood by the simulated printer, which opens no drawer unseen.
pub(crate) fn raw_job() -> Target {
    let judge = |input: &[u8]| {
        let inspected = raw::inspect(input);
        let mut sim = PrinterSim::new(Profile::epson_t88(), Script::default());
        sim.handle_opened(now());
        let mut kicks = 0;
        for piece in input.chunks(7) {
            sim.handle_input(piece, now());
            while sim.poll_transmit().is_some() {}
            while let Some(event) = sim.poll_event() {
                kicks += u32::from(matches!(
                    event,
                    storebox_peripherals::sim::printer::Event::DrawerOpened(_)
                ));
            }
        }
        match inspected {
            Ok(seen) => {
                let seen_kicks = seen.kicks.iter().sum::<u32>();
                assert!(kicks <= seen_kicks, "{kicks} pulses, {seen_kicks} were seen");
                shape((seen_kicks.min(4), seen.cuts.min(4), sim.unknown_bytes().min(4)))
            }
            Err(error) => {
                shape((std::mem::discriminant(&error), error.to_string().split(" at ").next()))
            }
        }
    };
    Target { name: "raw_job", seeds: &["fuzz/corpus/raw"], words: COMMANDS, bytes_max: 256, judge }
}
