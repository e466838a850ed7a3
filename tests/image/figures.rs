//! What was measured, a line each, as it comes.

/// Prints a line of the report.
#[expect(clippy::print_stdout, reason = "the report is what this program is for")]
pub(crate) fn say(line: &str) {
    println!("{line}");
}

/// Prints a figure.
pub(crate) fn figure(what: &str, value: impl std::fmt::Display) {
    say(&format!("{what:<44} {value}"));
}
