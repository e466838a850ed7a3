//! A head office that offers releases, and boxes whose machines say that they can be updated.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use serde_json::Value;
use storebox::demo::process::Process;
use storebox::demo::state::State;
use storebox_image::slot::grubenv::{Env, EnvFile};
use storebox_image::slot::{Slot, State as Slots};
use storebox_image::steward::history::{self, Event};
use storebox_image::steward::{Places, slots};
use storebox_tests::wait;

use crate::line::CountingLine;

/// No condition of a test takes longer, unless it is never met.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);
const HTTP: &str = "[http]\nlisten = [\"127.0.0.1:0\"]\n";
/// One box is the pilot.
const RINGS: &str = r#"{"model":"Ring","record":{"id":"pilot","order":1,"boxes":["store-1"]}}"#;

/// The program under test.
pub(crate) fn executable() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_storebox-under-test"))
}

pub(crate) struct Office {
    pub(crate) main: Process,
    pub(crate) address: SocketAddr,
    key: String,
    folder: PathBuf,
}

/// A box with the machine below it.
pub(crate) struct Shop {
    pub(crate) store: Process,
    pub(crate) address: SocketAddr,
    pub(crate) line: CountingLine,
    /// What its steward looks into.
    pub(crate) updates: PathBuf,
    /// The root of its system.
    pub(crate) root: PathBuf,
}

/// Bytes that look like nothing and are the same every time.
pub(crate) fn noise(bytes: usize, seed: u64) -> Vec<u8> {
    let mut out = vec![0; bytes];
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seed.to_le_bytes());
    hasher.finalize_xof().fill(&mut out);
    out
}

impl Office {
    pub(crate) async fn open(folder: &Path) -> anyhow::Result<Self> {
        Self::with(folder, "").await
    }

    /// The same with this at the end of its configuration.
    pub(crate) async fn with(folder: &Path, settings: &str) -> anyhow::Result<Self> {
        let settings = format!("role = \"main\"\n{HTTP}{settings}");
        let mut main = Process::lay_out(executable(), folder, "head-office", &settings)?;
        let address = main.start().await?;
        let key = State::of(&main).await?.public_key;
        let office = Self { main, address, key, folder: folder.to_owned() };
        let rings = folder.join("rings");
        fs::create_dir_all(&rings)?;
        fs::write(rings.join("changes.ndjson"), RINGS)?;
        office.main.ask(&["import", "--changes", &rings.to_string_lossy()])?;
        Ok(office)
    }

    /// Offers a bundle.
    pub(crate) fn add(&self, bundle: &[u8], version: &str, ring: &str) -> anyhow::Result<String> {
        let file = self.folder.join(format!("update-{version}.raucb"));
        fs::write(&file, bundle)?;
        let words =
            ["release", "add", &file.to_string_lossy(), "--version", version, "--ring", ring];
        Ok(self.main.ask(&words)?)
    }

    /// A box of this name that runs 1.4.0; `settings` comes at the end of its configuration.
    pub(crate) async fn shop(&self, node: &str, settings: &str) -> anyhow::Result<Shop> {
        let line = CountingLine::open(self.address).await?;
        let token_file = self.folder.join(format!("{node}.token"));
        fs::write(&token_file, self.main.ask(&["node", "add", node])?)?;
        let secret = self.folder.join("store.secret");
        fs::write(&secret, "what all boxes of this store share\n")?;
        let root = self.folder.join(format!("{node}-root"));
        let updates = root.join("var/lib/storebox-updates");
        fs::create_dir_all(&updates)?;
        lay_out_a_system(&root)?;
        let release_file = root.join("usr/lib/os-release");
        let slots_file = root.join("run/storebox-box/slots.json");
        let window = if settings.contains("[update]") { "" } else { "[update]\nwindow = \"\"\n" };
        let (address, key) = (line.address, &self.key);
        let more = settings.replace("[update]\n", "");
        let settings = format!(
            "role = \"store\"\n{HTTP}[main]\nurl = \"http://{address}\"\npublic_key = \"{key}\"\n\
             token_file = {token_file:?}\n[peers]\nsecret_file = {secret:?}\n\
             [machine]\nslots_file = {slots_file:?}\n\
             {}release_file = {release_file:?}\nfolder = {updates:?}\n{more}",
            if window.is_empty() { "[update]\n" } else { window }
        );
        let mut store = Process::lay_out(executable(), &self.folder, node, &settings)?;
        let address = store.start().await?;
        Ok(Shop { store, address, line, updates, root })
    }

    pub(crate) async fn releases(&self) -> anyhow::Result<Vec<Value>> {
        let answer = self.main.control("GET", "/v1/releases", None).await?;
        Ok(answer.as_array().cloned().unwrap_or_default())
    }
}

/// What the steward of a box finds below its root.
fn lay_out_a_system(root: &Path) -> anyhow::Result<()> {
    for (path, text) in [
        ("proc/cmdline", "quiet rauc.slot=A ro"),
        ("usr/lib/os-release", "ID=debian\nIMAGE_VERSION=1.4.0\nSTOREBOX_BOARD=x86-64\n"),
    ] {
        let path = root.join(path);
        fs::create_dir_all(path.parent().context("a path below the root")?)?;
        fs::write(path, text)?;
    }
    fs::create_dir_all(root.join("efi/grub"))?;
    let mut env = Env::default();
    let mut state = Slots::flashed();
    state.confirm(Slot::A);
    env.set_state(&state);
    EnvFile::new(root.join("efi/grub/grubenv")).store(&env)?;
    Ok(())
}

impl Shop {
    pub(crate) async fn update(&self) -> anyhow::Result<Value> {
        Ok(self.store.control("GET", "/v1/status", None).await?["update"].clone())
    }

    /// Waits until the box says this of releases.
    pub(crate) async fn await_update(
        &self,
        what: &str,
        holds: impl Fn(&Value) -> bool,
    ) -> anyhow::Result<Value> {
        let met = wait::until(what, PATIENCE, || async { Ok(holds(&self.update().await?)) }).await;
        let update = self.update().await?;
        met.with_context(|| update.to_string())?;
        Ok(update)
    }

    pub(crate) async fn await_state(&self, state: &str) -> anyhow::Result<Value> {
        self.await_update(state, |update| update["state"] == state).await
    }

    /// The bundle that the steward may install.
    pub(crate) fn bundle(&self, version: &str) -> PathBuf {
        self.updates.join(format!("storebox-x86-64-{version}.raucb"))
    }

    /// The steward writes down what became of a release, and tells the service.
    pub(crate) fn steward_notes(
        &self,
        event: Event,
        version: &str,
        why: &str,
    ) -> anyhow::Result<()> {
        let places = Places::new(&self.root);
        history::note(&places, event, version, "aa", why)?;
        slots::publish(&places);
        Ok(())
    }

    /// Pulls the plug and starts the box again.
    pub(crate) async fn restart(&mut self) -> anyhow::Result<()> {
        self.store.kill();
        self.address = self.store.start().await?;
        Ok(())
    }
}
