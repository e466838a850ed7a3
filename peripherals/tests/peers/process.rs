//! Other people's programs: where they are, how they are started, heard and ended.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

#[expect(clippy::disallowed_methods, reason = "these tests meet other processes, in real time")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Passes with a reason, or fails where a missing proof must not go unnoticed.
pub(crate) fn skip<T>(why: &str) -> Option<T> {
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{why}");
    let mut out = std::io::stderr();
    writeln!(out, "skipped: {why}").expect("the test's output is open");
    None
}

/// Where `tests/setup` puts what it installs.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/peers")
}

/// A file of this folder that a peer runs.
pub(crate) fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers").join(name)
}

/// A program of the Python peers.
pub(crate) fn python(program: &str) -> Option<PathBuf> {
    installed(folder().join("python/bin").join(program))
}

/// A module of the Node peers.
pub(crate) fn node(module: &str) -> Option<PathBuf> {
    installed(folder().join("node/node_modules").join(module))
}

fn installed(path: PathBuf) -> Option<PathBuf> {
    if path.exists() {
        return Some(path);
    }
    skip(&format!("{} is not there; peripherals/tests/setup installs it", path.display()))
}

/// Runs a program to its end with this input, and gives what it wrote; it must succeed.
pub(crate) fn run(command: &mut Command, input: &[u8]) -> Option<Vec<u8>> {
    let output = output(command, input)?;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {} {said}", output.status);
    Some(output.stdout)
}

/// Runs a program to its end with this input, however it ends.
pub(crate) fn output(command: &mut Command, input: &[u8]) -> Option<Output> {
    let name = command.get_program().to_owned();
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let Ok(mut child) = piped.spawn() else {
        return skip(&format!("{} is not installed", name.display()));
    };
    let mut keyboard = child.stdin.take().expect("its input is piped");
    Some(std::thread::scope(|scope| {
        // A program that ends without reading says why in its output.
        scope.spawn(move || drop(keyboard.write_all(input)));
        child.wait_with_output().expect("a child is waited for once")
    }))
}

/// A program that runs until it is dropped.
pub(crate) struct Program {
    child: Child,
    lines: Receiver<String>,
}

impl Program {
    pub(crate) fn start(command: &mut Command) -> Self {
        let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = piped.spawn().expect("an installed program starts");
        let out = child.stdout.take().expect("its output is piped");
        let (told, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                if told.send(line).is_err() {
                    return;
                }
            }
        });
        Self { child, lines }
    }

    /// The first line that holds `part`, with the lines before it; `None` if the program ended.
    pub(crate) fn hear(&self, part: &str) -> Option<Vec<String>> {
        let end = now() + DEADLINE;
        let mut heard = Vec::new();
        loop {
            match self.lines.recv_timeout(end.saturating_duration_since(now())) {
                Ok(line) => {
                    let found = line.contains(part);
                    heard.push(line);
                    if found {
                        return Some(heard);
                    }
                }
                Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => return None,
                Err(std::sync::mpsc::RecvTimeoutError::Timeout) => {
                    panic!("{part:?} was never said; what was said: {heard:#?}")
                }
            }
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
