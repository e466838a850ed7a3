//! Boxes of a store that find each other without any announcement, by what the configuration says.

use std::fs;
use std::path::Path;

use anyhow::ensure;
use serde_json::Value;
use storebox::demo::process::Process;
use storebox_tests::wait;

use crate::site::{PATIENCE, executable};

/// A box of the store, which believes an author that nobody is.
fn settings(folder: &Path, more: &str) -> anyhow::Result<String> {
    let secret = folder.join("store.secret");
    fs::write(&secret, "what all boxes of this store share\n")?;
    let key = ed25519_dalek::SigningKey::from_bytes(&[5; 32]).verifying_key();
    let key: String = key.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(format!(
        "role = \"store\"\n[http]\nlisten = [\"127.0.0.1:0\"]\n[main]\npublic_key = \"{key}\"\n\
         [peers]\nsecret_file = {secret:?}\n{more}"
    ))
}

async fn await_neighbour(process: &Process, id: &str) -> anyhow::Result<()> {
    wait::until("the neighbour is a source", PATIENCE, || async {
        let status = process.control("GET", "/v1/status", None).await?;
        let sources = status["sources"].as_array().cloned().unwrap_or_default();
        Ok(sources.iter().any(|source| source["id"] == id && source["up"] == true))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_neighbour_is_found_by_a_typed_address_and_by_a_configured_name() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let plain = settings(folder.path(), "")?;
    let mut near = Process::lay_out(executable(), folder.path(), "near", &plain)?;
    let address = near.start().await?;
    let typed =
        format!("discover = true\n[discovery]\nannounce = false\nboxes = [\"{address}\"]\n");
    let typed = settings(folder.path(), &typed)?;
    let mut first = Process::lay_out(executable(), folder.path(), "first", &typed)?;
    first.start().await?;
    await_neighbour(&first, "peer-near").await?;
    // What DHCP and announcements say of loopback is refused; a name that was configured may lead there.
    let port = address.port();
    let named = format!(
        "discover = true\n[discovery]\nannounce = false\nnames = [\"localhost\"]\nport = {port}\n"
    );
    let named = settings(folder.path(), &named)?;
    let mut second = Process::lay_out(executable(), folder.path(), "second", &named)?;
    second.start().await?;
    await_neighbour(&second, "peer-near").await?;
    let at = address.to_string();
    let found = second.ask(&["discover", "--at", &at, "--seconds", "2", "--json"])?;
    let found: Value = serde_json::from_str(&found)?;
    let found = found.as_array().cloned().unwrap_or_default();
    let hinted = found.iter().any(|one| {
        one["announced"] == false && one["node"] == "near" && one["addresses"][0] == at.as_str()
    });
    ensure!(hinted, "{found:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_found_neighbour_lets_the_tills_of_this_box_in_and_hears_who_is_out() -> anyhow::Result<()>
{
    let folder = tempfile::tempdir()?;
    let mut near =
        Process::lay_out(executable(), folder.path(), "near", &settings(folder.path(), "")?)?;
    let address = near.start().await?;
    let typed =
        format!("discover = true\n[discovery]\nannounce = false\nboxes = [\"{address}\"]\n");
    let mut own =
        Process::lay_out(executable(), folder.path(), "own", &settings(folder.path(), &typed)?)?;
    let here = own.start().await?;
    let token = own.ask(&["terminal", "add", "till-1"])?;
    let client = reqwest::Client::builder().timeout(PATIENCE).build()?;
    let ask = async |at: std::net::SocketAddr, path: &str| -> anyhow::Result<(u16, Value)> {
        let request = client.get(format!("http://{at}{path}")).bearer_auth(&token);
        let answer = request.header("origin", format!("http://{here}")).send().await?;
        Ok((answer.status().as_u16(), answer.json().await?))
    };
    wait::until("a till is told of the neighbour", PATIENCE, || async {
        let (_, boxes) = ask(here, "/v1/terminal/boxes").await?;
        let other = &boxes["others"][0];
        Ok(boxes["here"] == "own"
            && other["node"] == "near"
            && other["addresses"][0] == format!("http://{address}"))
    })
    .await?;
    let (status, profile) = ask(address, "/v1/terminal/config").await?;
    ensure!(status == 200 && profile["terminal"] == "till-1", "{status} {profile}");
    let listed = near.ask(&["terminal", "list"])?;
    ensure!(listed.contains("till-1") && listed.contains("guest of own"), "{listed}");
    own.ask(&["terminal", "revoke", "till-1"])?;
    wait::until("the neighbour has heard of it", PATIENCE, || async {
        Ok(ask(address, "/v1/terminal/config").await?.1["code"] == "revoked")
    })
    .await
}
