//! What is mounted and what is swap, from the text the kernel writes about itself.

/// A line of `/proc/self/mountinfo`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mount {
    pub(super) number: (u64, u64),
    pub(super) at: String,
    pub(super) source: String,
}

/// The mounts of a mountinfo file; lines of another shape are left out.
pub(super) fn mounts(text: &str) -> Vec<Mount> {
    text.lines().filter_map(mount).collect()
}

fn mount(line: &str) -> Option<Mount> {
    let (before, after) = line.split_once(" - ")?;
    let fields: Vec<&str> = before.split(' ').collect();
    let number = number(fields.get(2)?)?;
    let at = unescape(fields.get(4)?);
    let source = unescape(after.split(' ').nth(1)?);
    Some(Mount { number, at, source })
}

/// The devices and files of `/proc/swaps`.
pub(super) fn swaps(text: &str) -> Vec<String> {
    text.lines().skip(1).filter_map(|line| line.split_whitespace().next()).map(unescape).collect()
}

/// `8:16` as the kernel prints device numbers.
pub(super) fn number(text: &str) -> Option<(u64, u64)> {
    let (major, minor) = text.trim().split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// The kernel writes blanks in paths as `\040`.
fn unescape(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let octal = tail.get(..3).filter(|_| *first == b'\\');
        let value = octal
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        bytes.push(value.unwrap_or(*first));
        rest = if value.is_some() { &tail[3..] } else { tail };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_mount_with_a_blank_and_optional_fields_is_read() {
        let line = "36 35 8:17 / /media/my\\040stick rw,noatime master:1 shared:2 - vfat /dev/sdb1 rw\n\
                    garbage\n";
        let expected =
            Mount { number: (8, 17), at: "/media/my stick".into(), source: "/dev/sdb1".into() };
        assert_eq!(mounts(line), [expected]);
    }

    #[test]
    fn swap_devices_are_read_without_the_heading() {
        let text = "Filename\tType\tSize\tUsed\tPriority\n/dev/sda2 partition 1 0 -2\n";
        assert_eq!(swaps(text), ["/dev/sda2"]);
    }

    proptest! {
        #[test]
        fn any_text_never_panics(text in "(\\PC|\\\\[0-9]{0,4}| - |\n){0,60}") {
            mounts(&text);
            swaps(&text);
        }
    }
}
