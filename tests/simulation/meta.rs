//! The simulation itself: it repeats itself exactly, and it notices what is wrong.

use crate::ledger::Defect;
use crate::seeds;

#[test]
fn one_seed_twice_gives_the_same_trace() {
    for seed in [1, 7, 4711] {
        let [first, second] = [(); 2].map(|()| seeds::run(seed, Defect::None, false).ok().unwrap());
        assert_eq!(first.trace.hash(), second.trace.hash(), "seed={seed}");
        assert!(first.trace.steps() > 100);
    }
    let [one, other] = [1, 2].map(|seed| seeds::run(seed, Defect::None, false).ok().unwrap());
    assert_ne!(one.trace.hash(), other.trace.hash());
}

#[test]
fn a_main_server_that_stores_twice_is_caught() {
    expect_caught(Defect::NoDedupe, "settled twice");
}

#[test]
fn a_main_server_that_confirms_without_storing_is_caught() {
    expect_caught(Defect::Forgetful, "it is not");
}

/// Some early seed must find the defect, and name it.
fn expect_caught(defect: Defect, words: &str) {
    let failure = seeds::run_all(0..200, defect).expect_err("the defect was not noticed");
    assert!(failure.broken.contains(words), "seed={} found {}", failure.seed, failure.broken);
}
