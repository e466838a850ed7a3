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
    let defects: [(Defect, &[&str]); 10] = [
        (Defect::NoDedupe, &["settled twice"]),
        (Defect::Forgetful, &["for settled, it is not", "came out of order", "came before"]),
        (Defect::NoStop, &["came out of order", "came behind"]),
        (Defect::ConfirmsEarly, &["has lost it"]),
        (Defect::Unverified, &["differs from the author"]),
        (Defect::NoOrder, &["came out of order", "came behind"]),
        (Defect::ClaimsGuests, &["in the name of another box"]),
        (Defect::ForgetsCopies, &["was mirrored and is on"]),
        (Defect::WaitsForMirror, &["waits for its mirror"]),
        (Defect::LetsGoUnknown, &["was mirrored and is on", "has lost it"]),
    ];
    for (defect, names) in defects {
        let Err(failure) = seeds::run_all(0..2000, defect) else {
            panic!("{defect:?} was not noticed");
        };
        eprintln!("{defect:?}: seed={} {}", failure.seed, failure.broken);
        let named = names.iter().any(|name| failure.broken.contains(name));
        assert!(named, "{defect:?}: seed={} found {}", failure.seed, failure.broken);
    }
}
