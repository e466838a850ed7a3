//! Head office beside the machine: the real program, with releases on offer and the ledger of what was sold.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, ensure};
use serde_json::Value;
use storebox::demo::process::Process;
use storebox::demo::state::State;
use storebox_tests::wait;

use crate::lan;
use crate::start::PATIENCE;

/// What the machine's shop calls itself.
pub(crate) const NODE: &str = "trial-1";
const PORT: u16 = 8443;

/// A main server on this end of the wire.
pub(crate) struct Office {
    main: Process,
    /// What its feeds are signed with.
    pub(crate) key: String,
    /// What lets the machine in.
    pub(crate) token: String,
}

impl Office {
    pub(crate) async fn open(storebox: &Path, folder: &Path) -> anyhow::Result<Self> {
        let settings = format!("role = \"main\"\n[http]\nlisten = [\"{}:{PORT}\"]\n", lan::HOST);
        let mut main = Process::lay_out(storebox, folder, "head-office", &settings)?;
        main.start().await?;
        let key = State::of(&main).await?.public_key;
        let token = main.ask(&["node", "add", NODE])?;
        let token = token.lines().last().unwrap_or_default().trim().to_owned();
        Ok(Self { main, key, token })
    }

    /// Offers what `image/trial` made, with the word of those who approve it, to everyone; returns what is said.
    pub(crate) fn offer(&self, release: &Path, version: &str) -> anyhow::Result<String> {
        let at = |name: &str| release.join(name).display().to_string();
        let (bundle, approval) = (at("update.raucb"), at("update.approval"));
        let offer = ["release", "add", &bundle, "--approval", &approval, "--version", version];
        Ok(self.main.ask(&[&offer[..], &["--ring", "everyone"]].concat())?)
    }

    /// Waits until its list shows the machine so with this release.
    pub(crate) async fn await_word(
        &self,
        version: &str,
        what: &str,
        shows: impl Fn(&Value) -> bool,
    ) -> anyhow::Result<()> {
        let waited = wait::until(what, PATIENCE, || async {
            let views = self.main.control("GET", "/v1/releases", None).await?;
            let views = views.as_array().cloned().unwrap_or_default();
            let of = |view: &Value| view["release"]["version"] == version;
            Ok(views.iter().find(|view| of(view)).is_some_and(&shows))
        })
        .await;
        let Err(error) = waited else { return Ok(()) };
        let shown = self.main.control("GET", "/v1/releases", None).await?;
        Err(error.context(shown.to_string()))
    }

    /// What it shows an operator.
    pub(crate) fn list(&self) -> anyhow::Result<String> {
        Ok(self.main.ask(&["release", "list"])?)
    }

    /// What the machine said of itself last.
    pub(crate) async fn said(&self) -> anyhow::Result<Value> {
        let boxes = self.main.control("GET", "/v1/boxes", None).await?;
        let boxes = boxes.as_array().cloned().unwrap_or_default();
        let said = boxes.into_iter().find(|one| one["name"] == NODE);
        Ok(said.with_context(|| format!("{NODE} has said nothing"))?["said"].clone())
    }

    /// Each of these sales is in the ledger, once, and nothing else is.
    pub(crate) async fn has_exactly(&self, sold: &[String]) -> anyhow::Result<()> {
        wait::until("everything sold is settled", PATIENCE, || async {
            let settled = State::of(&self.main).await?.ledger.settled;
            Ok(settled >= sold.len() as u64)
        })
        .await?;
        let page = self.main.control("GET", "/v1/ledger?limit=1000", None).await?;
        let entries = page["entries"].as_array().context("entries of the ledger")?;
        let keys: Vec<&str> =
            entries.iter().filter_map(|entry| entry["envelope"]["key"].as_str()).collect();
        let (found, wanted): (BTreeSet<&str>, BTreeSet<&str>) =
            (keys.iter().copied().collect(), sold.iter().map(String::as_str).collect());
        ensure!(found == wanted, "sold {wanted:?}, settled {found:?}");
        ensure!(keys.len() == sold.len(), "{} entries for {} sales", keys.len(), sold.len());
        ensure!(page["next"].is_null(), "more than a page");
        let refused = self.main.control("GET", "/v1/ledger/refusals", None).await?;
        ensure!(refused["refusals"].as_array().is_some_and(Vec::is_empty), "{refused}");
        Ok(())
    }
}
