//! The data directory and the clock.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use storebox_proto::time::ClockConfidence;

use super::{bad, good};
use crate::room;
use crate::status::{Finding, Level, Status};

/// With less room than this, replicas are not refreshed; sales have their own reserve.
const FREE_BYTES_MIN: u64 = 256 * 1024 * 1024;
/// Bits of the mode that let others than the owner and its group in.
const OTHERS: u32 = 0o007;

/// Whether the box can keep what it is given.
pub(super) fn data_dir(dir: &Path) -> Vec<Finding> {
    let metadata = match std::fs::metadata(dir) {
        Ok(metadata) => metadata,
        Err(error) => {
            let text = format!("{} cannot be used: {error}", dir.display());
            let advice = "Check data_dir, whether its disk is mounted, and run this as the user of the service.";
            return vec![bad("data_dir", text).advise(advice)];
        }
    };
    let mut found = Vec::new();
    let mode = metadata.permissions().mode();
    if mode & OTHERS != 0 {
        let text = format!("Everybody on this machine may look into {}", dir.display());
        let advice = format!("chmod o-rwx {}", dir.display());
        found.push(Finding::new(Level::Notice, "data_dir_open", text).advise(advice));
    }
    match room::around(dir) {
        Ok(disk) => {
            let mebibytes = disk.free_bytes / (1024 * 1024);
            if disk.is_read_only {
                let text = format!("The disk of {} is read-only", dir.display());
                let advice =
                    "A disk that turned read-only is usually dying: replace the box or its disk.";
                found.push(bad("disk_read_only", text).advise(advice));
            } else if disk.free_bytes < FREE_BYTES_MIN {
                let text = format!("Only {mebibytes} MiB are free for {}", dir.display());
                let advice = "Sales are still accepted from their reserve; make room so that prices can be refreshed.";
                found.push(bad("disk_full", text).advise(advice));
            } else {
                let owner = metadata.uid();
                let text =
                    format!("{} is writable, {mebibytes} MiB free, owner {owner}", dir.display());
                found.push(good("data_dir", text));
            }
        }
        Err(error) => {
            let text = format!("The disk of {} does not tell its state: {error}", dir.display());
            let advice =
                "Look with `df` and in the kernel's log (journalctl -k) what is wrong with it.";
            found.push(Finding::new(Level::Notice, "disk_unknown", text).advise(advice));
        }
    }
    found
}

/// Whether the clock can be believed.
pub(super) fn clock(status: &Status) -> Vec<Finding> {
    match status.clock {
        ClockConfidence::Wrong => {
            let text =
                format!("The clock says {}, which is before a time that is proven", status.now);
            let advice = "Set it or let it reach a time server; sales go on and are kept in order without it.";
            vec![bad("clock_wrong", text).advise(advice)]
        }
        ClockConfidence::Plausible | ClockConfidence::Synchronised => {
            vec![good("clock", format!("The clock says {}", status.now))]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_is_not_there_or_open_to_all_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let missing = data_dir(&dir.path().join("missing"));
        assert_eq!((missing[0].level, missing[0].code.as_str()), (Level::Bad, "data_dir"));
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(data_dir(dir.path())[0].code, "data_dir_open");
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o750)).unwrap();
        assert!(data_dir(dir.path()).iter().all(|finding| finding.code != "data_dir_open"));
    }
}
