//! What shells and `man` show about the commands, made from their definition.

use std::path::Path;

use clap::CommandFactory;

use super::{CommandError, say};
use crate::args::Args;

/// Prints the completions of a shell.
pub(super) fn completions(shell: clap_complete::Shell) {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "storebox", &mut text);
    say(&String::from_utf8_lossy(&text));
}

/// Writes a page for the program and one for each command.
pub(super) fn pages(dir: &Path) -> Result<(), CommandError> {
    clap_mangen::generate_to(Args::command(), dir)
        .map_err(|source| CommandError::File { path: dir.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page() {
        let dir = tempfile::tempdir().unwrap();
        pages(dir.path()).unwrap();
        for command in Args::command().get_subcommands() {
            let page = dir.path().join(format!("storebox-{}.1", command.get_name()));
            let text = std::fs::read_to_string(&page).unwrap();
            assert!(text.contains(".TH") && text.contains("SYNOPSIS"), "{page:?}");
        }
    }
}
