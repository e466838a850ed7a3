use proptest::prelude::*;

use super::super::{Event, Job, Printer, Verdict};
use super::*;
use crate::line::{Line, start};

/// A nine-byte block with this counter: length 9 is bits 01001, spread over bits 5 and 3 to 1.
fn block(second: u8, third: u8, fifth: u8, counter: u8) -> [u8; 9] {
    let spread = (counter & 0x18) << 2 | (counter & 0x07) << 1;
    [0x23, 0x00, second, third, 0x00, fifth, 0x00, spread, 0x00]
}

fn heard(star: &mut Star, bytes: &[u8]) -> Vec<Heard> {
    let heard = bytes.iter().map(|byte| star.handle_byte(*byte));
    heard.filter(|heard| *heard != Heard::Nothing).collect()
}

#[test]
fn golden_blocks() {
    let mut star = Star::new(Profile::star_80());
    assert_eq!((block_length(0x23, 0x00), block_length(0x23, 0x80)), (9, 11));
    assert_eq!(heard(&mut star, &block(0x00, 0x00, 0x00, 0)), [Heard::Spoke]);
    assert_eq!(star.status().trouble(), None);
    for (bytes, trouble) in [
        (block(0x28, 0, 0, 0), super::super::Trouble::CoverOpen),
        (block(0x08, 0x08, 0, 0), super::super::Trouble::Cutter),
        (block(0x08, 0, 0x08, 0), super::super::Trouble::PaperOut),
        (block(0x08, 0x20, 0, 0), super::super::Trouble::Unrecoverable),
        (block(0x08, 0x40, 0, 0), super::super::Trouble::Recovering),
    ] {
        heard(&mut star, &bytes);
        assert_eq!(star.status().trouble(), Some(trouble));
    }
}

#[test]
fn the_counter_is_read_from_its_scattered_bits() {
    let mut star = Star::new(Profile::star_80());
    for counter in 0..32 {
        heard(&mut star, &block(0, 0, 0, counter));
        assert_eq!(star.counter, Some(counter));
    }
}

#[test]
fn a_job_is_printed_when_the_counter_is_two_further() {
    let now = start();
    let mut printer = Printer::new(Star::new(Profile::star_80()));
    printer.handle_opened(now);
    printer.handle_input(&block(0, 0, 0, 31), now);
    printer.print(Job { number: 4, body: b"x\n".to_vec() }, now).unwrap();
    let sent: Vec<u8> =
        std::iter::from_fn(|| printer.poll_transmit()).flat_map(|t| t.bytes).collect();
    assert!(sent.ends_with(b"\x17x\n\x17"));
    printer.handle_drained(now);
    printer.handle_input(&block(0, 0, 0, 0), now);
    printer.handle_input(&block(0x08, 0, 0x08, 1), now);
    printer.handle_input(&block(0, 0, 0, 1), now);
    let verdicts: Vec<_> = std::iter::from_fn(|| printer.poll_event())
        .filter_map(|event| match event {
            Event::Job { verdict, .. } => Some(verdict),
            Event::Status { .. } => None,
        })
        .collect();
    assert_eq!(verdicts, [Verdict::Sent, Verdict::Printed(Level::Processed)]);
}

#[test]
fn what_a_job_in_doubt_still_counts_does_not_prove_the_next() {
    let mut star = Star::new(Profile::star_80());
    heard(&mut star, &block(0, 0, 0, 5));
    star.frame(b"one", 1);
    star.reset();
    heard(&mut star, &block(0, 0, 0, 5));
    star.frame(b"two", 2);
    assert_eq!(heard(&mut star, &block(0, 0, 0, 7)), [Heard::Spoke]);
    assert_eq!(heard(&mut star, &block(0, 0, 0, 9)), [Heard::Reached(2)]);
}

#[test]
fn a_counter_that_jumps_proves_nothing_and_is_counted_from_anew() {
    let mut star = Star::new(Profile::star_80());
    heard(&mut star, &block(0, 0, 0, 5));
    star.frame(b"one", 1);
    assert_eq!(heard(&mut star, &block(0, 0, 0, 0)), [Heard::Spoke], "it was switched off");
    star.frame(b"two", 2);
    assert_eq!(heard(&mut star, &block(0, 0, 0, 2)), [Heard::Reached(2)]);
}

proptest! {
    #[test]
    fn any_bytes_are_blocks_or_noise(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let mut star = Star::new(Profile::star_80());
        for byte in bytes {
            star.handle_byte(byte);
            prop_assert!(star.block.len() <= BLOCK_MAX + 2);
        }
    }
}
