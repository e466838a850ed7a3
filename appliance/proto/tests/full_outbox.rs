//! What waits for the line is in memory; a box has little of it.
//!
//! In a program of its own, so that nothing else takes memory while this looks.

use std::io::Write as _;

use storebox_proto::ids::{Hash32, TxKey};
use storebox_proto::limits::HELD_MAX;
use storebox_proto::sync::outbox::{Admission, Limits, Meta, Outbox, SinkDef};
use storebox_proto::time::Timestamp;

/// A full outbox has to leave the service's memory (192 MB before it is slowed down) to everything else.
const ENTRY_BYTES_MAX: usize = 620;
const TILLS: u64 = 20;

#[test]
fn a_full_outbox_fits_into_a_small_box() {
    let sink = SinkDef { id: "main".parse().unwrap(), authoritative: true };
    let mut outbox = Outbox::new(Limits::default(), vec![sink]).unwrap();
    let (full, before) = (HELD_MAX as u64, resident());
    for number in 0..full {
        let Admission::New { record, .. } = outbox.admit(&sale(number), Timestamp::from_unix_ms(0))
        else {
            panic!("there is room for {number}");
        };
        outbox.apply(&record);
    }
    let entry = (resident() - before) / HELD_MAX;
    let more = outbox.admit(&sale(full), Timestamp::from_unix_ms(0));
    assert!(matches!(more, Admission::Full { .. }), "it is full: {more:?}");
    let _ = writeln!(std::io::stderr(), "{entry} bytes for each that waits");
    assert!(entry <= ENTRY_BYTES_MAX, "{entry} bytes for each that waits");
}

/// As a till sends it: a lane for each ticket.
fn sale(number: u64) -> Meta {
    let key = 0x0192_d3a4_5b6c_7000_8000_0000_0000_0000 + u128::from(number);
    Meta {
        key: TxKey(uuid::Uuid::from_u128(key)),
        digest: Hash32::of(&number.to_le_bytes()),
        bytes: 1000,
        kind: "Order".parse().expect("a kind"),
        terminal: format!("till-{}", number % TILLS).parse().expect("a name"),
        epoch: 1,
        sequence: number / TILLS + 1,
        lane: format!("ticket:0192d3a4-5b6c-7000-8000-{number:012}").parse().expect("a name"),
        depends_on: Vec::new(),
        session: None,
    }
}

/// Bytes of this process that are in memory (`proc_pid_statm(5)`).
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("proc is mounted");
    let pages = statm.split_whitespace().nth(1).and_then(|pages| pages.parse::<usize>().ok());
    pages.expect("the second is resident pages") * 4096
}
