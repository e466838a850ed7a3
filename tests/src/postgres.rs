//! A PostgreSQL of a test's own: Debian's programs, a folder that goes away, and no port.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use anyhow::{Context, ensure};

use crate::company::Certified;
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
    /// Where it is reached over TLS; 0: not at all.
    port: u16,
    child: Option<Child>,
}

impl Postgres {
    /// A running one below this folder; nothing if it is not installed.
    pub async fn open(folder: &Path) -> anyhow::Result<Option<Self>> {
        Self::open_with(folder, None).await
    }

    /// One that is also reached over the network, and then over TLS only.
    pub async fn open_secure(folder: &Path, certified: &Certified) -> anyhow::Result<Option<Self>> {
        Self::open_with(folder, Some(certified)).await
    }

    async fn open_with(
        folder: &Path,
        certified: Option<&Certified>,
    ) -> anyhow::Result<Option<Self>> {
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
        let mut server = Self { folder, programs, user, port: 0, child: None };
        let data = server.folder.join("data");
        let made = server
            .program("initdb")
            .args(["--no-sync", "--auth=trust", "--encoding=UTF8", "-U", USER, "-D"])
            .arg(&data)
            .output()?;
        ensure!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        if let Some(certified) = certified {
            server.secure(certified)?;
        }
        server.start().await?;
        Ok(Some(server))
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("host={} user={USER} dbname=postgres", self.folder.display())
    }

    /// Its address on the network, which says nothing of TLS.
    pub fn secure_url(&self) -> String {
        format!("postgresql://{USER}@127.0.0.1:{}/postgres?sslmode=require", self.port)
    }

    /// Its certificate, as it likes it, and a rule that lets nobody in from the network in the open.
    fn secure(&mut self, certified: &Certified) -> anyhow::Result<()> {
        let data = self.folder.join("data");
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        for (from, name) in [(&certified.certificate, "server.crt"), (&certified.key, "server.key")]
        {
            fs::copy(from, data.join(name))?;
            fs::set_permissions(data.join(name), std::clone::Clone::clone(&private))?;
            if let Some((uid, gid)) = self.user {
                chown(data.join(name), Some(uid), Some(gid))?;
            }
        }
        let rules = "local all all trust\nhostssl all all 127.0.0.1/32 trust\n";
        fs::write(data.join("pg_hba.conf"), rules)?;
        self.port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        Ok(())
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
            .args(["-p", &if self.port == 0 { 5432 } else { self.port }.to_string()])
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
            .args(["-c", "shared_buffers=16MB"])
            .args(self.network())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        Ok(child)
    }

    fn network(&self) -> Vec<String> {
        match self.port {
            0 => vec!["-c".to_owned(), "listen_addresses=".to_owned()],
            port => ["listen_addresses=127.0.0.1", "ssl=on", &format!("port={port}")]
                .iter()
                .flat_map(|setting| ["-c".to_owned(), (*setting).to_owned()])
                .collect(),
        }
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
