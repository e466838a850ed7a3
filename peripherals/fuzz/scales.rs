//! Every scale protocol.

use std::time::Instant;

use storebox_peripherals::scale::dialog06::Approval;
use storebox_peripherals::scale::{Ask, Event, Model, Outcome, Pace, PricedAsk, Setup, Weigher};

use crate::driver::{Target, shape};
use crate::lines::split_anywhere;

/// A driver keeps the last 64 events until they are fetched, and a frame has two bytes at least.
const AT_ONCE: usize = 96;

fn judge(model: Model, input: &[u8]) -> u64 {
    let priced = Ask::Price(PricedAsk { unit_price: 1234, tare: None, text: None });
    judge_answer(model, if model == Model::Dialog06 { priced } else { Ask::Weigh }, input)
}

/// The priced answer of a scale that gives both.
pub(crate) fn scale_cas_price() -> Target {
    let judge = |input: &[u8]| {
        let ask = PricedAsk { unit_price: 1234, tare: None, text: None };
        judge_answer(Model::CasPos, Ask::Price(ask), input)
    };
    Target {
        name: "scale_cas_price",
        seeds: &["fuzz/corpus/scales"],
        words: WORDS,
        bytes_max: 192,
        judge,
    }
}

fn judge_answer(model: Model, ask: Ask, input: &[u8]) -> u64 {
    let make = || {
        let approval = Approval::new(vec![(0x1234, 0x5678)]);
        let setup = Setup { approval, ..Setup::default() };
        model.driver(&setup, Pace { every: None, tries: 3 })
    };
    // One question: what comes before the next one is sent is thrown away, wherever it was split.
    let begin = |scale: &mut Box<dyn Weigher>, at: Instant| scale.ask(ask.clone(), at);
    let events = split_anywhere(make, begin, input, AT_ONCE, outcomes);
    let kinds = events.iter().map(|event| match event {
        Event::Reading(reading) => {
            if let Some(measured) = reading.sellable() {
                let digits = measured.weight.mantissa().to_string();
                let sent: String = reading.raw.iter().map(|byte| char::from(byte & 0x7F)).collect();
                let sent: String = sent.chars().filter(char::is_ascii_digit).collect();
                assert!(sent.contains(&digits), "{digits} was never sent: {:02x?}", reading.raw);
            }
            kind(&reading.outcome)
        }
        Event::Done(_) => 100,
        Event::Refused { .. } => 101,
    });
    shape(kinds.collect::<Vec<u16>>())
}

/// Everything but the times.
fn outcomes(events: &[Event]) -> Vec<String> {
    let told = events.iter().map(|event| match event {
        Event::Reading(reading) => format!("{:?} {:02x?}", reading.outcome, reading.raw),
        Event::Done(_) | Event::Refused { .. } => format!("{event:?}"),
    });
    told.collect()
}

fn kind(outcome: &Outcome) -> u16 {
    match outcome {
        Outcome::Stable(measured) => 1 + u16::from(measured.weight.decimals()),
        Outcome::InMotion { shown } => 20 + u16::from(shown.is_some()),
        Outcome::Unchanged { .. } => 22,
        Outcome::Empty => 33,
        Outcome::UnderZero => 23,
        Outcome::OverCapacity => 24,
        Outcome::BelowMinimum => 25,
        Outcome::OutsideZeroRange => 26,
        Outcome::NotReady => 27,
        Outcome::NeedsApproval => 28,
        Outcome::OtherPrice { .. } => 32,
        Outcome::DeviceError { code } => 200_u16.saturating_add(*code),
        Outcome::Garbled => 29,
        Outcome::NoReply => 30,
        Outcome::Disconnected => 31,
    }
}

/// Answers of all of them: what speaks for another scale is garbage, never a weight.
const WORDS: &[&[u8]] = &[
    b"\x0201.250\r",
    b"\x02?\x01\r",
    b"\x02001.25\r",
    b"\x06",
    b"\x15",
    b"\x04",
    b"\x1b",
    b"\x02",
    b"\x03",
    b"\r",
    b"\n",
    b"\x0a 1G       1.250kg_\r",
    b"S S     1.250 kg\r\n",
    b"S D",
    b"S +\r\n",
    b"ES\r\n",
    b"ST,GS,+001.250kg\r\n",
    b"US,NT,-000.100 g\r\n",
    b"OL,",
    b"ST,+00001.25  kg\r\n",
    b"\x0a01.250KG\r\x0a00\r\x03",
    b"\x01\x02S 001.250kg",
    b"\x01\x02    3.90\x3f\x03\x02S 00.316kg",
    b"\x0209\x1b20\x03",
    b"\x0211\x1b2\x1b47\x03",
    b"lb",
    b"kg",
    b"oz",
    b" g",
    b"-",
];

macro_rules! scales {
    ($($name:ident $model:ident;)*) => { $(
        pub(crate) fn $name() -> Target {
            let judge = |input: &[u8]| judge(Model::$model, input);
            Target { name: stringify!($name), seeds: &["fuzz/corpus/scales"], words: WORDS, bytes_max: 192, judge }
        }
    )* };
}

scales! {
    scale_toledo8217 Toledo8217;
    scale_toledo8213 Toledo8213;
    scale_dialog06 Dialog06;
    scale_nci Nci;
    scale_sma Sma;
    scale_sics Sics;
    scale_cas_pos CasPos;
    scale_cas_stream CasStream;
    scale_and And;
    scale_and_stream AndStream;
}
