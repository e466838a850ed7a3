//! Colour for people at a terminal; programs, files and whoever sets `NO_COLOR` get none.
//!
//! A colour only repeats what a word says.

use std::io::IsTerminal;

use crate::status::Level;

/// The text in the colour of a level, if somebody may see it.
pub(super) fn paint(level: Level, text: &str) -> String {
    dye(level, text, is_wanted())
}

fn is_wanted() -> bool {
    let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    std::io::stdout().is_terminal() && !set("NO_COLOR") && !is_dumb
}

fn dye(level: Level, text: &str, is_wanted: bool) -> String {
    let code = match level {
        Level::Good => "32",
        Level::Notice => "33",
        Level::Bad => "1;31",
    };
    if is_wanted { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_gets_no_colour_and_each_level_its_own() {
        assert_eq!(dye(Level::Bad, "DOWN", false), "DOWN");
        let dyed: std::collections::BTreeSet<_> = [Level::Good, Level::Notice, Level::Bad]
            .into_iter()
            .map(|level| dye(level, "x", true))
            .collect();
        assert!(dyed.len() == 3 && dyed.iter().all(|text| text.ends_with("x\x1b[0m")));
    }
}
