//! A head office and boxes that read published feeds.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use storebox::demo::process::Process;
use storebox::demo::state::State;
use storebox_tests::wait;

/// No condition of a test takes longer, unless it is never met.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

const HTTP: &str = "[http]\nlisten = [\"127.0.0.1:0\"]\n";

/// The program under test.
fn executable() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_storebox-under-test"))
}

pub(crate) struct Chain {
    pub(crate) main: Process,
    pub(crate) address: std::net::SocketAddr,
    pub(crate) key: String,
    pub(crate) folder: PathBuf,
}

impl Chain {
    /// A head office that has published a revision of its own.
    pub(crate) async fn open(folder: &Path, settings: &str) -> anyhow::Result<Self> {
        let settings = format!("role = \"main\"\n{HTTP}{settings}");
        let mut main = Process::lay_out(executable(), folder, "head-office", &settings)?;
        let address = main.start().await?;
        let key = State::of(&main).await?.public_key;
        let chain = Self { main, address, key, folder: folder.to_owned() };
        chain.prices(3000, 1)?;
        Ok(chain)
    }

    /// So many prices, all the same.
    pub(crate) fn prices(&self, count: u32, price: u32) -> anyhow::Result<()> {
        let dir = self.folder.join(format!("import-{count}-{price}"));
        fs::create_dir_all(&dir)?;
        let line = |id| {
            format!("{{\"id\":\"PL1-{id:06}\",\"productId\":\"{id}\",\"listPrice\":\"{price}\"}}\n")
        };
        fs::write(dir.join("ProductPrice.ndjson"), (0..count).map(line).collect::<String>())?;
        self.main.ask(&["import", &dir.to_string_lossy()])?;
        Ok(())
    }

    /// A file with this secret.
    pub(crate) fn secret(&self, secret: &str) -> anyhow::Result<PathBuf> {
        let file = self.folder.join(format!("secret-{secret}"));
        fs::write(&file, format!("{secret}\n"))?;
        Ok(file)
    }

    /// Where `[main]` is, for a box of this name.
    pub(crate) fn main_section(&self, node: &str) -> anyhow::Result<String> {
        let token_file = self.folder.join(format!("{node}.token"));
        fs::write(&token_file, self.main.ask(&["node", "add", node])?)?;
        let (address, key) = (self.address, &self.key);
        Ok(format!(
            "[main]\nurl = \"http://{address}\"\npublic_key = \"{key}\"\ntoken_file = {token_file:?}\n"
        ))
    }

    /// A box that believes this head office.
    pub(crate) async fn store(&self, node: &str, settings: &str) -> anyhow::Result<Process> {
        let main = if settings.contains("[main]") {
            String::new()
        } else {
            format!("[main]\npublic_key = \"{}\"\n", self.key)
        };
        let settings = format!("role = \"store\"\n{HTTP}{main}{settings}");
        let mut store = Process::lay_out(executable(), &self.folder, node, &settings)?;
        store.start().await?;
        Ok(store)
    }

    /// Waits until the box stands where head office stands.
    pub(crate) async fn await_level(&self, store: &Process) -> anyhow::Result<()> {
        wait::until("replica = author", PATIENCE, || async {
            let author = State::of(&self.main).await?;
            Ok(author.records() > 0 && State::of(store).await?.is_level_with(&author))
        })
        .await
    }
}

/// What a box says is wrong with a source, once it says something.
pub(crate) async fn await_fault(store: &Process, id: &str, fault: &str) -> anyhow::Result<()> {
    wait::until(fault, PATIENCE, || async {
        let status = store.control("GET", "/v1/status", None).await?;
        let sources = status["sources"].as_array().cloned().unwrap_or_default();
        Ok(sources.iter().any(|source| source["id"] == id && source["lastFault"] == fault))
    })
    .await
}
