//! Every command that a document tells people to type is one that the program takes.

use std::path::Path;

use clap::Parser;

use super::Args;

/// What stands for a value in documents, and a value.
const STANDS_FOR: [(&str, &str); 9] = [
    ("KEY", "0192d3a4-5b6c-7d8e-9f00-112233445566"),
    ("MODULE=debug", "storebox::http=debug"),
    ("…", "http://10.0.0.12:8080"),
    ("<its name>", "store-1"),
    ("SITE", "store-1"),
    ("NAME", "anna"),
    ("WHY", "because"),
    ("SAMPLE", "sample.json"),
    ("ID", "hook-1"),
];

/// Documents, and whatever else tells people what to type: advice of the program, pages, alerts.
const TOLD_IN: [&str; 5] = [".md", ".rs", ".js", ".html", ".yaml"];

/// A command without what it needs is mentioned by its name, and is not something to type.
fn is_to_be_typed(command: &str) -> bool {
    let is_mentioned = command.split(' ').next_back().is_some_and(|last| last.starts_with("--"));
    if is_mentioned {
        return false;
    }
    command.contains(" -") || command.contains("…") || command.split(' ').any(is_stand_in)
}

fn is_stand_in(word: &str) -> bool {
    STANDS_FOR.iter().any(|(stand_in, _)| word == *stand_in)
}

fn documents(folder: &Path, found: &mut Vec<(String, String)>) {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        let is_ours = !name.starts_with('.') && name != "target" && name != "node_modules";
        if path.is_dir() && is_ours {
            documents(&path, found);
        } else if TOLD_IN.iter().any(|ending| name.ends_with(ending)) && name != "reference.md" {
            found.push((name, std::fs::read_to_string(&path).unwrap()));
        }
    }
}

/// What stands between backquotes or alone on a line of code, and begins with the program's name.
fn commands(text: &str) -> Vec<String> {
    // A line at a time: in code a backquote may stand alone.
    let quoted = text.lines().flat_map(|line| line.split('`').skip(1).step_by(2));
    let alone = text.lines().filter_map(|line| line.strip_prefix("    "));
    let all = quoted.chain(alone).map(str::trim);
    let ours = all.filter_map(|command| command.strip_prefix("storebox "));
    // Neither what a shell does with the answer nor a remark behind it is the program's.
    let own = |rest: &str| {
        [" | ", " > ", " #"].iter().fold(rest.to_owned(), |text, end| {
            text.split(end).next().unwrap_or_default().trim().to_owned()
        })
    };
    ours.map(own).collect()
}

#[test]
fn every_command_that_a_document_tells_to_type_is_taken() {
    let mut found = Vec::new();
    documents(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."), &mut found);
    let mut typed = 0;
    for (name, text) in &found {
        for command in commands(text).into_iter().filter(|command| is_to_be_typed(command)) {
            let filled = STANDS_FOR
                .iter()
                .fold(command.clone(), |text, (stand_in, value)| text.replace(stand_in, value));
            let words = std::iter::once("storebox").chain(filled.split_whitespace());
            let taken = Args::try_parse_from(words);
            let is_taken = match &taken {
                Ok(_) => true,
                Err(error) => !error.use_stderr(),
            };
            assert!(is_taken, "{name}: storebox {command}: {}", taken.unwrap_err());
            typed += 1;
        }
    }
    assert!(typed > 25, "the commands were found: {typed}");
}

#[test]
fn every_command_that_a_document_names_is_one() {
    use clap::CommandFactory;
    let mut found = Vec::new();
    documents(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."), &mut found);
    for (name, text) in &found {
        for command in commands(text) {
            let mut known = Args::command();
            for word in command.split_whitespace().take_while(|word| {
                word.chars().all(|c| c.is_ascii_lowercase() || c == '-') && !word.starts_with('-')
            }) {
                if !known.has_subcommands() {
                    break;
                }
                let below = known.find_subcommand(word).cloned();
                known = below.unwrap_or_else(|| panic!("{name}: storebox {command} is no command"));
            }
            for option in command.split_whitespace().filter_map(|word| word.strip_prefix("--")) {
                let option = option.split('=').next().unwrap_or_default();
                let is_one = |of: &clap::Command| {
                    of.get_arguments().any(|arg| arg.get_long() == Some(option))
                };
                let is_known = is_one(&known)
                    || is_one(&Args::command())
                    || option == "help"
                    || option == "version";
                assert!(option.is_empty() || is_known, "{name}: storebox {command}: no --{option}");
            }
        }
    }
}
