//! What the guides tell people to type exists: every command in them, and every option.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};

use crate::site::executable;

/// Written for people who type what stands there.
const GUIDES: [&str; 7] = [
    "README.md",
    "CHANGELOG.md",
    "appliance/README.md",
    "appliance/enrolment.md",
    "appliance/docs/field-guide.md",
    "appliance/docs/integrators.md",
    "appliance/docs/channels.md",
];

/// The commands in a text: in code, at the beginning of a line.
fn commands(text: &str) -> Vec<String> {
    let code = text.split('`').skip(1).step_by(2).flat_map(str::lines);
    let typed = code.map(|line| line.trim().trim_start_matches("sudo "));
    typed.filter(|line| line.starts_with("storebox ")).map(str::to_owned).collect()
}

/// The manual page of each command, by its words.
fn pages() -> anyhow::Result<BTreeMap<String, String>> {
    let folder = tempfile::tempdir()?;
    let made = Command::new(executable()).arg("man").arg(folder.path()).status()?;
    ensure!(made.success());
    let mut pages = BTreeMap::new();
    for file in std::fs::read_dir(folder.path())? {
        let path = file?.path();
        let name = path.file_stem().context("a page has a name")?.to_string_lossy().into_owned();
        pages.insert(name, std::fs::read_to_string(&path)?.replace('\\', ""));
    }
    Ok(pages)
}

/// What of this command does not exist.
fn missing(typed: &str, pages: &BTreeMap<String, String>) -> Option<String> {
    let typed = typed.split(['|', ';', '&', '>']).next().unwrap_or_default();
    let mut command = "storebox".to_owned();
    let is_word = |word: &str| word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-');
    let has_more = |command: &str| {
        pages
            .keys()
            .any(|name| name.strip_prefix(command).is_some_and(|rest| rest.starts_with('-')))
    };
    for word in typed.split_whitespace().skip(1) {
        if let Some(option) = word.strip_prefix("--") {
            let name = option.split('=').next().unwrap_or_default();
            let is_told = |page: &str| pages[page].contains(&format!("--{name}"));
            if !name.is_empty() && !is_told(&command) && !is_told("storebox") {
                return Some(format!("{command} has no --{name}"));
            }
        } else if has_more(&command) && is_word(word) {
            command = format!("{command}-{word}");
            if !pages.contains_key(&command) {
                return Some(format!("there is no command {command}"));
            }
        }
    }
    None
}

#[test]
fn every_command_that_a_guide_names_exists_with_its_options() -> anyhow::Result<()> {
    let (root, pages) = (Path::new(env!("CARGO_MANIFEST_DIR")).join(".."), pages()?);
    let mut faults = Vec::new();
    for guide in GUIDES {
        let text = std::fs::read_to_string(root.join(guide)).context(guide)?;
        for typed in commands(&text) {
            faults.extend(missing(&typed, &pages).map(|why| format!("{guide}: `{typed}`: {why}")));
        }
    }
    ensure!(faults.is_empty(), "{}", faults.join("\n"));
    let drop = "storebox outbox drop KEY --by NAME --reason WHY";
    ensure!(missing(drop, &pages).is_none(), "{:?}", missing(drop, &pages));
    for odd in ["storebox sell", "storebox outbox burn KEY", "storebox outbox drop KEY --why"] {
        ensure!(missing(odd, &pages).is_some(), "{odd}");
    }
    Ok(())
}
