//! Commands as root inside the machine, over its second serial port.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use storebox_tests::wait;

use crate::machine::{Machine, now};

/// Tells the answers of two commands apart.
static COUNT: AtomicU32 = AtomicU32::new(0);
const TURN: Duration = Duration::from_millis(500);

/// Runs a command and returns what it printed; its exit code must be 0.
pub(crate) fn run(machine: &Machine, command: &str, patience: Duration) -> anyhow::Result<String> {
    let (code, said) = attempt(machine, command, patience)?;
    ensure!(code == 0, "{command}: exit code {code}\n{said}");
    Ok(said)
}

/// Waits until somebody answers on the port.
pub(crate) async fn ready(machine: &Machine, patience: Duration) -> anyhow::Result<()> {
    let short = Duration::from_secs(4);
    wait::until("a shell in the machine", patience, || {
        std::future::ready(Ok(attempt(machine, "true", short).is_ok()))
    })
    .await
    .with_context(|| machine.last_words())
}

/// Runs a command and returns its exit code and what it printed.
pub(crate) fn attempt(
    machine: &Machine,
    command: &str,
    patience: Duration,
) -> anyhow::Result<(i32, String)> {
    at(machine.folder(), command, patience)
}

/// The same by the machine's folder, for another thread.
pub(crate) fn at(
    folder: &Path,
    command: &str,
    patience: Duration,
) -> anyhow::Result<(i32, String)> {
    let mut stream = UnixStream::connect(folder.join("shell.sock"))?;
    stream.set_read_timeout(Some(TURN))?;
    let mark = COUNT.fetch_add(1, Ordering::Relaxed);
    // Quotes inside the marks: what the terminal echoes is not what the shell prints.
    let line = format!(
        "\nstty -echo 2>/dev/null; echo 'B'egin-{mark}; ( {command} ) 2>&1; echo 'E'nd-{mark} $?\n"
    );
    stream.write_all(line.as_bytes())?;
    let (begin, end) = (format!("Begin-{mark}"), format!("End-{mark} "));
    let began = now();
    let mut heard = String::new();
    let mut piece = [0; 65_536];
    while began.elapsed() < patience {
        match stream.read(&mut piece) {
            Ok(0) => bail!("{command}: the machine hung up"),
            Ok(count) => heard += &String::from_utf8_lossy(&piece[..count]).replace('\r', ""),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) => return Err(error.into()),
        }
        let Some((before, after)) = heard.split_once(&end) else { continue };
        let Some((code, _)) = after.split_once('\n') else { continue };
        let said = before.split_once(&begin).map_or(before, |(_, said)| said);
        return Ok((code.trim().parse()?, said.trim().to_owned()));
    }
    bail!("{command}: no end within {patience:?}; so far: {heard}")
}
