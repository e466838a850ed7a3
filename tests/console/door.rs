//! The door of the stage's box: it gets papers, and newcomers come who ask to be let in.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use storebox::trust::join::Newcomer;
use storebox_proto::trust::Kind;
use storebox_tests::chain::{Chain, secure};
use tokio::task::JoinSet;

use crate::stage::Stage;

/// Newcomers that wait for a person; each says in the end whether it is in.
pub(crate) type Waiting = JoinSet<bool>;

impl Stage {
    /// Gives the shop's box papers of a head office, and TLS beside what it serves in the open.
    pub(crate) async fn adopt(&mut self) -> anyhow::Result<()> {
        let executable = Path::new(env!("CARGO_BIN_EXE_storebox-under-test"));
        let folder = self.folder().to_owned();
        self.store().stop();
        let chain = Chain::found(executable, &folder)?;
        let node =
            self.store().data().parent().and_then(Path::file_name).map(|name| name.to_owned());
        let node = node.unwrap_or_default().to_string_lossy().into_owned();
        chain.adopt(self.store(), &node, "0007")?;
        let config = folder.join(&node).join("storebox.toml");
        let text = fs::read_to_string(&config)?;
        fs::write(&config, format!("{text}[tls]\nlisten = [\"127.0.0.1:0\"]\n"))?;
        self.start().await?;
        Ok(())
    }

    /// A till asks to be let in and waits; the number that it shows.
    pub(crate) async fn knock(&mut self, name: &str) -> anyhow::Result<Value> {
        let dir = self.folder().join("newcomers").join(name);
        let newcomer = Newcomer::new(&dir, Kind::Terminal, name.parse()?)?;
        let (number, asked) = newcomer.by_request(secure(self.store())?).await?;
        self.waiting.spawn(async move { newcomer.once_approved(asked).await.is_ok() });
        Ok(json!(number))
    }

    /// Whether the till that has knocked is in.
    pub(crate) async fn is_in(&mut self) -> anyhow::Result<Value> {
        let is_in = self.waiting.join_next().await.transpose()?;
        Ok(json!(is_in))
    }
}
