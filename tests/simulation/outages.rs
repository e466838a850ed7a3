//! The seeds themselves.

use crate::ledger::Defect;
use crate::seeds::{self, Failure};

/// How many seeds are tried when nobody says otherwise.
const SEEDS: u64 = 10_000;

#[test]
fn nothing_is_lost_doubled_or_reordered_whatever_happens() {
    if let Some(seed) = seeds::number("SEED") {
        let result = seeds::run(seed, Defect::None, true);
        assert!(result.is_ok(), "{:?}", result.err());
        return;
    }
    let seeds = 0..seeds::number("SEEDS").unwrap_or(SEEDS);
    match seeds::run_all(seeds.clone(), Defect::None) {
        Ok(steps) => eprintln!("{} seeds, {steps} steps", seeds.end),
        Err(Failure { seed, broken }) => {
            panic!("seed={seed}: {broken}\nreplay it with SEED={seed} and -- --nocapture")
        }
    }
}
