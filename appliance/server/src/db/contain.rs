//! The exceptions to "a panic ends the process": sled panics on damaged files, and code of the chain runs in an
//! interpreter whose faults must not end a shop's box.
//!
//! The process's panic hook asks [`panic_is_contained`] before it aborts.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

thread_local! {
    static CONTAINED: Cell<bool> = const { Cell::new(false) };
}

/// Whether a panic of this thread is caught and leads to a rebuild, or to a refused call.
pub fn panic_is_contained() -> bool {
    let is_sleds = || std::thread::current().name().is_some_and(|name| name.starts_with("sled"));
    CONTAINED.get() || is_sleds()
}

/// Runs what may panic; what it worked on must be thrown away if it does.
pub fn contain<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    let before = CONTAINED.replace(true);
    let result = catch_unwind(AssertUnwindSafe(work));
    CONTAINED.set(before);
    result.map_err(|panic| {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_inside_is_an_error_and_one_outside_is_not_contained() {
        assert!(!panic_is_contained());
        let result = contain(|| {
            assert!(panic_is_contained());
            let text = String::from("cannot find pid 7");
            std::panic::panic_any(text);
        });
        assert_eq!(result, Err("cannot find pid 7".to_owned()));
        assert!(!panic_is_contained());
    }
}
