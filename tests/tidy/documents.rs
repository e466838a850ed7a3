//! Documents that are true and easy to compare between versions.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;

use crate::source;

#[test]
fn prose_has_one_sentence_a_line() {
    let mut offences = Vec::new();
    for source in source::ending(".md") {
        if source.name().starts_with("LICENSE") {
            continue;
        }
        let mut in_code = false;
        for (number, line) in source.lines() {
            in_code ^= line.trim_start().starts_with("```");
            let prose = !in_code && !line.trim_start().starts_with(['|', '-']);
            if prose && has_two_sentences(line) {
                offences.push(format!("{}:{number}", source.path));
            }
        }
    }
    source::expect_none("a line holds one sentence", offences);
}

#[test]
fn decisions_are_numbered_once() {
    let mut seen = BTreeSet::new();
    for source in source::ending(".md") {
        let Some(name) = source.path.strip_prefix("appliance/decisions/") else { continue };
        let number = &name[..4];
        assert!(number.bytes().all(|b| b.is_ascii_digit()), "{name} begins with four digits");
        assert!(seen.insert(number.to_owned()), "{name}: the number is taken");
        assert!(
            source.text.starts_with(&format!("# {number}: ")),
            "{name}: title and number differ"
        );
        for part in ["Context:", "Decision:", "Consequences:"] {
            assert!(source.text.contains(part), "{name} has no {part}");
        }
    }
    assert!(!seen.is_empty(), "the decisions were found");
}

#[test]
fn every_test_that_a_decision_names_exists() {
    let code: String = source::ending(".rs").into_iter().map(|source| source.text).collect();
    let mut unknown = Vec::new();
    let mut named = 0;
    for source in source::ending(".md") {
        if !source.path.starts_with("appliance/decisions/") {
            continue;
        }
        for (number, line) in source.lines() {
            // The name of a test is a sentence.
            for name in line.split('`').skip(1).step_by(2).filter(|name| is_sentence(name)) {
                named += 1;
                if !code.contains(&format!("fn {name}(")) {
                    unknown.push(format!("{}:{number}: {name}", source.path));
                }
            }
        }
    }
    assert!(named > 40, "the names were found");
    source::expect_none("a test that a decision names exists", unknown);
}

/// At least five words joined by underscores.
fn is_sentence(name: &str) -> bool {
    name.matches('_').count() >= 4
        && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_' || b.is_ascii_digit())
}

#[test]
fn the_readme_names_the_command_that_ci_runs() {
    let read = |path: &str| std::fs::read_to_string(source::root().join(path)).unwrap();
    let command = "tests/run";
    assert!(read("README.md").contains(&format!("    {command}\n")));
    assert!(read(".ci/run").lines().any(|line| line.ends_with(command)));
}

#[test]
fn the_readme_of_the_tests_names_every_suite_folder_and_command() {
    let tests = source::root().join("tests");
    let read = |name: &str| std::fs::read_to_string(tests.join(name)).unwrap();
    let rows: Vec<String> = read("README.md").lines().filter_map(row_of).collect();
    let mut wanted = Vec::new();
    for entry in std::fs::read_dir(&tests).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().to_string_lossy().into_owned();
        let about = entry.metadata().unwrap();
        if about.is_dir() {
            wanted.push(name);
        } else if about.permissions().mode() & 0o111 != 0 {
            wanted.push(format!("tests/{name}"));
        }
    }
    assert!(wanted.len() > 25, "the suites were found");
    let missing = wanted.iter().filter(|name| !rows.contains(name)).cloned().collect();
    source::expect_none("tests/README.md has a row for each", missing);
    let gone = rows.iter().filter(|name| name.as_str() != "image/trial" && !wanted.contains(name));
    source::expect_none("a row of tests/README.md is of something", gone.cloned().collect());
    let readme = read("README.md");
    let manifest = read("Cargo.toml");
    let suites = manifest.split("[[test]]\n").skip(1).filter_map(|part| part.split('"').nth(1));
    let unnamed = suites.filter(|suite| !readme.contains(&format!("--test {suite}`")));
    source::expect_none("a suite has its command", unnamed.map(str::to_owned).collect());
}

/// What the row of a table is about.
fn row_of(line: &str) -> Option<String> {
    line.strip_prefix("| `")?.split_once('`').map(|(name, _)| name.to_owned())
}

/// A small letter, a full stop, a space and a capital letter; abbreviations do not look like that.
fn has_two_sentences(line: &str) -> bool {
    let chars: Vec<char> = line.chars().collect();
    chars.windows(4).any(|w| {
        w[0].is_lowercase() && matches!(w[1], '.' | '?' | '!') && w[2] == ' ' && w[3].is_uppercase()
    })
}

/// Documents that speak of what is; a decision speaks of its day, and is never edited.
fn of_today() -> impl Iterator<Item = source::Source> {
    let all = source::ending(".md").into_iter();
    all.filter(|source| !source.path.starts_with("appliance/decisions/"))
}

/// What stands in a line between backquotes.
fn quoted(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

#[test]
fn every_link_of_a_document_leads_somewhere() {
    let (mut named, mut gone) = (0, Vec::new());
    for source in source::ending(".md") {
        let file = source::root().join(&source.path);
        for (number, line) in source.lines() {
            let links = line.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next());
            for link in links.filter(|link| !link.is_empty() && !link.contains(':')) {
                named += 1;
                if !file.parent().unwrap().join(link).exists() {
                    gone.push(format!("{}:{number}: {link}", source.path));
                }
            }
        }
    }
    assert!(named > 20, "the links were found: {named}");
    source::expect_none("a link leads somewhere", gone);
}

#[test]
fn every_cargo_test_of_a_document_runs_something() {
    let code = source::ending(".rs");
    let (mut named, mut wrong) = (0, Vec::new());
    for source in of_today() {
        for (number, line) in source.lines() {
            let alone = line.strip_prefix("    ");
            for command in quoted(line).chain(alone) {
                let Some((_, words)) = command.split_once("cargo test ") else { continue };
                named += 1;
                if !runs_something(words, &code) {
                    wrong.push(format!("{}:{number}: {command}", source.path));
                }
            }
        }
    }
    assert!(named > 20, "the commands were found: {named}");
    source::expect_none("a test that a document tells to run is one", wrong);
}

/// Whether the package has the suite, and a test or a module in it by the filter's name.
fn runs_something(words: &str, code: &[source::Source]) -> bool {
    let own = words.split(" -- ").next().unwrap_or_default();
    let mut words = own.split(' ').filter(|word| *word != "--lib");
    let (mut package, mut suite, mut filter) = (None, None, None);
    while let Some(word) = words.next() {
        match word {
            "-p" => package = words.next(),
            "--test" => suite = words.next(),
            _ => filter = Some(word),
        }
    }
    let folder = match package {
        Some("storebox-tests") => "tests/",
        Some("storebox-peripherals") => "peripherals/",
        Some("storebox-image") => "image/",
        Some("storebox-proto") => "appliance/proto/",
        Some("storebox") => "appliance/server/",
        Some(_) | None => return false,
    };
    let manifest = source::root().join(folder).join("Cargo.toml");
    let manifest = std::fs::read_to_string(manifest).unwrap();
    let has = |suite: &str| {
        let file = format!("{folder}tests/{suite}.rs");
        manifest.contains(&format!("[[test]]\nname = \"{suite}\""))
            || code.iter().any(|source| source.path == file)
    };
    let is_named = |filter: &str| {
        let (module, file) = (format!("mod {filter};"), format!("/{filter}.rs"));
        let mut inside = code.iter().filter(|source| source.path.starts_with(folder));
        inside.any(|source| {
            source.path.ends_with(&file)
                || source.text.contains(&module)
                || source.lines().any(|(_, line)| line.contains("fn ") && line.contains(filter))
        })
    };
    suite.is_none_or(has) && filter.is_none_or(is_named)
}
