//! Tests wait for conditions, never for time to pass.

use crate::source;

/// The one place where a test pauses between two looks at a condition with a deadline.
const POLLING: &str = "tests/src/wait.rs";

#[test]
fn no_test_sleeps() {
    let banned = [["thread::", "sleep"].concat(), ["time::", "sleep("].concat()];
    let mut offences = Vec::new();
    for source in source::ending(".rs") {
        if source.path == POLLING {
            continue;
        }
        let is_test = source.path.starts_with("tests/") || source.path.ends_with("/tests.rs");
        let mut testing = is_test;
        for (number, line) in source.lines() {
            testing = testing || line.trim() == "#[cfg(test)]";
            if testing && banned.iter().any(|word| line.contains(word)) {
                offences.push(format!("{}:{number}", source.path));
            }
        }
    }
    source::expect_none("a test that sleeps is slow or flaky", offences);
}

#[test]
fn no_test_is_switched_off() {
    let banned = ["#[", "ignore"].concat();
    let offences = source::ending(".rs")
        .into_iter()
        .filter(|source| source.text.contains(&banned))
        .map(|source| source.path)
        .collect();
    source::expect_none("a test that cannot run says why, or fails", offences);
}
