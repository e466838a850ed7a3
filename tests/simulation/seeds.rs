//! Which seeds are tried, on all cores.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use crate::defects::Defect;
use crate::world::World;

/// A seed whose run broke an invariant.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) seed: u64,
    pub(crate) broken: String,
}

/// Runs one seed to its end.
pub(crate) fn run(seed: u64, defect: Defect, printing: bool) -> Result<World, Failure> {
    let mut world = World::new(seed, defect, printing);
    match world.run() {
        Ok(()) => Ok(world),
        Err(broken) => Err(Failure { seed, broken }),
    }
}

/// Runs seeds until one fails; tells how many steps were made in all.
pub(crate) fn run_all(seeds: std::ops::Range<u64>, defect: Defect) -> Result<u64, Failure> {
    let next = AtomicU64::new(seeds.start);
    let (steps, failed) = (AtomicU64::new(0), AtomicBool::new(false));
    let work = || -> Result<(), Failure> {
        while !failed.load(Ordering::Relaxed) {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                break;
            }
            let world =
                run(seed, defect, false).inspect_err(|_| failed.store(true, Ordering::Relaxed))?;
            steps.fetch_add(world.trace.steps(), Ordering::Relaxed);
        }
        Ok(())
    };
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let results: Vec<_> = thread::scope(|scope| {
        let workers: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).collect()
    });
    results.into_iter().collect::<Result<(), Failure>>()?;
    Ok(steps.into_inner())
}

/// A number from the environment.
pub(crate) fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a whole number"))
}
