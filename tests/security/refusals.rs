//! Bad input of eight kinds, by every way into a box: each is refused with one code, one line in the log without a
//! secret, and one count in the metrics.

mod certificates;
mod enrolment;
mod sealed;
mod tokens;

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::Value;
use storebox::trust::call::Connection;
use storebox_proto::problem::Code;
use storebox_tests::wait::until;

use crate::people::Shop;

const PATIENCE: Duration = Duration::from_secs(30);

/// Lines about trust that name this code.
fn lines_of<'a>(log: &'a str, code: &str) -> Vec<&'a str> {
    let named = format!("code=\"{code}\"");
    log.lines().filter(|line| line.contains(&named)).collect()
}

/// What people read about it.
const DOCUMENT: &str = include_str!("../../appliance/docs/refusals.md");
/// Every way in is tried with each of these.
const KINDS: [&str; 8] = [
    "expired",
    "revoked",
    "foreign-site",
    "tampered",
    "replayed",
    "re-ordered",
    "downgraded",
    "oversized",
];

/// A shop whose log and numbers are looked at around every attempt.
pub(crate) struct Bench {
    pub(crate) shop: Shop,
    pub(crate) folder: PathBuf,
    /// What no line may show.
    pub(crate) secrets: Vec<String>,
    /// What was tried, as the rows of the document.
    told: BTreeSet<String>,
}

/// How an attempt has to end.
pub(crate) struct Wanted {
    pub(crate) what: &'static str,
    /// The code of the refusal, or the word for a handshake that failed.
    pub(crate) code: &'static str,
    /// The number that grows by one.
    pub(crate) metric: &'static str,
}

/// A refusal that is counted by its code.
pub(crate) fn refusal(what: &'static str, code: &'static str) -> Wanted {
    Wanted { what, code, metric: "storebox_http_refusals_total{code=" }
}

/// Somebody who was not believed.
pub(crate) fn disbelief(what: &'static str, code: &'static str) -> Wanted {
    Wanted { what, code, metric: "storebox_http_disbelieved_total{reason=" }
}

impl Bench {
    pub(crate) async fn open(folder: &Path, settings: &str) -> anyhow::Result<Self> {
        let shop = Shop::open(folder, "0007", settings).await?;
        Ok(Self { shop, folder: folder.to_owned(), secrets: Vec::new(), told: BTreeSet::new() })
    }

    fn log(&self) -> anyhow::Result<String> {
        Ok(String::from_utf8_lossy(&fs::read(self.folder.join("store-1/log"))?).into_owned())
    }

    async fn count(&self, wanted: &Wanted) -> anyhow::Result<u64> {
        let url = format!("http://{}/metrics", self.shop.open);
        let text = reqwest::get(url).await?.text().await?;
        let start = format!("{}\"{}\"}} ", wanted.metric, wanted.code);
        let line = text.lines().find_map(|line| line.strip_prefix(start.as_str()));
        Ok(line.map_or(Ok(0), str::parse)?)
    }

    /// Makes an attempt, which says how it was refused, and looks at what that has left behind.
    pub(crate) async fn expect(
        &mut self,
        wanted: Wanted,
        attempt: impl Future<Output = anyhow::Result<String>>,
    ) -> anyhow::Result<()> {
        let what = wanted.what;
        let (before, read) = (self.count(&wanted).await?, self.log()?.len());
        let code = attempt.await.with_context(|| what.to_owned())?;
        ensure!(code == wanted.code, "{what}: {code:?} instead of {:?}", wanted.code);
        // The answer may be quicker than what is counted and written down about it.
        let is_told = async || -> anyhow::Result<bool> {
            let (after, log) = (self.count(&wanted).await?, self.log()?);
            Ok(after > before && !lines_of(log.split_at(read).1, &code).is_empty())
        };
        until(&format!("{what}: counted and told"), PATIENCE, is_told).await?;
        let after = self.count(&wanted).await?;
        ensure!(after == before + 1, "{what}: counted {} times", after - before);
        let log = self.log()?;
        let (_, new) = log.split_at(read);
        let lines = lines_of(new, &code);
        ensure!(lines.len() == 1, "{what}: {} lines in the log:\n{new}", lines.len());
        for secret in &self.secrets {
            ensure!(!new.contains(secret.as_str()), "{what}: the log shows a secret");
        }
        let counted = wanted.metric.split('{').next().unwrap_or_default();
        self.told.insert(format!("| {what} | `{code}` | `{counted}` |"));
        Ok(())
    }

    /// What was tried since the last time is what the document says of this way in, and is of every kind.
    pub(crate) fn compare(&mut self, way: &str) -> anyhow::Result<()> {
        let told = std::mem::take(&mut self.told);
        let section = DOCUMENT.split("\n## ").find(|section| section.starts_with(way));
        let rows = section.with_context(|| format!("no section {way}"))?.lines();
        let written: BTreeSet<String> = rows
            .filter(|line| line.starts_with("| ") && line.contains('`'))
            .map(str::to_owned)
            .collect();
        ensure!(written == told, "{way}: what was tried is\n{}", Vec::from_iter(told).join("\n"));
        for kind in KINDS {
            let is_tried = written.iter().any(|row| row.starts_with(&format!("| {kind} ")));
            ensure!(is_tried, "{way}: nothing {kind} was tried");
        }
        Ok(())
    }
}

/// The code of a refusal in an answer, or nothing.
pub(crate) fn code_of(body: &[u8]) -> String {
    let problem: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
    problem["code"].as_str().unwrap_or_default().to_owned()
}

/// Asks on a connection and says how that is refused; a connection that is cut says nothing.
pub(crate) async fn ask<E>(
    connection: Result<Connection, E>,
    path: &str,
    token: Option<&str>,
) -> String {
    let Ok(mut connection) = connection else { return String::new() };
    let bearer = token.map(|token| format!("Bearer {token}"));
    let headers: Vec<_> = bearer.iter().map(|bearer| ("authorization", bearer.as_str())).collect();
    match connection.send(reqwest::Method::GET, path, &headers, "").await {
        Ok(answer) => code_of(&answer.body),
        Err(_) => String::new(),
    }
}

/// The code that a command has complained with.
pub(crate) fn complaint<T>(outcome: anyhow::Result<T>) -> anyhow::Result<String> {
    let error = outcome.err().context("it was not refused")?.to_string();
    let named = Code::ALL.iter().find(|code| error.contains(code.as_str()));
    Ok(named.with_context(|| error.clone())?.to_string())
}

/// The same in the open.
pub(crate) async fn ask_open(
    at: SocketAddr,
    path: &str,
    token: Option<&str>,
) -> anyhow::Result<String> {
    let request = reqwest::Client::new().get(format!("http://{at}{path}"));
    let request = match token {
        Some(token) => request.bearer_auth(token),
        None => request,
    };
    Ok(code_of(&request.send().await?.bytes().await?))
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_kinds_of_bad_tokens_and_certificates_are_each_refused_counted_and_told_once()
-> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut bench = Bench::open(folder.path(), "").await?;
    tokens::try_all(&mut bench).await?;
    bench.compare("Tokens of persons")?;
    certificates::try_all(&mut bench).await?;
    bench.compare("Certificates")
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_kinds_of_bad_enrolments_and_seals_are_each_refused_counted_and_told_once()
-> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut bench = Bench::open(folder.path(), "").await?;
    enrolment::try_all(&mut bench).await?;
    bench.compare("Enrolment")?;
    sealed::try_all(&mut bench).await?;
    bench.compare("Sealed requests")
}
