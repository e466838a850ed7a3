//! The shipped landscapes, started as they are: only ports, folders and secrets come from the environment.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, ensure};
use reqwest::Client;
use serde_json::{Value, json};
use storebox_proto::estate::{Switch, View};
use storebox_tests::wait;

use crate::site::{PATIENCE, at, executable, told};

/// One server of a landscape.
struct Server {
    data: PathBuf,
    child: Child,
    address: SocketAddr,
}

impl Server {
    async fn start(
        example: &Path,
        folder: &Path,
        name: &str,
        settings: &[(&str, &str)],
    ) -> anyhow::Result<Self> {
        let data = folder.join(name);
        fs::create_dir_all(&data)?;
        let log = fs::File::create(folder.join(format!("{name}.log")))?;
        let child = Command::new(executable())
            .arg("--config")
            .arg(example.join(format!("{name}.toml")))
            .arg("run")
            .env("STOREBOX_DATA_DIR", &data)
            .env("STOREBOX_HTTP__LISTEN", "127.0.0.1:0")
            .env("STOREBOX_DISCOVERY__ANNOUNCE", "false")
            .envs(settings.iter().copied())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        let file = data.join("http.addr");
        let read = || fs::read_to_string(&file).ok()?.lines().next()?.trim().parse().ok();
        wait::until("a server listens", PATIENCE, || async {
            Ok(read().is_some_and(|_: SocketAddr| true) && data.join("control.sock").exists())
        })
        .await?;
        let address = read().context("an address")?;
        Ok(Self { data, child, address })
    }

    fn ask(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let output = Command::new(executable())
            .arg("--data-dir")
            .arg(&self.data)
            .args(arguments)
            .output()?;
        let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        let error = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{arguments:?}: {said} {error}");
        Ok(said)
    }

    fn status(&self) -> anyhow::Result<Value> {
        Ok(serde_json::from_str(&self.ask(&["status", "--json"])?)?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a till of each store finds: its server first, and who comes after it for products and for tickets.
struct Wanted {
    server: &'static str,
    products: &'static [&'static str],
    tickets: &'static [&'static str],
}

async fn play(name: &str, wanted: &[Wanted]) -> anyhow::Result<()> {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../appliance/server/examples");
    let example = examples.join(name);
    let folder = tempfile::tempdir()?;
    let main = Server::start(&example, folder.path(), "main", &[]).await?;
    let estate = example.join("estate").canonicalize()?;
    main.ask(&["import", &estate.to_string_lossy()])?;
    let key = main.status()?["publicKey"].as_str().context("a key")?.to_owned();
    let url = format!("http://{}", main.address);
    let client = Client::builder().timeout(PATIENCE).build()?;
    let mut stores = Vec::new();
    for entry in fs::read_dir(&example)? {
        let path = entry?.path();
        let node = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if path.extension().is_none_or(|ending| ending != "toml") || node == "main" {
            continue;
        }
        let token = folder.path().join(format!("{node}.token"));
        fs::write(&token, main.ask(&["node", "add", &node])?)?;
        let token = token.to_string_lossy();
        let settings = [
            ("STOREBOX_MAIN__URL", url.as_str()),
            ("STOREBOX_MAIN__PUBLIC_KEY", &key),
            ("STOREBOX_MAIN__TOKEN_FILE", &token),
        ];
        stores
            .push((node.clone(), Server::start(&example, folder.path(), &node, &settings).await?));
    }
    for (number, wanted) in (1_u64..).zip(wanted) {
        let found = stores.iter().find(|(node, _)| node == wanted.server);
        let (_, store) = found.with_context(|| format!("{} is shipped", wanted.server))?;
        sell(&client, store, wanted, number).await?;
    }
    let count = wanted.len() as u64;
    wait::until("all is settled at the main server", PATIENCE, || async {
        Ok(main.status()?["ledger"]["settled"] == count)
    })
    .await
}

/// A till of the store is told its servers, would move on to the right ones, and sells.
async fn sell(client: &Client, store: &Server, wanted: &Wanted, number: u64) -> anyhow::Result<()> {
    let till = format!("till-{}", wanted.server);
    let token = store.ask(&["terminal", "add", &till])?;
    let get = || at(client, store.address, "/v1/terminal/config").bearer_auth(&token);
    wait::until("the definitions have arrived", PATIENCE, || async {
        let (status, config) = told(get()).await?;
        Ok(status == 200 && !config["servers"].is_null())
    })
    .await?;
    let (_, config) = told(get()).await?;
    let view: View = serde_json::from_value(config["servers"].clone())?;
    let switch = Switch::new(view);
    let products = switch.route("/v1/models/Product", None);
    ensure!(products.servers == wanted.products, "{till}: {products:?}");
    let tickets = switch.route("/v1/transactions", None);
    ensure!(tickets.servers == wanted.tickets, "{till}: {tickets:?}");
    ensure!(tickets.authoritative.as_deref() == Some("main"), "{till}: {tickets:?}");
    let sale = json!({
        "key": format!("0192d3a4-5b6c-7000-8000-{number:012x}"), "kind": "Order", "terminal": till,
        "epoch": 1, "sequence": 1, "lane": "ticket:1", "occurredAt": "2026-11-22T10:02:00Z",
        "clock": "plausible", "payload": {"gross": "1.00"}
    });
    let url = format!("http://{}/v1/transactions", store.address);
    let (status, answer) = told(client.post(url).bearer_auth(&token).json(&sale)).await?;
    ensure!(status == 200, "{till}: {status} {answer}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn landscapes_src_11_main_failover_and_store_servers_here_and_in_the_cloud()
-> anyhow::Result<()> {
    let (north, cloud) =
        (&["north", "main", "failover"] as &[_], &["cloud", "main", "failover"] as &[_]);
    let wanted = [
        Wanted { server: "north", products: north, tickets: north },
        Wanted { server: "cloud", products: cloud, tickets: cloud },
    ];
    play("1-main-failover-stores", &wanted).await
}

#[tokio::test(flavor = "multi_thread")]
async fn landscapes_src_12_a_large_store_of_its_own_and_small_ones_that_share() -> anyhow::Result<()>
{
    let (large, small) = (&["large", "centre", "main"] as &[_], &["centre", "main"] as &[_]);
    let wanted = [
        Wanted { server: "large", products: large, tickets: large },
        Wanted { server: "centre", products: small, tickets: small },
    ];
    play("2-large-store", &wanted).await
}

#[tokio::test(flavor = "multi_thread")]
async fn landscapes_src_13_central_aggregation_of_independent_stores() -> anyhow::Result<()> {
    let wanted = [
        Wanted { server: "east", products: &["east"], tickets: &["east", "main"] },
        Wanted { server: "west", products: &["west"], tickets: &["west", "main"] },
    ];
    play("3-independent-stores", &wanted).await
}
