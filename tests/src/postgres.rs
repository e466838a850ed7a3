//! A PostgreSQL of a test's own: Debian's programs, a folder that goes away, and no port.

use std::fs;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use anyhow::{Context, ensure};

use crate::{skip, wait};

/// Where Debian keeps what is not in the path.
const PROGRAMS: &str = "/usr/lib/postgresql";
/// The server does not run as root, so it runs as the user that its package made.
const USER: &str = "postgres";
/// Between two looks whether it has started.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// A crashed one recovers first.
const LOOKS_MAX: usize = 600;

/// A server.
pub struct Postgres {
    folder: PathBuf,
    programs: PathBuf,
    user: Option<(u32, u32)>,
    child: Option<Child>,
}

impl Postgres {
    /// A running one below this folder; nothing if it is not installed.
    pub async fn open(folder: &Path) -> anyhow::Result<Option<Self>> {
        let Some(programs) = programs() else {
            return Ok(skip("postgresql is not installed"));
        };
        let is_root = number("id", &["-u"])? == 0;
        let user = match is_root {
            true => Some((number("id", &["-u", USER])?, number("id", &["-g", USER])?)),
            false => None,
        };
        // The way to a socket is short, and every folder on it must let the server pass.
        let folder = folder.join("pg");
        fs::create_dir_all(&folder)?;
        if let Some((uid, gid)) = user {
            chown(&folder, Some(uid), Some(gid))?;
            let parent = folder.parent().context("a folder in a folder")?;
            let open = std::os::unix::fs::PermissionsExt::from_mode(0o711);
            fs::set_permissions(parent, open)?;
        }
        let mut server = Self { folder, programs, user, child: None };
        let data = server.folder.join("data");
        let made = server
            .program("initdb")
            .args(["--no-sync", "--auth=trust", "--encoding=UTF8", "-U", USER, "-D"])
            .arg(&data)
            .output()?;
        ensure!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        server.start().await?;
        Ok(Some(server))
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("host={} user={USER} dbname=postgres", self.folder.display())
    }

    /// Starts it, after a crash too.
    pub async fn start(&mut self) -> anyhow::Result<()> {
        // The processes of a killed one let its memory go a moment later, and a new one does not start before.
        let mut child = self.spawn()?;
        let mut tries = 0;
        while self.query("select 1").is_err() {
            tries += 1;
            ensure!(tries < LOOKS_MAX, "postgres does not start: {}", self.log());
            if child.try_wait()?.is_some() {
                child = self.spawn()?;
            }
            wait::moment(LOOK_EVERY).await;
        }
        self.child = Some(child);
        Ok(())
    }

    /// Kills it without warning.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// What a statement answers, as lines of fields between bars.
    pub fn query(&self, statement: &str) -> anyhow::Result<String> {
        let Output { status, stdout, stderr } = Command::new("psql")
            .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-U", USER, "-d", "postgres"])
            .arg("-h")
            .arg(&self.folder)
            .args(["-c", statement])
            .stdin(Stdio::null())
            .output()?;
        ensure!(status.success(), "{statement}: {}", String::from_utf8_lossy(&stderr));
        Ok(String::from_utf8_lossy(&stdout).trim().to_owned())
    }

    fn spawn(&self) -> anyhow::Result<Child> {
        let log = fs::File::options().create(true).append(true).open(self.folder.join("log"))?;
        let child = self
            .program("postgres")
            .arg("-D")
            .arg(self.folder.join("data"))
            .arg("-k")
            .arg(&self.folder)
            .args(["-c", "listen_addresses=", "-c", "shared_buffers=16MB"])
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        Ok(child)
    }

    fn program(&self, name: &str) -> Command {
        let mut command = Command::new(self.programs.join(name));
        command.current_dir("/").env("LC_ALL", "C");
        if let Some((uid, gid)) = self.user {
            command.uid(uid).gid(gid);
        }
        command
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The newest installed version's programs.
fn programs() -> Option<PathBuf> {
    let versions = fs::read_dir(PROGRAMS).ok()?.flatten().map(|entry| entry.path().join("bin"));
    versions.filter(|bin| bin.join("postgres").is_file()).max()
}

fn number(program: &str, arguments: &[&str]) -> anyhow::Result<u32> {
    let output = Command::new(program).args(arguments).output()?;
    ensure!(output.status.success(), "{program} {arguments:?}");
    Ok(String::from_utf8_lossy(&output.stdout).trim().parse()?)
}
