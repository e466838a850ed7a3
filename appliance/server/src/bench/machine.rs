//! What kind of machine the figures are from.

use std::fs;
use std::path::Path;
use std::time::Duration;

/// Linux counts processor time for programs in these steps.
const TICK_MS: u64 = 10;

/// Processor, memory, kernel and the file system under `dir`, one line each.
pub(super) fn describe(dir: &Path) -> Vec<String> {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpu = read("/proc/cpuinfo");
    let cores = cpu.lines().filter(|line| line.starts_with("processor")).count();
    let model = value_of(&cpu, "model name").unwrap_or("an unnamed processor");
    let memory = value_of(&read("/proc/meminfo"), "MemTotal").unwrap_or("unknown").to_owned();
    let kernel = read("/proc/sys/kernel/osrelease");
    let load = read("/proc/loadavg");
    vec![
        format!("processor     {cores} x {model}"),
        format!("memory        {memory}"),
        format!("kernel        Linux {}", kernel.trim()),
        format!("file system   {}", file_system(dir, &read("/proc/mounts"))),
        format!("load before   {}", load.split(' ').next().unwrap_or("unknown")),
    ]
}

/// Resident memory of this process, in bytes: now and at most.
pub(super) fn resident() -> (u64, u64) {
    resident_of(std::process::id())
}

/// Processor time that a process has used, in steps of 10 ms.
pub(super) fn processor_time(process: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // The name in parentheses may hold anything; user and system time are fields 14 and 15.
    let fields = stat.rsplit_once(") ").map_or("", |(_, rest)| rest).split(' ');
    let ticks = fields.skip(11).take(2).filter_map(|text| text.parse::<u64>().ok());
    Duration::from_millis(ticks.sum::<u64>() * TICK_MS)
}

/// Resident memory of a process, in bytes: now and at most.
pub(super) fn resident_of(process: u32) -> (u64, u64) {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let bytes = |name| {
        let kilobytes = value_of(&status, name).and_then(|text| text.split(' ').next());
        kilobytes.and_then(|text| text.parse::<u64>().ok()).unwrap_or(0) * 1024
    };
    (bytes("VmRSS"), bytes("VmHWM"))
}

/// What the files of a directory take on the disk.
pub(super) fn size_of(path: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let Ok(entries) = fs::read_dir(path) else {
        return fs::metadata(path).map_or(0, |file| file.blocks() * 512);
    };
    entries.flatten().map(|entry| size_of(&entry.path())).sum()
}

fn value_of<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim())
}

/// The kind of the mount that holds a directory: the longest mount point that it begins with.
fn file_system(dir: &Path, mounts: &str) -> String {
    let dir = fs::canonicalize(dir).unwrap_or_else(|_| dir.to_path_buf());
    let mounts = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ').skip(1);
        Some((words.next()?, words.next()?))
    });
    let holding = mounts.filter(|(point, _)| dir.starts_with(point));
    let longest = holding.max_by_key(|(point, _)| point.len());
    longest.map_or_else(|| "unknown".to_owned(), |(_, kind)| kind.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_mount_point_tells_the_file_system() {
        let mounts = "a / ext4 rw\nb /proc proc rw\nc /procession xfs rw\n";
        assert_eq!(file_system(Path::new("/proc"), mounts), "proc");
        assert_eq!(file_system(Path::new("/usr"), mounts), "ext4");
    }
}
