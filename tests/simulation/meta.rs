//! The simulation itself: it repeats itself exactly, and it notices what is wrong.

use crate::defects::Defect;
use crate::seeds;

#[test]
fn one_seed_twice_gives_the_same_trace() {
    for seed in [1, 7, 4711] {
        let [first, second] = [(); 2].map(|()| seeds::run(seed, Defect::None, false).ok().unwrap());
        assert_eq!(first.trace.hash(), second.trace.hash(), "seed={seed}");
        assert!(first.trace.steps() > 50);
    }
    let [one, other] = [1, 2].map(|seed| seeds::run(seed, Defect::None, false).ok().unwrap());
    assert_ne!(one.trace.hash(), other.trace.hash());
}

#[test]
fn every_defect_is_caught_and_named() {
    let defects = [
        (Defect::NoDedupe, "settled twice"),
        (Defect::Forgetful, "takes"),
        (Defect::NoStop, "came"),
        (Defect::ConfirmsEarly, "has lost it"),
        (Defect::Unverified, "differs from the author"),
        (Defect::NoOrder, "came"),
    ];
    for (defect, words) in defects {
        let failure = seeds::run_all(0..400, defect).expect_err("the defect was not noticed");
        let named = failure.broken.contains(words);
        assert!(named, "{defect:?}: seed={} found {}", failure.seed, failure.broken);
    }
}
