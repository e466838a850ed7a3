//! The seeds themselves.

use std::ops::Range;

use crate::defects::Defect;
use crate::seeds::{self, Failure};

/// How many seeds are tried when nobody says otherwise.
const SEEDS: u64 = 10_000;

/// How many more that nobody has tried before.
const FRESH_SEEDS: u64 = 500;

#[test]
fn nothing_is_lost_doubled_or_reordered_whatever_happens() {
    if let Some(seed) = seeds::number("SEED") {
        let result = seeds::run(seed, Defect::None, true);
        assert!(result.is_ok(), "{:?}", result.err());
        return;
    }
    run(0..seeds::number("SEEDS").unwrap_or(SEEDS));
    let fresh = u64::from(u32::from_le_bytes(storebox::env::random()));
    run(fresh..fresh + FRESH_SEEDS);
}

fn run(seeds: Range<u64>) {
    match seeds::run_all(seeds.clone(), Defect::None) {
        Ok(steps) => eprintln!("seeds {seeds:?}: {steps} steps"),
        Err(Failure { seed, broken }) => {
            panic!("seed={seed}: {broken}\nreplay it with SEED={seed} and -- --nocapture")
        }
    }
}
