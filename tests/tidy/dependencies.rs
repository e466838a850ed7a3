//! What the repository is built of keeps to its own rules, and documents name what there is.

use std::collections::BTreeSet;
use std::process::Command;

use crate::source;

/// Folders at the root in which documents name things.
const FOLDERS: [&str; 8] =
    ["tests/", "image/", "peripherals/", "appliance/", "systemd/", "yocto/", ".ci/", "tidy/"];
/// What `tests/house` ends with where its tool cannot be had.
const CANNOT_RUN: i32 = 77;
/// What is made by measuring, what a decision says is gone, and a type of content.
const MADE: [&str; 3] =
    ["appliance/docs/benchmarks", "appliance/server/examples/block_store.rs", "image/png"];

#[test]
fn dependencies_have_licences_and_sources_that_are_allowed() {
    let output = Command::new("tests/house").arg("--offline").current_dir(source::root()).output();
    let output = output.expect("bash is there");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.code() == Some(CANNOT_RUN) {
        storebox_tests::skip::<()>(said.trim());
        return;
    }
    assert!(output.status.success(), "{}{said}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn every_file_that_a_document_names_exists() {
    let mut missing = BTreeSet::new();
    let mut named = 0;
    for document in source::ending(".md") {
        let beside = document.path.rsplit_once('/').map_or("", |(folder, _)| folder);
        for (number, line) in document.lines() {
            let quoted = line.split('`').skip(1).step_by(2);
            let typed = line.strip_prefix("    ").into_iter();
            for words in quoted.chain(typed) {
                let Some(path) = words.split_whitespace().find(|word| is_path(word)) else {
                    continue;
                };
                named += 1;
                let path = path.trim_end_matches(['.', ',', ':', ';', ')']);
                let places = [source::root().join(path), source::root().join(beside).join(path)];
                if !places.iter().any(|place| place.exists()) {
                    missing.insert(format!("{}:{number}: {path}", document.path));
                }
            }
        }
    }
    assert!(named > 40, "the names were found: {named}");
    source::expect_none("a document names what there is", missing.into_iter().collect());
}

/// A whole path of this repository, not a pattern.
fn is_path(word: &str) -> bool {
    FOLDERS.iter().any(|folder| word.starts_with(folder))
        && !MADE.iter().any(|made| word.starts_with(made))
        && word.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c))
}
