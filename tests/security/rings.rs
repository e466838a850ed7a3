//! Sealing keys reach boxes and tills with nobody carrying a file, and so do their successors.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::{Value, json};
use storebox::demo::process::Process;
use storebox::seal::Seals;
use storebox::secrets::{SecretText, Vault};
use storebox::trust::join::Membership;
use storebox::wire::Wire;
use storebox_proto::seal::Scope;
use storebox_proto::time::Timestamp;
use storebox_tests::chain::{Chain, await_level};
use storebox_tests::wait;

use crate::box_of::executable;

const PATIENCE: Duration = Duration::from_secs(90);
const LONG: Duration = Duration::from_secs(5);

fn begin(main: &Process, scope: &str) -> anyhow::Result<()> {
    main.ask(&["seal", "new", "--site", "0007", "--scope", scope])?;
    Ok(())
}

async fn generations(store: &Process, scope: &str) -> anyhow::Result<Vec<u64>> {
    let rings = store.control("GET", "/v1/seals", None).await?;
    let of = rings.as_array().context("rings")?.iter().filter(|ring| ring["scope"] == scope);
    Ok(of.filter_map(|ring| ring["generation"].as_u64()).collect())
}

/// Reads a record sealed, as a till with this membership and nothing else would.
async fn read_sealed(
    member: &Membership,
    address: std::net::SocketAddr,
    folder: &Path,
) -> anyhow::Result<Value> {
    let seals = Seals::open(Vault::open(folder, Path::new(""))?)?;
    let now = Timestamp::from_unix_ms(i64::MAX / 2);
    for ring in &member.grant().rings {
        seals.take(ring.clone(), now)?;
    }
    let token = SecretText::new(String::new());
    let wire = Wire::new(&format!("http://{address}"), token, seals, Scope::Tills)?;
    let answer = wire.read("/v1/models/Product/records/P1", Vec::new(), LONG, 64 * 1024).await?;
    ensure!(answer.status == 200, "{}", answer.status);
    Ok(serde_json::from_slice(&answer.body)?)
}

#[tokio::test(flavor = "multi_thread")]
async fn boxes_and_tills_get_their_rings_with_their_certificates_and_the_next_ones_by_themselves()
-> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let chain = Chain::found(executable(), folder.path())?;
    // Head office takes nothing in the open, so a box without a ring gets nothing but its ring.
    let (main, section) = chain.main("[seal]\nrequired = [\"boxes\"]\n").await?;
    begin(&main, "boxes")?;
    begin(&main, "tills")?;
    let product = json!({"id": "P1", "name": "Marmalade", "barcode": "4001"}).to_string();
    chain.import(&main, &[("Product", product)])?;
    let settings = format!("{section}sealed = true\n");
    let (store, open, secure) = chain.shop("store-1", "0007", &settings).await?;
    await_level(&main, &store).await?;
    ensure!(generations(&store, "boxes").await? == [1], "the ring came over the line");

    let till = chain.join_by_slip(&store, secure, "till-1")?;
    ensure!(till.grant().rings.len() == 1, "the ring of the tills came with the certificate");
    ensure!(till.grant().rings.iter().all(|ring| ring.scope == Scope::Tills));
    let read = read_sealed(&till, open, tempfile::tempdir()?.path()).await?;
    ensure!(read["name"] == "Marmalade", "{read}");

    // A box of another site gets what is its own, and nothing of this one.
    let (other, _, _) = chain.shop("store-8", "0008", &section).await?;
    // Nobody gets a key over a line that is not the member's own.
    let plain = reqwest::get(format!("http://{open}/v1/terminal/rings")).await?.status();
    ensure!(plain == 401, "{plain}");
    let token = store.ask(&["terminal", "add", "till-9"])?;
    let client = reqwest::Client::new().get(format!("http://{open}/v1/terminal/rings"));
    let refused: Value = client.bearer_auth(token.trim()).send().await?.json().await?;
    ensure!(refused["code"] == "tls_required", "{refused}");

    begin(&main, "boxes")?;
    begin(&main, "tills")?;
    wait::until("the next generation is here", PATIENCE, || async {
        let both = (generations(&store, "boxes").await?, generations(&store, "tills").await?);
        Ok(both == (vec![1, 2], vec![1, 2]))
    })
    .await?;
    ensure!(generations(&other, "boxes").await?.is_empty(), "another site's keys");
    let dir = chain.papers_of("till-1");
    let (dir, at) = (dir.to_string_lossy().into_owned(), secure.to_string());
    chain.run(&["enrol", "renew", "--dir", &dir, "--address", &at])?;
    let till = Membership::open(Path::new(&dir))?;
    let own: Vec<_> = till.grant().rings.iter().map(|ring| ring.generation).collect();
    ensure!(own == [2, 1], "{own:?}");
    let read = read_sealed(&till, open, tempfile::tempdir()?.path()).await?;
    ensure!(read["name"] == "Marmalade", "{read}");
    let mut connection = till.connect(secure).await?;
    let rings = connection.send(reqwest::Method::GET, "/v1/terminal/rings", &[], "").await?;
    let rings: Value = rings.json()?;
    ensure!(rings.as_array().map(Vec::len) == Some(2), "by refresh too");
    for log in ["main", "store-1", "store-8"] {
        let log = std::fs::read_to_string(folder.path().join(log).join("log"))?;
        for ring in rings.as_array().into_iter().flatten() {
            let (chain, storage) = (ring["chain"].as_str(), ring["storage"].as_str());
            ensure!(
                !log.contains(chain.context("a key")?) && !log.contains(storage.context("a key")?)
            );
        }
    }
    Ok(())
}
