//! Network namespaces that tests make: their names begin with a word of the suite and the number of the process that
//! made them, so that a later run knows what an interrupted one has left.

use std::path::Path;
use std::process::{Command, Stdio};

/// What `ip` printed, or why it failed.
pub fn ip(words: &[&str]) -> Result<String, String> {
    run("ip", words)
}

/// What a program printed, or why it failed.
pub fn run(program: &str, words: &[&str]) -> Result<String, String> {
    let output = Command::new(program).args(words).stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(format!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim()))
}

/// Takes away namespaces `PREFIX-NUMBER-…` of processes that are gone.
pub fn sweep(prefix: &str) {
    let list = ip(&["netns", "list"]).unwrap_or_default();
    for name in list.lines().filter_map(|line| line.split_whitespace().next()) {
        let owner = name.strip_prefix(prefix).and_then(|rest| rest.split('-').nth(1));
        if owner.is_some_and(|owner| !Path::new("/proc").join(owner).exists()) {
            let _ = ip(&["netns", "del", name]);
        }
    }
}
