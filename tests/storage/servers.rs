//! Storage servers of others, each in a folder of its own and on a free port.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use storebox_tests::company::Certified;

/// What opens every server of these tests.
pub(crate) const USER: &str = "box";
pub(crate) const PASSWORD: &str = "sesame";

/// A server that runs until it is dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) port: u16,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Passes with a reason, or fails where a missing proof must not go unnoticed.
fn skip<T>(why: &str) -> Option<T> {
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{why}");
    let _ = writeln!(std::io::stderr(), "skipped: {why}");
    None
}

fn peers() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/storage-peers")
}

fn here(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("storage").join(file)
}

fn installed(path: PathBuf) -> Option<PathBuf> {
    if path.exists() {
        return Some(path);
    }
    skip(&format!("{} is not there; tests/storage/setup installs it", path.display()))
}

fn start(mut command: Command) -> Option<Server> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
    let mut child = command.spawn().expect("the program is there");
    let mut line = String::new();
    let out = child.stdout.take().expect("piped");
    BufReader::new(out).read_line(&mut line).expect("it prints");
    let port = line.trim().parse().unwrap_or_else(|_| panic!("a port, not {line:?}"));
    Some(Server { child, port })
}

/// `dav`, `ftp` or `web`.
pub(crate) fn python(kind: &str, folder: &Path) -> Option<Server> {
    secure_python(kind, folder, None)
}

/// The same over TLS; of FTP, one that takes nothing in the open.
pub(crate) fn secure_python(
    kind: &str,
    folder: &Path,
    certified: Option<&Certified>,
) -> Option<Server> {
    let mut command = Command::new(installed(peers().join("python/bin/python"))?);
    command.arg(here("servers.py")).arg(kind).arg(folder).args(shown(certified));
    start(command)
}

fn shown(certified: Option<&Certified>) -> Vec<&Path> {
    let files = certified.map(|Certified { certificate, key }| [certificate, key]);
    files.into_iter().flatten().map(PathBuf::as_path).collect()
}

/// An S3-compatible service with a bucket `feeds`, whose key is `S3RVER` and secret the same.
pub(crate) fn s3(folder: &Path, certified: Option<&Certified>) -> Option<Server> {
    let module = installed(peers().join("node/node_modules/s3rver"))?;
    let mut command = Command::new("node");
    command.arg(here("s3.js")).arg(std::path::absolute(module).expect("a folder")).arg(folder);
    command.args(shown(certified));
    start(command)
}
