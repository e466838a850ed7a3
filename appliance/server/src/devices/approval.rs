//! The numbers of a Dialog 06 approval, in a file of the box: agreed with the scale's maker, provisioned per approval.
//!
//! A pair a line: the checksum of a verified part of the software and its key remainder, four hexadecimal digits each.
//! What stands in the file is a secret: no error, log or debug print shows any of it, and a trace leaves it out.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use storebox_peripherals::scale::dialog06::Approval;

/// Five pairs and some remarks need no more.
const FILE_MAX: u64 = 4096;

/// Why an approval cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ApprovalError {
    /// The file cannot be read.
    #[error("cannot be read")]
    File(#[from] io::Error),
    /// A line is no pair.
    #[error("line {0} is not two numbers of four hexadecimal digits")]
    Line(usize),
    /// There is none, or there are more than a scale asks for.
    #[error("it has {0} pairs; one to five are needed")]
    Count(usize),
}

/// Reads an approval; lines that begin with `#` are remarks.
pub(super) fn read(path: &Path) -> Result<Approval, ApprovalError> {
    let mut text = String::new();
    File::open(path)?.take(FILE_MAX).read_to_string(&mut text)?;
    let lines = (1..).zip(text.lines().map(str::trim));
    let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let pairs = lines.map(|(at, line)| pair(line).ok_or(ApprovalError::Line(at)));
    let pairs: Vec<(u16, u16)> = pairs.collect::<Result<_, _>>()?;
    let count = pairs.len();
    Approval::new(pairs).ok_or(ApprovalError::Count(count))
}

fn pair(line: &str) -> Option<(u16, u16)> {
    let number = |text: &str| match text.len() {
        4 if text.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
            u16::from_str_radix(text, 16).ok()
        }
        _ => None,
    };
    let (sum, key) = line.split_once(char::is_whitespace)?;
    Some((number(sum)?, number(key.trim())?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<Approval, ApprovalError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("approval");
        std::fs::write(&path, text).unwrap();
        read(&path)
    }

    #[test]
    fn pairs_are_read_and_never_shown() {
        let approval = of("# till software 4.2\n1A2B 3C4D\n\nffff\t0000\n").unwrap();
        assert_eq!(Some(&approval), Approval::new(vec![(0x1A2B, 0x3C4D), (0xFFFF, 0)]).as_ref());
        assert_eq!(format!("{approval:?}"), "Approval(…)");
    }

    #[test]
    fn what_is_no_approval_is_refused_without_its_content() {
        let told = of("1A2B 3C4D\nsecret 3C4D\n").unwrap_err();
        assert!(matches!(told, ApprovalError::Line(2)), "{told}");
        assert!(!format!("{told} {told:?}").contains("secret"));
        assert!(matches!(of("# nothing\n"), Err(ApprovalError::Count(0))));
        assert!(matches!(of(&"1A2B 3C4D\n".repeat(6)), Err(ApprovalError::Count(6))));
        assert!(matches!(of("1A2B +C4D\n"), Err(ApprovalError::Line(1))));
        assert!(matches!(read(Path::new("/no/such/file")), Err(ApprovalError::File(_))));
    }
}
