//! Head office's cabinet and whom it has adopted, below one folder: real processes that know each other by certificates.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::ensure;
use storebox::demo::process::Process;
use storebox::demo::state::State;
use storebox::trust::join::Membership;

use crate::wait;

/// No condition of a test takes longer, unless it is never met.
const PATIENCE: Duration = Duration::from_secs(60);

/// Listeners on free ports, with and without TLS.
pub const LISTEN: &str = "[http]\nlisten = [\"127.0.0.1:0\"]\n[tls]\nlisten = [\"127.0.0.1:0\"]\n";

/// Head office's cabinet, with the sites `head-office`, `0007` and `0008`.
pub struct Chain {
    executable: PathBuf,
    folder: PathBuf,
}

impl Chain {
    /// Founds head office.
    pub fn found(executable: &Path, folder: &Path) -> anyhow::Result<Self> {
        let chain = Self::at(executable, folder);
        for site in ["head-office", "0007", "0008"] {
            chain.run(&["site", "new", "--office", &chain.office(), site])?;
        }
        Ok(chain)
    }

    /// The same cabinet again.
    pub fn at(executable: &Path, folder: &Path) -> Self {
        Self { executable: executable.to_owned(), folder: folder.to_owned() }
    }

    /// The cabinet.
    pub fn office(&self) -> String {
        self.place("office")
    }

    /// A place below the folder.
    pub fn place(&self, name: &str) -> String {
        self.folder.join(name).to_string_lossy().into_owned()
    }

    /// The program without any box.
    pub fn run(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let output =
            Command::new(&self.executable).args(arguments).stdin(Stdio::null()).output()?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{arguments:?}: {errors}");
        Ok(String::from_utf8(output.stdout)?)
    }

    /// What a technician does with a new box: a request, the papers, adoption.
    pub fn adopt(&self, process: &Process, node: &str, site: &str) -> anyhow::Result<()> {
        let (request, papers) = (self.file(node, "request"), self.file(node, "papers"));
        fs::write(&request, process.ask(&["site", "request", node])?)?;
        let issue = ["site", "issue", "--office", &self.office(), site, &request];
        fs::write(&papers, self.run(&issue)?)?;
        process.ask(&["site", "adopt", &papers])?;
        Ok(())
    }

    /// A file about a box.
    pub fn file(&self, node: &str, what: &str) -> String {
        self.place(&format!("{node}.{what}.json"))
    }

    /// The main server, and what `[main]` of a box has to say about it.
    pub async fn main(&self, settings: &str) -> anyhow::Result<(Process, String)> {
        let settings = format!("role = \"main\"\n{LISTEN}{settings}");
        let mut main = Process::lay_out(&self.executable, &self.folder, "main", &settings)?;
        self.adopt(&main, "main", "head-office")?;
        main.start().await?;
        let (at, key) = (secure(&main)?, State::of(&main).await?.public_key);
        Ok((main, format!("[main]\nurl = \"https://{at}\"\npublic_key = \"{key}\"\n")))
    }

    /// A shop's box of a site, where it is served in the open, and where over TLS.
    pub async fn shop(
        &self,
        node: &str,
        site: &str,
        settings: &str,
    ) -> anyhow::Result<(Process, SocketAddr, SocketAddr)> {
        let settings = match settings.contains("[tls]") {
            true => format!("role = \"store\"\n{settings}"),
            false => format!("role = \"store\"\n{LISTEN}{settings}"),
        };
        let mut store = Process::lay_out(&self.executable, &self.folder, node, &settings)?;
        self.adopt(&store, node, site)?;
        let open = store.start().await?;
        let secure = secure(&store)?;
        Ok((store, open, secure))
    }

    /// A till that comes in by a slip.
    pub fn join_by_slip(
        &self,
        store: &Process,
        secure: SocketAddr,
        name: &str,
    ) -> anyhow::Result<Membership> {
        let slip = store.ask(&["enrol", "slip", "--by", "manager"])?;
        self.join(name, &["--slip", &slip, "--address", &secure.to_string()])
    }

    /// A till that comes in by whatever way.
    pub fn join(&self, name: &str, way: &[&str]) -> anyhow::Result<Membership> {
        let dir = self.papers_of(name);
        let text = dir.to_string_lossy();
        let arguments = [&["enrol", "join", "--dir", &text, "--name", name], way].concat();
        self.run(&arguments)?;
        Ok(Membership::open(&dir)?)
    }

    /// Where a till keeps its papers.
    pub fn papers_of(&self, name: &str) -> PathBuf {
        self.folder.join("tills").join(name)
    }

    /// Imports whole models at head office, each as its lines.
    pub fn import(&self, main: &Process, models: &[(&str, String)]) -> anyhow::Result<()> {
        let dir = tempfile::tempdir_in(&self.folder)?;
        for (model, lines) in models {
            fs::write(dir.path().join(format!("{model}.ndjson")), lines)?;
        }
        main.ask(&["import", &dir.path().to_string_lossy()])?;
        Ok(())
    }
}

/// Where a box speaks TLS.
pub fn secure(process: &Process) -> anyhow::Result<SocketAddr> {
    Ok(fs::read_to_string(process.data().join("https.addr"))?.trim().parse()?)
}

/// Waits until a box stands where head office stands.
pub async fn await_level(main: &Process, store: &Process) -> anyhow::Result<()> {
    wait::until("replica = author", PATIENCE, || async {
        let author = State::of(main).await?;
        Ok(author.records() > 0 && State::of(store).await?.is_level_with(&author))
    })
    .await
}
