//! Hostile bytes for what boxes read of each other, of tills and of people: the parsers outside the peripherals.
//!
//! The driver is that of `peripherals/fuzz`, which says how long runs and replays go:
//! `FUZZ_SECONDS=3600 SEED=7 cargo test -p storebox-tests --test fuzz -- segment`.
//! `guided segment 3600` searches the same target with libFuzzer, led by the code that an input runs through; it
//! compiles on the stable toolchain and knows the targets of the peripherals too.

#[macro_use]
mod targets;

#[path = "../../peripherals/fuzz/driver.rs"]
mod driver;
mod feeds;
mod words;

macro_rules! tests {
    ($($module:ident: $($name:ident)*;)*) => { $($(
        #[test]
        fn $name() {
            $module::$name().run();
        }
    )*)* };
}

each_target_of_boxes!(tests);
