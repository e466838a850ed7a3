//! The door of the stage's box: it gets papers, and newcomers come who ask to be let in.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use storebox::demo::process::Process;
use storebox::trust::join::Newcomer;
use storebox_proto::trust::Kind;
use storebox_tests::chain::{Chain, secure};
use tokio::task::JoinSet;

use crate::stage::Stage;

/// Newcomers that wait for a person; each says in the end whether it is in.
pub(crate) type Waiting = JoinSet<bool>;

/// Gives a box that does not run papers, and TLS beside what it serves in the open.
fn certify(chain: &Chain, process: &Process, site: &str, more: &str) -> anyhow::Result<()> {
    let folder = process.data().parent().map(Path::to_owned).unwrap_or_default();
    let node = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
    chain.adopt(process, &node, site)?;
    let config = folder.join("storebox.toml");
    let text = fs::read_to_string(&config)?;
    fs::write(&config, format!("{text}[tls]\nlisten = [\"127.0.0.1:0\"]\n{more}"))?;
    Ok(())
}

/// Where a browser finds a box over TLS, whatever its port.
fn place(process: &Process, site: &str) -> anyhow::Result<String> {
    Ok(format!("box.site-{site}.storebox.internal:{}", secure(process)?.port()))
}

impl Stage {
    /// Gives the shop's box papers of a head office.
    pub(crate) async fn adopt(&mut self) -> anyhow::Result<()> {
        let chain = self.found()?;
        self.store().stop();
        certify(&chain, self.store(), "0007", "")?;
        self.start().await?;
        Ok(())
    }

    /// Gives both boxes papers; pages that head office serves may use the shop's box, and not the other way round.
    pub(crate) async fn adopt_both(&mut self) -> anyhow::Result<()> {
        let chain = self.found()?;
        self.main().stop();
        certify(&chain, self.main(), "head-office", "")?;
        self.restart_main().await?;
        let office = place(self.main(), "head-office")?;
        self.store().stop();
        let origins = format!("[browser]\norigins = [\"https://{office}\"]\n");
        certify(&chain, self.store(), "0007", &origins)?;
        self.start().await?;
        let facts = json!({
            "store": place(self.store(), "0007")?, "office": office,
            "root": format!("{}/root.pem", chain.office()),
        });
        self.tell("secure", facts);
        Ok(())
    }

    fn found(&self) -> anyhow::Result<Chain> {
        Chain::found(Path::new(env!("CARGO_BIN_EXE_storebox-under-test")), self.folder())
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
