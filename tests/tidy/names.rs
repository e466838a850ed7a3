//! Names say what is inside.

use crate::source;

const FORBIDDEN: [&str; 9] =
    ["utils", "util", "helpers", "helper", "common", "misc", "types", "manager", "stuff"];

#[test]
fn no_file_has_a_name_that_says_nothing() {
    let offences = source::all()
        .into_iter()
        .filter(|source| FORBIDDEN.contains(&source.name().split('.').next().unwrap()))
        .map(|source| source.path)
        .collect();
    source::expect_none("a file is named by its noun", offences);
}

#[test]
fn a_mod_file_is_a_table_of_contents() {
    let contents_only = |source: &source::Source| {
        let body = source.text.split("#[cfg(test)]").next().unwrap_or_default();
        !body.lines().any(|line| line.trim_start().starts_with("impl "))
    };
    let offences = source::ending("/mod.rs")
        .into_iter()
        .filter(|source| !source.path.contains("/tests/") && !contents_only(source))
        .map(|source| source.path)
        .collect();
    source::expect_none("a mod.rs lists its modules and holds no behaviour", offences);
}

#[test]
fn every_module_says_what_it_is_for() {
    let offences = source::ending(".rs")
        .into_iter()
        .filter(|source| !source.path.ends_with("tests.rs") && !source.path.contains("/tests/"))
        .filter(|source| !source.text.trim_start().starts_with("//!"))
        .map(|source| source.path)
        .collect();
    source::expect_none("a module begins with its reason (//!)", offences);
}
