//! The vectors are what another program makes of the specification.

use std::process::Command;

use crate::box_of::skipped;

#[test]
fn python_makes_the_same_vectors_from_the_specification() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/vectors/sealed/v1/make.py");
    let import = Command::new("python3").args(["-c", "import cryptography"]).output();
    if !import.is_ok_and(|output| output.status.success()) {
        return skipped("python3 with cryptography is not installed; tests/setup installs it");
    }
    let checked = Command::new("python3").args([script, "--check"]).output().unwrap();
    let said = String::from_utf8_lossy(&checked.stderr);
    assert!(checked.status.success(), "{said}");
}
