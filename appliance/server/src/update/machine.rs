//! Which release this machine runs, and which it can run, as its system says.

use std::path::Path;

use storebox_proto::release::Version;

/// A machine that can be updated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Machine {
    pub(super) board: String,
    pub(super) running: Version,
}

impl Machine {
    /// Reads the description of the system; a machine that was not made by us is none.
    pub(super) fn read(file: &Path) -> Option<Self> {
        let text = std::fs::read_to_string(file).ok()?;
        let value = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='))?;
            Some(line.trim().trim_matches('"').to_owned())
        };
        let (board, running) = (value("STOREBOX_BOARD")?, value("IMAGE_VERSION")?);
        Some(Self { board, running: running.parse().ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_system_of_ours_says_what_it_runs() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("os-release");
        assert_eq!(Machine::read(&file), None);
        std::fs::write(&file, "ID=debian\nVERSION_ID=13\n").unwrap();
        assert_eq!(Machine::read(&file), None);
        let text = "ID=debian\nIMAGE_VERSION=\"1.4.0\"\nSTOREBOX_BOARD=x86-64\n";
        std::fs::write(&file, text).unwrap();
        let machine = Machine::read(&file).unwrap();
        assert_eq!(
            (machine.board.as_str(), machine.running.to_string()),
            ("x86-64", "1.4.0".into())
        );
    }
}
