//! Published by head office, read by a box that reaches nothing else.

use std::path::Path;

use anyhow::ensure;
use serde_json::Value;

use crate::chain::Chain;
use crate::servers::{self, PASSWORD, USER};

/// Storage as options of a command and as lines of the configuration.
pub(crate) struct Place {
    pub(crate) to: String,
    pub(crate) user: &'static str,
    pub(crate) secret: &'static str,
    pub(crate) endpoint: String,
    /// Who vouches for the server, over TLS.
    pub(crate) authority: String,
}

/// Publishes, lets a box read, publishes a change, lets the box read that, and a further box by command.
pub(crate) async fn round_trip(folder: &Path, to: &Place, from: &Place) -> anyhow::Result<()> {
    let chain = Chain::open(folder, "").await?;
    let first = publish(&chain, to)?;
    ensure!(first["objects"].as_u64() > Some(1), "{first}");
    ensure!(publish(&chain, to)?["objects"] == 0, "all of it is there");
    let secret = chain.secret(from.secret)?;
    let source = format!(
        "[[source]]\nid = \"bucket\"\nkind = \"storage\"\nurl = {:?}\nuser = {:?}\n\
         secret_file = {secret:?}\nendpoint = {:?}\nca_file = {:?}\n",
        from.to, from.user, from.endpoint, from.authority
    );
    let store = chain.store("store-1", &source).await?;
    chain.await_level(&store).await?;
    chain.prices(3001, 2)?;
    publish(&chain, to)?;
    store.ask(&["refresh"])?;
    chain.await_level(&store).await?;
    let status = store.ask(&["status"])?;
    ensure!(status.contains("bucket (storage)  in use"), "{status}");
    let lent = chain.store("store-2", "").await?;
    let secret = secret.to_string_lossy().into_owned();
    let order = ["refresh", "--from", &from.to, "--user", from.user, "--secret-file", &secret];
    let rest = ["--endpoint", &from.endpoint, "--ca-file", &from.authority];
    lent.ask(&[&order[..], &rest].concat())?;
    chain.await_level(&lent).await
}

pub(crate) fn publish(chain: &Chain, to: &Place) -> anyhow::Result<Value> {
    let secret = chain.secret(to.secret)?.to_string_lossy().into_owned();
    let order = ["publish", "--to", &to.to, "--user", to.user, "--secret-file", &secret];
    let rest = ["--endpoint", &to.endpoint, "--ca-file", &to.authority];
    let said = chain.main.ask(&[&order[..], &rest].concat())?;
    Ok(serde_json::from_str(&said)?)
}

pub(crate) fn place(to: String) -> Place {
    let (endpoint, authority) = (String::new(), String::new());
    Place { to, user: USER, secret: PASSWORD, endpoint, authority }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_or_a_stick() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let stick = folder.path().join("stick");
    std::fs::create_dir(&stick)?;
    let place = place(stick.to_string_lossy().into_owned());
    round_trip(folder.path(), &place, &place).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_of_an_s3_compatible_service() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let Some(server) = servers::s3(&folder.path().join("bucket"), None) else { return Ok(()) };
    let endpoint = format!("http://127.0.0.1:{}", server.port);
    let to = "s3://feeds/chain/7".to_owned();
    let place = Place { user: "S3RVER", secret: "S3RVER", endpoint, ..place(to) };
    round_trip(folder.path(), &place, &place).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webdav_server() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let root = folder.path().join("dav");
    std::fs::create_dir(&root)?;
    let Some(server) = servers::python("dav", &root) else { return Ok(()) };
    let place = place(format!("dav://127.0.0.1:{}/chain/feeds", server.port));
    round_trip(folder.path(), &place, &place).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ftp_server() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let root = folder.path().join("ftp");
    std::fs::create_dir(&root)?;
    let Some(server) = servers::python("ftp", &root) else { return Ok(()) };
    let place = place(format!("ftp://127.0.0.1:{}/chain/feeds", server.port));
    round_trip(folder.path(), &place, &place).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_web_server_that_is_read_what_a_folder_was_given() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let root = folder.path().join("www");
    std::fs::create_dir(&root)?;
    let Some(server) = servers::python("web", &root) else { return Ok(()) };
    let to = place(root.to_string_lossy().into_owned());
    let from = place(format!("http://127.0.0.1:{}", server.port));
    round_trip(folder.path(), &to, &from).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standing_publication_follows_and_a_foreign_one_is_left_alone() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let stick = folder.path().join("stick");
    std::fs::create_dir(&stick)?;
    let settings = format!("[[publish]]\nid = \"stick\"\nurl = {stick:?}\n");
    let chain = Chain::open(folder.path(), &settings).await?;
    let source = format!("[[source]]\nid = \"s\"\nkind = \"storage\"\nurl = {stick:?}\n");
    let store = chain.store("store-1", &source).await?;
    store.ask(&["refresh"])?;
    chain.await_level(&store).await?;
    let other = tempfile::tempdir()?;
    let other = Chain::open(other.path(), "").await?;
    let refused = publish(&other, &place(stick.to_string_lossy().into_owned()));
    let refused = format!("{:#}", refused.err().unwrap_or_else(|| anyhow::anyhow!("published")));
    ensure!(refused.contains("is signed by another author"), "{refused}");
    Ok(())
}
