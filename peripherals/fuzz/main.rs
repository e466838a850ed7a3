//! Hostile bytes for every parser of this crate.
//!
//! Each target is a test that throws mutated seeds at one parser for a bounded time; with nothing
//! said, the same ones each time.
//!
//! - `FUZZ_SECONDS=3600 SEED=7 cargo test -p storebox-peripherals --test fuzz -- scale` runs for hours.
//! - What breaks a target is written to a file, and `FUZZ_INPUT=file` with the target's name replays it.
//! - `corpus/<target>/` holds its seeds; a file that once broke it belongs there, and is replayed first.
//!
//! These tests need nothing but the compiler, so their mutations are guided by what an input comes
//! to (its events, its errors).
//! `guided` of the repository's `tests/fuzz` is the search for hours: the same targets under libFuzzer, led by
//! the code that an input runs through; it compiles on the stable toolchain.
//! What it found and `guided --keep` kept is in `corpus/found/`, a line of hexadecimal digits for each input.

#[macro_use]
mod targets;

mod codes;
mod documents;
mod driver;
mod lines;
mod printers;
mod scales;

macro_rules! tests {
    ($($module:ident: $($name:ident)*;)*) => { $($(
        #[test]
        fn $name() {
            $module::$name().run();
        }
    )*)* };
}

each_target!(tests);
