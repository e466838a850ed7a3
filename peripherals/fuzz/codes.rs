//! Scanners, GS1 element strings, in-store codes, and the scripts of the simulators.

use storebox_peripherals::scale::Unit;
use storebox_peripherals::scanner::instore::{self, Rule, RuleSource};
use storebox_peripherals::scanner::{Event, Framing, Scanner, gs1};
use storebox_peripherals::sim::printer::Act;
use storebox_peripherals::sim::script::Script;

use crate::driver::{Target, shape};
use crate::lines::split_anywhere;

const SCANS: &[&[u8]] =
    &[b"\r", b"\n", b"\x02", b"\x03", b"]C1", b"]E0", b"4006381333931", b"\x1d"];
const ELEMENTS: &[&[u8]] = &[
    b"01",
    b"04006381333931",
    b"3103",
    b"001250",
    b"3922",
    b"3932978",
    b"10",
    b"\x1d",
    b"17",
    b"260229",
    b"15",
    b"8005",
    b"21",
    b"(01)",
    b"]C1",
    b"30",
    b"37",
    b"99",
];

fn framings() -> [Framing; 3] {
    [
        Framing::default(),
        Framing {
            prefix: b"\x02".to_vec(),
            suffix: b"\x03".to_vec(),
            gap_ms: 50,
            acknowledge: true,
        },
        Framing { suffix: Vec::new(), ..Framing::default() },
    ]
}

fn scans(framing: &Framing, input: &[u8]) -> Vec<Event> {
    let make = || Scanner::new(framing.clone());
    let counts = |events: &[Event]| {
        let told = events.iter().map(|event| match event {
            Event::Scan(scan) => format!("{:?} {:02x?}", scan.aim, scan.data),
            Event::Broken { .. } | Event::Missed { .. } | Event::Disconnected => {
                format!("{event:?}")
            }
        });
        told.collect::<Vec<_>>()
    };
    split_anywhere(make, |_, _| {}, input, input.len().max(1), counts)
}

pub(crate) fn scanner() -> Target {
    let judge = |input: &[u8]| {
        let mut kinds = Vec::new();
        for framing in framings() {
            for event in scans(&framing, input) {
                kinds.push(match event {
                    Event::Scan(scan) => {
                        let known = gs1::parse(&scan.data).map_or(0, |elements| elements.len());
                        (1, scan.aim.is_some(), known)
                    }
                    Event::Broken { bytes } => {
                        assert!(bytes <= input.len(), "{bytes} of {} bytes broken", input.len());
                        (2, false, 0)
                    }
                    Event::Disconnected => (3, false, 0),
                    Event::Missed { codes } => panic!("{codes} codes of a short input were missed"),
                });
            }
        }
        shape(kinds)
    };
    Target { name: "scanner", seeds: &[], words: SCANS, bytes_max: 128, judge }
}

pub(crate) fn element_string() -> Target {
    let judge = |input: &[u8]| match gs1::parse(input) {
        Ok(elements) => {
            assert!(elements.len() <= input.len(), "more elements than bytes");
            shape(elements.iter().map(std::mem::discriminant).collect::<Vec<_>>())
        }
        Err(error) => shape(std::mem::discriminant(&error)),
    };
    Target { name: "element_string", seeds: &[], words: ELEMENTS, bytes_max: 256, judge }
}

/// The pattern is the input's first line, the code its rest.
pub(crate) fn instore_code() -> Target {
    let judge = |input: &[u8]| {
        let (pattern, code) = input.split_at(input.len().min(13));
        let pattern = String::from_utf8_lossy(pattern).into_owned();
        let source = RuleSource { pattern, decimals: 2, unit: Unit::Kilogram };
        let Ok(rule) = Rule::new(&source) else { return 0 };
        let code = code.strip_prefix(b"\n").unwrap_or(code);
        shape(instore::read(&[rule], code).map(|read| std::mem::discriminant(&read.carried)))
    };
    let words: &[&[u8]] =
        &[b"28IIIIIWWWWWC\n", b"22IIIIVPPPPPC\n", b"2812345012504", b"C", b"I", b"W", b"P"];
    Target { name: "instore_code", seeds: &[], words, bytes_max: 40, judge }
}

pub(crate) fn simulator_script() -> Target {
    let judge = |input: &[u8]| {
        let text = String::from_utf8_lossy(input);
        match Script::<Act>::parse(text.lines()) {
            Ok(script) => shape(script.next_time()),
            Err(error) => shape(std::mem::discriminant(&error)),
        }
    };
    let words: &[&[u8]] = &[
        b"700b",
        b"2s",
        b"300ms",
        b" ",
        b"\n",
        b"power-cut",
        b"99999999999999999999",
        b"paper-out",
    ];
    Target { name: "simulator_script", seeds: &[], words, bytes_max: 128, judge }
}
