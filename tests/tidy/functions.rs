//! Files and functions stay small enough to be read at once.

use crate::source::{self, Source};

const FILE_LINES_MAX: usize = 500;
const FUNCTION_LINES_MAX: usize = 70;
const ENDINGS: [&str; 6] = [".rs", ".js", ".css", ".html", ".py", ".sh"];

#[test]
fn no_file_is_longer_than_five_hundred_lines() {
    let offences = source::all()
        .into_iter()
        .filter(|source| ENDINGS.iter().any(|ending| source.path.ends_with(ending)))
        .map(|source| (source.text.lines().count(), source.path))
        .filter(|(lines, _)| *lines > FILE_LINES_MAX)
        .map(|(lines, path)| format!("{path}: {lines} lines"))
        .collect();
    source::expect_none("a file is split by noun before it passes 500 lines", offences);
}

#[test]
fn no_function_is_longer_than_seventy_lines() {
    let offences = source::ending(".rs").iter().flat_map(long_functions).collect();
    source::expect_none("a function fits a screen", offences);
}

/// Relies on the formatter: a function ends at the first closing brace with its own indentation.
fn long_functions(source: &Source) -> Vec<String> {
    let lines: Vec<&str> = source.text.lines().collect();
    let mut offences = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let code = line.trim_start();
        if !starts_function(code) || code.ends_with(['}', ';']) {
            continue;
        }
        let end = format!("{}}}", &line[..line.len() - code.len()]);
        let length = lines[start..].iter().position(|line| **line == end).unwrap_or(0) + 1;
        if length > FUNCTION_LINES_MAX {
            offences.push(format!("{}:{} {length} lines", source.path, start + 1));
        }
    }
    offences
}

fn starts_function(code: &str) -> bool {
    let mut words = code.split_whitespace();
    words.by_ref().find(|word| !is_qualifier(word)) == Some("fn")
}

fn is_qualifier(word: &str) -> bool {
    word.starts_with("pub") || matches!(word, "async" | "const" | "unsafe" | "extern" | "\"C\"")
}
