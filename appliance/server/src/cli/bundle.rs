//! `support-bundle`: one file that a shop can send to whoever helps, with nothing secret in it.
//!
//! It holds what the box says of itself, the doctor's report, the last log lines, and the configuration.
//! It never holds a transaction's content, a receipt, a customer, a key or a token: lists are taken without
//! payloads, and everything goes through [`redact`] on its way in.
//! Bounded: each entry has at most [`ENTRY_BYTES_MAX`], and what a box does not answer in time is named as missing.

mod redact;

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::client::Control;
use super::{CommandError, doctor, say};
use crate::blocking::beside;
use crate::config;
use crate::env;

/// One entry is cut off behind this.
const ENTRY_BYTES_MAX: usize = 4 * 1024 * 1024;
/// A question to the box or a program takes no longer.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// Lines of the journal.
const JOURNAL_LINES: &str = "2000";

/// What the running box is asked for, and the file it becomes.
const ASKED: [(&str, &str); 13] = [
    ("/v1/status", "status.json"),
    ("/metrics", "metrics.txt"),
    ("/v1/devices", "devices.json"),
    ("/v1/feeds", "feeds.json"),
    ("/v1/history", "history.json"),
    ("/v1/outbox", "outbox.json"),
    ("/v1/outbox/audit", "audit.json"),
    ("/v1/drill", "drills.json"),
    ("/v1/boxes", "boxes.json"),
    ("/v1/terminals", "terminals.json"),
    ("/v1/nodes", "nodes.json"),
    ("/v1/log", "log-levels.json"),
    ("/v1/log/lines", "log.txt"),
];

/// What the machine is asked for.
const PROGRAMS: [(&str, &[&str], &str); 6] = [
    ("uname", &["-a"], "machine/uname.txt"),
    ("df", &["-h"], "machine/disks.txt"),
    ("ip", &["address"], "machine/addresses.txt"),
    ("ip", &["route"], "machine/routes.txt"),
    ("systemctl", &["status", "--no-pager", "storebox.service"], "machine/service.txt"),
    (
        "journalctl",
        &["-u", "storebox", "-n", JOURNAL_LINES, "--no-pager", "-o", "short-iso"],
        "journal.txt",
    ),
];

/// What the kernel tells.
const FILES: [(&str, &str); 4] = [
    ("/etc/os-release", "machine/system.txt"),
    ("/proc/meminfo", "machine/memory.txt"),
    ("/proc/loadavg", "machine/load.txt"),
    ("/proc/uptime", "machine/uptime.txt"),
];

/// Writes the bundle and says where it is.
pub(super) async fn write(
    config: &Path,
    data_dir: Option<&Path>,
    out: Option<PathBuf>,
) -> Result<(), CommandError> {
    let out = out.unwrap_or_else(|| {
        let now = env::timestamp().to_string();
        let digits: String = now.chars().filter(char::is_ascii_digit).take(14).collect();
        PathBuf::from(format!("storebox-support-{digits}.tar.gz"))
    });
    let entries = gather(config, data_dir).await;
    let count = entries.len();
    let fail = |source| CommandError::File { path: out.clone(), source };
    // Only its owner may read it until he sends it.
    let file = File::options().write(true).create_new(true).mode(0o600).open(&out).map_err(fail)?;
    pack(file, &entries).map_err(fail)?;
    say(&format!(
        "{} holds {count} files and no secret; look into it, then send it",
        out.display()
    ));
    Ok(())
}

/// One file of the bundle.
struct Entry {
    name: &'static str,
    text: String,
}

async fn gather(file: &Path, data_dir: Option<&Path>) -> Vec<Entry> {
    let mut entries = Vec::new();
    let mut missing = String::new();
    let configured = config::load(file);
    match &configured {
        Ok(config) => {
            let text = redact::configuration(config);
            entries.push(Entry { name: "configuration.toml", text });
        }
        Err(error) => missing.push_str(&format!("configuration: {error}\n")),
    }
    let report = doctor::examine(file, data_dir).await;
    let text = serde_json::to_string_pretty(&report).expect("a report is JSON");
    entries.push(Entry { name: "doctor.json", text });
    let configured = configured.map(|config| config.data_dir).unwrap_or_default();
    let data_dir = data_dir.map_or(configured, Path::to_owned);
    match Control::open(&data_dir) {
        Ok(control) => {
            for (path, name) in ASKED {
                match tokio::time::timeout(ANSWER_MAX, control.text(path, ENTRY_BYTES_MAX)).await {
                    Ok(Ok(text)) => entries.push(Entry { name, text }),
                    Ok(Err(error)) => missing.push_str(&format!("{name}: {error}\n")),
                    Err(_) => missing.push_str(&format!("{name}: not in time\n")),
                }
            }
        }
        Err(error) => missing.push_str(&format!("the running box: {error}\n")),
    }
    for (program, arguments, name) in PROGRAMS {
        match said(program, arguments).await {
            Some(text) => entries.push(Entry { name, text }),
            None => missing.push_str(&format!("{name}: {program} did not answer\n")),
        }
    }
    for (path, name) in FILES {
        match std::fs::read_to_string(path) {
            Ok(text) => entries.push(Entry { name, text }),
            Err(error) => missing.push_str(&format!("{name}: {error}\n")),
        }
    }
    entries.push(Entry { name: "missing.txt", text: missing });
    for entry in &mut entries {
        entry.text.truncate(entry.text.floor_char_boundary(ENTRY_BYTES_MAX));
        entry.text = redact::text(&entry.text);
    }
    entries
}

/// What a program says, if it is there and answers in time.
async fn said(program: &'static str, arguments: &'static [&'static str]) -> Option<String> {
    let run = move || {
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stderr(Stdio::null());
        command.output().ok()
    };
    let output = tokio::time::timeout(ANSWER_MAX, beside(run)).await.ok()??;
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn pack(file: File, entries: &[Entry]) -> std::io::Result<()> {
    let seconds = u64::try_from(env::timestamp().unix_ms() / 1000).unwrap_or(0);
    let mut archive = tar::Builder::new(GzEncoder::new(file, Compression::default()));
    for entry in entries {
        let mut header = tar::Header::new_gnu();
        header.set_size(entry.text.len() as u64);
        header.set_mode(0o600);
        header.set_mtime(seconds);
        let name = format!("storebox-support/{}", entry.name);
        archive.append_data(&mut header, name, entry.text.as_bytes())?;
    }
    let mut file = archive.into_inner()?.finish()?;
    file.flush()?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[tokio::test]
    async fn without_a_box_the_bundle_says_what_is_missing() {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("storebox.toml");
        std::fs::write(&config, "[discovery]\nannounce = false\n").unwrap();
        let out = dir.path().join("bundle.tar.gz");
        write(&config, Some(dir.path()), Some(out.clone())).await.unwrap();
        let mut archive =
            tar::Archive::new(flate2::read::GzDecoder::new(File::open(&out).unwrap()));
        let mut missing = String::new();
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            if entry.path().unwrap().ends_with("missing.txt") {
                entry.read_to_string(&mut missing).unwrap();
            }
        }
        assert!(missing.contains("the running box: no box runs on"), "{missing}");
        let again = write(&config, Some(dir.path()), Some(out)).await;
        assert!(again.is_err(), "a file that is there is never replaced");
    }
}
