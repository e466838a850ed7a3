//! The stage: a main server and a shop's box as processes, the line between them, and the tills' tokens.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use ed25519_dalek::VerifyingKey;
use storebox_proto::ids::TerminalId;

use super::Error;
use super::line::Line;
use super::process::Process;
use super::state::State;

/// The name of the shop's box.
const STORE: &str = "store-367";
/// The name of head office's server.
const MAIN: &str = "head-office";

/// All that the demo and the tests need of two boxes.
pub struct Stage {
    /// Head office.
    pub main: Process,
    /// The shop.
    pub store: Process,
    /// What connects them.
    pub line: Line,
    /// Where head office serves.
    pub main_address: SocketAddr,
    /// Where the shop's box serves.
    pub store_address: SocketAddr,
    /// The key that signs the shop's receipts.
    pub store_key: VerifyingKey,
}

impl Stage {
    /// Starts both boxes under `folder`, known to each other; both listen at `listen`.
    pub async fn set(executable: &Path, folder: &Path, extra: &str) -> Result<Self, Error> {
        let http = "[http]\nlisten = [\"127.0.0.1:0\"]\n";
        let settings = format!("role = \"main\"\n{http}{extra}");
        let mut main = Process::lay_out(executable, folder, MAIN, &settings)?;
        let main_address = main.start().await?;
        let main_key = State::of(&main).await?.public_key;
        let token = main.ask(&["node", "add", STORE])?;
        let token_file = folder.join("store.token");
        fs::write(&token_file, token).map_err(|source| Error::file(&token_file, source))?;
        let line = Line::open(main_address).await.map_err(Error::Line)?;
        let token_text = toml::Value::String(token_file.to_string_lossy().into_owned());
        let settings = format!(
            "role = \"store\"\n[main]\nurl = \"http://{}\"\npublic_key = \"{main_key}\"\n\
             token_file = {token_text}\n{http}{extra}",
            line.address()
        );
        let mut store = Process::lay_out(executable, folder, STORE, &settings)?;
        let store_address = store.start().await?;
        let store_key = verifying_key(&State::of(&store).await?.public_key)?;
        Ok(Self { main, store, line, main_address, store_address, store_key })
    }

    /// Adds a till to the shop and returns its token.
    pub fn add_till(&self, name: &TerminalId) -> Result<String, Error> {
        Ok(self.store.ask(&["terminal", "add", name.as_str()])?)
    }

    /// Both boxes fail loudly if they have ended.
    pub fn check_alive(&mut self) -> Result<(), Error> {
        self.main.check_alive()?;
        Ok(self.store.check_alive()?)
    }
}

fn verifying_key(text: &str) -> Result<VerifyingKey, Error> {
    let mut bytes = [0; 32];
    hex::decode_to_slice(text, &mut bytes).map_err(|_| Error::Key(text.to_owned()))?;
    VerifyingKey::from_bytes(&bytes).map_err(|_| Error::Key(text.to_owned()))
}

/// A directory that goes away with its owner.
pub struct Folder(PathBuf);

impl Folder {
    /// A new one below the system's directory for such.
    pub fn create() -> Result<Self, Error> {
        let unique = hex::encode(crate::env::random::<8>());
        let path = std::env::temp_dir().join(format!("storebox-demo-{unique}"));
        fs::create_dir_all(&path).map_err(|source| Error::file(&path, source))?;
        Ok(Self(path))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
