//! What the tests share.

pub mod chain;
pub mod company;
pub mod netns;
pub mod postgres;
pub mod shop;
pub mod wait;

/// Says why a test cannot run here; where everything has to run, that is a failure.
pub fn skip<T>(why: &str) -> Option<T> {
    use std::io::Write;
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{why}");
    let mut out = std::io::stderr();
    writeln!(out, "skipped: {why}").expect("the test's output is open");
    None
}
